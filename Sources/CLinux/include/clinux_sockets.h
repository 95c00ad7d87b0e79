// Unix sockets that carry descriptors, and vsock addresses.
#pragma once
#include "clinux_files.h"
#include <linux/netlink.h>
#include <linux/vm_sockets.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

// SCM_MAX_FD of Linux.
#define CLINUX_MAXIMUM_DESCRIPTORS 253

static inline long clinux_socket(int domain, int type) { return clinux_result(socket(domain, type | SOCK_CLOEXEC, 0)); }
static inline long clinux_socketpair(int type, int fds[2]) { return clinux_result(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds)); }
static inline long clinux_unix_address(struct sockaddr_un *address, const char *path) {
  memset(address, 0, sizeof *address);
  address->sun_family = AF_UNIX;
  if (strlen(path) >= sizeof address->sun_path) return -ENAMETOOLONG;
  strcpy(address->sun_path, path);
  return 0;
}
static inline long clinux_unix_bind(int fd, const char *path) {
  struct sockaddr_un address;
  long result = clinux_unix_address(&address, path);
  return result < 0 ? result : clinux_result(bind(fd, (struct sockaddr *)&address, sizeof address));
}
static inline long clinux_unix_connect(int fd, const char *path) {
  struct sockaddr_un address;
  long result = clinux_unix_address(&address, path);
  return result < 0 ? result : clinux_result(connect(fd, (struct sockaddr *)&address, sizeof address));
}
static inline long clinux_listen(int fd, int backlog) { return clinux_result(listen(fd, backlog)); }
static inline long clinux_accept(int fd, int flags) { return clinux_result(accept4(fd, NULL, NULL, flags | SOCK_CLOEXEC)); }
static inline long clinux_shutdown(int fd, int how) { return clinux_result(shutdown(fd, how)); }
static inline long clinux_vsock_connect(int fd, uint32_t context, uint32_t port) {
  struct sockaddr_vm address = {.svm_family = AF_VSOCK, .svm_cid = context, .svm_port = port};
  return clinux_result(connect(fd, (struct sockaddr *)&address, sizeof address));
}
// A socket of rtnetlink(7), bound to an address of the kernel's choice.
static inline long clinux_route_socket(void) {
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (fd < 0) return -(long)errno;
  struct sockaddr_nl address = {.nl_family = AF_NETLINK};
  if (bind(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd;
  long result = -(long)errno;
  close(fd);
  return result;
}
static inline long clinux_send(int fd, const void *buffer, size_t count, int flags) { return clinux_result(send(fd, buffer, count, flags)); }
static inline long clinux_recv(int fd, void *buffer, size_t count, int flags) { return clinux_result(recv(fd, buffer, count, flags)); }
// Sends bytes together with descriptors (SCM_RIGHTS).
static inline long clinux_send_descriptors(int fd, const void *buffer, size_t count, const int *fds, int fd_count, int flags) {
  char control[CMSG_SPACE(sizeof(int) * CLINUX_MAXIMUM_DESCRIPTORS)];
  if (fd_count < 0 || fd_count > CLINUX_MAXIMUM_DESCRIPTORS) return -EINVAL;
  struct iovec vector = {.iov_base = (void *)buffer, .iov_len = count};
  struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
  if (fd_count > 0) {
    memset(control, 0, sizeof control);
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
    memcpy(CMSG_DATA(header), fds, sizeof(int) * fd_count);
  }
  return clinux_result(sendmsg(fd, &message, flags | MSG_NOSIGNAL));
}
// Receives bytes and up to CLINUX_MAXIMUM_DESCRIPTORS descriptors, close-on-exec; *fd_count says how many came.
static inline long clinux_receive_descriptors(int fd, void *buffer, size_t count, int *fds, int *fd_count, int flags) {
  char control[CMSG_SPACE(sizeof(int) * CLINUX_MAXIMUM_DESCRIPTORS)];
  struct iovec vector = {.iov_base = buffer, .iov_len = count};
  struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  *fd_count = 0;
  ssize_t result = recvmsg(fd, &message, flags | MSG_CMSG_CLOEXEC);
  if (result < 0) return -(long)errno;
  for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    int received = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (int i = 0; i < received; i++) {
      int one;
      memcpy(&one, CMSG_DATA(header) + i * sizeof(int), sizeof one);
      if (*fd_count < CLINUX_MAXIMUM_DESCRIPTORS) fds[(*fd_count)++] = one; else close(one);
    }
  }
  return result;
}
// The peer's process id, or -errno.
static inline long clinux_peer_process(int fd) {
  struct ucred credentials;
  socklen_t size = sizeof credentials;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) < 0) return -(long)errno;
  return credentials.pid;
}
