// swift-tools-version: 6.2
import PackageDescription

/// The same rules as in the root package.
let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .strictMemorySafety(),
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("ExistentialAny"),
    .unsafeFlags(["-Xcc", "-D_GNU_SOURCE"]),
]

let libraries: Target.Dependency = .product(name: "GuestLibraries", package: "nacelle")

let package = Package(
    name: "guest-agent",
    products: [.executable(name: "nacelle-agent", targets: ["nacelle-agent"])],
    dependencies: [.package(name: "nacelle", path: "..")],
    targets: [
        // What must happen before Swift's runtime starts.
        .target(name: "CAgentStart"),
        // Everything that can be tested without a guest.
        .target(name: "AgentCore", dependencies: [libraries], swiftSettings: strict),
        .executableTarget(
            name: "nacelle-agent", dependencies: ["AgentCore", "CAgentStart", libraries], swiftSettings: strict,
            linkerSettings: [.unsafeFlags(["-static-executable"])]),
        .testTarget(name: "AgentCoreTests", dependencies: ["AgentCore", libraries], swiftSettings: strict),
    ]
)
