/* PID 1 of the testbed's outer machine once its file systems are mounted: receives the command over virtio-serial,
 * runs it, relays its standard streams, reports its status. It reaps orphans and never ends by itself: the host ends the machine. */
#define _GNU_SOURCE
#include "protocol.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* One direction of one stream: bytes read from `source` wait in `data` until `sink` takes them. */
struct relay {
    int source, sink;
    size_t start, end;
    uint64_t passed;       /* bytes taken from the source */
    uint64_t limit;        /* after so many bytes there are no more */
    char data[64 << 10];
};

struct plan {
    char *directory;
    char **arguments;
    char **environment;
    bool terminal, merged;
    struct winsize window;
};

static int control = -1;
static int terminal_master = -1;
static struct relay input = {-1, -1, 0, 0, 0, UINT64_MAX, {0}};
static struct relay output[2] = {{-1, -1, 0, 0, 0, UINT64_MAX, {0}}, {-1, -1, 0, 0, 0, UINT64_MAX, {0}}};

static void send_frame(uint8_t type, const void *payload, uint32_t length) {
    char buffer[4096];
    struct frame_header header = {type, length};
    memcpy(buffer, &header, sizeof header);
    memcpy(buffer + sizeof header, payload, length);
    size_t total = sizeof header + length, done = 0;
    while (done < total) {
        ssize_t n = write(control, buffer + done, total - done);
        if (n > 0) done += (size_t)n;
        else poll(&(struct pollfd){control, POLLOUT, 0}, 1, 1000);
    }
}

static void park(void) {
    for (;;) pause();
}

/* Tells the host that the testbed, not the command, failed. */
__attribute__((format(printf, 1, 2), noreturn)) static void fail(const char *format, ...) {
    char text[2048];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    if (control >= 0) send_frame(FRAME_FAILED, text, (uint32_t)strlen(text));
    else dprintf(2, "testbed: %s\n", text);
    park();
    abort();
}

/* Opens the virtio-serial port of that name. The kernel learns of ports by messages, so it may come a little later. */
static int open_port(const char *wanted) {
    for (int attempt = 0; attempt < 2000; attempt++) {
        DIR *directory = opendir("/sys/class/virtio-ports");
        struct dirent *entry;
        while (directory && (entry = readdir(directory))) {
            char path[600], name[64] = "";
            snprintf(path, sizeof path, "/sys/class/virtio-ports/%s/name", entry->d_name);
            int fd = open(path, O_RDONLY | O_CLOEXEC);
            if (fd < 0) continue;
            ssize_t n = read(fd, name, sizeof name - 1);
            close(fd);
            if (n <= 0) continue;
            name[strcspn(name, "\n")] = 0;
            if (strcmp(name, wanted)) continue;
            snprintf(path, sizeof path, "/dev/%s", entry->d_name);
            fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
            if (fd >= 0) {
                closedir(directory);
                return fd;
            }
        }
        if (directory) closedir(directory);
        nanosleep(&(struct timespec){0, 5000000}, NULL);
    }
    fail("no port named %s", wanted);
}

/* Reads exactly that much from the control port. */
static void receive(void *into, size_t length) {
    char *at = into;
    while (length) {
        ssize_t n = read(control, at, length);
        if (n > 0) {
            at += n;
            length -= (size_t)n;
        } else {
            poll(&(struct pollfd){control, POLLIN, 0}, 1, 1000);
        }
    }
}

static void make_directories(char *path) {
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(path, 0755);
        *slash = '/';
    }
    mkdir(path, 0755);
}

/* Runs a program of the machine's before the command; what it says is the reason if it fails. */
static void run_helper(const char *purpose, char *const arguments[]) {
    int out[2];
    char message[1024] = "";
    if (pipe2(out, O_CLOEXEC)) fail("pipe: %s", strerror(errno));
    pid_t child = fork();
    if (child == 0) {
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        dup2(out[1], 1);
        dup2(out[1], 2);
        setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1);
        execvp(arguments[0], arguments);
        dprintf(2, "%s: %s", arguments[0], strerror(errno));
        _exit(127);
    }
    close(out[1]);
    size_t length = 0;
    ssize_t n;
    while (length < sizeof message - 1 && (n = read(out[0], message + length, sizeof message - 1 - length)) > 0) length += (size_t)n;
    close(out[0]);
    int status = 1;
    waitpid(child, &status, 0);
    while (length && message[length - 1] == '\n') message[--length] = 0;
    if (status) fail("%s: %s", purpose, message);
}

