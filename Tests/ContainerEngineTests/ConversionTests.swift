import Foundation
import Glibc
import LinuxSystem
import OCISpec
import Testing

@testable import ContainerEngine

/// A root directory with users.
func scratchRoot(passwd: String? = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:44::/home/web:/bin/sh\n", group: String? = "root:x:0:\nwww:x:44:\nextra:x:77:web,other\n") throws -> String {
    let path = "/tmp/nacelle-engine-test-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: path + "/etc", withIntermediateDirectories: true)
    try passwd?.write(toFile: path + "/etc/passwd", atomically: false, encoding: .utf8)
    try group?.write(toFile: path + "/etc/group", atomically: false, encoding: .utf8)
    return path
}

@Suite("image and flags become config.json")
struct ConversionTests {
    private func spec(_ image: ImageSettings = ImageSettings(), _ change: (inout ContainerOptions) throws -> Void = { _ in }) throws -> RuntimeSpec {
        let root = try scratchRoot()
        defer { try? FileManager.default.removeItem(atPath: root) }
        var options = ContainerOptions()
        if image.command.isEmpty && image.entrypoint.isEmpty { options.command = ["sh"] }
        try change(&options)
        let conversion = Conversion(id: String(repeating: "ab", count: 32), image: image, options: options, rootfs: root, folder: "/var/lib/nacelle/containers/x")
        return try conversion.spec(root: OwnedDescriptor(opening: root, flags: O_PATH | O_DIRECTORY))
    }

    private func image(_ change: (inout ImageSettings) -> Void) -> ImageSettings {
        var image = ImageSettings()
        change(&image)
        return image
    }

    @Test("entrypoint and command", arguments: [
        (["e"], ["c", "d"], nil, [], ["e", "c", "d"]), (["e"], ["c"], nil, ["x"], ["e", "x"]), ([], ["c"], nil, [], ["c"]), (["e"], ["c"], ["n"], [], ["n"]),
        (["e"], ["c"], ["n", "1"], ["x"], ["n", "1", "x"]), (["e"], ["c"], [], ["x"], ["x"]),
    ] as [([String], [String], [String]?, [String], [String])])
    func arguments(entrypoint: [String], command: [String], given: [String]?, words: [String], expected: [String]) throws {
        let result = try spec(image { ($0.entrypoint, $0.command) = (entrypoint, command) }) { ($0.entrypoint, $0.command) = (given, words) }
        #expect(result.process?.args == expected)
    }

