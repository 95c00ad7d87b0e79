// swift-tools-version: 6.2
import PackageDescription

/// Settings of every target: the language's strictest rules, so that a reader can trust a green build.
let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .strictMemorySafety(),
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("ExistentialAny"),
    // The C library's module must be read with the same macros as our shims, or their types differ.
    .unsafeFlags(["-Xcc", "-D_GNU_SOURCE"]),
]

/// What starts once per container is linked statically: a dynamically linked program starts four times slower.
let staticExecutable: [LinkerSetting] = [.unsafeFlags(["-static-executable"])]

/// What runs once per container, and the less of it there is the better: each 64 KiB of a program that are touched are mapped, and counted as its
/// memory, at the cost of some hundred of its instructions.
let small: [SwiftSetting] = strict + [.unsafeFlags(["-Osize"], .when(configuration: .release))]

/// ArgumentParser uses FoundationEssentials, whose own parts a static link must name.
let argumentParserLibraries: [LinkerSetting] = ["FoundationEssentials", "_FoundationCollections", "_FoundationCShims", "swiftSynchronization"].map { .linkedLibrary($0) }

func library(_ name: String, _ dependencies: [Target.Dependency] = [], settings: [SwiftSetting] = strict) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: settings)
}

func program(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .executableTarget(name: name, dependencies: dependencies, swiftSettings: strict, linkerSettings: staticExecutable)
}

func tests(of name: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .testTarget(
        name: name + "Tests", dependencies: [.target(name: name)] + dependencies,
        swiftSettings: strict)
}

/// What speaks HTTP and TLS, and hashes.
let network: [Target.Dependency] = [
    .product(name: "AsyncHTTPClient", package: "async-http-client"), .product(name: "Crypto", package: "swift-crypto"),
    .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOHTTP1", package: "swift-nio"), .product(name: "NIOPosix", package: "swift-nio"),
    .product(name: "NIOSSL", package: "swift-nio-ssl"),
]

