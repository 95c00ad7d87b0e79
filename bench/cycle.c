// cycle COUNT AT-ONCE BUNDLE RUNTIME FLAG…: as many containers as COUNT, so many of them at once, each made as an engine makes it: create,
// start, the end of its process awaited, delete. Like conmon and containerd's shim it takes over the container's process, so that waiting
// costs nothing and is the same for every runtime. Prints for each container, on descriptor 3: when create was started and when delete
// had ended (nanoseconds), and the most memory (KiB) of create, start and delete.
#include "measure.h"
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static char **runtime, *bundle;
static int flags;

static struct measured verb(char **arguments) {
  char *command[64] = {0};
  int count = 0;
  for (int i = 0; i < flags && count < 40; i++) command[count++] = runtime[i];
  while (*arguments) command[count++] = *arguments++;
  struct measured result = measure(command);
  if (result.status != 0) {
    fprintf(stderr, "%s %s ended with wait status %d\n", command[0], command[flags], result.status);
    exit(1);
  }
  return result;
}

static void container(int number) {
  char id[32], file[64], text[32] = "";
  snprintf(id, sizeof id, "cycle-%d", number);
  snprintf(file, sizeof file, "/tmp/%s.pid", id);
  struct measured create = verb((char *[]){"create", "--bundle", bundle, "--pid-file", file, id, 0});
  FILE *stream = fopen(file, "r");
  if (!stream || !fgets(text, sizeof text, stream)) exit(4);
  fclose(stream);
  struct measured start = verb((char *[]){"start", id, 0});
  int status;
  if (waitpid(atoi(text), &status, 0) < 0 || status != 0) {
    fprintf(stderr, "the process of %s, %s, ended with wait status %d\n", id, text, status);
    exit(1);
  }
  struct measured delete = verb((char *[]){"delete", id, 0});
  unlink(file);
  dprintf(3, "%lld %lld %ld %ld %ld\n", create.start, delete.end, create.peak, start.peak, delete.peak);
}

static void worker(int first, int count, int step) {
  if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) exit(5);
  for (int number = first; number < count; number += step) container(number);
}

int main(int arguments, char **values) {
  if (arguments < 5) return 2;
  int count = atoi(values[1]), atOnce = atoi(values[2]);
  bundle = values[3];
  runtime = values + 4;
  flags = arguments - 4;
  if (count < 1 || atOnce < 1 || flags > 40) return 2;
  if (atOnce == 1) return worker(0, count, 1), 0;
  for (int first = 0; first < atOnce; first++) {
    pid_t child = fork();
    if (child < 0) return 6;
    if (child == 0) return worker(first, count, atOnce), 0;
  }
  int status, failed = 0;
  while (wait(&status) > 0) failed |= status != 0;
  return failed;
}
