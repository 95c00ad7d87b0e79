// Files, descriptors and mappings. Every function returns a non-negative result or -errno; none has policy.
#pragma once
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static inline long clinux_result(long result) { return result < 0 ? -(long)errno : result; }

static inline long clinux_open(int directory, const char *path, int flags, uint32_t mode) {
  return clinux_result(openat(directory, path, flags | O_CLOEXEC, mode));
}
static inline long clinux_openat2(int directory, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve) {
  struct open_how how = {.flags = flags | O_CLOEXEC, .mode = mode, .resolve = resolve};
  return clinux_result(syscall(SYS_openat2, directory, path, &how, sizeof how));
}
static inline long clinux_close(int fd) { return clinux_result(close(fd)); }
static inline long clinux_read(int fd, void *buffer, size_t count) { return clinux_result(read(fd, buffer, count)); }
static inline long clinux_write(int fd, const void *buffer, size_t count) { return clinux_result(write(fd, buffer, count)); }
static inline long clinux_pread(int fd, void *buffer, size_t count, int64_t offset) { return clinux_result(pread(fd, buffer, count, offset)); }
static inline long clinux_pwrite(int fd, const void *buffer, size_t count, int64_t offset) { return clinux_result(pwrite(fd, buffer, count, offset)); }
static inline long clinux_dup(int fd, int minimum) { return clinux_result(fcntl(fd, F_DUPFD_CLOEXEC, minimum)); }
static inline long clinux_dup3(int fd, int target, int flags) { return clinux_result(dup3(fd, target, flags)); }
static inline long clinux_fcntl(int fd, int command, long argument) { return clinux_result(fcntl(fd, command, argument)); }
static inline long clinux_ioctl_value(int fd, unsigned long request, unsigned long argument) { return clinux_result(ioctl(fd, request, argument)); }
static inline long clinux_ioctl_pointer(int fd, unsigned long request, void *argument) { return clinux_result(ioctl(fd, request, argument)); }
static inline long clinux_memfd_create(const char *name, unsigned flags) { return clinux_result(memfd_create(name, flags)); }
static inline long clinux_ftruncate(int fd, int64_t length) { return clinux_result(ftruncate(fd, length)); }
static inline long clinux_pipe2(int fds[2], int flags) { return clinux_result(pipe2(fds, flags)); }
static inline long clinux_fstatat(int directory, const char *path, struct stat *status, int flags) { return clinux_result(fstatat(directory, path, status, flags)); }
static inline long clinux_mkdirat(int directory, const char *path, uint32_t mode) { return clinux_result(mkdirat(directory, path, mode)); }
static inline long clinux_unlinkat(int directory, const char *path, int flags) { return clinux_result(unlinkat(directory, path, flags)); }
static inline long clinux_renameat2(int from, const char *old_path, int to, const char *new_path, unsigned flags) {
  return clinux_result(syscall(SYS_renameat2, from, old_path, to, new_path, flags));
}
static inline long clinux_readlinkat(int directory, const char *path, char *buffer, size_t size) { return clinux_result(readlinkat(directory, path, buffer, size)); }
static inline long clinux_flock(int fd, int operation) {
  extern int flock(int, int);
  return clinux_result(flock(fd, operation));
}
static inline long clinux_getdents64(int fd, void *buffer, size_t size) { return clinux_result(syscall(SYS_getdents64, fd, buffer, size)); }

// Returns the address as an integer, or -errno (addresses of user space are never negative).
static inline long clinux_mmap(uintptr_t address, size_t length, int protection, int flags, int fd, int64_t offset) {
  void *result = mmap((void *)address, length, protection, flags, fd, offset);
  return result == MAP_FAILED ? -(long)errno : (long)result;
}
static inline long clinux_munmap(uintptr_t address, size_t length) { return clinux_result(munmap((void *)address, length)); }
static inline long clinux_madvise(uintptr_t address, size_t length, int advice) { return clinux_result(madvise((void *)address, length, advice)); }
static inline long clinux_mprotect(uintptr_t address, size_t length, int protection) { return clinux_result(mprotect((void *)address, length, protection)); }