static void load_modules(char *names) {
    char *arguments[258] = {"modprobe", "-a"};
    int count = 2;
    for (char *name = strtok(names, " \t\n,"); name && count < 257; name = strtok(NULL, " \t\n,")) arguments[count++] = name;
    if (count > 2) run_helper("--modules", arguments);
}

/* A sparse file in a tmpfs, as a loop device: it takes memory as it fills, and gives it back when files are removed. */
static void mount_ext4(char *path) {
    static char script[] =
        "set -e; mkdir -p \"$1\" /run/testbed/disks\n"
        "mountpoint -q /run/testbed/disks || mount -t tmpfs -o size=90% disks /run/testbed/disks\n"
        "disk=$(mktemp /run/testbed/disks/XXXXXX); truncate -s 16G \"$disk\"\n"
        "mkfs.ext4 -q -F -E lazy_itable_init=1,lazy_journal_init=1,nodiscard -J size=16 \"$disk\"\n"
        "mount -t ext4 -o loop,discard,noinit_itable \"$disk\" \"$1\"; rmdir \"$1/lost+found\"; chmod 1777 \"$1\"\n";
    run_helper("--ext4", (char *[]){"sh", "-c", script, "sh", path, NULL});
}

static void mount_writable(char *path, int number) {
    char tag[16];
    snprintf(tag, sizeof tag, "w%d", number);
    make_directories(path);
    /* mmap: shared writable mappings work, while writes go through to the host at once. */
    if (mount(tag, path, "9p", 0, "trans=virtio,version=9p2000.L,msize=512000,cache=mmap"))
        fail("--writable-dir %s: %s", path, strerror(errno));
}

static struct plan receive_plan(void) {
    struct frame_header header;
    receive(&header, sizeof header);
    if (header.type != FRAME_SETUP || header.length > FRAME_LIMIT) fail("unexpected frame %d", header.type);
    char *records = malloc(header.length + 1);
    if (!records) fail("out of memory");
    receive(records, header.length);
    records[header.length] = 0;

    struct plan plan = {.directory = "/"};
    size_t count = 0;
    for (size_t i = 0; i < header.length; i++) count += records[i] == 0;
    plan.arguments = calloc(count + 1, sizeof(char *));
    plan.environment = calloc(count + 1, sizeof(char *));
    char **argument = plan.arguments, **variable = plan.environment;
    int writable = 0;
    for (char *record = records; record < records + header.length;) {
        char *text = record + 1, kind = *record;
        record += strlen(record) + 1;
        switch (kind) {
        case SETUP_DIRECTORY: plan.directory = text; break;
        case SETUP_ARGUMENT: *argument++ = text; break;
        case SETUP_ENVIRONMENT: *variable++ = text; break;
        case SETUP_TMPFS:
            make_directories(text);
            if (mount("tmpfs", text, "tmpfs", 0, "size=90%,mode=1777")) fail("--tmpfs %s: %s", text, strerror(errno));
            break;
        case SETUP_WRITABLE: mount_writable(text, writable++); break;
        case SETUP_EXT4: mount_ext4(text); break;
        case SETUP_MODULES: load_modules(text); break;
        case SETUP_TERMINAL:
            plan.terminal = true;
            sscanf(text, "%hu %hu", &plan.window.ws_row, &plan.window.ws_col);
            break;
        case SETUP_MERGED: plan.merged = true; break;
        default: fail("unexpected record %d", kind);
        }
    }
    return plan;
}

__attribute__((noreturn)) static void execute(const struct plan *plan, int in, int out, int err) {
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    setsid();
    dup2(in, 0);
    dup2(out, 1);
    dup2(err, 2);
    if (plan->terminal) ioctl(0, TIOCSCTTY, 0);
    struct rlimit files = {1024, 1 << 20};
    setrlimit(RLIMIT_NOFILE, &files);
    if (chdir(plan->directory)) {
        dprintf(2, "testbed: %s: %s\n", plan->directory, strerror(errno));
        _exit(125);
    }
    environ = plan->environment;
    execvp(plan->arguments[0], plan->arguments);
    int error = errno;
    dprintf(2, "testbed: %s: %s\n", plan->arguments[0], strerror(error));
    _exit(error == ENOENT ? 127 : 126);
}

