// Making nacelle-init: clone3 of a child that executes it from an open descriptor.
//
// The child may share the parent's memory until it executes (as after vfork), so it makes nothing but raw system calls here,
// on stack frames below the parent's; and the parent is stopped meanwhile.
#pragma once
#include "clinux_files.h"
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

// What to make. Descriptors are -1 when unused.
struct clinux_spawn {
  uint64_t flags;          // CLONE_NEW* of the child
  int program;             // nacelle-init, open
  int channel;             // the child's end of the handshake: becomes its descriptor 3
  int cgroup;              // a cgroup v2 directory to start in
  int wait_for_mapping;    // the child reads one byte from the channel and becomes root of its user namespace before it executes
  int pid;                 // out: the child, in the caller's pid namespace
  int failed_step;         // out: which step failed: one of CLINUX_SPAWN_*
};
enum {
  CLINUX_SPAWN_CLONE = 1,
  CLINUX_SPAWN_BECOME_ROOT,
  CLINUX_SPAWN_EXECUTE,
};

// One system call without a call frame: after it returns twice on one stack, no return address of the parent's can have been overwritten.
__attribute__((always_inline)) static inline long clinux_raw(long number, long a, long b, long c, long d, long e) {
#if defined(__x86_64__)
  long result;
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  __asm__ volatile("syscall" : "=a"(result) : "0"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8) : "rcx", "r11", "memory");
  return result;
#elif defined(__aarch64__)
  register long x8 __asm__("x8") = number;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d;
  register long x4 __asm__("x4") = e;
  __asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
  return x0;
#else
#error "no system call sequence for this processor"
#endif
}

// What the child writes into the parent's memory: without this the optimiser sees `spawn` escape only on paths that
// never return, and takes what the parent stored before the clone for what is there after it.
__attribute__((always_inline)) static inline void clinux_spawn_shared(struct clinux_spawn *spawn) {
  __asm__ volatile("" : : "r"(spawn) : "memory");
}

// The child's part: never returns.
__attribute__((noinline, noreturn)) static inline void clinux_spawn_child(struct clinux_spawn *spawn) {
  static char *const arguments[] = {"nacelle-init", 0};
  static char *const environment[] = {0};
  long result;
  if (spawn->wait_for_mapping) {
    char byte;
    do result = clinux_raw(SYS_read, spawn->channel, (long)&byte, 1, 0, 0); while (result == -EINTR);
    if (result != 1) clinux_raw(SYS_exit_group, 125, 0, 0, 0, 0);
    // An unmapped user would lose its capabilities at execve.
    spawn->failed_step = CLINUX_SPAWN_BECOME_ROOT;
    if ((result = clinux_raw(SYS_setresgid, 0, 0, 0, 0, 0)) < 0 || (result = clinux_raw(SYS_setresuid, 0, 0, 0, 0, 0)) < 0) goto failed;
  }
  spawn->failed_step = CLINUX_SPAWN_EXECUTE;
  result = spawn->channel == 3 ? clinux_raw(SYS_fcntl, 3, F_SETFD, 0, 0, 0) : clinux_raw(SYS_dup3, spawn->channel, 3, 0, 0, 0);
  if (result >= 0) result = clinux_raw(SYS_execveat, spawn->program, (long)"", (long)arguments, (long)environment, AT_EMPTY_PATH);
failed:
  // Heard by the parent as a failed spawn (shared memory) or through the channel's end (a copy of it).
  spawn->pid = (int)result;
  clinux_raw(SYS_exit_group, 126, 0, 0, 0, 0);
  __builtin_unreachable();
}

// Makes the child. 0, or -errno with `failed_step` set; then no child is left.
__attribute__((noinline)) static inline long clinux_spawn_init(struct clinux_spawn *spawn) {
  struct clone_args arguments;
  memset(&arguments, 0, sizeof arguments);
  arguments.flags = spawn->flags | (spawn->cgroup >= 0 ? CLONE_INTO_CGROUP : 0);
  arguments.exit_signal = SIGCHLD;
  arguments.cgroup = spawn->cgroup >= 0 ? (uint64_t)spawn->cgroup : 0;
  if (!spawn->wait_for_mapping) arguments.flags |= CLONE_VM | CLONE_VFORK;
  spawn->pid = 0;
  spawn->failed_step = CLINUX_SPAWN_CLONE;
  clinux_spawn_shared(spawn);
  sigset_t all, old;
  sigfillset(&all);
  // No handler of the parent's may run in a child that shares its memory.
  sigprocmask(SIG_SETMASK, &all, &old);
  long result = clinux_raw(SYS_clone3, (long)&arguments, sizeof arguments, 0, 0, 0);
  if (result == 0) clinux_spawn_child(spawn);
  clinux_spawn_shared(spawn);
  if (result > 0 && spawn->pid < 0) {
    long reason = spawn->pid;
    waitpid((int)result, NULL, 0);
    result = reason;
  }
  sigprocmask(SIG_SETMASK, &old, NULL);
  if (result < 0) return result;
  spawn->pid = (int)result;
  return 0;
}

// fork of a child in new namespaces that is the caller's sibling: its parent is the caller's. 0 in the child. For a program with one thread.
static inline long clinux_clone_sibling(uint64_t namespaces) {
  struct clone_args arguments;
  memset(&arguments, 0, sizeof arguments);
  // The signal of its end is inherited from the caller's own and must not be given.
  arguments.flags = namespaces | CLONE_PARENT;
  return clinux_raw(SYS_clone3, (long)&arguments, sizeof arguments, 0, 0, 0);
}
