internal import JSONText
internal import LinuxSystem
public import OCIImage

/// An image's name in a store.
public struct NamedImage: Sendable, Hashable {
    /// Nil for an image whose last name was given to another.
    public var name: String?
    /// Of a manifest or an index.
    public var descriptor: Descriptor
}

/// Names are annotations of the layout's index, as image-layout.md says and skopeo reads them.
extension ImageStore {
    /// All names, in their order.
    public func images() throws(StoreError) -> [NamedImage] {
        try ImageLayout.index(paths.layout).manifests.map { descriptor in
            var plain = descriptor
            let name = plain.annotations.removeValue(forKey: ImageLayout.nameAnnotation)
            return NamedImage(name: name, descriptor: plain)
        }
    }

    /// What a name stands for, or nil.
    public func resolve(_ name: String) throws(StoreError) -> Descriptor? { try images().first { $0.name == name }?.descriptor }

    /// Gives a name to an image. If it was another's, and that has no other name, that one stays without a name until it is removed or collected.
    /// - Parameters:
    ///   - name: in the reference's whole form, such as `docker.io/library/debian:12`.
    ///   - descriptor: of a manifest or an index that the store has.
    ///   - lease: the one that holds the image.
    /// - Throws: also when the image, or something that it needs, is not there.
    public func setName(_ name: String, to descriptor: Descriptor, lease: Lease) throws(StoreError) {
        guard ImageStore.isName(name) else {
            throw .invalid("\(quoted(name)) cannot be an image's name: letters, digits and -._:@+[] with single slashes between, at most 512 bytes")
        }
        try checkComplete(descriptor, lease: lease)
        try changeIndex { images in
            var old: Descriptor?
            if let index = images.firstIndex(where: { $0.name == name }) {
                guard images[index].descriptor != descriptor else { return }
                old = images.remove(at: index).descriptor
            }
            images.removeAll { $0.name == nil && $0.descriptor.digest == descriptor.digest }
            images.append(NamedImage(name: name, descriptor: descriptor))
            if let old, !images.contains(where: { $0.descriptor.digest == old.digest }) { images.append(NamedImage(name: nil, descriptor: old)) }
        }
    }

    /// Takes a name away. The content goes with the next collection, if nothing else needs it.
    /// - Returns: the image that it named; nil when nothing had the name.
    public func removeName(_ name: String) throws(StoreError) -> Descriptor? {
        var removed: Descriptor?
        try changeIndex { images in
            guard let index = images.firstIndex(where: { $0.name == name }) else { return }
            removed = images.remove(at: index).descriptor
        }
        return removed
    }

    /// Takes all names of an image away, and the image from those without one.
    /// - Returns: the names.
    public func removeImage(_ digest: Digest) throws(StoreError) -> [String] {
        var removed: [String] = []
        try changeIndex { images in
            removed = images.filter { $0.descriptor.digest == digest }.compactMap(\.name)
            images.removeAll { $0.descriptor.digest == digest }
        }
        return removed
    }

    /// Forgets images without a name; returns how many there were.
    public func removeUnnamed() throws(StoreError) -> Int {
        var count = 0
        try changeIndex { images in
            count = images.count
            images.removeAll { $0.name == nil }
            count -= images.count
        }
        return count
    }

    private func changeIndex(_ change: (inout [NamedImage]) -> Void) throws(StoreError) {
        let lock = try lockIndex()
        defer { withExtendedLifetime(lock) {} }
        let before = try images()
        var after = before
        change(&after)
        if before == after { return }
        try writeIndex(after, at: paths.index)
    }

    func writeIndex(_ images: [NamedImage], at path: String) throws(StoreError) {
        let index = OCIImage.Index(manifests: images.map { image in
            var descriptor = image.descriptor
            if let name = image.name { descriptor.annotations[ImageLayout.nameAnnotation] = name }
            return descriptor
        })
        let bytes = index.bytes
        guard bytes.count <= ImageLayout.indexLimit else { throw .invalid("\(path) would have more than \(ImageLayout.indexLimit) bytes, and could not be read again: remove names first") }
        try StoreError.wrapped("write \(path)") { () throws(SystemError) in
            try DurableFile.replace(path, with: bytes, synchronize: configuration.synchronize)
        }
    }

    /// What `org.opencontainers.image.ref.name` may be (image-spec, annotations.md), with the brackets of IPv6 addresses.
    static func isName(_ name: String) -> Bool {
        guard (1...512).contains(name.utf8.count) else { return false }
        return name.split(separator: "/", omittingEmptySubsequences: false).allSatisfy { part in
            !part.isEmpty && part.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
                default: "-._:@+[]".utf8.contains(byte)
                }
            }
        }
    }
}
