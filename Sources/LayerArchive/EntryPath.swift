internal import LinuxSystem

/// An entry's name, taken apart. Nothing is left of it that could lead out of the directory that it is applied to.
struct EntryPath {
    /// Empty for the layer's root itself.
    let components: [EntryName]
    var parent: ArraySlice<EntryName> { components.dropLast() }
    var last: EntryName? { components.last }

    /// - Throws: for `..`, and for a name that the kernel would not take. A slash at the start is no more than one elsewhere, as it is to tar(1).
    init(_ path: [UInt8], limits: LayerLimits) throws(LayerError) {
        var components: [EntryName] = []
        for part in path.split(separator: UInt8(ascii: "/")) where !part.elementsEqual(".".utf8) {
            let whole = String(decoding: path, as: UTF8.self)
            if part.elementsEqual("..".utf8) { throw .refused(entry: whole, "its name has `..` in it") }
            do throws(SystemError) { components.append(try EntryName(part)) } catch {
                throw .malformed(entry: whole, "a part of its name has more than \(EntryName.maximumLength) bytes")
            }
        }
        if components.count > limits.depth + 1 { throw .limit("an entry lies in more than \(limits.depth) directories") }
        self.components = components
    }
}

/// What a name says about lower layers (image-spec, layer.md, "Representing Changes").
enum Whiteout: Equatable {
    /// `.wh.NAME`
    case entry(EntryName)
    /// `.wh..wh..opq`
    case opaque
    /// Another `.wh..wh.` name: aufs's own, which concern nobody else.
    case aufs

    static let prefix = Array(".wh.".utf8)
    static let opaqueName = Array(".wh..wh..opq".utf8)

    init?(_ name: EntryName, entry: String) throws(LayerError) {
        guard name.bytes.starts(with: Whiteout.prefix) else { return nil }
        if name.bytes.elementsEqual(Whiteout.opaqueName) {
            self = .opaque
        } else if name.bytes.starts(with: ".wh..wh.".utf8) {
            self = .aufs
        } else {
            do throws(SystemError) { self = .entry(try EntryName(name.bytes.dropFirst(Whiteout.prefix.count))) } catch {
                throw .refused(entry: entry, "it is a whiteout of no entry that can be")
            }
        }
    }
}
