internal import CArchive
internal import LinuxSystem

/// libarchive's view of an entry, read into ours.
@safe struct ArchiveEntry {
    private let raw: OpaquePointer
    private let limits: LayerLimits

    init(_ raw: OpaquePointer, limits: LayerLimits) {
        unsafe self.raw = raw
        self.limits = limits
    }

    func entry() throws(LayerError) -> TarEntry {
        let path = unsafe try text(archive_entry_pathname(raw), "name")
        var entry = TarEntry(
            path: path, kind: .directory, mode: unsafe UInt32(archive_entry_mode(raw)) & 0o7777, user: 0, group: 0,
            modification: FileTime(seconds: unsafe Int64(archive_entry_mtime(raw)), nanoseconds: UInt32(clamping: unsafe archive_entry_mtime_nsec(raw))), attributes: [])
        let name = entry.name
        guard entry.modification.nanoseconds < 1_000_000_000 else { throw .malformed(entry: name, "its time has \(entry.modification.nanoseconds) nanoseconds") }
        // libarchive leaves the sign out of the fraction: -1.25 is -1 second and 250 million nanoseconds there.
        if entry.modification.nanoseconds != 0, (-(1 << 62)..<0).contains(entry.modification.seconds) {
            entry.modification = FileTime(seconds: entry.modification.seconds - 1, nanoseconds: 1_000_000_000 - entry.modification.nanoseconds)
        }
        entry.user = unsafe try identity(archive_entry_uid(raw), "user", name)
        entry.group = unsafe try identity(archive_entry_gid(raw), "group", name)
        entry.kind = try kind(name)
        entry.attributes = try attributes(name)
        return entry
    }

    private func text(_ pointer: UnsafePointer<CChar>?, _ what: String) throws(LayerError) -> [UInt8] {
        guard let pointer = unsafe pointer else { throw .malformed(entry: nil, "an entry has no \(what), or one that cannot be read") }
        let buffer = unsafe UnsafeRawBufferPointer(start: pointer, count: lengthOfText(pointer))
        guard buffer.count <= limits.nameLength else { throw .limit("a \(what) has more than \(limits.nameLength) bytes") }
        return unsafe Array(buffer)
    }

    private func lengthOfText(_ pointer: UnsafePointer<CChar>) -> Int {
        var length = 0
        // libarchive ends its strings with a zero byte.
        while unsafe pointer[length] != 0 { length += 1 }
        return length
    }

    private func identity(_ number: Int64, _ what: String, _ name: String) throws(LayerError) -> UInt32 {
        // The last one means "unchanged" to the kernel.
        guard let identity = UInt32(exactly: number), identity != .max else { throw .malformed(entry: name, "\(number) is no \(what)'s number") }
        return identity
    }

    private func kind(_ name: String) throws(LayerError) -> TarEntry.Kind {
        if unsafe archive_entry_hardlink(raw) != nil { return .hardLink(target: unsafe try text(archive_entry_hardlink(raw), "link target")) }
        // AE_IFREG and its kin are macros that cast, which are not imported.
        switch unsafe archive_entry_filetype(raw) {
        case 0o100000:
            let size = unsafe archive_entry_size(raw)
            guard size >= 0 else { throw .malformed(entry: name, "its size is \(size)") }
            guard size <= limits.fileSize else { throw .limit("the file \(name) has \(size) bytes, more than \(limits.fileSize)") }
            return .regular(size: size)
        case 0o040000: return .directory
        case 0o120000: return .symbolicLink(target: unsafe try text(archive_entry_symlink(raw), "link target"))
        case 0o020000: return .characterDevice(major: try device().major, minor: try device().minor)
        case 0o060000: return .blockDevice(major: try device().major, minor: try device().minor)
        case 0o010000: return .fifo
        case let type: throw .malformed(entry: name, "it is of a type that layers do not have (\(type))")
        }
    }

    private func device() throws(LayerError) -> (major: UInt32, minor: UInt32) {
        let (major, minor) = unsafe (archive_entry_rdevmajor(raw), archive_entry_rdevminor(raw))
        guard let major = UInt32(exactly: major), let minor = UInt32(exactly: minor), major < 1 << 12, minor < 1 << 20 else {
            throw .malformed(entry: nil, "a device \(major):\(minor) cannot be")
        }
        return (major, minor)
    }

