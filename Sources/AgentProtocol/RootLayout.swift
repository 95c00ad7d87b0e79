/// How the guest puts the container's root together of images: the value of the plan's annotation `WellKnown.rootAnnotation`.
///
///     pmem1:vda:pmem2 disk=vdb
public struct RootLayout: Equatable, Sendable {
    /// Where what is written goes.
    public enum Upper: Equatable, Sendable {
        /// `upper` and `work` in the share `WellKnown.rootfsShare`.
        case shared
        /// An ext4 file system on a disk, by its name in /dev.
        case disk(String)
        /// Memory, at most so many bytes; 0 is the kernel's half.
        case tmpfs(Int64)
    }

    /// Names in /dev of the EROFS images, the topmost first.
    public var layers: [String]
    public var upper: Upper

    public init(layers: [String], upper: Upper) { (self.layers, self.upper) = (layers, upper) }

    public var text: String {
        let place: String
        switch upper {
        case .shared: place = "shared"
        case .disk(let name): place = "disk=\(name)"
        case .tmpfs(let size): place = "tmpfs=\(size)"
        }
        return layers.joined(separator: ":") + " " + place
    }

    /// nil for what is no such text.
    public init?(_ text: String) {
        let parts = text.split(separator: " ", omittingEmptySubsequences: false)
        guard parts.count == 2 else { return nil }
        layers = parts[0].split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        let place = parts[1].split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        switch (place[0], place.count) {
        case ("shared", 1): upper = .shared
        case ("disk", 2) where Self.isName(place[1]): upper = .disk(place[1])
        case ("tmpfs", 2):
            guard let size = Int64(place[1]), size >= 0 else { return nil }
            upper = .tmpfs(size)
        default: return nil
        }
        guard layers.allSatisfy(Self.isName) else { return nil }
    }

    private static func isName(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.allSatisfy { (UInt8(ascii: "a")...UInt8(ascii: "z")).contains($0) || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
    }
}
