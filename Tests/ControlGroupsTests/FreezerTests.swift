import Glibc
import LinuxSystem
import Testing

@testable import ControlGroups

@Suite("Freezer")
struct FreezerTests {
    /// Files alone, which never say that anything was frozen. Whoever is in a pid namespace sees a thread of the kernel (KVM's, which is counted and never
    /// stops) as 0.
    @Test("what does not stop goes on; threads of the kernel are not waited for", arguments: [([], false), ([getpid()], false), ([0], true), ([getpid(), 0], true)])
    func whatDoesNotStop(processes: [Int32], stops: Bool) throws {
        let files = try FakeGroup(["cgroup.procs": processes.map { "\($0)\n" }.joined(), "cgroup.freeze": "0", "cgroup.events": "populated 1\nfrozen 0\n"])
        let hierarchy = ControlGroupHierarchy(mountPoint: files.path, root: "/", controllers: [])
        let group = ControlGroup(layout: ControlGroupLayout(hierarchies: [hierarchy]), places: [.init(hierarchy: hierarchy, directory: files.path)])
        do throws(ControlGroupError) {
            try group.setFrozen(true, patience: 100)
            #expect(stops)
        } catch {
            #expect(!stops && error == .freezer(path: files.path, frozen: true))
        }
        #expect(String(decoding: try readFile(files.path + "/cgroup.freeze"), as: UTF8.self) == (stops ? "1" : "0"))
    }
}
