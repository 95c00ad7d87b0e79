internal import CLinux
internal import Glibc

/// An open /proc/self/fd: the way to do with an O_PATH descriptor what such descriptors refuse (reading, chmod, attributes).
///
/// Its magic links lead to the very object that a descriptor names, also after /proc has gone from the file tree. It serves the
/// process that opened it only, not one forked later.
public struct DescriptorLinks: ~Copyable, Sendable {
    private let directory: OwnedDescriptor

    public init() throws(SystemError) {
        directory = try OwnedDescriptor.ownDescriptors(flags: O_PATH)
    }

    /// Takes over an open /proc/self/fd.
    public init(owning directory: consuming OwnedDescriptor) { self.directory = directory }

    /// Gives the calling thread a working directory of its own (this one) and an empty file-creation mask of its own.
    ///
    /// `truncate`, and all that concerns extended attributes, may only be called on such a thread.
    public func enterOnThisThread() throws(SystemError) { try checked(clinux_own_directory(directory.rawValue), "unshare") }

    /// Opens anew what `object` names. The caller has seen to its type: opening a FIFO blocks, and a device acts.
    public func reopen(_ object: borrowing OwnedDescriptor, flags: Int32) throws(SystemError) -> OwnedDescriptor {
        let (links, raw) = (directory.rawValue, object.rawValue)
        return OwnedDescriptor(owning: Int32(try retried("openat") { clinux_reopen(links, raw, flags) }))
    }

    /// Sets the permission bits. `EOPNOTSUPP` for a symbolic link.
    public func changeMode(_ object: borrowing OwnedDescriptor, _ mode: UInt32) throws(SystemError) {
        try checked(clinux_change_mode(directory.rawValue, object.rawValue, mode), "fchmodat")
    }

    public func changeTimes(_ object: borrowing OwnedDescriptor, access: FileTime, modification: FileTime) throws(SystemError) {
        try checked(
            clinux_change_times(
                directory.rawValue, object.rawValue, access.seconds, Int(access.nanoseconds), modification.seconds, Int(modification.nanoseconds)),
            "utimensat")
    }

    /// Gives the object another name.
    public func link(_ object: borrowing OwnedDescriptor, in parent: borrowing OwnedDescriptor, _ name: EntryName) throws(SystemError) {
        try checked(unsafe clinux_link_object(directory.rawValue, object.rawValue, parent.rawValue, name.terminated), "linkat")
    }

    public func truncate(_ object: borrowing OwnedDescriptor, to size: Int64) throws(SystemError) {
        try checked(clinux_truncate_object(object.rawValue, size), "truncate")
    }

    /// The value of an extended attribute, `ERANGE` when it is longer than `limit`.
    public func extendedAttribute(_ name: AttributeName, of object: borrowing OwnedDescriptor, limit: Int) throws(SystemError) -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: limit)
        let count = try checked(unsafe clinux_get_xattr(object.rawValue, name.terminated, &buffer, limit), "getxattr")
        return Array(buffer[..<min(count, limit)])
    }

    /// The length in bytes of an extended attribute's value.
    public func extendedAttributeLength(_ name: AttributeName, of object: borrowing OwnedDescriptor) throws(SystemError) -> Int {
        try checked(unsafe clinux_get_xattr(object.rawValue, name.terminated, nil, 0), "getxattr")
    }

    /// With XATTR_CREATE or XATTR_REPLACE, or 0.
    public func setExtendedAttribute(_ name: AttributeName, of object: borrowing OwnedDescriptor, _ value: [UInt8], flags: Int32) throws(SystemError) {
        try checked(unsafe clinux_set_xattr(object.rawValue, name.terminated, value, value.count, flags), "setxattr")
    }

    /// The names, each ended by a zero byte; `ERANGE` when they are longer than `limit`.
    public func extendedAttributeNames(of object: borrowing OwnedDescriptor, limit: Int) throws(SystemError) -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: limit)
        let count = try checked(unsafe clinux_list_xattr(object.rawValue, &buffer, limit), "listxattr")
        return Array(buffer[..<min(count, limit)])
    }

    public func extendedAttributeNamesLength(of object: borrowing OwnedDescriptor) throws(SystemError) -> Int {
        try checked(clinux_list_xattr(object.rawValue, nil, 0), "listxattr")
    }

    public func removeExtendedAttribute(_ name: AttributeName, of object: borrowing OwnedDescriptor) throws(SystemError) {
        try checked(unsafe clinux_remove_xattr(object.rawValue, name.terminated), "removexattr")
    }
}

/// Sets the calling thread's file-creation mask; after `DescriptorLinks.enterOnThisThread` no other thread's.
public func setFileCreationMask(_ mask: UInt32) { clinux_set_umask(mask & 0o777) }

/// An eventfd on which a thread waits by reading, without a loop.
public struct WaitingEvent: ~Copyable, Sendable {
    private let descriptor: OwnedDescriptor
    /// For whoever else signals it, as KVM does.
    public var rawValue: Int32 { descriptor.rawValue }
    public init() throws(SystemError) { descriptor = OwnedDescriptor(owning: Int32(try checked(clinux_blocking_event(), "eventfd"))) }

    /// Wakes one thread that waits, or the next one that will.
    public func signal() {
        var one: UInt64 = 1
        _ = unsafe clinux_write(descriptor.rawValue, &one, 8)
    }

    /// Waits for a signal, taking all that have been given.
    public func wait() {
        var value: UInt64 = 0
        while unsafe clinux_read(descriptor.rawValue, &value, 8) == -Int(EINTR) {}
    }
}