    @Test("nothing to run is an error")
    func nothing() {
        #expect(throws: EngineError("no command: neither the image nor the command line says what to run; name a program after the image")) { try spec { $0.command = [] } }
        #expect(throws: EngineError("no command: neither the image nor the command line says what to run; name a program after the image")) {
            try spec(image { $0.command = ["c"] }) { $0.entrypoint = [] }
        }
    }

    @Test("the environment: the usual, the image's, the user's")
    func environment() throws {
        let result = try spec(image { $0.environment = ["PATH=/x", "A=1", "BAD", "=bad", "B=2"] }) { ($0.environment, $0.terminal) = (["A=3", "C="], true) }
        #expect(result.process?.env == ["PATH=/x", "HOSTNAME=abababababab", "TERM=xterm", "A=3", "B=2", "C=", "HOME=/root"])
        #expect(try spec(image { $0.user = "web" }).process?.env.contains("HOME=/home/web") == true)
        #expect(try spec { $0.environment = ["HOME=/h"] }.process?.env.last == "HOME=/h")
    }

    @Test("who, where, labels, stop signal and ports")
    func rest() throws {
        let result = try spec(image {
            ($0.user, $0.workingDirectory, $0.stopSignal, $0.exposedPorts) = ("web:extra", "/srv/../app", "SIGQUIT", ["80/tcp", "53/udp"])
            $0.labels = ["a": "1", "b": "2", "dev.nacelle.isolation": "namespace", "run.oci.handler": "krun"]
            ($0.operatingSystem, $0.architecture) = ("linux", "amd64")
        }) { ($0.labels, $0.annotations) = (["b": "3"], ["dev.nacelle.vcpus": "2"]) }
        #expect(result.process?.user == UserSpec(uid: 33, gid: 77))
        #expect(result.process?.cwd == "/app")
        #expect(result.annotations == [
            "a": "1", "b": "3", "dev.nacelle.vcpus": "2", "org.opencontainers.image.stopSignal": "SIGQUIT", "org.opencontainers.image.exposedPorts": "80/tcp,53/udp",
            "org.opencontainers.image.os": "linux", "org.opencontainers.image.architecture": "amd64",
        ])
        #expect(throws: EngineError("the working directory \"app\" is not absolute: name it from / on (--workdir)")) { try spec(image { $0.workingDirectory = "app" }) }
    }

    @Test("Docker's fourteen capabilities, more and fewer")
    func capabilities() throws {
        func names(_ change: (inout ContainerOptions) -> Void) throws -> [String] { try #require(try spec(ImageSettings(), change).process?.capabilities).bounding }
        #expect(try names { _ in }.count == 14)
        #expect(try names { $0.addedCapabilities = ["CAP_NET_ADMIN"] }.count == 15)
        #expect(try names { ($0.droppedCapabilities, $0.addedCapabilities) = (["ALL"], ["CAP_CHOWN"]) } == ["CAP_CHOWN"])
        #expect(try names { ($0.addedCapabilities, $0.droppedCapabilities) = (["ALL"], ["CAP_SYS_ADMIN"]) }.count == Capability.all.count - 1)
        #expect(try names { $0.isPrivileged = true }.count == Capability.all.count)
        #expect(throws: EngineError("--cap-add and --cap-drop: CAP_KILL is in both")) { try names { ($0.addedCapabilities, $0.droppedCapabilities) = (["CAP_KILL"], ["CAP_KILL"]) } }
        #expect(try spec().process?.capabilities?.ambient == [])
    }

    @Test("mounts: what is asked for takes the place of what is usual, and lies on what is above it")
    func mounts() throws {
        let here = Surroundings(environment: [], workingDirectory: "/work", user: 0)
        let result = try spec(image { $0.volumes = ["/data", "/", "relative", "/tmpfs"] }) {
            $0.volumes = [try! VolumeRequest("./src:/a/b:ro", here), try! VolumeRequest("/etc:/a", here), try! VolumeRequest("/anon", here)]
            $0.temporaries = [try! TemporaryRequest("/tmpfs:size=1m,exec"), try! TemporaryRequest("/dev/shm")]
        }
        let asked = result.mounts.dropFirst(6)
        #expect(asked.map(\.destination) == ["/a", "/anon", "/data", "/tmpfs", "/a/b", "/dev/shm", "/etc/hostname", "/etc/hosts"])
        #expect(asked.first { $0.destination == "/a/b" } == MountSpec(destination: "/a/b", type: "bind", source: "/work/src", options: ["rbind", "ro", "rprivate"]))
        #expect(asked.first { $0.destination == "/tmpfs" }?.options == ["nosuid", "nodev", "size=1m", "exec"])
        #expect(asked.filter { $0.source?.contains("/volumes/") == true }.map(\.source) == ["/var/lib/nacelle/containers/x/volumes/0", "/var/lib/nacelle/containers/x/volumes/1"])
        #expect(result.mounts.filter { $0.destination == "/dev/shm" }.count == 1)
        #expect(throws: EngineError("two mounts at /a: --volume, --mount and --tmpfs must name different places")) {
            try spec { ($0.volumes, $0.temporaries) = ([try! VolumeRequest("/etc:/a", here)], [try! TemporaryRequest("/a/")]) }
        }
    }

    @Test("files of the container's own, an init, a device")
    func own() throws {
        func files(_ change: (inout ContainerOptions) throws -> Void) throws -> [String] { try spec(ImageSettings(), change).mounts.map(\.destination).filter { $0.hasPrefix("/etc/") } }
        #expect(try files { _ in } == ["/etc/hostname", "/etc/hosts"])
        #expect(try files { $0.network = .host } == ["/etc/hostname", "/etc/hosts", "/etc/resolv.conf"])
        #expect(try files { try $0.names.addServer("1.1.1.1") } == ["/etc/hostname", "/etc/hosts", "/etc/resolv.conf"])
        var names = NameRequest()
        try names.addHost("db:10.0.0.2")
        try names.addHost("six=fe80::1")
        try names.addServer("1.1.1.1")
        try names.addSearched("example.org")
        #expect(String(decoding: names.contents(of: "hosts", hostname: "h", .none), as: UTF8.self) == "127.0.0.1\tlocalhost h\n::1\tlocalhost ip6-localhost ip6-loopback h\n10.0.0.2\tdb\nfe80::1\tsix\n")
        #expect(String(decoding: names.contents(of: "resolv.conf", hostname: "h", .none), as: UTF8.self) == "nameserver 1.1.1.1\nsearch example.org\n")
        let here = Surroundings(environment: [], workingDirectory: "/", user: 0)
        let device = try spec { $0.devices = [try DeviceRequest("/dev/full:/dev/x:r", here)] }
        #expect(device.linux?.devices.map(\.path) == ["/dev/x"] && device.linux?.resources?.devices.last?.access == "r")
        #expect(try spec { $0.oomScoreAdjustment = 7 }.process?.oomScoreAdj == 7)
    }

    /// If each were compared with each other this would not end.
    @Test("many volumes of an image cost no more than their number")
    func manyVolumes() throws {
        let result = try spec(image { $0.volumes = (0..<100_000).map { "/v/../w\($0)" } })
        #expect(result.mounts.filter { $0.source?.contains("/volumes/") == true }.count == 100_000)
    }

    @Test("isolation: namespaces, masked paths, the filter, privileged")
    func isolation() throws {
        let usual = try #require(try spec().linux)
        #expect(Set(usual.namespaces.map(\.type)) == [.pid, .ipc, .uts, .mount, .cgroup, .network])
        #expect(usual.maskedPaths.contains("/proc/kcore") && usual.readonlyPaths.contains("/proc/sys") && usual.seccomp?.defaultAction == .errno)
        let shared = try spec { $0.network = .host }
        #expect(shared.linux?.namespace(.network) == nil && shared.linux?.namespace(.uts) == nil && shared.hostname == nil)
        let open = try #require(try spec { $0.isPrivileged = true }.linux)
        #expect(open.maskedPaths == [] && open.readonlyPaths == [] && open.seccomp == nil)
        #expect(try spec { $0.security.seccomp = .unconfined }.linux?.seccomp == nil)
    }
}

