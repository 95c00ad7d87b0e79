// The handshake between whoever launches a container (runtime or agent) and nacelle-init, over one Unix stream socket pair whose
// child's end is descriptor 3. Frames are those of the control protocol.
//
//     launcher                                        nacelle-init
//        │  clone3 into the namespaces, execveat ────────▶ │
//        │  (a new user namespace: write the maps,         │
//        │   then one bare byte before it executes)        │
//        │ ──── plan (+ descriptors: streams, namespaces) ▶│
//        │ ◀──── unmapped                                  │  staged: it has made a user namespace
//        │  writes the maps                                │
//        │ ──── proceed ─────────────────────────────────▶ │
//        │ ◀──── moved (the pid of what goes on in it)     │  staged: then it exits
//        │ ──── proceed ─────────────────────────────────▶ │  namespaces
//        │ ◀──── inNamespaces                              │  only with something that only the launcher can do
//        │ ──── mounts (+ detached mounts) ──────────────▶ │  mounts, devices, terminal …
//        │ ◀──── warning (any number)                      │
//        │ ◀──── seccompListener (a number of its own)     │  a filter that asks an agent; any time before prepared
//        │ ──── proceed ─────────────────────────────────▶ │
//        │ ◀──── terminal (+ the master)                   │  only with a terminal
//        │ ◀──── beforePivot                               │  only when the plan has hooks there
//        │ ──── proceed (+ what its hooks get to read) ──▶ │
//        │ ◀──── prepared                                  │  now "created"
//        │  sets resource limits                           │
//        │ ──── start ───────────────────────────────────▶ │  execve: the socket closes, which means success
//        │ ◀──── failed                                    │  at any point; then it exits
//
// Staged: a process that is to be born in a pid or user namespace of others, or in a new user namespace and beside that in namespaces
// of others, cannot be cloned there at once. nacelle-init then starts in the launcher's namespaces, where nobody of the container can
// get at it, joins, and goes on in a sibling that it clones.
//
// A launcher that does not live as long as the container (a runtime's `create`) gives the two ends of pipes with the plan: from
// `prepared` on they take the socket's place, and another process may send `start` and read what comes of it.
//
// After `prepared` a seccomp filter may be in force, so what follows is read and written with read(2) and write(2) alone.

/// What nacelle-init is to do, beside the container's configuration.
public struct InitPlan: Equatable, Sendable {
    public enum Role: UInt8, Sendable {
        /// Become a container's first process: build its root.
        case container = 1
        /// Become a further process of a container that exists.
        case process
    }

    /// One hierarchy of control groups and the container's place in it.
    public struct ControlGroupPlace: Equatable, Sendable {
        /// The name of the hierarchy's mount point, "cpu,cpuacct" say; empty for version 2.
        public var hierarchy: String
        /// The controllers (or "name=…") that the hierarchy is mounted with; empty for version 2.
        public var controllers: String
        /// The container's group, as a path of the launcher's mount namespace.
        public var path: String
        public init(hierarchy: String, controllers: String, path: String) {
            self.hierarchy = hierarchy
            self.controllers = controllers
            self.path = path
        }
    }

    /// The way into namespaces that only a child of their joiner is in: see "Staged" above.
    public struct Stage: Equatable, Sendable {
        /// To join, one descriptor each: `CLONE_NEW*` bits. Those that the launcher's user may not join wait until its user namespace,
        /// if there is one among them, is joined.
        public var joins: [UInt64]
        /// Whether it then makes a user namespace, which the launcher maps.
        public var makesUserNamespace: Bool
        /// What the sibling is cloned into (`CLONE_NEW*` bits).
        public var cloned: UInt64
        public init(joins: [UInt64], makesUserNamespace: Bool = false, cloned: UInt64 = 0) {
            self.joins = joins
            self.makesUserNamespace = makesUserNamespace
            self.cloned = cloned
        }
    }

