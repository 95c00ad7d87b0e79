internal import CLinux
internal import Glibc

/// Starts a detached thread. The name (at most 15 bytes) is what `ps -L` shows.
/// - Throws: `EAGAIN` when the system allows no more threads.
public func startThread(name: String, _ body: @escaping @Sendable () -> Void) throws(SystemError) {
    let box = ThreadBody(name: name, body: body)
    var thread = pthread_t()
    var attributes = pthread_attr_t()
    unsafe pthread_attr_init(&attributes)
    defer { unsafe pthread_attr_destroy(&attributes) }
    unsafe pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
    // 256 KiB: what runs here does not recurse, and the stack counts as the VMM's own memory.
    unsafe pthread_attr_setstacksize(&attributes, 256 << 10)
    // SAFETY: the new thread takes over the one reference that passRetained makes.
    let argument = unsafe Unmanaged.passRetained(box).toOpaque()
    let result = unsafe pthread_create(&thread, &attributes, { argument in
        guard let argument = unsafe argument else { return nil }
        let box = unsafe Unmanaged<ThreadBody>.fromOpaque(argument).takeRetainedValue()
        unsafe pthread_setname_np(pthread_self(), box.name)
        box.body()
        return nil
    }, argument)
    if result != 0 {
        unsafe Unmanaged<ThreadBody>.fromOpaque(argument).release()
        throw SystemError(Errno(rawValue: result), "pthread_create")
    }
}

private final class ThreadBody: Sendable {
    let name: String
    let body: @Sendable () -> Void
    init(name: String, body: @escaping @Sendable () -> Void) {
        self.name = name
        self.body = body
    }
}
