// Filters of system calls.
#pragma once
#include "clinux_files.h"
#include <linux/filter.h>
#include <linux/seccomp.h>

// `instructions` are struct sock_filter, 8 bytes each. With SECCOMP_FILTER_FLAG_NEW_LISTENER the result is a descriptor.
static inline long clinux_seccomp_filter(unsigned flags, const void *instructions, size_t count) {
  _Static_assert(sizeof(struct sock_filter) == 8, "layout of sock_filter");
  if (count > 0xFFFF) return -EINVAL;
  struct sock_fprog program = {.len = (unsigned short)count, .filter = (struct sock_filter *)instructions};
  return clinux_result(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program));
}
