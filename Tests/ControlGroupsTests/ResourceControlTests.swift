import Glibc
import LinuxSystem
import OCISpec
import Testing

@testable import ControlGroups

/// linux.intelRdt in a directory that stands for the resctrl file system: no machine that this is developed on has one.
@Suite struct ResourceControlTests {
    /// A directory with the files of resctrl's root.
    private final class Tree {
        let path: String
        init() throws {
            var template = Array("/tmp/nacelle-rdt-XXXXXX".utf8CString)
            path = unsafe template.withUnsafeMutableBufferPointer { unsafe $0.baseAddress.flatMap { unsafe mkdtemp($0) }.map { unsafe String(cString: $0) } ?? "" }
            try #require(!path.isEmpty)
            try group("")
        }
        /// What the kernel puts into a group's directory when it is made.
        func group(_ name: String, schemata: String = "") throws {
            try makeDirectory(path + name)
            try writeFile(path + name + "/schemata", Array(schemata.utf8))
            try writeFile(path + name + "/tasks", [])
            try makeDirectory(path + name + "/mon_groups")
        }
        func text(_ name: String) -> String { (try? readFile(path + name)).map { String(decoding: $0, as: UTF8.self) } ?? "absent" }
        deinit { Self.remove(path) }
        static func remove(_ path: String) {
            guard let directory = try? OwnedDescriptor(opening: path, flags: O_RDONLY | O_DIRECTORY | O_NOFOLLOW) else { return }
            for name in (try? directory.entries()) ?? [] {
                remove(path + "/" + name)
                try? directory.remove(name)
            }
            try? removeDirectory(path)
        }
    }

    private func rdt(_ closID: String?, l3: String? = nil, mb: String? = nil, schemata: [String] = [], monitoring: Bool = false) -> IntelRdtSpec {
        var spec = IntelRdtSpec()
        (spec.closID, spec.l3CacheSchema, spec.memBwSchema, spec.schemata, spec.enableMonitoring) = (closID, l3, mb, schemata, monitoring)
        return spec
    }

    private func problem(_ body: () throws(ResourceControl.Problem) -> Void) -> String? {
        do throws(ResourceControl.Problem) {
            try body()
            return nil
        } catch { return "\(error)" }
    }

    @Test func withoutResctrlItIsRefused() throws {
        if String(decoding: try readFile("/proc/self/mountinfo"), as: UTF8.self).contains(" - resctrl ") { return }
        #expect(problem { () throws(ResourceControl.Problem) in _ = try ResourceControl(IntelRdtSpec(), container: "c") } == "linux.intelRdt: no resctrl file system is mounted on this host")
    }

    @Test func aGroupThatMustExist() throws {
        let tree = try Tree()
        let absent = try ResourceControl(rdt("gold"), container: "c", mountPoint: tree.path)
        #expect(problem(absent.check) == "linux.intelRdt: closID: there is no group \(tree.path)/gold")
        try tree.group("/gold", schemata: "    L3:0=0f;1=ff\n    MB:0= 20;1= 70\n")
        let group = try ResourceControl(rdt("gold", l3: "L3:0=f;1=ff", mb: "MB:0=20;1=70"), container: "c", mountPoint: tree.path)
        try group.check()
        try group.make()
        #expect(group.ownDirectories == [])
        // It was compared, not written.
        #expect(tree.text("/gold/schemata") == "    L3:0=0f;1=ff\n    MB:0= 20;1= 70\n")
        let other = try ResourceControl(rdt("gold", l3: "L3:0=1f"), container: "c", mountPoint: tree.path)
        #expect(problem(other.make) == "linux.intelRdt: \"L3:0=1f\" does not match the existing group \(tree.path)/gold, which has L3:0=f")
        try group.add(getpid())
        #expect(!tree.text("/gold/tasks").isEmpty)
    }

    @Test func theContainersOwnGroup() throws {
        let tree = try Tree()
        let group = try ResourceControl(rdt(nil), container: "c", mountPoint: tree.path)
        try group.check()
        try group.make()
        #expect(group.ownDirectories == [tree.path + "/c"])
        #expect(problem(group.check) == "linux.intelRdt: the group \(tree.path)/c exists already")
        try ResourceControl.delete(group.ownDirectories)
        #expect((try? FileStatus(path: tree.path + "/c")) == nil)
        // Nothing there is no error.
        try ResourceControl.delete(group.ownDirectories)
    }

    @Test func theGroupThatCounts() throws {
        let tree = try Tree()
        try tree.group("/gold")
        let group = try ResourceControl(rdt("gold", monitoring: true), container: "c", mountPoint: tree.path)
        try group.check()
        try group.make()
        let counting = tree.path + "/gold/mon_groups/c"
        #expect(group.ownDirectories == [counting])
        try writeFile(counting + "/tasks", [])
        try group.add(getpid())
        #expect(!tree.text("/gold/tasks").isEmpty && !tree.text("/gold/mon_groups/c/tasks").isEmpty)
        // Of the kernel's file system a directory goes with its files.
        try OwnedDescriptor(opening: counting, flags: O_RDONLY | O_DIRECTORY).remove("tasks")
        try ResourceControl.delete(group.ownDirectories)
        #expect((try? FileStatus(path: counting)) == nil && (try? FileStatus(path: tree.path + "/gold")) != nil)
    }

    @Test func theDefaultGroupIsTheRoot() throws {
        let tree = try Tree()
        let group = try ResourceControl(rdt("/", schemata: ["MB:0=50"]), container: "c", mountPoint: tree.path)
        try group.check()
        try group.make()
        #expect(tree.text("/schemata") == "MB:0=50\n" && group.ownDirectories == [])
    }

    @Test func whatCannotBeWrittenIsTold() throws {
        let tree = try Tree()
        // Nobody makes the file here.
        let group = try ResourceControl(rdt("silver", l3: "L3:0=f"), container: "c", mountPoint: tree.path)
        #expect(problem(group.make)?.hasPrefix("linux.intelRdt: unable to write \"L3:0=f\": open \(tree.path)/silver/schemata") == true)
        #expect(problem { () throws(ResourceControl.Problem) in try group.add(getpid()) }?.hasPrefix("linux.intelRdt: unable to add process \(getpid())") == true)
    }
}
