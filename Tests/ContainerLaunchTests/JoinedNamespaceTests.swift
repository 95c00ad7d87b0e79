import AgentProtocol
import ContainerLaunch
import Glibc
import LinuxSystem
import OCISpec
import Testing

/// Containers in namespaces of another container, in all combinations that a kernel allows.
extension LaunchTests { @Suite struct JoinedNamespaceTests {
    typealias Kind = NamespaceSpec.Kind

    /// A container with every kind of namespace but a mount namespace that could be shared by accident, and the links of them.
    private final class Host {
        let bundle: TestBundle
        let container: LaunchedContainer

        init(_ kinds: [Kind], _ change: (inout RuntimeSpec) -> Void = { _ in }) throws {
            bundle = try TestBundle()
            var spec = bundle.plan(["/bin/sleep", "100"])
            spec.linux?.namespaces = kinds.map { NamespaceSpec($0) }
            if kinds.contains(.user) { spec.map() }
            if !kinds.contains(.uts) { spec.hostname = nil }
            spec.process?.capabilities?.bounding.append("CAP_SYS_ADMIN")
            change(&spec)
            container = try launcher(spec, bundle).create(streams: try Capture().streams())
            try container.start()
        }

        func path(_ kind: Kind) -> String { "/proc/\(container.pid)/ns/\(kind.procName)" }
        func link(_ kind: Kind) throws -> String { try namespaceLink(path(kind)) }

        deinit {
            try? container.signal(SIGKILL)
            _ = try? waitForProcess(container.pid)
            try? container.delete()
        }
    }

    private static let all: [Kind] = [.user, .pid, .network, .ipc, .uts, .cgroup, .time, .mount]

    /// A container that prints the links of all its namespaces.
    private func spec(_ bundle: TestBundle, _ namespaces: [NamespaceSpec]) -> RuntimeSpec {
        var spec = bundle.script("for n in \(Self.all.map(\.procName).joined(separator: " ")); do readlink /proc/self/ns/$n; done; id -u; touch /dev/shm/x && echo made") { spec in
            spec.linux?.namespaces = namespaces
            if namespaces.contains(where: { $0.type == .user && $0.path == nil }) { spec.map() }
        }
        spec.hostname = nil
        return spec
    }

    private func expect(_ outcome: Outcome, joined: [Kind], of host: Host, made: [Kind], sourceLocation: SourceLocation = #_sourceLocation) throws {
        #expect(outcome.status == .exited(0), "\(outcome.error)", sourceLocation: sourceLocation)
        try #require(outcome.lines.count >= Self.all.count, sourceLocation: sourceLocation)
        for (kind, line) in zip(Self.all, outcome.lines) {
            let mine = try namespaceLink("/proc/self/ns/\(kind.procName)")
            if joined.contains(kind) {
                #expect(try String(line) == host.link(kind), "\(kind)", sourceLocation: sourceLocation)
            } else if made.contains(kind) {
                #expect(try String(line) != host.link(kind) && line != mine, "\(kind)", sourceLocation: sourceLocation)
            } else {
                #expect(line == mine, "\(kind)", sourceLocation: sourceLocation)
            }
        }
        #expect(outcome.lines.dropFirst(Self.all.count).prefix(2) == ["0", "made"], sourceLocation: sourceLocation)
    }

    @Test(arguments: [Kind.pid, .network, .ipc, .uts, .cgroup, .time])
    func one(_ kind: Kind) throws {
        let host = try Host(Self.all.filter { $0 != .user })
        let bundle = try TestBundle()
        let rest = [Kind.pid, .ipc, .mount].filter { $0 != kind }
        let namespaces = rest.map { NamespaceSpec($0) } + [NamespaceSpec(kind, path: host.path(kind))]
        try expect(try run(spec(bundle, namespaces), bundle), joined: [kind], of: host, made: rest)
    }