    public var role: Role
    /// config.json; its `process` is the process to become, in either role.
    public var configuration: [UInt8]
    /// Whether descriptors 0, 1 and 2 come first among the message's descriptors.
    public var hasStandardStreams: Bool
    /// How many descriptors follow that become 3, 4 ….
    public var preservedCount: UInt32
    /// The namespaces to join, one descriptor each, in this order: `CLONE_NEW*` bits as setns(2) takes them.
    public var joins: [UInt64]
    /// Before everything else; its descriptors follow those of `joins`.
    public var stage: Stage?
    /// The namespaces (`CLONE_NEW*` bits) that the process makes itself once it runs.
    public var unshares: UInt64
    /// The process does not own the machine's devices: they are bound from the outside instead of made.
    public var inUserNamespace: Bool
    public var controlGroups: [ControlGroupPlace]
    /// Whether the launcher wants `inNamespaces`.
    public var stopsInNamespaces: Bool
    /// Whether the launcher wants `beforePivot`.
    public var stopsBeforePivot: Bool
    /// Whether the last two descriptors are pipes: one to read `start` from, one to write a failure to.
    public var startsByPipes: Bool

    public init(role: Role, configuration: [UInt8]) {
        self.role = role
        self.configuration = configuration
        hasStandardStreams = false
        preservedCount = 0
        joins = []
        unshares = 0
        inUserNamespace = false
        controlGroups = []
        stopsInNamespaces = false
        stopsBeforePivot = false
        startsByPipes = false
    }
}

/// One message of the handshake.
public enum InitMessage: Equatable, Sendable {
    case plan(InitPlan)
    /// With what createContainer and startContainer hooks get to read, the container's state then; only the answer to `beforePivot` has it.
    case proceed(createState: [UInt8] = [], startState: [UInt8] = [])
    case start
    case warning(String)
    /// The terminal's master is the message's one descriptor.
    case terminal
    case beforePivot
    case prepared
    case failed(Failure)
    /// It is in a new user namespace that has no maps yet.
    case unmapped
    /// From here on a sibling speaks, with this pid in the pid namespace that nacelle-init was started in.
    case moved(pid: Int32)
    /// The child's descriptor by which a seccomp agent answers. The child waits for `proceed`.
    case seccompListener(UInt32)
    /// All its namespaces are its own: now the launcher may move network devices and make mounts that only it can.
    case inNamespaces
    /// Entries of `mounts` by their positions, a detached mount each.
    case mounts([UInt32])
}

extension InitMessage {
    private enum Kind: UInt16 {
        case plan = 0x4001, proceed, start, warning, terminal, beforePivot, prepared, failed, unmapped, moved, seccompListener, inNamespaces, mounts
    }

    public func frame() -> Frame {
        var writer = ByteWriter()
        let kind: Kind
        switch self {
        case .plan(let plan):
            kind = .plan
            plan.write(to: &writer)
        case .proceed(let createState, let startState):
            kind = .proceed
            writer.append(counted: createState)
            writer.append(counted: startState)
        case .start: kind = .start
        case .warning(let text):
            kind = .warning
            writer.append(text)
        case .terminal: kind = .terminal
        case .beforePivot: kind = .beforePivot
        case .prepared: kind = .prepared
        case .failed(let failure):
            kind = .failed
            writer.append(failure.code.rawValue)
            writer.append(failure.message)
        case .unmapped: kind = .unmapped
        case .moved(let pid):
            kind = .moved
            writer.append(UInt32(bitPattern: pid))
        case .seccompListener(let number):
            kind = .seccompListener
            writer.append(number)
        case .inNamespaces: kind = .inNamespaces
        case .mounts(let positions):
            kind = .mounts
            for position in positions { writer.append(position) }
        }
        return Frame(kind: kind.rawValue, request: 0, payload: writer.bytes)
    }

