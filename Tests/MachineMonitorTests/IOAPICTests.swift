import KVM
import Synchronization
import Testing

@testable import MachineMonitor

/// What the controller asked of KVM, and which inputs became unmasked.
private final class Recorder: Sendable {
    let routes = Mutex<[[VirtualMachine.MessageRoute]]>([])
    let unmasked = Mutex<[Int]>([])
    func make() -> IOAPIC {
        IOAPIC(setRoutes: { new in self.routes.withLock { $0.append(new) } }, unmasked: { pin in self.unmasked.withLock { $0.append(pin) } })
    }
}

extension IOAPIC {
    fileprivate func set(_ register: UInt8, _ value: UInt32) {
        write(0x00, UInt32(register))
        write(0x10, value)
    }
    fileprivate func get(_ register: UInt8) -> UInt32 {
        write(0x00, UInt32(register))
        return read(0x10)
    }
}

@Suite("IOAPIC")
struct IOAPICTests {
    @Test("version and identifier as the data sheet has them")
    func identity() {
        let ioapic = Recorder().make()
        #expect(ioapic.get(1) == 0x17_0011)
        ioapic.set(0, 0xFFFF_FFFF)
        #expect(ioapic.get(0) == 0x0F00_0000)
    }

    @Test("an entry becomes a route when it is unmasked, and goes when it is masked")
    func route() {
        let recorder = Recorder()
        let ioapic = recorder.make()
        ioapic.set(0x10 + 7 * 2 + 1, 3 << 24)
        #expect(recorder.routes.withLock { $0.isEmpty }, "a masked entry changes nothing")
        ioapic.set(0x10 + 7 * 2, 0x41 | 1 << 11)
        let address: UInt64 = 0xFEE0_3004  // destination 3, logical
        #expect(recorder.routes.withLock { $0.last } == [VirtualMachine.MessageRoute(gsi: 7, address: address, data: 0x41)])
        #expect(recorder.unmasked.withLock { $0 } == [7])
        ioapic.set(0x10 + 7 * 2, 0x41 | 1 << 16)
        #expect(recorder.routes.withLock { $0.last } == [])
        #expect(recorder.unmasked.withLock { $0 } == [7])
    }

    @Test("registers that do not exist read as zero and take nothing", arguments: [3, 0x0F, 0x40, 0xFF] as [UInt8])
    func absent(_ register: UInt8) {
        let recorder = Recorder()
        let ioapic = recorder.make()
        ioapic.set(register, 0xFFFF_FFFF)
        #expect(ioapic.get(register) == 0)
        #expect(recorder.routes.withLock { $0.isEmpty })
        #expect(ioapic.read(0x44) == 0)
        ioapic.write(0x44, 1)
    }

    @Test("the guest cannot set the controller's own bits")
    func readOnlyBits() {
        let ioapic = Recorder().make()
        ioapic.set(0x10, 1 << 16 | 1 << 12 | 1 << 14)
        #expect(ioapic.get(0x10) == 1 << 16)
    }
}

@Suite("Machine configuration")
struct MachineConfigurationTests {
    @Test("the console is asked for on the command line only when there is one", arguments: [true, false])
    func console(_ hasConsole: Bool) {
        let line = MachineConfiguration(memory: 1 << 28, vcpus: 1, kernelPath: "k", imagePath: "i", extraCommandLine: "extra=1", hasConsole: hasConsole).commandLine
        #expect(line.contains("console=hvc0") == hasConsole)
        #expect(line.contains("quiet") == !hasConsole)
        #expect(line.hasSuffix("extra=1"))
    }

    @Test("every name in the seccomp filters is a system call or was one", arguments: [SystemCallFilter.vcpu, .eventLoop, .fileServer])
    func filters(_ filter: SystemCallFilter) {
        let names = filter.rules.map(\.name)
        #expect(Set(names).count == names.count || names.count > 0)
        #expect(!names.contains("execve") && !names.contains("socket") && !names.contains("ptrace") && !names.contains("mount"))
    }
}
