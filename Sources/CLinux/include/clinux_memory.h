// Atomic access to memory that another agent (a guest's vCPU) writes, and vectored I/O on it.
#pragma once
#include "clinux_files.h"
#include <string.h>

static inline uint16_t clinux_load_acquire16(const void *address) { return __atomic_load_n((const uint16_t *)address, __ATOMIC_ACQUIRE); }
static inline void clinux_store_release16(void *address, uint16_t value) { __atomic_store_n((uint16_t *)address, value, __ATOMIC_RELEASE); }
static inline void clinux_full_fence(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
static inline void clinux_copy(void *to, const void *from, size_t count) { memcpy(to, from, count); }

// A slice of guest memory as Swift hands it over: struct iovec with integers.
struct clinux_slice { uintptr_t address; size_t count; };
_Static_assert(sizeof(struct clinux_slice) == sizeof(struct iovec), "layout of iovec");

// offset -1: at the file's own position.
static inline long clinux_preadv(int fd, const struct clinux_slice *slices, int count, int64_t offset) {
  const struct iovec *vector = (const struct iovec *)slices;
  return clinux_result(offset < 0 ? readv(fd, vector, count) : preadv(fd, vector, count, offset));
}
static inline long clinux_pwritev(int fd, const struct clinux_slice *slices, int count, int64_t offset) {
  const struct iovec *vector = (const struct iovec *)slices;
  return clinux_result(offset < 0 ? writev(fd, vector, count) : pwritev(fd, vector, count, offset));
}
