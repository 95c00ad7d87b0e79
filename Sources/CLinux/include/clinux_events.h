// epoll, eventfd, timerfd, signalfd, poll and signals.
#pragma once
#include "clinux_files.h"
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <time.h>

static inline long clinux_epoll_create(void) { return clinux_result(epoll_create1(EPOLL_CLOEXEC)); }
static inline long clinux_epoll_ctl(int epoll, int operation, int fd, uint32_t events, uint64_t token) {
  struct epoll_event event = {.events = events, .data.u64 = token};
  return clinux_result(epoll_ctl(epoll, operation, fd, &event));
}
// Fills parallel arrays, so that no packed structure crosses into Swift. At most 64 events.
static inline long clinux_epoll_wait(int epoll, uint64_t *tokens, uint32_t *events, int count, int timeout) {
  struct epoll_event buffer[64];
  int result = epoll_wait(epoll, buffer, count > 64 ? 64 : count, timeout);
  if (result < 0) return -(long)errno;
  for (int i = 0; i < result; i++) { tokens[i] = buffer[i].data.u64; events[i] = buffer[i].events; }
  return result;
}
static inline long clinux_eventfd(unsigned initial, int flags) { return clinux_result(eventfd(initial, flags)); }
static inline long clinux_timerfd_create(void) { return clinux_result(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)); }
static inline long clinux_timerfd_set(int fd, int64_t nanoseconds, int64_t interval) {
  struct itimerspec value = {
    .it_value = {.tv_sec = nanoseconds / 1000000000, .tv_nsec = nanoseconds % 1000000000},
    .it_interval = {.tv_sec = interval / 1000000000, .tv_nsec = interval % 1000000000}};
  return clinux_result(timerfd_settime(fd, 0, &value, NULL));
}
static inline void clinux_fill_signals(sigset_t *set, const int *signals, int count) {
  sigemptyset(set);
  for (int i = 0; i < count; i++) sigaddset(set, signals[i]);
}
static inline long clinux_signalfd(const int *signals, int count) {
  sigset_t set;
  clinux_fill_signals(&set, signals, count);
  return clinux_result(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
}
// Adds to (block != 0) or takes from the calling thread's blocked signals.
static inline long clinux_block_signals(const int *signals, int count, int block) {
  sigset_t set;
  clinux_fill_signals(&set, signals, count);
  return -(long)pthread_sigmask(block ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
}
static inline long clinux_unblock_all_signals(void) {
  sigset_t set;
  sigemptyset(&set);
  return -(long)pthread_sigmask(SIG_SETMASK, &set, NULL);
}
static inline long clinux_ignore_signal(int number) { return signal(number, SIG_IGN) == SIG_ERR ? -(long)errno : 0; }
static inline long clinux_default_signal(int number) { return signal(number, SIG_DFL) == SIG_ERR ? -(long)errno : 0; }
static void clinux_do_nothing(int number) { (void)number; }
// A handler that does nothing and does not restart system calls: it only makes a blocking call return EINTR.
static inline long clinux_interrupting_signal(int number) {
  struct sigaction action = {.sa_handler = clinux_do_nothing};
  return clinux_result(sigaction(number, &action, NULL));
}
static inline long clinux_poll(int fd, short events, int timeout, short *returned) {
  struct pollfd entry = {.fd = fd, .events = events};
  int result = poll(&entry, 1, timeout);
  *returned = entry.revents;
  return clinux_result(result);
}
static inline int64_t clinux_monotonic_nanoseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000000ll + now.tv_nsec;
}
static inline int64_t clinux_realtime_nanoseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return now.tv_sec * 1000000000ll + now.tv_nsec;
}
