// What relaying somebody else's standard streams needs: what kind of file it is, and I/O that never blocks. Random bytes.
#pragma once
#include "clinux_files.h"
#include "clinux_events.h"
#include "clinux_sockets.h"
#include <sys/random.h>

// The S_IFMT bits of a descriptor's file, or -errno.
static inline long clinux_file_type(int fd) {
  struct stat status;
  return fstat(fd, &status) < 0 ? -(long)errno : (long)(status.st_mode & S_IFMT);
}
static inline int clinux_is_terminal(int fd) { return isatty(fd); }
// Only a pseudoterminal's master has a number to tell.
static inline int clinux_is_terminal_master(int fd) {
  unsigned number;
  return ioctl(fd, TIOCGPTN, &number) == 0;
}
static inline long clinux_getrandom(void *buffer, size_t count) { return clinux_result(getrandom(buffer, count, 0)); }
static inline unsigned long clinux_current_thread(void) { return (unsigned long)pthread_self(); }
