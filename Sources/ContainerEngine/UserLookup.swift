internal import Glibc
internal import JSONText
public import LinuxSystem
public import OCISpec

/// Users and groups by name, as a container's own /etc/passwd and /etc/group have them.
///
/// Both are strangers' files: they are opened beneath the container's root (links, absolute ones too, lead nowhere else), must be regular files, and are
/// read up to a limit.
public struct UserLookup: Sendable {
    /// Bytes. A file of ten thousand users has less than one million.
    static let largestFile = 4 << 20
    /// NGROUPS_MAX of Linux.
    static let mostGroups = 65536

    private let users: [User]
    private let groups: [Group]

    struct User: Equatable, Sendable {
        var name: String
        var uid: UInt32
        var gid: UInt32
        var home: String
    }

    struct Group: Equatable, Sendable {
        var name: String
        var gid: UInt32
        var members: [String]
    }

    /// What a process gets that runs as somebody.
    public struct Identity: Equatable, Sendable {
        public var user: UserSpec
        /// Of the entry in /etc/passwd; `/` without one.
        public var home: String
    }

    /// - Parameter root: the container's root directory.
    public init(root: borrowing OwnedDescriptor) throws(EngineError) {
        self.init(passwd: try Self.text("etc/passwd", beneath: root), group: try Self.text("etc/group", beneath: root))
    }

    init(passwd: [UInt8], group: [UInt8]) {
        users = Self.lines(passwd).compactMap { fields in
            guard fields.count >= 4, let uid = UInt32(fields[2]), let gid = UInt32(fields[3]) else { return nil }
            return User(name: fields[0], uid: uid, gid: gid, home: fields.count > 5 ? fields[5] : "")
        }
        groups = Self.lines(group).compactMap { fields in
            guard fields.count >= 3, let gid = UInt32(fields[2]) else { return nil }
            return Group(name: fields[0], gid: gid, members: fields.count > 3 ? fields[3].split(separator: ",").map(String.init) : [])
        }
    }

    /// The fields of each line that has any. What is no UTF-8 names nobody whom a user could name.
    private static func lines(_ text: [UInt8]) -> [[String]] {
        text.split(separator: UInt8(ascii: "\n")).compactMap { line in
            guard let line = String(validating: line, as: UTF8.self), !line.hasPrefix("#") else { return nil }
            return line.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        }
    }

    /// A file of the container's; empty when there is none.
    static func text(_ path: String, beneath root: borrowing OwnedDescriptor) throws(EngineError) -> [UInt8] {
        do throws(SystemError) {
            let place = try OwnedDescriptor(opening: path, beneath: root, flags: UInt64(O_PATH | O_CLOEXEC), resolve: Resolution.inRoot)
            guard try place.attributes().mode & UInt32(S_IFMT) == UInt32(S_IFREG) else { throw SystemError(.invalidArgument, "it is no regular file") }
            let file = try OwnedDescriptor(
                opening: path, beneath: root, flags: UInt64(O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), resolve: Resolution.inRoot)
            return try file.readAll(limit: largestFile)
        } catch where [.noSuchFile, .notDirectory].contains(error.errno) { return [] } catch {
            throw EngineError("cannot look users up in the container's /\(path): \(error.errno == .fileTooLarge ? "it has more than \(largestFile) bytes" : "\(error)")")
        }
    }

    /// Whom `text` means: `user`, `uid`, either with `:group` or `:gid`. Without a group it is the user's own, with all groups that list the user; a number that
    /// no line has is itself with group 0 (image-spec, config.md, `User`).
    public func identity(_ text: String) throws(EngineError) -> Identity {
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        let who = parts.first ?? ""
        if parts.count == 2 && (who.isEmpty || parts[1].isEmpty) { throw EngineError("user \(quoted(text)): USER, UID, or either with :GROUP or :GID is expected") }
        let entry: User?
        var result = Identity(user: UserSpec(), home: "/")
        if let named = users.first(where: { $0.name == (who.isEmpty ? "root" : who) }), !who.isEmpty {
            entry = named
        } else if let number = who.isEmpty ? 0 : try Self.number(who, "user") {
            entry = users.first { $0.uid == number }
            result.user.uid = number
        } else {
            throw EngineError("user \(quoted(who)): there is no such user in the container's /etc/passwd: name one that is there, or a number")
        }
        if let entry {
            (result.user.uid, result.user.gid) = (entry.uid, entry.gid)
            if entry.home.hasPrefix("/") { result.home = entry.home }
        }
        if parts.count == 2 {
            result.user.gid = try group(parts[1])
        } else if let entry {
            let further = groups.filter { $0.members.contains(entry.name) && $0.gid != entry.gid }.map(\.gid)
            guard further.count <= Self.mostGroups else { throw EngineError("user \(quoted(who)) is in \(further.count) groups, more than a process can have (\(Self.mostGroups))") }
            var seen: Set<UInt32> = []
            result.user.additionalGids = further.filter { seen.insert($0).inserted }
        }
        return result
    }

    /// The number of a group that is named or numbered.
    public func group(_ text: String) throws(EngineError) -> UInt32 {
        if let named = groups.first(where: { $0.name == text }) { return named.gid }
        if let number = try Self.number(text, "group") { return number }
        throw EngineError("group \(quoted(text)): there is no such group in the container's /etc/group: name one that is there, or a number")
    }

    /// nil for what is no number at all.
    private static func number(_ text: String, _ what: String) throws(EngineError) -> UInt32? {
        guard !text.isEmpty, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
        guard let number = UInt32(text), number < UInt32(Int32.max) + 1 else { throw EngineError("\(what) \(text): numbers go from 0 to \(Int32.max)") }
        return number
    }
}

/// How openat2(2) resolves a path.
enum Resolution {
    /// RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS: links, absolute ones and `..` stay in the directory.
    static let inRoot: UInt64 = 0x10 | 0x02
}
