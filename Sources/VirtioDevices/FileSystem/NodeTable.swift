internal import Glibc
internal import LinuxSystem
internal import Synchronization

/// The nodes and handles that the guest has been told of, safe to use from several threads.
///
/// Numbers are counted up and never used twice, so that a stale one names nothing. See `NodeTable+Objects` for the descriptors.
final class NodeTable: Sendable {
    struct Node {
        let inode: Inode
        /// How often the guest was told; it forgets as often.
        var lookups: UInt64
        /// Shares' roots stay.
        let isPinned: Bool
    }

    struct State {
        var nodes: [UInt64: Node] = [:]
        var numbers: [Inode.Key: UInt64] = [:]
        var handles: [UInt64: FileHandle] = [:]
        var nextNode = Fuse.rootNode + 1
        var nextHandle: UInt64 = 1
        /// Nodes that are open (without the pinned), in the order in which they were opened; some are closed or gone again.
        var opened: [UInt64] = []
        var firstOpened = 0
        var openedCount = 0
        /// Some node is not open: names must be watched when they go.
        var hasClosedNodes = false
    }

    /// Open nodes and handles together at most: each is a descriptor of this process, which needs some for itself.
    let limit: Int
    /// From so many open nodes on, some are closed.
    let openNodeLimit: Int
    /// Nodes at most, which bounds this process's memory whatever the guest does; some hundred bytes each.
    static let nodeLimit = 1 << 20
    let state = Mutex(State())

    init(limit: Int) {
        self.limit = limit
        openNodeLimit = min(limit / 2, 16384)
    }

    static var full: SystemError { SystemError(Errno(rawValue: ENFILE), "open files") }
    static var stale: SystemError { SystemError(Errno(rawValue: ESTALE), "node") }

    /// How many nodes and handles there are.
    var count: Int { state.withLock { $0.nodes.count + $0.handles.count } }
    /// How many nodes are open, besides the shares' roots.
    var openNodeCount: Int { state.withLock { $0.openedCount } }

    /// Whether listings should no longer tell of what they list, which keeps room for what the guest asks for by name.
    var isCrowded: Bool { state.withLock { $0.nodes.count > NodeTable.nodeLimit / 2 } }

    func pin(_ key: Inode.Key, _ attributes: FileAttributes, keepsBirth: Bool, object: HeldFile) -> Inode {
        state.withLock { state in
            let inode = Inode(
                node: state.nextNode, key: key, attributes, keepsBirth: keepsBirth, isMountRoot: attributes.mode & S_IFMT == S_IFDIR,
                place: Inode.Place(object: object))
            state.nextNode += 1
            state.nodes[inode.node] = Node(inode: inode, lookups: 0, isPinned: true)
            return inode
        }
    }

    /// - Throws: `ESTALE` for a number that names no node (any more).
    func inode(_ node: UInt64) throws(SystemError) -> Inode {
        guard let found = state.withLock({ $0.nodes[node]?.inode }) else { throw NodeTable.stale }
        return found
    }

    func known(_ key: Inode.Key) -> Inode? {
        state.withLock { state in state.numbers[key].flatMap { state.nodes[$0]?.inode } }
    }

    /// The node of an object that was seen at `place`, counted as told once more.
    func remember(
        _ key: Inode.Key, _ attributes: FileAttributes, keepsBirth: Bool, isMountRoot: Bool, place: Inode.Place
    ) throws(SystemError) -> Inode {
        if place.object != nil { try makeRoom() }
        let (found, isNew): (Inode?, Bool) = state.withLock { state in
            if let node = state.numbers[key], let known = state.nodes[node] {
                if known.inode.matches(attributes) {
                    state.nodes[node]?.lookups += 1
                    return (known.inode, false)
                }
                // Another object got the number since that one was closed; the guest still holds the old node, which is stale now.
                state.numbers[key] = nil
            }
            guard state.nodes.count < NodeTable.nodeLimit else { return (nil, false) }
            let inode = Inode(node: state.nextNode, key: key, attributes, keepsBirth: keepsBirth, isMountRoot: isMountRoot, place: place)
            state.nextNode += 1
            state.nodes[inode.node] = Node(inode: inode, lookups: 1, isPinned: false)
            state.numbers[key] = inode.node
            if place.object == nil { state.hasClosedNodes = true }
            return (inode, true)
        }
        guard let found else { throw NodeTable.full }
        if isNew {
            if place.object != nil { noteOpened(found) }
        } else {
            move(found, to: place)
        }
        return found
    }

    /// The guest forgets `count` tellings; more than there were count as all.
    func forget(_ node: UInt64, count: UInt64) {
        let dropped: Inode? = state.withLock { state in
            guard let known = state.nodes[node], !known.isPinned else { return nil }
            if known.lookups > count {
                state.nodes[node]?.lookups -= count
                return nil
            }
            state.nodes[node] = nil
            if state.numbers[known.inode.key] == node { state.numbers[known.inode.key] = nil }
            return known.inode
        }
        if let dropped { drop(dropped) }
    }

    // MARK: Handles

    func open(_ handle: FileHandle) throws(SystemError) -> UInt64 {
        try makeRoom()
        return state.withLock { state in
            let number = state.nextHandle
            state.nextHandle += 1
            state.handles[number] = handle
            return number
        }
    }

    /// - Throws: `EBADF` for a number that names no handle of this node and kind.
    func handle(_ number: UInt64, node: UInt64, isDirectory: Bool = false) throws(SystemError) -> FileHandle {
        guard let handle = state.withLock({ $0.handles[number] }), handle.inode.node == node, handle.isDirectory == isDirectory
        else { throw SystemError(.badDescriptor, "handle") }
        return handle
    }

    func close(_ number: UInt64) -> FileHandle? { state.withLock { $0.handles.removeValue(forKey: number) } }

    /// Forgets everything but the shares' roots. Numbers go on.
    func removeAll() {
        let (nodes, handles) = state.withLock { state in
            let nodes = state.nodes.values.filter { !$0.isPinned }
            for node in nodes { state.nodes[node.inode.node] = nil }
            state.numbers = [:]
            let handles = state.handles
            state.handles = [:]
            return (nodes, handles)
        }
        for node in nodes { drop(node.inode) }
        state.withLock { state in
            state.opened = []
            state.firstOpened = 0
        }
        _ = handles  // Closed here, without the lock.
    }
}
