// File operations on what a descriptor names, for a file server: names are bytes, and no path has more than one component.
// Every function returns a non-negative result or -errno; none has policy.
#pragma once
#include "clinux_files.h"
#include "clinux_memory.h"
#include <sched.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#ifndef STATX_MNT_ID
#define STATX_MNT_ID 0x1000U
#endif

// What statx(2) says, without its padding.
struct clinux_attributes {
  uint64_t inode, size, blocks, device, mount;
  int64_t access_seconds, modify_seconds, change_seconds;
  uint32_t access_nanoseconds, modify_nanoseconds, change_nanoseconds;
  uint32_t mode, links, user, group, block_size;
  uint32_t device_major, device_minor;
  // When it came into being; not every file system knows.
  int64_t birth_seconds;
  uint32_t birth_nanoseconds, has_birth;
};

// An empty name means the object of the descriptor itself. A symbolic link is never followed.
static inline long clinux_get_attributes(int fd, const uint8_t *name, struct clinux_attributes *out) {
  struct statx raw;
  int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | (name[0] == 0 ? AT_EMPTY_PATH : 0);
  if (statx(fd, (const char *)name, flags, STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID, &raw) < 0) return -(long)errno;
  *out = (struct clinux_attributes){
    .inode = raw.stx_ino, .size = raw.stx_size, .blocks = raw.stx_blocks,
    .device = makedev(raw.stx_dev_major, raw.stx_dev_minor), .mount = raw.stx_mnt_id,
    .access_seconds = raw.stx_atime.tv_sec, .modify_seconds = raw.stx_mtime.tv_sec, .change_seconds = raw.stx_ctime.tv_sec,
    .access_nanoseconds = raw.stx_atime.tv_nsec, .modify_nanoseconds = raw.stx_mtime.tv_nsec, .change_nanoseconds = raw.stx_ctime.tv_nsec,
    .mode = raw.stx_mode, .links = raw.stx_nlink, .user = raw.stx_uid, .group = raw.stx_gid, .block_size = raw.stx_blksize,
    .device_major = raw.stx_rdev_major, .device_minor = raw.stx_rdev_minor,
    .birth_seconds = raw.stx_btime.tv_sec, .birth_nanoseconds = raw.stx_btime.tv_nsec, .has_birth = (raw.stx_mask & STATX_BTIME) != 0};
  return 0;
}

static inline long clinux_open_entry(int fd, const uint8_t *name, int flags, uint32_t mode) {
  return clinux_result(openat(fd, (const char *)name, flags | O_CLOEXEC, mode));
}
static inline long clinux_make_directory(int fd, const uint8_t *name, uint32_t mode) { return clinux_result(mkdirat(fd, (const char *)name, mode)); }
static inline long clinux_make_node(int fd, const uint8_t *name, uint32_t mode, uint32_t major, uint32_t minor) {
  return clinux_result(mknodat(fd, (const char *)name, mode, makedev(major, minor)));
}
static inline long clinux_make_symlink(const uint8_t *target, int fd, const uint8_t *name) {
  return clinux_result(symlinkat((const char *)target, fd, (const char *)name));
}
static inline long clinux_unlink_entry(int fd, const uint8_t *name, int flags) { return clinux_result(unlinkat(fd, (const char *)name, flags)); }
static inline long clinux_rename_entry(int from, const uint8_t *name, int to, const uint8_t *new_name, unsigned flags) {
  return clinux_result(syscall(SYS_renameat2, from, name, to, new_name, flags));
}
static inline long clinux_read_link(int fd, void *buffer, size_t size) { return clinux_result(readlinkat(fd, "", buffer, size)); }
static inline long clinux_change_owner(int fd, uint32_t user, uint32_t group) {
  return clinux_result(fchownat(fd, "", user, group, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW));
}

struct clinux_file_system {
  uint64_t type, blocks, free, available, files, free_files;
  uint32_t block_size, name_length, fragment_size;
};
static inline long clinux_file_system(int fd, struct clinux_file_system *out) {
  struct statfs raw;
  if (fstatfs(fd, &raw) < 0) return -(long)errno;
  *out = (struct clinux_file_system){
    .type = (uint64_t)raw.f_type, .blocks = raw.f_blocks, .free = raw.f_bfree, .available = raw.f_bavail, .files = raw.f_files,
    .free_files = raw.f_ffree, .block_size = (uint32_t)raw.f_bsize, .name_length = (uint32_t)raw.f_namelen, .fragment_size = (uint32_t)raw.f_frsize};
  return 0;
}

