internal import Glibc
internal import JSONText
internal import LinuxSystem
internal import OCISpec

/// A place that `cp` names: `CONTAINER:PATH`, or a path of the host.
public enum CopyPlace: Equatable, Sendable {
    case container(String, path: String)
    case host(String)
    /// `-`: an archive on standard input or output.
    case stream

    public init(_ text: String) throws(EngineError) {
        if text == "-" {
            self = .stream
            return
        }
        guard !text.isEmpty else { throw EngineError("cp: a path is empty") }
        // `./a:b` is a path.
        if let colon = text.firstIndex(of: ":"), !text[..<colon].contains("/"), colon != text.startIndex {
            let path = String(text[text.index(after: colon)...])
            guard !path.isEmpty else { throw EngineError("cp \(quoted(text)): the path after the colon is missing") }
            self = .container(String(text[..<colon]), path: path.hasPrefix("/") ? path : "/" + path)
        } else { self = .host(text) }
    }
}

extension Engine {
    /// Copies between a container and the host, or two containers.
    /// - Parameter keepsOwners: else the copies belong to root in a container, and to the caller on the host.
    public func copy(_ source: CopyPlace, _ target: CopyPlace, keepsOwners: Bool) throws(EngineError) {
        if source == .stream || target == .stream { return try copyArchive(source, target, keepsOwners: keepsOwners) }
        if case .host = source, case .host = target { throw EngineError("cp: neither path is a container's: CONTAINER:PATH is expected on one side") }
        let from = try CopyEnd(source, self, isReadOnly: true)
        let to = try CopyEnd(target, self, isReadOnly: false)
        let owner: (user: UInt32, group: UInt32)? = if keepsOwners { nil } else if case .container = target { (0, 0) } else { (geteuid(), getegid()) }
        do throws(SystemError) { try Self.copy(from, to, try TreeCopy(owner: owner)) } catch { throw EngineError("cp: cannot copy \(from.shown) to \(to.shown)", error) }
    }

    private static func copy(_ from: CopyEnd, _ to: CopyEnd, _ copy: TreeCopy) throws(SystemError) {
        if from.wantsContents {
            let source = try from.open(from.path, O_PATH | O_DIRECTORY)
            let target: OwnedDescriptor
            do throws(SystemError) { target = try to.open(to.path, O_PATH | O_DIRECTORY) } catch where error.errno == .noSuchFile {
                let parent = try to.openParent()
                try parent.makeDirectory(to.name(), mode: 0o755)
                target = try parent.openEntry(to.name(), flags: O_PATH | O_DIRECTORY)
            }
            return try copy.contents(of: source, into: target)
        }
        let parent = try from.openParent()
        let name = try from.name()
        // Into a folder that is there, else as what is named.
        if let folder = try? to.open(to.path, O_PATH | O_DIRECTORY) { return try copy.entry(name, of: parent, into: folder, as: name) }
        if to.isFolder { throw SystemError(.noSuchFile, "the folder is not there", path: to.shown) }
        try copy.entry(name, of: parent, into: to.openParent(), as: to.name())
    }
}

/// One side of a copy.
private struct CopyEnd {
    /// The directory that paths are relative to and, of a container, confined to.
    let root: SharedDescriptor
    let isConfined: Bool
    /// Relative to the root, clean; empty is the root itself.
    let path: String
    let shown: String
    /// `FOLDER/.`: what is in it, not the folder.
    let wantsContents: Bool
    /// It ended in a slash.
    let isFolder: Bool

    init(_ place: CopyPlace, _ engine: Engine, isReadOnly: Bool) throws(EngineError) {
        let text: String
        switch place {
        case .stream: throw EngineError("cp: - is no place for files")
        case .host(let path): (text, isConfined, shown) = (engine.surroundings.absolute(path), false, path)
        case .container(let name, let path): (text, isConfined, shown) = (cleanPath(path), true, "\(name):\(path)")
        }
        let original = switch place { case .host(let path), .container(_, let path): path; case .stream: "" }
        wantsContents = original == "." || original.hasSuffix("/.")
        isFolder = original.hasSuffix("/")
        var (folder, rest): (String?, String) = ("/", text)
        var bundle: ContainerFolder?
        if case .container(let name, _) = place {
            bundle = try engine.store.find(name)
            if let bundle { (folder, rest) = try Self.place(bundle, text) }
        }
        path = String(rest.drop { $0 == "/" })
        if let bundle, folder == nil {
            let record = try bundle.record()
            try engine.checkHasFilesHere(record)
            root = try engine.openRoot(bundle, record, isReadOnly: isReadOnly)
            return
        }
        do throws(SystemError) { root = SharedDescriptor(try OwnedDescriptor(opening: folder ?? "/", flags: O_PATH | O_DIRECTORY)) } catch { throw EngineError("cp: \(shown)", error) }
    }

    /// The folder of the host in which a path of the container lies, and the path in it: what is bound over a part of its root; nil is the root.
    private static func place(_ folder: ContainerFolder, _ path: String) throws(EngineError) -> (String?, String) {
        let spec = try folder.configuration()
        let over = spec.mounts.filter { path == $0.destination || path.hasPrefix($0.destination + "/") }.max { $0.destination.utf8.count < $1.destination.utf8.count }
        guard let over else { return (nil, path) }
        guard over.isBind, let source = over.source else {
            throw EngineError("cp: \(path) lies on a \(over.type ?? "mount") of the container's own, which the host does not see: use nacelle exec (tar, cat)")
        }
        let rest = String(path.dropFirst(over.destination.utf8.count))
        if !rest.isEmpty { return (source, rest) }
        let slash = source.lastIndex(of: "/") ?? source.startIndex
        return (String(source[..<slash]) + "/", String(source[source.index(after: slash)...]))
    }

    func open(_ path: String, _ flags: Int32) throws(SystemError) -> OwnedDescriptor {
        let root = try root.duplicate()
        let name = path.isEmpty ? "." : path
        if isConfined { return try OwnedDescriptor(opening: name, beneath: root, flags: UInt64(flags | O_CLOEXEC), resolve: Resolution.inRoot) }
        return try OwnedDescriptor(opening: name, at: root, flags: flags)
    }

    func openParent() throws(SystemError) -> OwnedDescriptor { try open(path.split(separator: "/").dropLast().joined(separator: "/"), O_PATH | O_DIRECTORY) }

    func name() throws(SystemError) -> EntryName {
        guard let last = path.split(separator: "/").last else { throw SystemError(.invalidArgument, "it is the root itself: write /. for what is in it", path: shown) }
        return try EntryName(String(last))
    }
}