static void make_pipe(int ends[2]) {
    if (pipe2(ends, O_CLOEXEC)) fail("pipe: %s", strerror(errno));
    fcntl(ends[0], F_SETPIPE_SZ, 256 << 10);
}

static void set_nonblocking(int fd) {
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

/* Starts the command and connects the relays to it. */
static pid_t start(const struct plan *plan) {
    int in[2], out[2], err[2] = {-1, -1};
    if (plan->terminal) {
        terminal_master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
        if (terminal_master < 0 || grantpt(terminal_master) || unlockpt(terminal_master)) fail("terminal: %s", strerror(errno));
        ioctl(terminal_master, TIOCSWINSZ, &plan->window);
        in[0] = out[1] = err[1] = open(ptsname(terminal_master), O_RDWR | O_NOCTTY | O_CLOEXEC);
        if (in[0] < 0) fail("terminal: %s", strerror(errno));
        in[1] = terminal_master;
        out[0] = fcntl(terminal_master, F_DUPFD_CLOEXEC, 0);
    } else {
        make_pipe(in);
        make_pipe(out);
        if (plan->merged) err[1] = out[1];
        else make_pipe(err);
    }
    pid_t child = fork();
    if (child < 0) fail("fork: %s", strerror(errno));
    if (child == 0) execute(plan, in[0], out[1], err[1]);
    close(in[0]);
    if (!plan->terminal) {
        close(out[1]);
        if (!plan->merged) close(err[1]);
    }
    input.sink = in[1];
    output[0].source = out[0];
    output[1].source = err[0];
    set_nonblocking(input.sink);
    set_nonblocking(output[0].source);
    if (err[0] >= 0) set_nonblocking(err[0]);
    return child;
}

static void close_end(int *fd) {
    if (*fd >= 0) close(*fd);
    *fd = -1;
}

/* Fills the empty buffer: a port gives at most a page at a time, so it is asked until it has no more or the buffer is full. */
static void fill(struct relay *relay) {
    relay->start = relay->end = 0;
    while (relay->source >= 0 && relay->passed < relay->limit && relay->end < sizeof relay->data) {
        size_t most = sizeof relay->data - relay->end;
        if (most > relay->limit - relay->passed) most = (size_t)(relay->limit - relay->passed);
        ssize_t n = read(relay->source, relay->data + relay->end, most);
        if (n > 0) {
            relay->end += (size_t)n;
            relay->passed += (uint64_t)n;
            continue;
        }
        if (relay != &input && (n == 0 || errno != EAGAIN)) close_end(&relay->source);
        return;
    }
}

/* Moves what can be moved without blocking. A sink that is gone swallows the rest. */
static void pump(struct relay *relay) {
    if (relay->start == relay->end) fill(relay);
    while (relay->start < relay->end) {
        if (relay->sink < 0) {
            relay->start = relay->end;
            break;
        }
        ssize_t n = write(relay->sink, relay->data + relay->start, relay->end - relay->start);
        if (n > 0) relay->start += (size_t)n;
        else if (n < 0 && errno == EAGAIN) break;
        else if (relay == &input) close_end(&relay->sink);
        else break;
    }
    if (relay == &input && relay->start == relay->end && relay->passed >= relay->limit && terminal_master < 0) close_end(&relay->sink);
}

/* Runs on each CPU in turn: one that sleeps and has lost its timer's interrupt is woken by that. */
static void visit_every_cpu(void) {
    cpu_set_t all, one;
    if (sched_getaffinity(0, sizeof all, &all)) return;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &all)) continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        sched_setaffinity(0, sizeof one, &one);
    }
    sched_setaffinity(0, sizeof all, &all);
}

static bool control_frame(void) {
    struct frame_header header;
    uint8_t payload[16];
    ssize_t n = read(control, &header, 1);
    if (n != 1) return false;
    receive((char *)&header + 1, sizeof header - 1);
    if (header.length > sizeof payload) fail("frame of %u bytes", header.length);
    receive(payload, header.length);
    switch (header.type) {
    case FRAME_END_OF_INPUT:
        memcpy(&input.limit, payload, sizeof input.limit);
        break;
    case FRAME_CLOSED:
        if (payload[0] == 1 || payload[0] == 2) close_end(&output[payload[0] - 1].source);
        break;
    case FRAME_WINDOW: {
        struct winsize window = {0};
        memcpy(&window.ws_row, payload, 2);
        memcpy(&window.ws_col, payload + 2, 2);
        if (terminal_master >= 0) ioctl(terminal_master, TIOCSWINSZ, &window);
        break;
    }
    case FRAME_BEAT: visit_every_cpu(); break;
    default: break;
    }
    return true;
}

