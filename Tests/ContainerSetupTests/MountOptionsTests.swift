import LinuxSystem
import OCISpec
import Testing

@testable import ContainerSetup

/// The option words of the specification, as the mount API of descriptors takes them.
@Suite struct MountOptionsTests {
    typealias Change = @Sendable (inout MountOptions) -> Void

    static let words: [(word: String, change: Change)] = [
        ("async", { _ in }), ("atime", { $0.clear = .accessTimeMask }), ("bind", { $0.isBind = true }), ("defaults", { _ in }), ("dev", { $0.clear = .noDevices }),
        ("diratime", { $0.clear = .noDirectoryAccessTimes }), ("dirsync", { $0.instanceFlags = ["dirsync"] }), ("exec", { $0.clear = .noExecute }),
        // File systems that count versions always do, and the kernel has no such flag here.
        ("iversion", { _ in }),
        ("lazytime", { $0.instanceFlags = ["lazytime"] }), ("loud", { _ in }), ("mand", { $0.instanceFlags = ["mand"] }), ("noatime", { $0.set = .noAccessTimes }),
        ("nodev", { $0.set = .noDevices }), ("nodiratime", { $0.set = .noDirectoryAccessTimes }), ("noexec", { $0.set = .noExecute }), ("noiversion", { _ in }),
        ("nolazytime", { _ in }), ("nomand", { _ in }), ("norelatime", { _ in }), ("nostrictatime", { $0.clear = .accessTimeMask }), ("nosuid", { $0.set = .noSetUserID }),
        ("nosymfollow", { $0.set = .noSymbolicLinks }), ("private", { $0.propagations = propagation(.private, false) }),
        ("rbind", { $0.isBind = true; $0.isRecursive = true }), ("relatime", { $0.clear = .accessTimeMask }), ("remount", { $0.isRemount = true }),
        ("ro", { $0.set = .readOnly }), ("rw", { $0.clear = .readOnly }), ("shared", { $0.propagations = propagation(.shared, false) }), ("silent", { _ in }),
        ("slave", { $0.propagations = propagation(.slave, false) }), ("strictatime", { $0.set = .strictAccessTimes }), ("suid", { $0.clear = .noSetUserID }),
        ("symfollow", { $0.clear = .noSymbolicLinks }), ("sync", { $0.instanceFlags = ["sync"] }), ("unbindable", { $0.propagations = propagation(.unbindable, false) }),
        ("rprivate", { $0.propagations = propagation(.private, true) }), ("rshared", { $0.propagations = propagation(.shared, true) }),
        ("rslave", { $0.propagations = propagation(.slave, true) }), ("runbindable", { $0.propagations = propagation(.unbindable, true) }),
        ("ratime", { $0.recursiveClear = .accessTimeMask }), ("rdev", { $0.recursiveClear = .noDevices }), ("rdiratime", { $0.recursiveClear = .noDirectoryAccessTimes }),
        ("rexec", { $0.recursiveClear = .noExecute }), ("rnoatime", { $0.recursiveSet = .noAccessTimes; $0.recursiveClear = .accessTimeMask }),
        ("rnodev", { $0.recursiveSet = .noDevices }), ("rnodiratime", { $0.recursiveSet = .noDirectoryAccessTimes }), ("rnoexec", { $0.recursiveSet = .noExecute }),
        ("rnorelatime", { $0.recursiveClear = .accessTimeMask }), ("rnostrictatime", { $0.recursiveClear = .accessTimeMask }),
        ("rnosuid", { $0.recursiveSet = .noSetUserID }), ("rnosymfollow", { $0.recursiveSet = .noSymbolicLinks }), ("rrelatime", { $0.recursiveClear = .accessTimeMask }),
        ("rro", { $0.recursiveSet = .readOnly }), ("rrw", { $0.recursiveClear = .readOnly }),
        ("rstrictatime", { $0.recursiveSet = .strictAccessTimes; $0.recursiveClear = .accessTimeMask }), ("rsuid", { $0.recursiveClear = .noSetUserID }),
        ("rsymfollow", { $0.recursiveClear = .noSymbolicLinks }), ("tmpcopyup", { $0.copiesUp = true }), ("idmap", { $0.idMapping = .mount }), ("ridmap", { $0.idMapping = .recursive }),
    ]

    private static func propagation(_ kind: MountPropagation, _ recursive: Bool) -> [MountOptions.Propagation] {
        let flag = kind.rawValue | (recursive ? MountOption.Flag.recursive : 0)
        return [MountOptions.Propagation(flag: flag)].compactMap { $0 }
    }

    private static func options(_ words: [String], type: String = "tmpfs") -> MountOptions {
        var options = MountOptions(MountSpec(destination: "/x", type: type, options: words))
        options.remountFlags = 0
        return options
    }