    /// Whatever order config.json has them in, with the user namespace that owns them and without one.
    @Test(arguments: [false, true], [1, 2, 3])
    func allInAnyOrder(_ withUser: Bool, _ seed: UInt64) throws {
        let kinds = Self.all.filter { $0 != .mount && (withUser || $0 != .user) }
        let host = try Host(kinds + [.mount])
        let bundle = try TestBundle()
        var order = kinds.map { NamespaceSpec($0, path: host.path($0)) } + [NamespaceSpec(.mount)]
        for round in 0..<seed { order.swapAt(Int(round) % order.count, (Int(round) * 3 + 5) % order.count) }
        order.reverse()
        try expect(try run(spec(bundle, order), bundle), joined: kinds, of: host, made: [.mount])
    }

    /// In a user namespace of its own a process has no right to others' namespaces any more: they are joined before.
    @Test(arguments: [[Kind.network], [.pid], [.uts, .network, .ipc], [.cgroup], [.time, .pid, .network]])
    func newUserNamespaceBesideJoinedOnes(_ joined: [Kind]) throws {
        let host = try Host(Self.all.filter { $0 != .user })
        let bundle = try TestBundle()
        let made = Self.all.filter { !joined.contains($0) }
        let namespaces = made.map { NamespaceSpec($0) } + joined.map { NamespaceSpec($0, path: host.path($0)) }
        var wanted = spec(bundle, namespaces)
        // Of the queues of a namespace that it does not own a container's root can make no mount; the outside's it gets only with them.
        if joined.contains(.ipc) { wanted.mounts.removeAll { $0.type == "mqueue" } }
        try expect(try run(wanted, bundle), joined: joined, of: host, made: made)
    }

    @Test func timeOffsetsBesideAJoinedNamespace() throws {
        let host = try Host([.user, .pid, .mount, .ipc, .uts, .network])
        let bundle = try TestBundle()
        let wanted = bundle.script("cat /proc/self/timens_offsets") { spec in
            spec.linux?.namespaces = [.user, .pid].map { NamespaceSpec($0, path: host.path($0)) } + [.mount, .time, .ipc, .uts, .network].map { NamespaceSpec($0) }
            var offset = TimeOffsetSpec()
            offset.secs = 4321
            spec.linux?.timeOffsets = ["boottime": offset]
        }
        let outcome = try run(wanted, bundle)
        #expect(outcome.output.contains("boottime         4321         0"), "\(outcome)")
    }

    /// What is in the joined namespaces must not get at nacelle-init, which has the launcher's file system until it enters its root.
    @Test func cannotBeTracedOnTheWay() throws {
        let host = try Host([.user, .pid, .mount, .ipc, .uts, .network])
        let bundle = try TestBundle()
        let namespaces = [.user, .pid].map { NamespaceSpec($0, path: host.path($0)) } + [.mount, .ipc, .uts, .network].map { NamespaceSpec($0) }
        let container = try launcher(spec(bundle, namespaces), bundle).create(streams: try Capture().streams())
        defer {
            try? container.signal(SIGKILL)
            _ = try? waitForProcess(container.pid)
            try? container.delete()
        }
        // proc_pid(5): the files of a process that is not dumpable are the machine's root's.
        #expect(try FileStatus(path: "/proc/\(container.pid)/stat").user == 0)
        #expect(try FileStatus(path: "/proc/\(host.container.pid)/stat").user == 100_000)
        try container.start()
        #expect(try waitForProcess(container.pid)?.status == .exited(0))
    }

