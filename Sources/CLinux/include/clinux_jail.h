// What a process does to lock itself in.
#pragma once
#include "clinux_files.h"
#include <linux/mount.h>
#include <sys/mount.h>

// <linux/mount.h> and <sys/mount.h> agree on these; older headers lack some.
static inline long clinux_clone_tree(int fd) {
  return clinux_result(syscall(SYS_open_tree, fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | 0x8000 /* AT_RECURSIVE */));
}
static inline long clinux_restrict_tree(int fd, uint64_t attributes) {
  struct mount_attr change = {.attr_set = attributes};
  return clinux_result(syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH | 0x8000 /* AT_RECURSIVE */, &change, sizeof change));
}
static inline long clinux_mount_flags(const char *source, const char *target, const char *type, unsigned long flags, const char *data) {
  return clinux_result(mount(source, target, type, flags, data));
}
static inline long clinux_pivot_root(const char *new_root, const char *old_root) { return clinux_result(syscall(SYS_pivot_root, new_root, old_root)); }
static inline long clinux_umount(const char *target, int flags) { return clinux_result(umount2(target, flags)); }
static inline long clinux_chdir(const char *path) { return clinux_result(chdir(path)); }