// Operations that O_PATH descriptors refuse go through the magic links of an open /proc/self/fd. Such a link leads to the very
// object (even to a symbolic link itself), whatever has been renamed since.
struct clinux_link_name { char text[12]; };
static inline struct clinux_link_name clinux_link_name(int fd) {
  struct clinux_link_name name;
  snprintf(name.text, sizeof name.text, "%d", fd);
  return name;
}
static inline long clinux_reopen(int links, int fd, int flags) {
  struct clinux_link_name name = clinux_link_name(fd);
  return clinux_result(openat(links, name.text, (flags & ~(O_NOFOLLOW | O_CREAT)) | O_CLOEXEC));
}
static inline long clinux_change_mode(int links, int fd, uint32_t mode) {
  struct clinux_link_name name = clinux_link_name(fd);
  return clinux_result(fchmodat(links, name.text, mode, 0));
}
static inline long clinux_change_times(int links, int fd, int64_t access_seconds, long access_nanoseconds, int64_t modify_seconds, long modify_nanoseconds) {
  struct clinux_link_name name = clinux_link_name(fd);
  struct timespec times[2] = {{.tv_sec = access_seconds, .tv_nsec = access_nanoseconds}, {.tv_sec = modify_seconds, .tv_nsec = modify_nanoseconds}};
  return clinux_result(utimensat(links, name.text, times, 0));
}
static inline long clinux_link_object(int links, int fd, int directory, const uint8_t *new_name) {
  struct clinux_link_name name = clinux_link_name(fd);
  return clinux_result(linkat(links, name.text, directory, (const char *)new_name, AT_SYMLINK_FOLLOW));
}
// These have no form with a directory descriptor: the calling thread's working directory must be /proc/self/fd.
static inline long clinux_truncate_object(int fd, int64_t length) {
  struct clinux_link_name name = clinux_link_name(fd);
  return clinux_result(truncate(name.text, length));
}
static inline long clinux_get_xattr(int fd, const uint8_t *attribute, void *value, size_t size) {
  struct clinux_link_name name = clinux_link_name(fd);
  return clinux_result(getxattr(name.text, (const char *)attribute, value, size));
}
static inline long clinux_set_xattr(int fd, const uint8_t *attribute, const void *value, size_t size, int flags) {
  struct clinux_link_name name = clinux_link_name(fd);
  return clinux_result(setxattr(name.text, (const char *)attribute, value, size, flags));
}
static inline long clinux_list_xattr(int fd, void *names, size_t size) {
  struct clinux_link_name name = clinux_link_name(fd);
  return clinux_result(listxattr(name.text, names, size));
}
static inline long clinux_remove_xattr(int fd, const uint8_t *attribute) {
  struct clinux_link_name name = clinux_link_name(fd);
  return clinux_result(removexattr(name.text, (const char *)attribute));
}

// Gives the calling thread a working directory and a file-creation mask of its own (no privilege is needed), and sets both.
static inline long clinux_own_directory(int fd) {
  if (unshare(CLONE_FS) < 0 || fchdir(fd) < 0) return -(long)errno;
  umask(0);
  return 0;
}
static inline void clinux_set_umask(uint32_t mask) { umask(mask); }

static inline long clinux_seek(int fd, int64_t offset, int whence) { return clinux_result(lseek(fd, offset, whence)); }
static inline long clinux_fallocate(int fd, int mode, int64_t offset, int64_t length) { return clinux_result(fallocate(fd, mode, offset, length)); }
static inline long clinux_copy_file_range(int from, int64_t from_offset, int to, int64_t to_offset, size_t length) {
  off_t in = from_offset, out = to_offset;
  return clinux_result(copy_file_range(from, &in, to, &out, length, 0));
}
static inline long clinux_fsync(int fd, int data_only) { return clinux_result(data_only ? fdatasync(fd) : fsync(fd)); }
static inline long clinux_syncfs(int fd) { return clinux_result(syncfs(fd)); }
// At the end of the file, wherever that is now, though the descriptor was not opened with O_APPEND. Overlayfs of Linux 6.1 does not pass
// RWF_APPEND on and writes at the offset, so that is the end as well.
static inline long clinux_append(int fd, const struct clinux_slice *slices, int count) {
  off_t end = lseek(fd, 0, SEEK_END);
  if (end < 0) return -(long)errno;
  return clinux_result(pwritev2(fd, (const struct iovec *)slices, count, end, RWF_APPEND));
}
// The soft limit of open descriptors (RLIMIT_NOFILE).
static inline long clinux_descriptor_limit(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return -(long)errno;
  return limit.rlim_cur > 1 << 24 ? 1 << 24 : (long)limit.rlim_cur;
}
// An eventfd whose read blocks: what a worker thread waits on.
static inline long clinux_blocking_event(void) {
  extern int eventfd(unsigned, int);
  return clinux_result(eventfd(0, O_CLOEXEC));
}