    @Test func mountNamespace() throws {
        let bundle = try TestBundle()
        // A mount namespace for it, as `unshare --mount` makes one.
        let child = try OwnProcess.fork()
        if child == 0 {
            let ok = (try? NamespaceSet.mount.unshare()) != nil && (try? MountTree.setPropagation("/", .private, recursive: true)) != nil
                && (try? writeFile(bundle.directory + "/ready", [])) != nil
            while ok { sleep(milliseconds: 60_000) }
            OwnProcess.exitNow(1)
        }
        defer {
            try? sendSignal(SIGKILL, to: child)
            _ = try? waitForProcess(child)
        }
        for _ in 0..<1000 where (try? FileStatus(path: bundle.directory + "/ready")) == nil { sleep(milliseconds: 10) }
        let wanted = bundle.script("readlink /proc/self/ns/mnt; ls /; grep -c ' / ' /proc/self/mountinfo") { spec in
            spec.linux?.namespaces = [NamespaceSpec(.mount, path: "/proc/\(child)/ns/mnt")] + [.pid, .ipc, .uts, .network].map { NamespaceSpec($0) }
        }
        let theirs = try namespaceLink("/proc/\(child)/ns/mnt")
        let outcome = try run(wanted, bundle)
        #expect(outcome.status == .exited(0), "\(outcome.error)")
        #expect(outcome.lines.first.map(String.init) == theirs)
        #expect(outcome.output.contains("\nbin\ndev\netc\nproc\n"), "\(outcome.output)")
        // Nothing of it happened in this one.
        #expect(!String(decoding: try readFile("/proc/self/mountinfo"), as: UTF8.self).contains(bundle.directory))
    }

    @Test func pathsThatAreNoNamespaceOrAnother() throws {
        let bundle = try TestBundle()
        for (path, kind, expected) in [
            ("/nonexistent/ns", Kind.network, "config.json: linux.namespaces[1].path: open /nonexistent/ns: no such file or directory"),
            ("/dev/null", .ipc, "config.json: linux.namespaces[1].path: no namespace /dev/null: inappropriate ioctl for device"),
            ("/proc/self/ns/ipc", .pid, "config.json: linux.namespaces[1].path: /proc/self/ns/ipc is no pid namespace: its kind is ipc"),
        ] {
            let wanted = spec(bundle, [NamespaceSpec(.mount), NamespaceSpec(kind, path: path)])
            let error = #expect(throws: LaunchError.self) { try launcher(wanted, bundle).create(streams: try Capture().streams()) }
            #expect(error?.message == expected)
        }
    }

    /// A further process gets into all of them: those that the container made and those that it joined.
    @Test(arguments: [false, true])
    func furtherProcess(_ withUser: Bool) throws {
        let host = try Host([.user, .pid, .mount, .ipc, .uts, .network])
        let bundle = try TestBundle()
        let joined: [Kind] = withUser ? [.user, .pid, .network] : []
        let namespaces = Self.all.map { joined.contains($0) ? NamespaceSpec($0, path: host.path($0)) : NamespaceSpec($0) }
        var wanted = spec(bundle, namespaces)
        wanted.process?.args = ["/bin/sleep", "100"]
        let container = try launcher(wanted, bundle).create(streams: try Capture().streams())
        defer {
            try? container.signal(SIGKILL)
            _ = try? waitForProcess(container.pid)
            try? container.delete()
        }
        try container.start()
        let capture = try Capture()
        let further = try container.exec(process: bundle.process(["/bin/sh", "-c", "for n in \(Self.all.map(\.procName).joined(separator: " ")); do readlink /proc/self/ns/$n; done"]), streams: try capture.streams())
        let ended = try #require(try waitForProcess(further.pid))
        let outcome = try capture.outcome(ended.status, [])
        #expect(outcome.status == .exited(0), "\(outcome.error)")
        for (kind, line) in zip(Self.all, outcome.lines) { #expect(try String(line) == namespaceLink("/proc/\(container.pid)/ns/\(kind.procName)"), "\(kind)") }
        #expect(outcome.lines.count > Self.all.count)
    }
}}

extension RuntimeSpec {
    fileprivate mutating func map() {
        linux?.uidMappings = [IDMappingSpec(0, 100_000, 1000)]
        linux?.gidMappings = [IDMappingSpec(0, 100_000, 1000)]
    }
}

/// What a link of /proc/PID/ns says.
private func namespaceLink(_ path: String) throws -> String {
    let cut = path.lastIndex(of: "/") ?? path.startIndex
    let folder = try OwnedDescriptor(opening: String(path[..<cut]), flags: O_PATH | O_DIRECTORY)
    return try folder.linkTarget(of: String(path[path.index(after: cut)...]))
}
