// What `timed` and `cycle` share: a command from its start to its end.
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;

struct measured {
  long long start, end; // nanoseconds
  int status;           // as wait(2) has it
  long peak;            // KiB
};

static long long now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000000000ll + time.tv_nsec;
}

static struct measured measure(char **command) {
  struct measured result = {.start = now()};
  struct rusage usage;
  pid_t child;
  if (posix_spawnp(&child, command[0], 0, 0, command, environ) != 0 || wait4(child, &result.status, 0, &usage) != child) exit(3);
  result.end = now();
  result.peak = usage.ru_maxrss;
  return result;
}
