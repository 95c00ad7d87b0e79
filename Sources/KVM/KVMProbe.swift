internal import Glibc
internal import LinuxSystem

/// Finds out whether this machine's KVM can run a Linux guest, by running one of a few instructions.
///
/// Being there is not enough: some hosts offer a /dev/kvm that interprets supervisor code or mistreats SYSCALL. Nothing in
/// /proc/cpuinfo tells, so the probe does what a kernel does: it goes from CPL 0 to CPL 3 by SYSRET and back by SYSCALL, runs
/// instructions that compilers and kernels use, and sees how fast a loop is at CPL 0.
public enum KVMProbe {
    public enum Result: Equatable, Sendable {
        case usable
        /// There is no /dev/kvm (or no driver behind it).
        case absent
        case notPermitted
        /// KVM answers and cannot run a guest; the reason in words.
        case unusable(String)
    }

    /// Where the micro-guest's parts lie in its memory.
    private enum Layout {
        static let size = 0x1_0000
        static let descriptorTable: UInt64 = 0x500
        static let pageTables: UInt64 = 0x1000
        static let start: UInt64 = 0x8000
        static let systemCallEntry: UInt64 = 0x8100
        static let user: UInt64 = 0x8200
        static let stack: UInt64 = 0x7FF0  // 16-byte aligned, as CMPXCHG16B wants
    }

    private enum Port { static let loopStart: UInt16 = 0x10, loopEnd: UInt16 = 0x11, done: UInt16 = 0x12 }
    private enum MSR { static let star: UInt32 = 0xC000_0081, lstar: UInt32 = 0xC000_0082, mask: UInt32 = 0xC000_0084 }

    /// 40,000 instructions: 0.1 ms even on an emulated CPU, 20 ms when they are interpreted.
    private static let loopCount: UInt32 = 20_000
    private static let slowestLoop: Int64 = 8_000_000

    public static func run() -> Result {
        do throws(SystemError) {
            return try runGuest()
        } catch {
            switch error.errno {
            case .noSuchFile, Errno(rawValue: ENXIO), Errno(rawValue: ENODEV): return error.operation == "open" ? .absent : .unusable("\(error)")
            case .permissionDenied, .notPermitted: return error.operation == "open" ? .notPermitted : .unusable("\(error)")
            default: return .unusable("\(error)")
            }
        }
    }

    private static func runGuest() throws(SystemError) -> Result {
        let kvm = try KVMSystem()
        for needed in [KVMSystem.Capability.splitIRQChip, .irqfd, .ioeventfd, .readOnlyMemory, .tscDeadlineTimer] where kvm.check(needed) == 0 {
            return .unusable("KVM lacks the capability \(needed)")
        }
        let machine = try kvm.createMachine()
        let memory = try Mapping(nil, count: Layout.size, protection: PROT_READ | PROT_WRITE, flags: MAP_PRIVATE)
        fill(memory)
        try machine.setMemory(slot: 0, guestAddress: 0, mapping: memory)
        try machine.setTaskStateAddress(0xFFFB_D000)
        try machine.enableSplitIRQChip(pins: 24)
        let cpuid = try kvm.supportedCPUID().forVCPU(0, of: 1)
        let vcpu = try machine.createVCPU(0)
        try vcpu.setCPUID(cpuid)
        try vcpu.setMSR(MSR.lstar, Layout.systemCallEntry)
        // SYSCALL loads CS 0x8; SYSRET loads CS 0x20 + 16 = 0x30, both as flat 64-bit code.
        try vcpu.setMSR(MSR.star, 0x0020_0008 << 32)
        try vcpu.setMSR(MSR.mask, 0)

        var best = Int64.max
        for _ in 0..<3 {
            try vcpu.enterLongMode(LongModeState(pageTable: Layout.pageTables, descriptorTable: Layout.descriptorTable), systemCalls: true)
            try vcpu.setRegisters(GeneralRegisters(rip: Layout.start, rsp: Layout.stack, rsi: 0))
            var started: Int64 = 0
            run: while true {
                switch try vcpu.run() {
                case .portWrite(Port.loopStart, let privilege, _):
                    guard privilege & 3 == 0 else { return .unusable("SYSCALL from user mode arrives in user mode: this KVM cannot run an operating system") }
                    started = monotonicNanoseconds()
                case .portWrite(Port.loopEnd, _, _): best = min(best, monotonicNanoseconds() - started)
                case .portWrite(Port.done, _, _): break run
                case .interrupted: continue
                case .internalError(let suberror): return .unusable("KVM cannot execute an ordinary instruction (internal error \(suberror)): it emulates guest code without hardware support")
                case .shutdown: return .unusable("SYSCALL from user mode does not reach the kernel (the probe's guest crashed)")
                case let other: return .unusable("the probe's guest stopped with \(other)")
                }
            }
            if best < slowestLoop { return .usable }
        }
        return .unusable("KVM interprets guest code instruction by instruction (\(Int64(loopCount) * 2_000_000 / max(best, 1)) thousand a second)")
    }

    private static func fill(_ memory: Mapping) {
        func put(_ bytes: [UInt8], _ address: UInt64) {
            guard Int(address) + bytes.count <= memory.count else { return }
            for (index, byte) in bytes.enumerated() { unsafe (memory.base + Int(address) + index).storeBytes(of: byte, as: UInt8.self) }
        }
        func words(_ values: [UInt64]) -> [UInt8] { values.flatMap { value in (0..<8).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * $0)) } } }
        // null, kernel code, kernel data, task state (two entries), user data (0x28), user code (0x30)
        put(words([0, 0x00AF_9B00_0000_FFFF, 0x00CF_9300_0000_FFFF, 0x008F_8B00_0000_FFFF, 0, 0x00CF_F300_0000_FFFF, 0x00AF_FB00_0000_FFFF]), Layout.descriptorTable)
        let userWritable: UInt64 = 7
        put(words([Layout.pageTables + 0x1000 | userWritable]), Layout.pageTables)
        put(words([Layout.pageTables + 0x2000 | userWritable]), Layout.pageTables + 0x1000)
        put(words([userWritable | 1 << 7]), Layout.pageTables + 0x2000)
        put([0xB9] + little(UInt32(Layout.user))  // mov ecx, user
            + [0x41, 0xBB] + little(2)  // mov r11d, 2
            + [0x48, 0x0F, 0x07], Layout.start)  // sysretq
        put([0xB8] + little(1) + [0x0F, 0x05], Layout.user)  // mov eax, 1; syscall
        put([0x8C, 0xC8]  // mov eax, cs
            + [0xE6, UInt8(Port.loopStart)]  // out loopStart, al
            + [0xB9] + little(loopCount)  // mov ecx, loopCount
            + [0xFF, 0xC9, 0x75, 0xFC]  // dec ecx; jnz -4
            + [0xE6, UInt8(Port.loopEnd)]  // out loopEnd, al
            + [0xF3, 0x0F, 0xB8, 0xD0]  // popcnt edx, eax
            + [0x48, 0x0F, 0xC7, 0x0C, 0x24]  // cmpxchg16b [rsp]
            + [0xE6, UInt8(Port.done)], Layout.systemCallEntry)  // out done, al
    }

    private static func little(_ value: UInt32) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> UInt32(8 * $0)) } }
}