    @Test(arguments: words.indices) func eachWord(index: Int) {
        let (word, change) = Self.words[index]
        var expected = MountOptions()
        change(&expected)
        #expect(Self.options([word]) == expected, "\(word)")
    }

    @Test func noWordIsForgotten() {
        #expect(Set(Self.words.map(\.word)) == Set(MountOption.table.map(\.name)))
        #expect(Self.words.count == MountOption.table.count)
    }

    static let combinations: [(words: [String], change: Change)] = [
        ([], { _ in }),
        (["ro", "rw"], { $0.clear = .readOnly }), (["rw", "ro"], { $0.set = .readOnly }),
        (["nosuid", "nodev", "noexec", "ro"], { $0.set = [.noSetUserID, .noDevices, .noExecute, .readOnly] }),
        (["nosuid", "suid", "nosuid"], { $0.set = .noSetUserID }),
        // One choice of access times: the last word's.
        (["noatime", "strictatime"], { $0.set = .strictAccessTimes }), (["strictatime", "noatime"], { $0.set = .noAccessTimes }),
        (["noatime", "relatime"], { $0.clear = .accessTimeMask }), (["relatime", "noatime"], { $0.set = .noAccessTimes }),
        (["strictatime", "relatime"], { $0.clear = .accessTimeMask }), (["noatime", "atime"], { $0.clear = .accessTimeMask }),
        (["rnoatime", "rrelatime"], { $0.recursiveClear = .accessTimeMask }), (["rnoatime", "rstrictatime"], { $0.recursiveSet = .strictAccessTimes; $0.recursiveClear = .accessTimeMask }),
        (["rstrictatime", "rnoatime"], { $0.recursiveSet = .noAccessTimes; $0.recursiveClear = .accessTimeMask }), (["rnoatime", "ratime"], { $0.recursiveClear = .accessTimeMask }),
        (["rro", "rrw"], { $0.recursiveClear = .readOnly }), (["rrw", "rro"], { $0.recursiveSet = .readOnly }),
        (["nodiratime", "noatime"], { $0.set = [.noDirectoryAccessTimes, .noAccessTimes] }),
        // What is no word of the specification is the file system's, in its order.
        (["size=1m", "mode=755", "nosuid", "context=\"a,b\"", ""], { $0.data = ["size=1m", "mode=755", "context=\"a,b\""]; $0.set = .noSetUserID }),
        (["RO", "ro ", " ro"], { $0.data = ["RO", "ro ", " ro"] }),
        (["rbind", "rprivate", "ro"], { $0.isBind = true; $0.isRecursive = true; $0.set = .readOnly; $0.propagations = propagation(.private, true) }),
        (["shared", "rslave"], { $0.propagations = propagation(.shared, false) + propagation(.slave, true) }),
        (["sync", "dirsync", "async"], { $0.instanceFlags = ["dirsync"] }), (["lazytime", "nolazytime"], { _ in }),
    ]
    @Test(arguments: combinations.indices) func wordsTogether(index: Int) {
        let (words, change) = Self.combinations[index]
        var expected = MountOptions()
        change(&expected)
        #expect(Self.options(words) == expected, "\(words)")
    }

    @Test func theTypeBindIsABindMount() {
        #expect(Self.options([], type: "bind").isBind)
        #expect(!Self.options([], type: "bind").isRecursive && !Self.options([], type: "none").isBind)
    }

    @Test(arguments: [
        (["remount", "ro", "nosuid"], 0x3), (["remount", "rw"], 0), (["remount", "rbind", "noexec"], 0x1008), (["remount", "noatime", "sync", "lazytime"], 0x200_0410),
        (["remount", "rslave", "relatime"], 0x20_0000),
    ] as [([String], UInt)])
    func flagsOfARemount(words: [String], flags: UInt) {
        #expect(MountOptions(MountSpec(destination: "/x", type: "tmpfs", options: words)).remountFlags == flags)
    }

    @Test(arguments: [
        ("shared", .shared, false), ("rshared", .shared, true), ("slave", .slave, false), ("rslave", .slave, true), ("private", .private, false), ("rprivate", .private, true),
        ("unbindable", .unbindable, false), ("runbindable", .unbindable, true),
    ] as [(String, MountPropagation, Bool)])
    func propagationsOfTheRoot(name: String, kind: MountPropagation, recursive: Bool) throws {
        let propagation = try #require(try rootPropagation(name))
        #expect(propagation.kind == kind && propagation.recursive == recursive)
    }

    @Test(arguments: [nil, ""]) func noPropagationOfTheRoot(name: String?) throws { #expect(try rootPropagation(name) == nil) }

    @Test(arguments: ["ro", "Shared", "none", "bind", "rro"]) func otherPropagationsAreRefused(name: String) {
        #expect(failure { _ = try rootPropagation(name) } == "rootfsPropagation=\(name) is not supported")
    }
}