    private func attributes(_ name: String) throws(LayerError) -> [(name: AttributeName, value: [UInt8])] {
        var result: [(name: AttributeName, value: [UInt8])] = []
        var total = 0
        unsafe archive_entry_xattr_reset(raw)
        while true {
            var attribute: UnsafePointer<CChar>?
            var value: UnsafeRawPointer?
            var size = 0
            guard unsafe archive_entry_xattr_next(raw, &attribute, &value, &size) == ARCHIVE_OK else { break }
            let bytes = unsafe try text(attribute, "attribute's name")
            total += bytes.count + size
            guard total <= limits.attributeBytes else { throw .limit("the attributes of \(name) have more than \(limits.attributeBytes) bytes") }
            do throws(SystemError) {
                result.append((try AttributeName(bytes), unsafe Array(UnsafeRawBufferPointer(start: value, count: size))))
            } catch { throw .malformed(entry: name, "an attribute has no name, or one that is too long") }
        }
        for (kind, attribute) in [(0x100 as Int32, "system.posix_acl_access"), (0x200, "system.posix_acl_default")] {
            if let value = try accessControlList(kind, name) { result.append((try LayerError.wrapped(name) { () throws(SystemError) in try AttributeName(attribute) }, value)) }
        }
        return result
    }

    /// A POSIX access control list as the kernel keeps it in an attribute: version 2, then tag, permissions and number of each entry, by tag and
    /// number. Nil when there is none, or none beyond what the mode says.
    private func accessControlList(_ type: Int32, _ name: String) throws(LayerError) -> [UInt8]? {
        guard unsafe archive_entry_acl_count(raw, type) > 0 else { return nil }
        unsafe archive_entry_acl_reset(raw, type)
        var entries: [(tag: UInt16, permissions: UInt16, id: UInt32)] = []
        while true {
            var (kind, permissions, tag, id): (Int32, Int32, Int32, Int32) = (0, 0, 0, -1)
            var qualifier: UnsafePointer<CChar>?
            guard unsafe archive_entry_acl_next(raw, type, &kind, &permissions, &tag, &id, &qualifier) == ARCHIVE_OK else { break }
            // ARCHIVE_ENTRY_ACL_USER … OTHER, to ACL_USER_OBJ … ACL_OTHER of the kernel.
            let tags: [Int32: UInt16] = [10001: 0x02, 10002: 0x01, 10003: 0x08, 10004: 0x04, 10005: 0x10, 10006: 0x20]
            guard let kernelTag = tags[tag] else { throw .malformed(entry: name, "its access control list is not POSIX's") }
            let isNamed = kernelTag == 0x02 || kernelTag == 0x08
            // tar(1) writes the number where the name would be, if the user has no name.
            if isNamed, id < 0, let name = unsafe qualifier, let number = unsafe Int32(String(cString: name)) { id = number }
            if isNamed && id < 0 {
                throw .malformed(entry: name, "its access control list has the name of a user or group, and not the number; names mean something else on every machine")
            }
            entries.append((kernelTag, UInt16(permissions & 7), isNamed ? UInt32(id) : .max))
        }
        guard entries.count > 3 || type == 0x200 else { return nil }
        var bytes: [UInt8] = [2, 0, 0, 0]
        for entry in entries.sorted(by: { ($0.tag, $0.id) < ($1.tag, $1.id) }) {
            for shift in [0, 8] as [UInt16] { bytes.append(UInt8(truncatingIfNeeded: entry.tag >> shift)) }
            for shift in [0, 8] as [UInt16] { bytes.append(UInt8(truncatingIfNeeded: entry.permissions >> shift)) }
            for shift in [0, 8, 16, 24] as [UInt32] { bytes.append(UInt8(truncatingIfNeeded: entry.id >> shift)) }
        }
        return bytes
    }
}

extension LayerError {
    /// Says which entry a system call failed on.
    static func wrapped<Result>(_ entry: String?, _ body: () throws(SystemError) -> Result) throws(LayerError) -> Result {
        do throws(SystemError) { return try body() } catch { throw .system(entry: entry, error) }
    }
}