    public init(_ frame: Frame) throws(ProtocolError) {
        guard let kind = Kind(rawValue: frame.kind) else { throw .unknownKind(frame.kind) }
        var reader = ByteReader(frame.payload)
        switch kind {
        case .plan: self = .plan(try InitPlan(from: &reader))
        case .proceed: self = .proceed(createState: try reader.counted("state at createContainer"), startState: try reader.counted("state at startContainer"))
        case .start: self = .start
        case .warning: self = .warning(try reader.string("warning"))
        case .terminal: self = .terminal
        case .beforePivot: self = .beforePivot
        case .prepared: self = .prepared
        case .failed:
            let code = Failure.Code(rawValue: try reader.integer(UInt16.self, "failure code")) ?? .other
            self = .failed(Failure(code, try reader.string("failure message")))
        case .unmapped: self = .unmapped
        case .moved: self = .moved(pid: Int32(bitPattern: try reader.integer(UInt32.self, "pid")))
        case .seccompListener: self = .seccompListener(try reader.integer(UInt32.self, "listener"))
        case .inNamespaces: self = .inNamespaces
        case .mounts:
            var positions: [UInt32] = []
            for _ in 0..<(frame.payload.count / 4) { positions.append(try reader.integer(UInt32.self, "mount")) }
            self = .mounts(positions)
        }
        try reader.end()
    }
}

extension InitPlan {
    func write(to writer: inout ByteWriter) {
        writer.append(role.rawValue)
        writer.append(counted: configuration)
        writer.append(hasStandardStreams)
        writer.append(preservedCount)
        writer.append(UInt32(truncatingIfNeeded: joins.count))
        for join in joins { writer.append(join) }
        writer.append(stage != nil)
        if let stage {
            writer.append(UInt32(truncatingIfNeeded: stage.joins.count))
            for join in stage.joins { writer.append(join) }
            writer.append(stage.makesUserNamespace)
            writer.append(stage.cloned)
        }
        writer.append(unshares)
        writer.append(inUserNamespace)
        writer.append(UInt32(truncatingIfNeeded: controlGroups.count))
        for place in controlGroups {
            writer.append(place.hierarchy)
            writer.append(place.controllers)
            writer.append(place.path)
        }
        writer.append(stopsInNamespaces)
        writer.append(stopsBeforePivot)
        writer.append(startsByPipes)
    }

    init(from reader: inout ByteReader) throws(ProtocolError) {
        guard let role = Role(rawValue: try reader.integer(UInt8.self, "role")) else { throw .invalid("role") }
        self.init(role: role, configuration: try reader.counted("configuration"))
        hasStandardStreams = try reader.bool("standard streams")
        preservedCount = try reader.integer(UInt32.self, "preserved descriptors")
        let joinCount = try reader.integer(UInt32.self, "join count")
        for _ in 0..<joinCount { joins.append(try reader.integer(UInt64.self, "join")) }  // bounded by the payload
        if try reader.bool("stage") {
            var stage = Stage(joins: [])
            let count = try reader.integer(UInt32.self, "stage join count")
            for _ in 0..<count { stage.joins.append(try reader.integer(UInt64.self, "stage join")) }
            stage.makesUserNamespace = try reader.bool("stage user namespace")
            stage.cloned = try reader.integer(UInt64.self, "stage clone")
            self.stage = stage
        }
        unshares = try reader.integer(UInt64.self, "unshares")
        inUserNamespace = try reader.bool("user namespace")
        let placeCount = try reader.integer(UInt32.self, "control group count")
        for _ in 0..<placeCount {
            controlGroups.append(ControlGroupPlace(
                hierarchy: try reader.string("hierarchy"), controllers: try reader.string("controllers"), path: try reader.string("path")))
        }
        stopsInNamespaces = try reader.bool("stop in namespaces")
        stopsBeforePivot = try reader.bool("stop before pivot")
        startsByPipes = try reader.bool("start by pipes")
    }
}