let package = Package(
    name: "nacelle",
    products: [
        .library(name: "GuestLibraries", targets: ["ContainerLaunch", "AgentProtocol", "ControlGroups", "OCISpec", "LinuxSystem", "JSONText"]),
        .executable(name: "nacelle", targets: ["nacelle"]),
        .library(name: "RegistryClient", targets: ["RegistryClient", "OCIImage"]),
        .library(name: "ImageStore", targets: ["ImageStore", "OCIImage"]),
        .executable(name: "nacelle-oci", targets: ["nacelle-oci"]),
        .executable(name: "nacelle-vmm", targets: ["nacelle-vmm"]),
        .executable(name: "nacelle-init", targets: ["nacelle-init"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        // Of RegistryClient (and swift-crypto of LayerArchive) alone: no program that starts or is a container links any of these.
        .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
    ],
    targets: [
        // What links into the guest as well: no Foundation, no Dispatch, no async, no package.
        .target(name: "CLinux", cSettings: [.define("_GNU_SOURCE")]),
        .systemLibrary(name: "CSeccomp", pkgConfig: "libseccomp", providers: [.apt(["libseccomp-dev"])]),
        .systemLibrary(name: "CCapability", pkgConfig: "libcap", providers: [.apt(["libcap-dev"])]),
        .systemLibrary(name: "CFDT", providers: [.apt(["libfdt-dev"])]),
        library("LinuxSystem", ["CLinux"]),
        library("JSONText"),
        library("OCISpec", ["JSONText"], settings: small),
        library("AgentProtocol", ["LinuxSystem"]),
        library("ControlGroups", ["OCISpec", "LinuxSystem"], settings: small),
        library("ContainerSetup", ["OCISpec", "LinuxSystem", "CLinux", "CSeccomp", "CCapability", "AgentProtocol"]),
        library("ContainerLaunch", ["AgentProtocol", "ControlGroups", "OCISpec", "JSONText", "LinuxSystem", "CLinux"], settings: small),
        program("nacelle-init", ["ContainerSetup", "AgentProtocol", "OCISpec", "LinuxSystem"]),

        // The machine.
        library("KVM", ["LinuxSystem", "CLinux"]),
        library("GuestRAM", ["LinuxSystem", "CLinux"]),
        library("Virtio", ["GuestRAM", "LinuxSystem"]),
        library("VirtioDevices", ["Virtio", "GuestRAM", "LinuxSystem", "CLinux"]),
        library("MachineBoot", ["GuestRAM", "LinuxSystem", "CFDT"]),
        library("MachineMonitor", ["KVM", "GuestRAM", "Virtio", "VirtioDevices", "MachineBoot", "LinuxSystem", "CLinux", "CSeccomp", "CCapability"]),
        program("nacelle-vmm", ["MachineMonitor", "KVM", "VirtioDevices", "Virtio", "GuestRAM", "AgentProtocol", "LinuxSystem", "CLinux"]),

        // The runtime.
        library("TOMLText", settings: small),
        library("ContainerRuntime", ["TOMLText", "ContainerLaunch", "ControlGroups", "AgentProtocol", "OCISpec", "JSONText", "LinuxSystem", "CLinux"], settings: small),
        // All of nacelle-oci but its entry, so that tests can ask it.
        .target(
            name: "RuntimeCommands",
            dependencies: ["ContainerRuntime", "AgentProtocol", "OCISpec", "JSONText", "LinuxSystem", "KVM", .product(name: "ArgumentParser", package: "swift-argument-parser")],
            path: "Sources/nacelle-oci", exclude: ["Program"], swiftSettings: small),
        .executableTarget(
            name: "nacelle-oci", dependencies: ["RuntimeCommands"], path: "Sources/nacelle-oci/Program", exclude: ["section-order"], swiftSettings: strict,
            // Functions are laid out so that few pages are touched (scripts/section-order): see `small`.
            linkerSettings: staticExecutable + [.unsafeFlags(["-Xlinker", "--section-ordering-file=\(Context.packageDirectory)/Sources/nacelle-oci/Program/section-order"])]
                + argumentParserLibraries),

        // Images.
        library("OCIImage", ["JSONText"]),
        .systemLibrary(name: "CArchive", pkgConfig: "libarchive", providers: [.apt(["libarchive-dev"])]),
        library("LayerArchive", ["OCIImage", "LinuxSystem", "JSONText", "CArchive", .product(name: "Crypto", package: "swift-crypto")]),
        library("ImageStore", ["OCIImage", "LayerArchive", "LinuxSystem", "JSONText"]),
        library("RegistryClient", ["OCIImage", "JSONText", "TOMLText", "LinuxSystem"] + network),

        // The engine: what plays podman's part, over any OCI runtime.
        library("ContainerEngine", ["ContainerRuntime", "ImageStore", "LayerArchive", "OCIImage", "OCISpec", "JSONText", "LinuxSystem"], settings: small),
        .executableTarget(
            name: "nacelle", dependencies: ["ContainerEngine", "ContainerRuntime", "ImageStore", "LayerArchive", "RegistryClient", "OCIImage", "OCISpec", "JSONText", "LinuxSystem", .product(name: "ArgumentParser", package: "swift-argument-parser")],
            swiftSettings: small,
            // Swift's own libraries are in it, which are what makes a start slow; libarchive, and what that needs, are the system's.
            linkerSettings: [.unsafeFlags(["-static-stdlib"])] + argumentParserLibraries),

        tests(of: "LinuxSystem"),
        tests(of: "JSONText"),
        tests(of: "OCISpec", ["JSONText"]),
        tests(of: "AgentProtocol", ["LinuxSystem"]),
        tests(of: "ControlGroups", ["OCISpec", "LinuxSystem"]),
        tests(of: "ContainerSetup", ["OCISpec", "LinuxSystem", "AgentProtocol"]),
        tests(of: "ContainerLaunch", ["OCISpec", "LinuxSystem", "AgentProtocol", "JSONText"]),
        tests(of: "GuestRAM", ["LinuxSystem"]),
        tests(of: "Virtio", ["GuestRAM", "LinuxSystem"]),
        tests(of: "VirtioDevices", ["Virtio", "GuestRAM", "LinuxSystem"]),
        tests(of: "MachineBoot", ["GuestRAM", "LinuxSystem"]),
        tests(of: "MachineMonitor", ["GuestRAM", "KVM"]),
        tests(of: "ContainerEngine", ["ContainerRuntime", "OCISpec", "JSONText", "LinuxSystem"]),
        tests(of: "RuntimeCommands", [.product(name: "ArgumentParser", package: "swift-argument-parser")]),
        tests(of: "ContainerRuntime", ["ControlGroups", "OCISpec", "JSONText", "LinuxSystem", "CLinux", "AgentProtocol", "fake-machine"]),
        tests(of: "TOMLText"),
        tests(of: "OCIImage", ["JSONText"]),
        tests(of: "LayerArchive", ["OCIImage", "LinuxSystem"]),
        tests(of: "ImageStore", ["LayerArchive", "OCIImage", "LinuxSystem", "JSONText", "image-store-example"]),
        // ImageStore's example, by which its tests also import in a process that they can kill.
        .executableTarget(
            name: "image-store-example", dependencies: ["ImageStore", "LayerArchive", "OCIImage", "LinuxSystem"], path: "Tests/ImageStoreExample", swiftSettings: strict),
        tests(of: "RegistryClient", ["OCIImage", "JSONText", "LinuxSystem"] + network),
        // RegistryClient's example: pulls into a directory of the image-layout format and pushes from one.
        .executableTarget(
            name: "registry-example", dependencies: ["RegistryClient", "OCIImage", "JSONText", "LinuxSystem"], path: "Tests/RegistryExample", swiftSettings: strict),
        // Stands in for nacelle-vmm in ContainerRuntime's tests.
        .executableTarget(
            name: "fake-machine", dependencies: ["AgentProtocol", "OCISpec", "JSONText", "LinuxSystem"], path: "Tests/FakeMachine", swiftSettings: strict),
        // Feeds parsers with what a seeded generator makes (scripts/fuzz).
        .executableTarget(
            name: "fuzz", dependencies: ["OCIImage", "ContainerRuntime", "ControlGroups", "AgentProtocol", "OCISpec", "JSONText", "LinuxSystem"], path: "Tests/Fuzz", swiftSettings: strict),
        // Whole containers in machines: runs where KVM can run a guest (scripts/with-kvm).
        .testTarget(name: "IntegrationTests", dependencies: ["KVM"], swiftSettings: strict),
    ]
)
