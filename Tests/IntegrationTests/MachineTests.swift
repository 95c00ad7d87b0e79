import Foundation
import Testing

@Suite("The machine and its kernel", .requiresKVM, .serialized)
struct MachineTests {
    /// A bundle whose process may do everything in its guest, in the guest's own pid namespace.
    private func privileged() throws -> Bundle {
        let bundle = try Bundle()
        let capabilities = Self.capabilities
        bundle.process {
            $0["capabilities"] = ["bounding": capabilities, "effective": capabilities, "permitted": capabilities, "inheritable": [], "ambient": []]
            $0["noNewPrivileges"] = false
        }
        bundle.linux { linux in
            let namespaces = linux["namespaces"] as? [[String: Any]] ?? []
            linux["namespaces"] = namespaces.filter { $0["type"] as? String != "pid" }
            linux["resources"] = ["devices": [["allow": true, "access": "rwm"]]]
            linux["devices"] = [["path": "/dev/net/tun", "type": "c", "major": 10, "minor": 200]]
            linux["maskedPaths"] = [String]()
            linux["readonlyPaths"] = [String]()
        }
        return bundle
    }

    private static let capabilities = [
        "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_NET_ADMIN", "CAP_MKNOD", "CAP_SETUID", "CAP_SETGID", "CAP_SYS_TIME", "CAP_DAC_OVERRIDE", "CAP_SYS_CHROOT", "CAP_IPC_LOCK", "CAP_SETFCAP", "CAP_NET_RAW",
    ]

    @Test("the guest's kernel has what workloads ask for")
    func kernel() throws {
        let bundle = try privileged()
        let outcome = try bundle.runScript(
            """
            for type in overlay ext4 erofs fuse virtiofs tmpfs mqueue proc sysfs devpts cgroup2; do grep -qw $type /proc/filesystems || echo no file system $type; done
            for kind in mnt pid net ipc uts user cgroup time; do test -e /proc/self/ns/$kind || echo no namespace $kind; done
            for controller in cpuset cpu io memory pids; do grep -qw $controller /sys/fs/cgroup/cgroup.controllers || echo no controller $controller; done
            cat /sys/devices/system/clocksource/clocksource0/current_clocksource
            grep -o 'madvise\\|always' /sys/kernel/mm/transparent_hugepage/enabled | head -1 | wc -l
            unshare -mUruinpf sh -c 'mount -t tmpfs none /tmp && mkdir /tmp/l /tmp/u /tmp/w /tmp/m && echo lower > /tmp/l/f && mount -t overlay -o lowerdir=/tmp/l,upperdir=/tmp/u,workdir=/tmp/w none /tmp/m && echo upper > /tmp/m/f && cat /tmp/l/f /tmp/u/f'
            ip link set lo up && ping -c 1 -W 5 127.0.0.1 | grep -c 'bytes from' && ping -6 -c 1 -W 5 ::1 | grep -c 'bytes from'
            ip link add bridge0 type bridge && ip link add one type veth peer name two && ip link set one master bridge0 && ip -o link | grep -cE 'bridge0|one|two'
            tunctl -t tap0 > /dev/null && ip -o link show tap0 | wc -l
            zcat /proc/config.gz | grep -cE '^CONFIG_(NF_TABLES|NFT_CT|NFT_NAT|PACKET|UNIX|VIRTIO_BLK|VIRTIO_NET|VIRTIO_BALLOON|VIRTIO_CONSOLE|HW_RANDOM_VIRTIO|VIRTIO_PMEM|VIRTIO_FS|FUSE_DAX|IO_URING|BPF_SYSCALL|SECCOMP_FILTER|SMP|KVM_GUEST)=y'
            grep -c MODULES=y /proc/config.gz; cat /proc/modules 2>/dev/null | wc -l
            """)
        #expect(outcome.text == "kvm-clock\n1\nlower\nupper\n1\n1\n3\n1\n18\n0\n0\n", "\(outcome.text)\(outcome.errorText)")
    }

    @Test("a guest that ends itself ends the container, and says how", arguments: [("reboot -f", "the guest has reset itself"), ("poweroff -f", "the guest has halted")])
    func ends(_ command: String, _ word: String) throws {
        let bundle = try privileged()
        let outcome = try bundle.runScript("\(command); sleep 100", limit: 60)
        #expect(outcome.status != 0)
        #expect(outcome.errorText.contains(word), "\(outcome.status) \(outcome.errorText)")
        try bundle.expectNothingLeft()
    }

    @Test("the console goes to the file asked for, and only then there is one")
    func console() throws {
        let bundle = try Bundle()
        bundle.configuration["annotations"] = ["dev.nacelle.console": bundle.path + "/console"]
        #expect(try bundle.runScript("cat /sys/class/tty/console/active").line == "hvc0")
        #expect(try String(contentsOfFile: bundle.path + "/console", encoding: .utf8).contains("Booting paravirtualized kernel on KVM"))
        bundle.configuration["annotations"] = nil
        #expect(try bundle.runScript("cat /sys/class/tty/console/active").line == "")
    }

    @Test("several vCPUs work at once, and sleep when there is nothing to do", arguments: [1, 4])
    func vcpus(_ count: Int) throws {
        let bundle = try Bundle()
        bundle.configuration["annotations"] = ["dev.nacelle.vcpus": "\(count)"]
        let outcome = try bundle.runScript(
            """
            nproc; grep -c ^processor /proc/cpuinfo
            for n in $(seq \(count)); do taskset -c $((n - 1)) sh -c 'i=0; while [ $i -lt 20000 ]; do i=$((i + 1)); done; cut -d" " -f39 /proc/self/stat' & done | sort | tr '\\n' ' '; wait
            """)
        #expect(outcome.text == "\(count)\n\(count)\n" + (0..<count).map { "\($0) " }.joined(), "\(outcome.text)\(outcome.errorText)")
    }
}
