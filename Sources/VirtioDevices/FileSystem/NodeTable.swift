internal import Glibc
internal import LinuxSystem
internal import Synchronization

/// The nodes and handles that the guest has been told of, safe to use from several threads.
///
/// Numbers are counted up and never used twice, so that a stale one names nothing.
final class NodeTable: Sendable {
    private struct Node {
        let inode: Inode
        /// How often the guest was told; it forgets as often.
        var lookups: UInt64
        /// Shares' roots stay.
        let isPinned: Bool
    }

    private struct State {
        var nodes: [UInt64: Node] = [:]
        var numbers: [Inode.Key: UInt64] = [:]
        var handles: [UInt64: FileHandle] = [:]
        var nextNode = Fuse.rootNode + 1
        var nextHandle: UInt64 = 1
    }

    /// Nodes and handles together at most: each is an open descriptor of this process, which needs some for itself.
    let limit: Int
    private let state = Mutex(State())

    init(limit: Int) { self.limit = limit }

    private static var full: SystemError { SystemError(Errno(rawValue: ENFILE), "open files") }

    /// How many nodes and handles there are.
    var count: Int { state.withLock { $0.nodes.count + $0.handles.count } }

    /// Whether listings should no longer open what they list, which keeps room for what the guest asks for by name.
    var isCrowded: Bool { count > limit / 2 }

    func pin(_ key: Inode.Key, mode: UInt32, object: HeldFile) -> Inode {
        state.withLock { state in
            let inode = Inode(node: state.nextNode, key: key, mode: mode, isMountRoot: mode & S_IFMT == S_IFDIR, object: object)
            state.nextNode += 1
            state.nodes[inode.node] = Node(inode: inode, lookups: 0, isPinned: true)
            return inode
        }
    }

    /// - Throws: `ESTALE` for a number that names no node (any more).
    func inode(_ node: UInt64) throws(SystemError) -> Inode {
        guard let found = state.withLock({ $0.nodes[node]?.inode }) else { throw SystemError(Errno(rawValue: ESTALE), "node") }
        return found
    }

    /// The node of the object that `descriptor` names, counted as told once more. A second descriptor of a known one is closed.
    func remember(_ key: Inode.Key, mode: UInt32, isMountRoot: Bool, descriptor: consuming OwnedDescriptor) throws(SystemError) -> Inode {
        // Closed, if it is not needed, after the lock is released.
        let shared = HeldFile(descriptor)
        let inode: Inode? = state.withLock { state in
            if let node = state.numbers[key], let known = state.nodes[node] {
                state.nodes[node]?.lookups += 1
                return known.inode
            }
            guard state.nodes.count + state.handles.count < limit else { return nil }
            let inode = Inode(node: state.nextNode, key: key, mode: mode, isMountRoot: isMountRoot, object: shared)
            state.nextNode += 1
            state.nodes[inode.node] = Node(inode: inode, lookups: 1, isPinned: false)
            state.numbers[key] = inode.node
            return inode
        }
        guard let inode else { throw NodeTable.full }
        return inode
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
            state.numbers[known.inode.key] = nil
            return known.inode
        }
        _ = dropped  // The descriptor is closed here, without the lock.
    }

    func open(_ handle: FileHandle) throws(SystemError) -> UInt64 {
        let number: UInt64? = state.withLock { state in
            guard state.nodes.count + state.handles.count < limit else { return nil }
            let number = state.nextHandle
            state.nextHandle += 1
            state.handles[number] = handle
            return number
        }
        guard let number else { throw NodeTable.full }
        return number
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
        _ = (nodes, handles)  // Closed here, without the lock.
    }
}
