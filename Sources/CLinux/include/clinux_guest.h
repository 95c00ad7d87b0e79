// What PID 1 of a guest needs: the end of the machine, its kernel's release, and a vsock port to listen at.
#pragma once
#include "clinux_files.h"
#include <linux/vm_sockets.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/utsname.h>

static inline long clinux_guest_sync(void) { sync(); return 0; }
static inline long clinux_guest_reboot(int command) { return clinux_result(reboot(command)); }
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
