// nacelle-agent: the first process of a guest. It prepares the machine, then serves the VMM's requests until the machine ends.
//
// It lives outside the container's namespaces, so that no process of the container sees or signals it; the kernel neither delivers
// PID 1 a signal without a handler nor lets the OOM killer choose it.
import AgentCore
import AgentProtocol
import Glibc
import LinuxSystem

/// The host's vsock context.
let hostContext: UInt32 = 2

func serve() throws(SystemError) {
    try GuestSetup.prepareDevices()
    try blockSignals([SIGCHLD])
    try GuestSystem.ignoreBrokenPipes()
    let loop = try EventLoop()
    let children = try SignalDescriptor([SIGCHLD])
    let control = try ControlConnection(
        SharedDescriptor(try .vsockConnection(context: hostContext, port: WellKnown.controlPort)), loop: loop)
    control.onEnd = { reason in
        if let reason { KernelLog.error("control connection: \(reason)") }
        loop.stop()
    }
    control.send(.ready(release: try GuestSystem.kernelRelease()), request: 0)

    let agent = Agent(control: control, loop: loop, backend: LaunchBackend(log: KernelLog.warning)) { (port) throws(SystemError) in
        try .vsockConnection(context: hostContext, port: port)
    }
    do throws(SystemError) {
        try GuestSetup.prepare()
        try GuestSetup.mountShare()
    } catch {
        KernelLog.error("\(error)")
        agent.obstacle = Failure(.other, "the guest cannot be prepared: \(error)")
    }
    agent.onShutDown = { loop.stop() }
    try loop.add(children.descriptor.rawValue, .readable) { _ in
        while children.next() != nil {}
        agent.reap()
    }
    try loop.run()
}

do throws(SystemError) {
    try serve()
} catch {
    KernelLog.error("\(error)")
}
do throws(SystemError) {
    try GuestSystem.endMachine()
} catch {
    KernelLog.error("\(error)")
}
// Reached only when the kernel refuses to restart: PID 1's exit panics the kernel, which ends the machine as well.
exit(1)