@Suite("users by name")
struct UserLookupTests {
    private func identity(_ text: String, passwd: String? = nil) throws -> UserLookup.Identity {
        let root = try passwd.map { try scratchRoot(passwd: $0) } ?? scratchRoot()
        defer { try? FileManager.default.removeItem(atPath: root) }
        return try UserLookup(root: OwnedDescriptor(opening: root, flags: O_PATH | O_DIRECTORY)).identity(text)
    }

    @Test("whom a text means", arguments: [
        ("", 0, 0, [], "/root"), ("web", 33, 44, [77], "/home/web"), ("33", 33, 44, [77], "/home/web"), ("web:extra", 33, 77, [], "/home/web"), ("web:5", 33, 5, [], "/home/web"),
        ("99", 99, 0, [], "/"), ("99:www", 99, 44, [], "/"), ("0", 0, 0, [], "/root"),
    ] as [(String, UInt32, UInt32, [UInt32], String)])
    func known(text: String, uid: UInt32, gid: UInt32, further: [UInt32], home: String) throws {
        let found = try identity(text)
        #expect(found.user.uid == uid && found.user.gid == gid && found.user.additionalGids == further && found.home == home)
    }

    @Test("whom it cannot mean", arguments: [
        ("nobody", "user \"nobody\": there is no such user in the container's /etc/passwd: name one that is there, or a number"),
        ("web:none", "group \"none\": there is no such group in the container's /etc/group: name one that is there, or a number"),
        (":", "user \":\": USER, UID, or either with :GROUP or :GID is expected"), ("web:", "user \"web:\": USER, UID, or either with :GROUP or :GID is expected"),
        ("4294967295", "user 4294967295: numbers go from 0 to 2147483647"),
    ])
    func unknown(text: String, message: String) { #expect(throws: EngineError(message)) { try identity(text) } }

    @Test("damaged lines name nobody")
    func damaged() throws {
        #expect(try identity("ok", passwd: "bad\n:::\nx:x:y:z\nok:x:7:8\n\u{0}\n").user.uid == 7)
        #expect(throws: EngineError.self) { try identity("x", passwd: "x:x:y:z\n") }
    }

    @Test("links lead nowhere out of the root; what is no regular file is refused")
    func hostile() throws {
        let root = try scratchRoot(passwd: nil, group: nil)
        defer { try? FileManager.default.removeItem(atPath: root) }
        try FileManager.default.createSymbolicLink(atPath: root + "/etc/passwd", withDestinationPath: "/../../../../../../etc/passwd")
        // In the root the link leads to itself.
        let directory = try OwnedDescriptor(opening: root, flags: O_PATH | O_DIRECTORY)
        #expect(throws: EngineError.self) { try UserLookup(root: directory) }
        try FileManager.default.removeItem(atPath: root + "/etc/passwd")
        try makeNamedPipe(root + "/etc/passwd", mode: 0o600)
        let error = #expect(throws: EngineError.self) { try UserLookup(root: OwnedDescriptor(opening: root, flags: O_PATH | O_DIRECTORY)) }
        #expect(error?.message.contains("it is no regular file") == true)
    }

    @Test("a file without end is refused")
    func large() throws {
        let root = try scratchRoot()
        defer { try? FileManager.default.removeItem(atPath: root) }
        unsafe truncate(root + "/etc/passwd", off_t(UserLookup.largestFile + 1))
        let error = #expect(throws: EngineError.self) { try UserLookup(root: OwnedDescriptor(opening: root, flags: O_PATH | O_DIRECTORY)) }
        #expect(error?.message == "cannot look users up in the container's /etc/passwd: it has more than 4194304 bytes")
    }
}
