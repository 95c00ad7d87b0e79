// Processes: creation, waiting, pidfds, prctl.
#pragma once
#include "clinux_files.h"
#include <sched.h>
#include <linux/sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

static inline long clinux_pidfd_open(int pid) { return clinux_result(syscall(SYS_pidfd_open, pid, 0)); }
static inline long clinux_pidfd_send_signal(int pidfd, int signal) { return clinux_result(syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0)); }
// A copy of another process's descriptor, close-on-exec.
static inline long clinux_pidfd_getfd(int pidfd, int fd) { return clinux_result(syscall(SYS_pidfd_getfd, pidfd, fd, 0)); }
static inline long clinux_kill(int pid, int signal) { return clinux_result(kill(pid, signal)); }
// waitpid; *status is the raw wait status.
static inline long clinux_waitpid(int pid, int *status, int options) { return clinux_result(waitpid(pid, status, options)); }
static inline int clinux_status_exited(int status) { return WIFEXITED(status); }
static inline int clinux_status_code(int status) { return WEXITSTATUS(status); }
static inline int clinux_status_signal(int status) { return WIFSIGNALED(status) ? WTERMSIG(status) : 0; }
static inline long clinux_prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d) { return clinux_result(prctl(option, a, b, c, d)); }
static inline long clinux_getrlimit(int resource, uint64_t *soft, uint64_t *hard) {
  struct rlimit limit;
  if (getrlimit(resource, &limit) < 0) return -(long)errno;
  *soft = limit.rlim_cur; *hard = limit.rlim_max;
  return 0;
}
static inline long clinux_setrlimit(int resource, uint64_t soft, uint64_t hard) {
  struct rlimit limit = {.rlim_cur = soft, .rlim_max = hard};
  return clinux_result(setrlimit(resource, &limit));
}
static inline long clinux_unshare(int flags) { return clinux_result(unshare(flags)); }
static inline long clinux_setsid(void) { return clinux_result(setsid()); }
