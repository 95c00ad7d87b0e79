// nacelle-init: becomes a process of a container. Executed by ContainerLaunch, never by people.
//
// One thread, no tasks: namespaces and identities are the calling thread's, and setns(2) into a user or mount namespace demands
// that there be no other.
import AgentProtocol
import ContainerSetup
import Glibc
import LinuxSystem

/// The descriptor that the launcher puts the handshake's socket on.
let socketNumber: Int32 = 3

guard CommandLine.arguments == ["nacelle-init"], fcntl(socketNumber, F_GETFD) >= 0 else {
    print("nacelle-init is started by nacelle only")
    exit(1)
}
OwnProcess.resetSignals()
// What a caller left open (an engine's pipes, say) must not stay open while the container waits to be started.
try? OwnProcess.closeAll(from: UInt32(socketNumber) + 1)
let socket = SharedDescriptor(OwnedDescriptor(owning: socketNumber))
exit(Setup.run(socket: socket) == nil ? 0 : 1)
