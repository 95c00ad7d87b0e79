// What makes and copies whole file trees: attributes of files that are open for writing, and of entries that cannot be opened; copies
// that share blocks; loop devices and btrfs subvolumes. Every function returns a non-negative result or -errno; none has policy.
#pragma once
#include "clinux_files.h"
#include <linux/btrfs.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>

static inline long clinux_set_mode(int fd, uint32_t mode) { return clinux_result(fchmod(fd, mode)); }
static inline long clinux_set_entry_mode(int fd, const uint8_t *name, uint32_t mode) { return clinux_result(fchmodat(fd, (const char *)name, mode, 0)); }
static inline long clinux_set_entry_owner(int fd, const uint8_t *name, uint32_t user, uint32_t group) {
  return clinux_result(fchownat(fd, (const char *)name, user, group, AT_SYMLINK_NOFOLLOW));
}
// An empty name means the object of the descriptor itself.
static inline long clinux_set_entry_times(int fd, const uint8_t *name, int64_t access_seconds, long access_nanoseconds, int64_t modify_seconds, long modify_nanoseconds) {
  struct timespec times[2] = {{.tv_sec = access_seconds, .tv_nsec = access_nanoseconds}, {.tv_sec = modify_seconds, .tv_nsec = modify_nanoseconds}};
  return clinux_result(name[0] == 0 ? futimens(fd, times) : utimensat(fd, (const char *)name, times, AT_SYMLINK_NOFOLLOW));
}
static inline long clinux_link_entry(int from, const uint8_t *name, int to, const uint8_t *new_name) {
  return clinux_result(linkat(from, (const char *)name, to, (const char *)new_name, 0));
}
static inline long clinux_read_entry_link(int fd, const uint8_t *name, void *buffer, size_t size) {
  return clinux_result(readlinkat(fd, (const char *)name, buffer, size));
}
static inline long clinux_openat2_bytes(int fd, const uint8_t *path, uint64_t flags, uint64_t resolve) {
  struct open_how how = {.flags = flags | O_CLOEXEC, .resolve = resolve};
  return clinux_result(syscall(SYS_openat2, fd, path, &how, sizeof how));
}

// Extended attributes of an open file (name empty), or of an entry, which is not followed. There is no form with a directory descriptor before
// Linux 6.13, so an entry goes by the descriptor's magic link; an O_PATH descriptor will do.
struct clinux_entry_path { char text[300]; };
static inline struct clinux_entry_path clinux_entry_path(int fd, const uint8_t *name) {
  struct clinux_entry_path path;
  snprintf(path.text, sizeof path.text, "/proc/self/fd/%d/%s", fd, (const char *)name);
  return path;
}
static inline long clinux_set_entry_xattr(int fd, const uint8_t *name, const uint8_t *attribute, const void *value, size_t size) {
  if (name[0] == 0) return clinux_result(fsetxattr(fd, (const char *)attribute, value, size, 0));
  struct clinux_entry_path path = clinux_entry_path(fd, name);
  return clinux_result(lsetxattr(path.text, (const char *)attribute, value, size, 0));
}
static inline long clinux_get_entry_xattr(int fd, const uint8_t *name, const uint8_t *attribute, void *value, size_t size) {
  if (name[0] == 0) return clinux_result(fgetxattr(fd, (const char *)attribute, value, size));
  struct clinux_entry_path path = clinux_entry_path(fd, name);
  return clinux_result(lgetxattr(path.text, (const char *)attribute, value, size));
}
static inline long clinux_list_entry_xattr(int fd, const uint8_t *name, void *names, size_t size) {
  if (name[0] == 0) return clinux_result(flistxattr(fd, names, size));
  struct clinux_entry_path path = clinux_entry_path(fd, name);
  return clinux_result(llistxattr(path.text, names, size));
}
static inline long clinux_remove_entry_xattr(int fd, const uint8_t *name, const uint8_t *attribute) {
  if (name[0] == 0) return clinux_result(fremovexattr(fd, (const char *)attribute));
  struct clinux_entry_path path = clinux_entry_path(fd, name);
  return clinux_result(lremovexattr(path.text, (const char *)attribute));
}

static inline long clinux_clone_file(int to, int from) { return clinux_result(ioctl(to, FICLONE, from)); }

// Makes a free loop device show a file, read-only; it vanishes when nothing uses it any longer. The device's open descriptor.
static inline long clinux_attach_loop(int file) {
  int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
  if (control < 0) return -(long)errno;
  long result = -EBUSY;
  // Another process may be faster in taking the device that was free.
  for (int attempt = 0; attempt < 64 && result == -EBUSY; attempt++) {
    int number = ioctl(control, LOOP_CTL_GET_FREE);
    if (number < 0) { result = -(long)errno; break; }
    char path[32];
    snprintf(path, sizeof path, "/dev/loop%d", number);
    int device = open(path, O_RDONLY | O_CLOEXEC);
    if (device < 0) { result = -(long)errno; break; }
    struct loop_config configuration = {.fd = (uint32_t)file, .info = {.lo_flags = LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR}};
    if (ioctl(device, LOOP_CONFIGURE, &configuration) == 0) { result = device; break; }
    result = -(long)errno;
    close(device);
  }
  close(control);
  return result;
}

static inline long clinux_make_subvolume(int directory, const uint8_t *name) {
  struct btrfs_ioctl_vol_args arguments = {0};
  strncpy(arguments.name, (const char *)name, BTRFS_PATH_NAME_MAX);
  return clinux_result(ioctl(directory, BTRFS_IOC_SUBVOL_CREATE, &arguments));
}
static inline long clinux_snapshot_subvolume(int source, int directory, const uint8_t *name) {
  struct btrfs_ioctl_vol_args_v2 arguments = {.fd = source};
  strncpy(arguments.name, (const char *)name, BTRFS_SUBVOL_NAME_MAX);
  return clinux_result(ioctl(directory, BTRFS_IOC_SNAP_CREATE_V2, &arguments));
}
static inline long clinux_remove_subvolume(int directory, const uint8_t *name) {
  struct btrfs_ioctl_vol_args arguments = {0};
  strncpy(arguments.name, (const char *)name, BTRFS_PATH_NAME_MAX);
  return clinux_result(ioctl(directory, BTRFS_IOC_SNAP_DESTROY, &arguments));
}
