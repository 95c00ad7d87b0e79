#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

// Without a console the kernel starts PID 1 with nothing open: what is opened next would become 0, 1 and 2, and then be overwritten
// or inherited as somebody's standard stream.
static void fill_standard_streams(void) {
  int fd;
  do {
    fd = open("/dev/null", O_RDWR);
    if (fd < 0) fd = open("/", O_RDONLY | O_DIRECTORY);
  } while (fd >= 0 && fd <= 2);
  if (fd > 2) close(fd);
}

// Swift's runtime, before main, asks /proc/self/exe where it is and /proc/self/maps where the stack is, and aborts when it learns
// nothing. PID 1 starts without /proc, so it is mounted by a constructor that runs before the runtime's (which have no priority).
// A failure shows at once: the runtime aborts with its reason.
__attribute__((constructor(101))) static void mount_proc(void) {
  fill_standard_streams();
  if (getpid() == 1) (void)mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, "");
}
