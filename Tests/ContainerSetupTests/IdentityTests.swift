import AgentProtocol
import Glibc
import LinuxSystem
import OCISpec
import Testing

@testable import ContainerSetup

/// The process's environment, home and program.
@Suite struct IdentityTests {
    @Test(arguments: [
        ([], ["HOME=/root"]), (["A=1"], ["A=1", "HOME=/root"]), (["HOME=/h", "A=1"], ["HOME=/h", "A=1"]), (["HOME=", "A=1"], ["HOME=/root", "A=1"]),
        // The last of several wins, in the first one's place.
        (["A=1", "B=2", "A=3", "HOME=/x"], ["A=3", "B=2", "HOME=/x"]), (["HOME=/a", "HOME="], ["HOME=/root"]), (["A=", "A==b", "HOME=/"], ["A==b", "HOME=/"]),
        (["a=1", "A=2", "HOME=/"], ["a=1", "A=2", "HOME=/"]),
    ] as [([String], [String])])
    func environments(given: [String], expected: [String]) throws {
        let process = try initProcess { $0.process?.env = given }.process
        try Identity.prepareEnvironment(process)
        // The home is that of this machine's root, who lives in /root or wherever its passwd(5) says.
        let home = "HOME=" + (Identity.homeDirectory(of: 0, passwd: String(decoding: (try? readFile("/etc/passwd")) ?? [], as: UTF8.self)) ?? "/")
        #expect(process.environment == expected.map { $0 == "HOME=/root" ? home : $0 })
    }

    @Test(arguments: ["", "A", "=x", "="]) func entriesThatAreNoVariables(entry: String) throws {
        let process = try initProcess { $0.process?.env = ["B=1", entry] }.process
        #expect(failure { try Identity.prepareEnvironment(process) } == "invalid environment variable: \"\(entry)\"")
    }

    @Test(arguments: [
        (0, "root:x:0:0:root:/root:/bin/sh\n", "/root"), (1000, "root:x:0:0::/root:\na:x:1000:1000::/home/a:/bin/sh\nb:x:1000:1::/home/b:", "/home/a"),
        (5, "root:x:0:0::/root:/bin/sh\n", nil), (0, "", nil), (0, "root:x:0:0::", nil), (0, "root:x:0:0:::/bin/sh", nil), (0, "root:x:zero:0::/root:", nil), (0, "\n\n::::::\n", nil),
        (0, "root:x:0:0::/no/shell", "/no/shell"), (4_294_967_295, "n:x:4294967295:0::/n:", "/n"), (0, "n:x:4294967296:0::/n:", nil), (0, "+::::::\nroot:x:0:0::/r:", "/r"),
    ] as [(UInt32, String, String?)])
    func homes(user: UInt32, passwd: String, home: String?) { #expect(Identity.homeDirectory(of: user, passwd: passwd) == home) }

    // MARK: Programs

    private static func programs() throws -> (image: Image, path: String) {
        let image = try Image()
        for name in ["/bin", "/sbin", "/bin/folder"] { try makeDirectory(image.rootfs + name) }
        try image.file("/bin/tool", mode: 0o755)
        try image.file("/bin/text", mode: 0o644)
        try image.file("/sbin/text", mode: 0o755)
        try image.file("/bin/only-text", mode: 0o644)
        return (image, "\(image.rootfs)/none:\(image.rootfs)/bin:\(image.rootfs)/sbin")
    }

    @Test(arguments: [("tool", "/bin/tool"), ("text", "/sbin/text")]) func programsAreFoundInThePath(name: String, file: String) throws {
        let (image, path) = try Self.programs()
        #expect(try Executable.find(name, path: path) == image.rootfs + file)
    }

    @Test func aNameWithASlashIsAPath() throws {
        let (image, _) = try Self.programs()
        #expect(try Executable.find(image.rootfs + "/bin/tool", path: "") == image.rootfs + "/bin/tool")
        // An empty part of PATH is the working directory; no PATH at all is nothing.
        #expect(failure { _ = try Executable.find("no-such-tool", path: ":") } == #"exec: "no-such-tool": executable file not found in $PATH"#)
    }

    @Test(arguments: [
        ("missing", "executable file not found in $PATH", .executableNotFound), ("folder", "executable file not found in $PATH", .executableNotFound),
        ("only-text", "permission denied", .permissionDenied), ("", "executable file not found in $PATH", .executableNotFound),
        ("/bin/missing", "no such file or directory", .executableNotFound), ("/bin/tool/x", "not a directory", .executableNotFound),
        ("/bin/folder", "is a directory: permission denied", .permissionDenied), ("/bin/text", "permission denied", .permissionDenied),
    ] as [(String, String, Failure.Code)])
    func programsThatCannotBeExecuted(name: String, words: String, code: Failure.Code) throws {
        let (image, path) = try Self.programs()
        let wanted = name.hasPrefix("/") ? image.rootfs + name : name
        do throws(SetupError) {
            Issue.record("found \(try Executable.find(wanted, path: path))")
        } catch {
            // Engines match on these words.
            #expect(error.message.hasPrefix("exec: \"\(wanted)\": ") && error.message.contains(words), "\(error.message)")
            #expect(error.code == code)
        }
    }

    @Test func whatTheLauncherSendsMustFit() throws {
        let (process, _) = try initProcess()
        let stream = SharedDescriptor(try OwnedDescriptor(opening: "/dev/null", flags: O_RDWR))
        #expect(failure { _ = try InitProcess(channel: process.channel, plan: process.plan, spec: process.spec, descriptors: [stream]) }
            == "the launcher sent 1 descriptors and announced others")
        var plan = process.plan
        (plan.hasStandardStreams, plan.preservedCount, plan.joins) = (true, 2, [NamespaceSet.network.rawValue])
        let descriptors = try (0..<6).map { _ in SharedDescriptor(try stream.duplicate()) }
        let full = try InitProcess(channel: process.channel, plan: plan, spec: process.spec, descriptors: descriptors)
        #expect(full.standardStreams.map(\.rawValue) == descriptors[..<3].map(\.rawValue) && full.preserved.map(\.rawValue) == descriptors[3..<5].map(\.rawValue))
        #expect(full.joins.map(\.namespaces) == [.network] && full.joins.map(\.descriptor.rawValue) == [descriptors[5].rawValue])
        plan.preservedCount = .max
        #expect(failure { _ = try InitProcess(channel: process.channel, plan: plan, spec: process.spec, descriptors: descriptors) } != nil)
        var spec = process.spec
        spec.process = nil
        #expect(failure { _ = try InitProcess(channel: process.channel, plan: process.plan, spec: spec, descriptors: []) } == "process is missing from the configuration")
    }
}
