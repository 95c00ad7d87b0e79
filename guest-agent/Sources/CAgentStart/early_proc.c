#include <sys/mount.h>
#include <unistd.h>

// Swift's runtime, before main, asks /proc/self/exe where it is and /proc/self/maps where the stack is, and aborts when it learns
// nothing. PID 1 starts without /proc, so it is mounted by a constructor that runs before the runtime's (which have no priority).
// A failure shows at once: the runtime aborts with its reason.
__attribute__((constructor(101))) static void mount_proc(void) {
  if (getpid() == 1) (void)mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, "");
}