/* Waits until something can move. */
static void wait_for_event(int signals, bool ended) {
    struct pollfd fds[6] = {{signals, POLLIN, 0}, {control, POLLIN, 0}};
    int count = 2;
    if (!ended) {
        if (input.start < input.end) fds[count++] = (struct pollfd){input.sink, POLLOUT, 0};
        else if (input.passed < input.limit) fds[count++] = (struct pollfd){input.source, POLLIN, 0};
    }
    for (int i = 0; i < 2; i++) {
        if (output[i].start < output[i].end) fds[count++] = (struct pollfd){output[i].sink, POLLOUT, 0};
        else if (output[i].source >= 0 && !ended) fds[count++] = (struct pollfd){output[i].source, POLLIN, 0};
    }
    poll(fds, (nfds_t)count, -1);
}

/* Reaps whatever ended; the command's wait status goes to `status`. */
static bool reap(pid_t command, int *status) {
    bool ended = false;
    int one;
    pid_t child;
    while ((child = waitpid(-1, &one, WNOHANG)) > 0) {
        if (child != command) continue;
        *status = one;
        ended = true;
    }
    return ended;
}

/* What the command left in its pipes still counts; what its children write from now on does not. */
static void bound_outputs(void) {
    for (int i = 0; i < 2; i++) {
        int waiting = 0;
        if (output[i].source >= 0 && terminal_master < 0) ioctl(output[i].source, FIONREAD, &waiting);
        if (terminal_master >= 0) waiting = 1 << 20;
        output[i].limit = output[i].passed + (uint64_t)waiting;
    }
}

static bool outputs_pending(void) {
    bool pending = false;
    for (int i = 0; i < 2; i++) {
        struct relay *one = &output[i];
        if (one->start < one->end) pending = true;
        else if (one->source >= 0 && one->passed < one->limit) {
            pump(one);
            if (one->start < one->end) pending = true;
            else if (one->source >= 0 && one->passed < one->limit && terminal_master >= 0) one->limit = one->passed;
        }
    }
    return pending;
}

/* Keeps two idle virtual machines for as long as the testbed runs. Without them KVM patches the scheduler and itself (static keys) at
 * each first start and last end of a guest; QEMU 7.2 now and then goes on executing the breakpoint that such a patch passes through, on
 * every CPU and for ever: one testbed in fifty guests hung. With them the keys stay as they are. */
static void hold_kvm(void) {
    int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (kvm < 0) return; /* init has said so */
    for (int with_apic = 0; with_apic < 2; with_apic++) {
        int machine = ioctl(kvm, KVM_CREATE_VM, 0);
        if (machine < 0 || (with_apic && ioctl(machine, KVM_CREATE_IRQCHIP, 0) < 0) || ioctl(machine, KVM_CREATE_VCPU, 0) < 0)
            fail("cannot hold a virtual machine: %s", strerror(errno));
    }
    close(kvm);
}

int main(void) {
    sigset_t watched;
    sigemptyset(&watched);
    sigaddset(&watched, SIGCHLD);
    sigprocmask(SIG_BLOCK, &watched, NULL);
    signal(SIGPIPE, SIG_IGN);
    int signals = signalfd(-1, &watched, SFD_NONBLOCK | SFD_CLOEXEC);
    control = open_port("control");
    input.source = open_port("stdin");
    output[0].sink = open_port("stdout");
    output[1].sink = open_port("stderr");
    hold_kvm();
    send_frame(FRAME_READY, "", 0);
    struct plan plan = receive_plan();
    pid_t command = start(&plan);
    send_frame(FRAME_STARTED, "", 0);

    int status = 0;
    bool ended = false;
    while (!ended || outputs_pending()) {
        wait_for_event(signals, ended);
        struct signalfd_siginfo information;
        while (read(signals, &information, sizeof information) > 0) {}
        while (control_frame()) {}
        if (!ended && reap(command, &status)) {
            ended = true;
            bound_outputs();
        }
        if (!ended) pump(&input);
        pump(&output[0]);
        pump(&output[1]);
    }
    sync();
    struct exit_report report = {WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status),
                                 {output[0].passed, output[1].passed}};
    send_frame(FRAME_EXIT, &report, sizeof report);
    park();
}
