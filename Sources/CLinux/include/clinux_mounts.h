// Mounts by descriptor (the mount API of Linux 5.2 and 5.12), pivot_root and device nodes.
#pragma once
#include "clinux_files.h"
#include <sys/mount.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

static inline long clinux_mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data) {
  return clinux_result(mount(source, target, type, flags, data));
}
static inline long clinux_unmount(const char *target, int flags) { return clinux_result(umount2(target, flags)); }
static inline long clinux_fsopen(const char *type) { return clinux_result(fsopen(type, FSOPEN_CLOEXEC)); }
static inline long clinux_fsconfig(int fd, unsigned command, const char *key, const void *value, int number) {
  return clinux_result(fsconfig(fd, command, key, value, number));
}
static inline long clinux_fsmount(int fd, unsigned attributes) { return clinux_result(fsmount(fd, FSMOUNT_CLOEXEC, attributes)); }
static inline long clinux_open_tree(int directory, const char *path, unsigned flags) {
  return clinux_result(open_tree(directory, path, flags | OPEN_TREE_CLOEXEC));
}
// Attaches the detached mount `mount_fd` on what `target_fd` names.
static inline long clinux_move_mount(int mount_fd, int target_fd) {
  return clinux_result(move_mount(mount_fd, "", target_fd, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH));
}
static inline long clinux_mount_setattr(int fd, int recursive, uint64_t set, uint64_t clear, uint64_t propagation, uint64_t userns_fd) {
  struct mount_attr attributes = {.attr_set = set, .attr_clr = clear, .propagation = propagation, .userns_fd = userns_fd};
  return clinux_result(mount_setattr(fd, "", AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0), &attributes, sizeof attributes));
}
static inline long clinux_change_root_mount(const char *new_root, const char *put_old) { return clinux_result(syscall(SYS_pivot_root, new_root, put_old)); }
static inline long clinux_chroot(const char *path) { return clinux_result(chroot(path)); }
static inline long clinux_change_directory(const char *path) { return clinux_result(chdir(path)); }
static inline long clinux_fchdir(int fd) { return clinux_result(fchdir(fd)); }
static inline long clinux_getcwd(char *buffer, size_t size) { return clinux_result(syscall(SYS_getcwd, buffer, size)); }
static inline long clinux_mknodat(int directory, const char *path, uint32_t mode, uint32_t major_number, uint32_t minor_number) {
  return clinux_result(mknodat(directory, path, mode, makedev(major_number, minor_number)));
}
static inline uint32_t clinux_major(uint64_t device) { return major(device); }
static inline uint32_t clinux_minor(uint64_t device) { return minor(device); }
static inline long clinux_symlinkat(const char *target, int directory, const char *path) { return clinux_result(symlinkat(target, directory, path)); }
static inline long clinux_fchmodat(int directory, const char *path, uint32_t mode) { return clinux_result(fchmodat(directory, path, mode, 0)); }
static inline long clinux_fchownat(int directory, const char *path, uint32_t user, uint32_t group, int flags) {
  return clinux_result(fchownat(directory, path, user, group, flags));
}
static inline long clinux_fchown(int fd, uint32_t user, uint32_t group) { return clinux_result(fchown(fd, user, group)); }
static inline long clinux_statfs_type(int fd) {
  struct statfs status;
  return fstatfs(fd, &status) < 0 ? -(long)errno : (long)status.f_type;
}
static inline long clinux_rmdir(const char *path) { return clinux_result(rmdir(path)); }
static inline long clinux_setxattr(const char *path, const char *name, const void *value, size_t size) { return clinux_result(setxattr(path, name, value, size, 0)); }
