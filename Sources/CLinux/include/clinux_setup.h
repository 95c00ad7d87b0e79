// What a process does to itself on the way to becoming a container's: namespaces, identity, limits, terminal, scheduling.
#pragma once
#include "clinux_files.h"
#include <grp.h>
#include <linux/capability.h>
#include <linux/ioprio.h>
#include <linux/nsfs.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static inline long clinux_setns(int fd, int type) { return clinux_result(setns(fd, type)); }
// The CLONE_NEW* bit of a namespace's descriptor.
static inline long clinux_namespace_type(int fd) { return clinux_result(ioctl(fd, NS_GET_NSTYPE)); }
static inline long clinux_sethostname(const char *name, size_t size) { return clinux_result(sethostname(name, size)); }
static inline long clinux_setdomainname(const char *name, size_t size) { return clinux_result(setdomainname(name, size)); }
static inline long clinux_setgroups(const uint32_t *groups, size_t count) { return clinux_result(setgroups(count, groups)); }
static inline long clinux_setresuid(uint32_t user) { return clinux_result(setresuid(user, user, user)); }
static inline long clinux_setresgid(uint32_t group) { return clinux_result(setresgid(group, group, group)); }
static inline uint32_t clinux_umask(uint32_t mask) { return umask(mask); }
static inline long clinux_close_range(unsigned first, unsigned last, unsigned flags) { return clinux_result(syscall(SYS_close_range, first, last, flags)); }
static inline long clinux_prlimit(int pid, int resource, uint64_t soft, uint64_t hard) {
  struct rlimit limit = {.rlim_cur = soft, .rlim_max = hard};
  return clinux_result(prlimit(pid, (enum __rlimit_resource)resource, &limit, NULL));
}
static inline long clinux_personality(unsigned long persona) { return clinux_result(personality(persona)); }
static inline long clinux_ioprio_set(int priority_class, int data) { return clinux_result(syscall(SYS_ioprio_set, 1 /* IOPRIO_WHO_PROCESS */, 0, (priority_class << 13) | data)); }
// sched_setattr(2) of the calling thread; the structure is the second version, whose clamps of utilisation are 0.
static inline long clinux_sched_setattr(uint32_t policy, uint64_t flags, int32_t nice, uint32_t priority, uint64_t runtime, uint64_t deadline, uint64_t period) {
  struct {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
    uint32_t utilisation_minimum, utilisation_maximum;
  } attributes = {56, policy, flags, nice, priority, runtime, deadline, period, 0, 0};
  _Static_assert(sizeof attributes == 56, "struct sched_attr, version 1");
  return clinux_result(syscall(SYS_sched_setattr, 0, &attributes, 0));
}
// Masks are 64-bit words, lowest first; `size` is in bytes, `bits` in bits.
static inline long clinux_sched_setaffinity(int pid, const uint64_t *mask, size_t size) { return clinux_result(syscall(SYS_sched_setaffinity, pid, size, mask)); }
static inline long clinux_sched_getaffinity(int pid, uint64_t *mask, size_t size) { return clinux_result(syscall(SYS_sched_getaffinity, pid, size, mask)); }
static inline long clinux_set_mempolicy(int mode, const uint64_t *nodes, unsigned long bits) { return clinux_result(syscall(SYS_set_mempolicy, mode, nodes, bits)); }
static inline long clinux_join_session_keyring(const char *name) { return clinux_result(syscall(SYS_keyctl, 1 /* KEYCTL_JOIN_SESSION_KEYRING */, name)); }
static inline long clinux_interface_up(const char *name) {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -(long)errno;
  struct ifreq request;
  memset(&request, 0, sizeof request);
  strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  long result = clinux_result(ioctl(fd, SIOCGIFFLAGS, &request));
  if (result == 0) {
    request.ifr_flags |= IFF_UP;
    result = clinux_result(ioctl(fd, SIOCSIFFLAGS, &request));
  }
  close(fd);
  return result;
}
static inline long clinux_terminal_unlock(int master) {
  int zero = 0;
  return clinux_result(ioctl(master, TIOCSPTLCK, &zero));
}
// The other end of a pseudo-terminal, without a path that could lead elsewhere.
static inline long clinux_terminal_peer(int master, int flags) { return clinux_result(ioctl(master, TIOCGPTPEER, (long)flags)); }
static inline long clinux_execve(const char *path, char *const *arguments, char *const *environment) { return clinux_result(execve(path, arguments, environment)); }
static inline int clinux_fork(void) { return fork(); }
