import Foundation
import Testing

@Suite("The machine's jail", .requiresKVM, .serialized)
struct JailTests {
    @Test("the machine's process sees no file system and has no privileges to gain any")
    func jail() throws {
        let bundle = try Bundle(["sleep", "1000"])
        try bundle.save()
        #expect(try bundle.nacelle("run", "--detach", "--bundle", bundle.path, "c").status == 0)
        let pid = try bundle.pid()
        for task in try FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/task") {
            let status = try String(contentsOfFile: "/proc/\(pid)/task/\(task)/status", encoding: .utf8)
            func field(_ name: String) -> String {
                status.split(separator: "\n").first { $0.hasPrefix(name + ":") }?.split(separator: "\t").last.map(String.init) ?? ""
            }
            let thread = field("Name")
            #expect(field("Seccomp") == "2", "\(thread)")
            #expect(field("NoNewPrivs") == "1", "\(thread)")
            // CHOWN DAC_OVERRIDE FOWNER FSETID MKNOD SETFCAP
            #expect(field("CapEff") == "000000008800001b", "\(thread)")
            #expect(field("CapBnd") == "000000008800001b", "\(thread)")
        }
        try expectEmptyWorld(of: pid)
        #expect(try bundle.nacelle("delete", "--force", "c").status == 0)
        try bundle.expectNothingLeft()
    }
}

/// A machine's process sees nothing of the host's files but what was shared.
func expectEmptyWorld(of pid: Int32) throws {
    #expect(try FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/root/") == [])
    #expect(try String(contentsOfFile: "/proc/\(pid)/mountinfo", encoding: .utf8).split(separator: "\n").count == 1)

    // What of the host a descriptor leads to: nothing by `..` but what was shared. A share is a mount of its own, and the directory of
    // descriptors lies in a procfs without anything of the system in it.
    for name in try FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/fd") {
        let link = "/proc/\(pid)/fd/\(name)"
        #expect(!FileManager.default.fileExists(atPath: link + "/../../sys/kernel"), "\(link)")
        #expect(!FileManager.default.fileExists(atPath: link + "/../config.json"), "\(link)")
        #expect(!FileManager.default.fileExists(atPath: link + "/usr/bin"), "\(link)")
    }
}
