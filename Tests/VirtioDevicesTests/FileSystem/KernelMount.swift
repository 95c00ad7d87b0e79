import Glibc
import GuestRAM
import LinuxSystem
import Synchronization
@testable import Virtio
@testable import VirtioDevices

/// The file server behind this machine's own FUSE client: the same kernel code that a guest runs, without a guest.
///
/// Requests are read from /dev/fuse into memory that plays the guest's, and served as chains.
final class KernelMount: Sendable {
    let path: String
    private let server: FileServer
    private let device: SharedDescriptor
    private let alive = Atomic<Int>(0)

    static var isPossible: Bool { unsafe getuid() == 0 && access("/dev/fuse", R_OK | W_OK) == 0 }

    init(_ shares: [FileSystemDevice.Share], at path: String, threads: Int = 2) throws {
        self.path = path
        server = try FileServer(shares: shares, writeback: false, descriptorLimit: descriptorLimit()) { _ in }
        device = SharedDescriptor(try OwnedDescriptor(opening: "/dev/fuse", flags: O_RDWR))
        unsafe mkdir(path, 0o755)
        let options = "fd=\(device.rawValue),rootmode=40000,user_id=0,group_id=0,default_permissions,allow_other"
        guard unsafe mount("nacelle", path, "fuse", 0, options) == 0 else { throw SystemError(Errno(rawValue: errno), "mount", path: path) }
        for index in 0..<threads {
            alive.add(1, ordering: .relaxed)
            try startThread(name: "fuse/\(index)") { [self] in
                try? serve()
                alive.subtract(1, ordering: .releasing)
            }
        }
    }

    func unmount() {
        unsafe umount2(path, Int32(MNT_DETACH))
        while alive.load(ordering: .acquiring) > 0 { usleep(1000) }
        server.endSession()
    }

    private static let room = (1 << 20) + 8192

    private func serve() throws {
        try server.links.enterOnThisThread()
        let memory = try Mapping(nil, count: 2 * Self.room, protection: PROT_READ | PROT_WRITE, flags: MAP_PRIVATE)
        let guest = GuestMemory(regions: [.init(base: GuestAddress(0), mapping: memory)])
        while true {
            let count = unsafe Glibc.read(device.rawValue, memory.base, Self.room)
            if count < 0 {
                // ENOENT: the request was interrupted before it was read. ENODEV: unmounted.
                if errno == ENOENT || errno == EINTR || errno == EAGAIN { continue }
                return
            }
            guard let request = guest.slice(at: GuestAddress(0), count: count),
                let reply = guest.slice(at: GuestAddress(UInt64(Self.room)), count: Self.room, writable: true)
            else { return }
            let header = FuseHeader(request.part(from: 0, count: 40).bytes())
            let hasReply = header.flatMap { Fuse.Opcode(rawValue: $0.opcode) }?.hasReply ?? true
            let outcome = server.handle(header, DescriptorChain(head: 0, readable: [request], writable: hasReply ? [reply] : []))
            if hasReply, case .used(let written) = outcome { unsafe _ = Glibc.write(device.rawValue, memory.base + Self.room, written) }
        }
    }
}
