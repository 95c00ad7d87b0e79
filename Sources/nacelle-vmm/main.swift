// nacelle-vmm: builds one machine, jails itself, serves its control socket. Started by the runtime only:
//
//     3  a listening Unix socket, the control socket
//     4  the machine's description (MachineDescription)
//     5  the log
//     6… the shares, images and disks that the description names
//
// The process stands for the container: it ends with the status of the container's process.

import AgentProtocol
import Glibc
import LinuxSystem
import MachineMonitor
import VirtioDevices

private let controlDescriptor: Int32 = 3
private let descriptionDescriptor: Int32 = 4
private let logDescriptor: Int32 = 5

if CommandLine.arguments.count > 1 {
    print(
        """
        nacelle-vmm runs one virtual machine for nacelle-oci, which starts it with descriptors 3 (control socket), \
        4 (machine description) and 5 (log). It takes no arguments and is of no use by itself: see nacelle-oci --help.
        """)
    exit(CommandLine.arguments[1] == "--help" ? 0 : 2)
}

// A file that the guest has open is a descriptor here: as many as this process may have, whatever its caller made do with.
raiseDescriptorLimit()

let log = Log(OwnedDescriptor(owning: logDescriptor))
do {
    let description = try MachineDescription(
        String(decoding: try OwnedDescriptor(owning: descriptionDescriptor).readAll(limit: 1 << 20), as: UTF8.self))
    let monitor = try Monitor(description, control: OwnedDescriptor(owning: controlDescriptor), log: log)
    try monitor.run()
} catch {
    log.error("\(error)")
    exit(1)
}
