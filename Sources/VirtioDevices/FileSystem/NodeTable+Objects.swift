internal import Glibc
internal import LinuxSystem
internal import Synchronization

/// Which nodes are open.
///
/// A guest may know hundreds of thousands of files, more than a process may have descriptors. So nodes that were not used lately are
/// closed, if they can be found again: by a name in a directory that is known, under which the same inode number, born at the same
/// time, is seen. What lies there when the node is needed again must be that very object, or the node is stale.
///
/// Neither of the two kinds of locks (the table's, an inode's) is ever taken while another is held.
extension NodeTable {
    /// Nodes looked at, at most, to find some that can be closed.
    private static let patience = 16
    /// Directories opened anew, at most, to get at one node; a node below more closed ones stays open.
    private static let depthLimit = 512

    /// The open object of a node.
    /// - Throws: `ESTALE` when it is no longer where it was.
    func object(_ inode: Inode) throws(SystemError) -> HeldFile {
        if let object = Self.openObject(inode) { return object }
        try makeRoom()
        return try reach(inode, keeps: true)
    }

    /// Opens a node by the names that lead to it from the nearest directory that is open. With `keeps`, it is open from then on.
    private func reach(_ inode: Inode, keeps: Bool) throws(SystemError) -> HeldFile {
        // Not recursive: a guest can nest directories deeper than a stack is.
        var closed = [inode]
        var object: HeldFile?
        while object == nil {
            guard closed.count < NodeTable.depthLimit, let last = closed.last else { throw NodeTable.stale }
            let (parent, name) = last.place.withLock { ($0.parent, $0.name) }
            guard name != nil else { throw NodeTable.stale }
            let directory = try self.inode(parent)
            object = Self.openObject(directory)
            if object == nil { closed.append(directory) }
        }
        for next in closed.reversed() {
            guard let directory = object, let name = next.place.withLock({ $0.name }) else { throw NodeTable.stale }
            object = try reopen(next, directory, name, keeps: keeps && (next === inode || hasRoom))
        }
        guard let object else { throw NodeTable.stale }
        return object
    }

    private static func openObject(_ inode: Inode) -> HeldFile? {
        inode.place.withLock { place in
            place.wasUsed = true
            return place.object
        }
    }

    private func reopen(_ inode: Inode, _ directory: HeldFile, _ name: EntryName, keeps: Bool) throws(SystemError) -> HeldFile {
        let found: HeldFile
        do throws(SystemError) {
            found = HeldFile(try directory.descriptor.openEntry(name, flags: O_PATH))
        } catch where error.errno == .noSuchFile || error.errno == .notDirectory {
            throw NodeTable.stale
        }
        guard inode.matches(try found.descriptor.attributes()) else { throw NodeTable.stale }
        return keeps ? keep(inode, found) : found
    }

    /// Makes `object` the node's, unless another thread was quicker; returns the node's.
    @discardableResult
    private func keep(_ inode: Inode, _ object: HeldFile) -> HeldFile {
        let (kept, isNew) = inode.place.withLock { place in
            place.wasUsed = true
            if let there = place.object { return (there, false) }
            if !place.isForgotten { place.object = object }
            return (object, !place.isForgotten)
        }
        if isNew { noteOpened(inode) }
        return kept
    }

    /// A known node was seen at another place, perhaps, or is open now.
    func move(_ inode: Inode, to place: Inode.Place) {
        inode.place.withLock { known in
            known.parent = place.parent
            known.name = place.name
        }
        if let object = place.object { keep(inode, object) }
    }

    /// Keeps a node open although its name goes.
    func hold(_ inode: Inode, _ object: HeldFile) { move(inode, to: Inode.Place(object: object)) }

    private var hasRoom: Bool { state.withLock { $0.openedCount < openNodeLimit } }

    /// Whether some nodes are not open, so that their names matter.
    var hasClosedNodes: Bool { state.withLock { $0.hasClosedNodes } }

    func noteOpened(_ inode: Inode) {
        state.withLock { state in
            state.opened.append(inode.node)
            state.openedCount += 1
        }
    }

    func drop(_ inode: Inode) {
        let object = inode.place.withLock { place in
            place.isForgotten = true
            defer { place.object = nil }
            return place.object
        }
        if object != nil { state.withLock { $0.openedCount -= 1 } }
    }

    // MARK: Closing

    /// Sees to it that one more descriptor may be opened.
    /// - Throws: `ENFILE` when nothing can be closed.
    func makeRoom() throws(SystemError) {
        for _ in 0..<NodeTable.patience {
            guard state.withLock({ $0.openedCount >= openNodeLimit }) else { break }
            guard let node = takeOldest() else { break }
            close(node)
        }
        if state.withLock({ $0.openedCount + $0.handles.count >= limit }) { throw NodeTable.full }
    }

    private func takeOldest() -> Inode? {
        state.withLock { state in
            while state.firstOpened < state.opened.count {
                let node = state.opened[state.firstOpened]
                state.firstOpened += 1
                if state.firstOpened > 4096 && state.firstOpened > state.opened.count / 2 {
                    state.opened.removeFirst(state.firstOpened)
                    state.firstOpened = 0
                }
                if let inode = state.nodes[node]?.inode { return inode }
            }
            return nil
        }
    }

    private func close(_ inode: Inode) {
        let (isOpen, wasUsed, parent, name) = inode.place.withLock { place in
            defer { place.wasUsed = false }
            return (place.object != nil, place.wasUsed, place.parent, place.name)
        }
        // Closed meanwhile; when it is opened again it queues again.
        guard isOpen else { return }
        if !wasUsed, let name, canBeFoundAgain(inode, parent, name) {
            let object = inode.place.withLock { place -> HeldFile? in
                if place.wasUsed || place.name != name { return nil }
                defer { place.object = nil }
                return place.object
            }
            if object != nil {
                state.withLock { state in
                    state.openedCount -= 1
                    state.hasClosedNodes = true
                }
                return
            }
        }
        state.withLock { $0.opened.append(inode.node) }
    }

    private func canBeFoundAgain(_ inode: Inode, _ parent: UInt64, _ name: EntryName) -> Bool {
        guard inode.birth != nil, let directory = try? self.inode(parent),
            let open = try? directory.place.withLock({ $0.object }) ?? reach(directory, keeps: false),
            let attributes = try? open.descriptor.attributes(of: name)
        else { return false }
        return inode.matches(attributes)
    }
}
