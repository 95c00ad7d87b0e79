// timed COMMAND ARG…: runs a command and prints when it was started and when it had ended (CLOCK_MONOTONIC, nanoseconds), its
// wait status, and the most memory (KiB) that it or a child that it waited for had, on descriptor 3. Static and small, so that under
// virtual time it adds next to nothing.
#include "measure.h"

int main(int count, char **arguments) {
  if (count < 2) return 2;
  struct measured result = measure(arguments + 1);
  dprintf(3, "%lld %lld %d %ld\n", result.start, result.end, result.status, result.peak);
  return 0;
}
