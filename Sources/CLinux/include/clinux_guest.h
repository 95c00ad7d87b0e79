// What PID 1 of a guest needs: mounts by mount(2), the end of the machine, the loopback interface, terminals' sizes.
#pragma once
#include "clinux_files.h"
#include <linux/vm_sockets.h>
#include <net/if.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/utsname.h>

static inline long clinux_guest_mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data) {
  return clinux_result(mount(source, target, type, flags, data));
}
static inline long clinux_guest_sync(void) { sync(); return 0; }
static inline long clinux_guest_reboot(int command) { return clinux_result(reboot(command)); }
static inline long clinux_guest_sethostname(const char *name, size_t length) { return clinux_result(sethostname(name, length)); }
static inline long clinux_guest_fchown(int fd, uint32_t user, uint32_t group) { return clinux_result(fchown(fd, user, group)); }
// Sets IFF_UP on a network interface.
static inline long clinux_guest_interface_up(const char *name) {
  struct ifreq request;
  memset(&request, 0, sizeof request);
  if (strlen(name) >= sizeof request.ifr_name) return -ENAMETOOLONG;
  strcpy(request.ifr_name, name);
  request.ifr_flags = IFF_UP;
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -(long)errno;
  long result = clinux_result(ioctl(fd, SIOCSIFFLAGS, &request));
  close(fd);
  return result;
}
static inline long clinux_guest_set_window_size(int fd, uint16_t columns, uint16_t rows) {
  struct winsize size = {.ws_row = rows, .ws_col = columns};
  return clinux_result(ioctl(fd, TIOCSWINSZ, &size));
}
// Bytes that can be read at once (FIONREAD).
static inline long clinux_guest_readable_bytes(int fd) {
  int count = 0;
  return ioctl(fd, FIONREAD, &count) < 0 ? -(long)errno : count;
}
// Copies the kernel's release (uname -r) and its terminating zero.
static inline long clinux_guest_release(char *buffer, size_t size) {
  struct utsname names;
  if (uname(&names) < 0) return -(long)errno;
  size_t length = strlen(names.release);
  if (length >= size) return -ENAMETOOLONG;
  memcpy(buffer, names.release, length + 1);
  return (long)length;
}
// Listens at a vsock port of any of this machine's contexts that the kernel chooses; returns the port.
static inline long clinux_guest_vsock_listen(int fd) {
  struct sockaddr_vm address = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = VMADDR_PORT_ANY};
  socklen_t size = sizeof address;
  if (bind(fd, (struct sockaddr *)&address, size) < 0 || listen(fd, 128) < 0 || getsockname(fd, (struct sockaddr *)&address, &size) < 0)
    return -(long)errno;
  return (long)address.svm_port;
}
