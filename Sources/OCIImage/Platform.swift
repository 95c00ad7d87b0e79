import JSONText

/// What an image runs on (image-spec, image-index.md, "platform"). Which images a machine can run, and which of them it would rather, is as
/// github.com/containerd/platforms has it.
public struct Platform: Sendable, Hashable, CustomStringConvertible {
    /// Go's GOARCH: `amd64`, `arm64`.
    public var architecture: String
    /// Go's GOOS: `linux`.
    public var os: String
    public var osVersion: String?
    public var osFeatures: [String]
    /// The processor's variant: `v7` of `arm`.
    public var variant: String?

    public init(os: String, architecture: String, variant: String? = nil, osVersion: String? = nil, osFeatures: [String] = []) {
        (self.os, self.architecture, self.variant, self.osVersion, self.osFeatures) = (os, architecture, variant, osVersion, osFeatures)
    }

    /// The machine that this program was built for.
    public static var current: Platform {
        #if arch(x86_64)
            Platform(os: "linux", architecture: "amd64")
        #elseif arch(arm64)
            Platform(os: "linux", architecture: "arm64", variant: "v8")
        #elseif arch(arm)
            Platform(os: "linux", architecture: "arm", variant: "v7")
        #elseif arch(i386)
            Platform(os: "linux", architecture: "386")
        #elseif arch(riscv64)
            Platform(os: "linux", architecture: "riscv64")
        #elseif arch(powerpc64le)
            Platform(os: "linux", architecture: "ppc64le")
        #elseif arch(s390x)
            Platform(os: "linux", architecture: "s390x")
        #endif
    }

    /// Reads `os/architecture[/variant]`, or an operating system or an architecture alone with the rest as this machine's. Other names of
    /// architectures (`x86_64`, `aarch64`) are taken.
    /// - Throws: when it is none.
    public init(_ text: String) throws(PlatformError) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        let isPlain = parts.allSatisfy { part in
            !part.isEmpty && part.utf8.allSatisfy { $0.isLetter || $0.isDigit || [UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: ".")].contains($0) }
        }
        guard text.utf8.count <= 128, isPlain else { throw PlatformError(text: text) }
        switch parts.count {
        case 1:
            let system = Platform(os: parts[0], architecture: Platform.current.architecture, variant: Platform.current.variant).normalized
            let processor = Platform(os: Platform.current.os, architecture: parts[0]).normalized
            if Platform.systems.contains(system.os) { self = system }
            else if Platform.architectures.contains(processor.architecture) { self = processor }
            else { throw PlatformError(text: text) }
        case 2: self = Platform(os: parts[0], architecture: parts[1]).normalized
        case 3: self = Platform(os: parts[0], architecture: parts[1], variant: parts[2]).normalized
        default: throw PlatformError(text: text)
        }
    }

    /// `linux/arm/v7`
    public var description: String { ([os, architecture] + (variant.map { [$0] } ?? [])).joined(separator: "/") }

    private static let systems = [
        "aix", "android", "darwin", "dragonfly", "freebsd", "hurd", "illumos", "ios", "js", "linux", "nacl", "netbsd", "openbsd", "plan9", "solaris", "windows", "zos",
    ]
    private static let architectures = [
        "386", "amd64", "amd64p32", "arm", "armbe", "arm64", "arm64be", "ppc64", "ppc64le", "loong64", "mips", "mipsle", "mips64", "mips64le", "mips64p32", "mips64p32le",
        "ppc", "riscv", "riscv64", "s390", "s390x", "sparc", "sparc64", "wasm",
    ]
}

/// Text that is no platform.
public struct PlatformError: Error, Equatable, Sendable, CustomStringConvertible {
    public let text: String
    public var description: String { "\(quoted(text)) is not a platform; one is OS/ARCHITECTURE or OS/ARCHITECTURE/VARIANT, such as linux/amd64 or linux/arm/v7" }
}
