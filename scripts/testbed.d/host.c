/* The host's end of the testbed: starts QEMU, hands the command to the guest (guest.c), relays the standard streams, and ends
 * with the command's status. QEMU dies with this process, however it ends. scripts/testbed is what people run. */
#define _GNU_SOURCE
#include "protocol.h"
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum { PORT_CONTROL, PORT_STDIN, PORT_STDOUT, PORT_STDERR, PORT_CONSOLE, PORT_MESSAGES, PORT_COUNT };
enum { FIRST_QEMU_DESCRIPTOR = 3, STATUS_TIMEOUT = 124, STATUS_TESTBED = 125, LOG_LIMIT = 256 << 10, SHOWN_LOG = 6000 };

struct text {
    char *bytes;
    size_t length, room;
};

struct stream {
    int source, sink;
    size_t start, end;
    uint64_t passed;       /* bytes taken from the source */
    bool closed;           /* no more will come, or nobody takes it */
    char data[64 << 10];
};

static int ports[PORT_COUNT];
static pid_t qemu = -1;
static struct text setup, log_text, outgoing, incoming, qemu_arguments;
static struct stream input, output[2];
static bool verbose, beating, running, terminal, exit_known;
static struct exit_report report;
static struct termios saved_terminal;
static bool terminal_is_raw;
static long timeout_seconds = 600;
static struct timespec begun;
static volatile sig_atomic_t caught_signal, window_changed;

static void append(struct text *text, const void *bytes, size_t length) {
    if (text->length + length > text->room) {
        text->room = (text->length + length) * 2;
        text->bytes = realloc(text->bytes, text->room);
        if (!text->bytes) abort();
    }
    memcpy(text->bytes + text->length, bytes, length);
    text->length += length;
}

static void drop(struct text *text, size_t length) {
    memmove(text->bytes, text->bytes + length, text->length - length);
    text->length -= length;
}

static void record(char kind, const char *value) {
    append(&setup, &kind, 1);
    append(&setup, value, strlen(value) + 1);
}

static void qemu_argument(const char *value) {
    char *copy = strdup(value);
    append(&qemu_arguments, &copy, sizeof copy);
}

static void queue_frame(uint8_t type, const void *payload, size_t length) {
    struct frame_header header = {type, (uint32_t)length};
    append(&outgoing, &header, sizeof header);
    append(&outgoing, payload, length);
}

static double elapsed(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - begun.tv_sec) + (double)(now.tv_nsec - begun.tv_nsec) / 1e9;
}

static void restore_terminal(void) {
    if (terminal_is_raw) tcsetattr(0, TCSADRAIN, &saved_terminal);
    terminal_is_raw = false;
}

static void kill_qemu(void) {
    if (qemu > 0) {
        kill(qemu, SIGKILL);
        waitpid(qemu, NULL, 0);
    }
    qemu = -1;
}

/* Ends because the testbed, not the command, failed: says why and shows what the machine printed last. */
__attribute__((format(printf, 2, 3), noreturn)) static void give_up(int status, const char *format, ...) {
    restore_terminal();
    kill_qemu();
    char rest[4096];
    for (int port = PORT_CONSOLE; port <= PORT_MESSAGES; port++) {
        ssize_t n;
        while (ports[port] > 0 && (n = recv(ports[port], rest, sizeof rest, MSG_DONTWAIT)) > 0) {
            append(&log_text, rest, (size_t)n);
            if (verbose) fwrite(rest, 1, (size_t)n, stderr);
        }
    }
    if (!verbose && log_text.length) {
        size_t shown = log_text.length < SHOWN_LOG ? log_text.length : SHOWN_LOG;
        fprintf(stderr, "testbed: the machine's console:\n");
        fwrite(log_text.bytes + log_text.length - shown, 1, shown, stderr);
        if (log_text.bytes[log_text.length - 1] != '\n') fputc('\n', stderr);
    }
    va_list list;
    va_start(list, format);
    fprintf(stderr, "testbed: ");
    vfprintf(stderr, format, list);
    fputc('\n', stderr);
    va_end(list);
    exit(status);
}

static void on_signal(int number) {
    if (number == SIGWINCH) window_changed = 1;
    else if (number != SIGCHLD) caught_signal = number;
}

static void catch_signals(sigset_t *usual) {
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGCHLD, SIGWINCH};
    struct sigaction action = {.sa_handler = on_signal};
    sigset_t blocked;
    sigemptyset(&blocked);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct sigaction old;
        sigaction(numbers[i], NULL, &old);
        /* What nohup or a background shell ignores stays ignored. */
        if (old.sa_handler == SIG_IGN && numbers[i] != SIGCHLD) continue;
        sigaction(numbers[i], &action, NULL);
        sigaddset(&blocked, numbers[i]);
    }
    signal(SIGPIPE, SIG_IGN);
    sigprocmask(SIG_BLOCK, &blocked, usual);
}

/* Opens the sockets, each of them a port of the machine, and starts QEMU with its ends at fixed descriptors. */
static void start_qemu(const sigset_t *usual) {
    static const char *const names[] = {"control", "stdin", "stdout", "stderr"};
    int ends[PORT_COUNT];
    char value[200];
    qemu_argument("-device");
    qemu_argument("virtio-serial-pci,id=ports,max_ports=8,event_idx=off");
    for (int port = 0; port < PORT_COUNT; port++) {
        int pair[2];
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) give_up(STATUS_TESTBED, "socketpair: %s", strerror(errno));
        ports[port] = fcntl(pair[0], F_DUPFD_CLOEXEC, 40);
        ends[port] = fcntl(pair[1], F_DUPFD_CLOEXEC, 40);
        close(pair[0]);
        close(pair[1]);
        fcntl(ports[port], F_SETFL, O_NONBLOCK);
        int room = 512 << 10;
        setsockopt(ports[port], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
        setsockopt(ends[port], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
        if (port == PORT_MESSAGES) break;
        snprintf(value, sizeof value, "socket,id=port%d,fd=%d", port, FIRST_QEMU_DESCRIPTOR + port);
        qemu_argument("-chardev");
        qemu_argument(value);
        if (port == PORT_CONSOLE) {
            qemu_argument("-serial");
            snprintf(value, sizeof value, "chardev:port%d", port);
        } else {
            qemu_argument("-device");
            snprintf(value, sizeof value, "virtserialport,bus=ports.0,nr=%d,chardev=port%d,name=%s", port + 1, port, names[port]);
        }
        qemu_argument(value);
    }
    char *last = NULL;
    append(&qemu_arguments, &last, sizeof last);
    char **arguments = (char **)(void *)qemu_arguments.bytes;
    pid_t self = getpid();
    qemu = fork();
    if (qemu < 0) give_up(STATUS_TESTBED, "fork: %s", strerror(errno));
    if (qemu == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != self) _exit(1);
        setsid(); /* Ctrl-C at the terminal is for this program, not for QEMU */
        sigprocmask(SIG_SETMASK, usual, NULL);
        signal(SIGPIPE, SIG_DFL);
        int nothing = open("/dev/null", O_RDONLY);
        dup2(nothing, 0);
        dup2(ends[PORT_MESSAGES], 1);
        dup2(ends[PORT_MESSAGES], 2);
        for (int port = 0; port < PORT_MESSAGES; port++) dup2(ends[port], FIRST_QEMU_DESCRIPTOR + port);
        close_range(FIRST_QEMU_DESCRIPTOR + PORT_MESSAGES, UINT_MAX, 0);
        execvp(arguments[0], arguments);
        dprintf(2, "%s: %s (package qemu-system-x86)\n", arguments[0], strerror(errno));
        _exit(127);
    }
    for (int port = 0; port < PORT_COUNT; port++) close(ends[port]);
}

static void use_raw_terminal(void) {
    if (!terminal) return;
    struct termios raw = saved_terminal;
    cfmakeraw(&raw);
    terminal_is_raw = tcsetattr(0, TCSADRAIN, &raw) == 0;
}

/* Interrupts the machine once a second. Where a nested guest is entered with an interrupt to come, QEMU 7.2 changes the word of pending
 * interrupts without its lock (helper_vmrun in svm_helper.c), which now and then loses the interrupt of the machine's own timer. A
 * machine that is idle then has no further timer, and sleeps until a device interrupts it. */
static void queue_beat(void) {
    static double last;
    if (!beating || !running || outgoing.length || elapsed() < last + 1) return;
    last = elapsed();
    queue_frame(FRAME_BEAT, "", 0);
}

static void queue_window(void) {
    struct winsize window;
    if (!terminal || ioctl(0, TIOCGWINSZ, &window)) return;
    uint16_t size[2] = {window.ws_row, window.ws_col};
    queue_frame(FRAME_WINDOW, size, sizeof size);
}

/* Looks at this process's standard streams: one terminal, the same file twice, or plain streams. */
static void describe_streams(void) {
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0) open("/dev/null", fd ? O_WRONLY : O_RDONLY);
    struct stat out, err;
    struct winsize window = {24, 80, 0, 0};
    if (isatty(0) && isatty(1) && isatty(2) && tcgetpgrp(0) == getpgrp() && tcgetattr(0, &saved_terminal) == 0) {
        char text[40];
        terminal = true;
        ioctl(0, TIOCGWINSZ, &window);
        snprintf(text, sizeof text, "%u %u", window.ws_row, window.ws_col);
        record(SETUP_TERMINAL, text);
    } else if (!fstat(1, &out) && !fstat(2, &err) && out.st_dev == err.st_dev && out.st_ino == err.st_ino) {
        record(SETUP_MERGED, "");
    }
    input.source = 0;
    for (int i = 0; i < 2; i++) output[i].sink = 1 + i;
}

static void handle_frame(uint8_t type, const char *payload, size_t length) {
    switch (type) {
    case FRAME_READY:
        if (verbose) fprintf(stderr, "testbed: up after %.1f s\n", elapsed());
        queue_frame(FRAME_SETUP, setup.bytes, setup.length);
        break;
    case FRAME_STARTED:
        if (verbose) fprintf(stderr, "testbed: command started after %.1f s\n", elapsed());
        running = true;
        use_raw_terminal();
        break;
    case FRAME_FAILED: give_up(STATUS_TESTBED, "%.*s", (int)length, payload);
    case FRAME_EXIT:
        if (length != sizeof report) give_up(STATUS_TESTBED, "bad report from the machine");
        memcpy(&report, payload, sizeof report);
        exit_known = true;
        break;
    default: give_up(STATUS_TESTBED, "unexpected frame %d from the machine", type);
    }
}

static void read_control(void) {
    char buffer[4096];
    ssize_t n = read(ports[PORT_CONTROL], buffer, sizeof buffer);
    if (n <= 0) return;
    append(&incoming, buffer, (size_t)n);
    struct frame_header header;
    while (incoming.length >= sizeof header) {
        memcpy(&header, incoming.bytes, sizeof header);
        if (header.length > FRAME_LIMIT) give_up(STATUS_TESTBED, "bad frame from the machine");
        if (incoming.length < sizeof header + header.length) return;
        handle_frame(header.type, incoming.bytes + sizeof header, header.length);
        drop(&incoming, sizeof header + header.length);
    }
}

static void write_control(void) {
    ssize_t n = write(ports[PORT_CONTROL], outgoing.bytes, outgoing.length);
    if (n > 0) drop(&outgoing, (size_t)n);
}

static void read_log(int port) {
    char buffer[4096];
    ssize_t n = read(ports[port], buffer, sizeof buffer);
    if (n == 0) {
        close(ports[port]);
        ports[port] = -1;
    }
    if (n <= 0) return;
    if (verbose) fwrite(buffer, 1, (size_t)n, stderr);
    append(&log_text, buffer, (size_t)n);
    if (log_text.length > 2 * LOG_LIMIT) drop(&log_text, log_text.length - LOG_LIMIT);
}

/* Standard input to the port. Its end is announced with its length, because the announcement may overtake the bytes. */
static void move_input(bool readable) {
    if (readable && input.start == input.end && !input.closed) {
        ssize_t n = read(0, input.data, sizeof input.data);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
        input.start = 0;
        input.end = n > 0 ? (size_t)n : 0;
        input.passed += input.end;
        if (n <= 0) {
            input.closed = true;
            queue_frame(FRAME_END_OF_INPUT, &input.passed, sizeof input.passed);
        }
    }
    if (input.start < input.end) {
        ssize_t n = write(input.sink, input.data + input.start, input.end - input.start);
        if (n > 0) input.start += (size_t)n;
    }
}

/* A port to standard output or error. At most PIPE_BUF at a time, which never blocks after poll said writable. */
static void move_output(int index, bool readable, bool writable, bool broken) {
    struct stream *stream = &output[index];
    if (broken && !stream->closed) {
        uint8_t number = (uint8_t)(index + 1);
        stream->closed = true;
        queue_frame(FRAME_CLOSED, &number, 1);
    }
    if (readable && stream->start == stream->end) {
        ssize_t n = read(stream->source, stream->data, sizeof stream->data);
        stream->start = 0;
        stream->end = n > 0 ? (size_t)n : 0;
        stream->passed += stream->end;
    }
    if (stream->closed) stream->start = stream->end;
    if (writable && stream->start < stream->end) {
        size_t most = stream->end - stream->start;
        ssize_t n = write(stream->sink, stream->data + stream->start, most < PIPE_BUF ? most : PIPE_BUF);
        if (n > 0) stream->start += (size_t)n;
        else if (n < 0 && errno != EAGAIN && errno != EINTR) move_output(index, false, false, true);
    }
}

static bool outputs_finished(void) {
    for (int i = 0; i < 2; i++)
        if (output[i].passed < report.bytes[i] || output[i].start < output[i].end) return false;
    return true;
}

static void handle_signals(void) {
    if (window_changed) {
        window_changed = 0;
        queue_window();
    }
    if (caught_signal) {
        restore_terminal();
        kill_qemu();
        signal(caught_signal, SIG_DFL);
        sigset_t one;
        sigemptyset(&one);
        sigaddset(&one, caught_signal);
        raise(caught_signal);
        sigprocmask(SIG_UNBLOCK, &one, NULL);
        _exit(128 + caught_signal);
    }
    int status;
    if (qemu > 0 && waitpid(qemu, &status, WNOHANG) == qemu) {
        qemu = -1;
        if (WIFSIGNALED(status)) give_up(STATUS_TESTBED, "QEMU was killed by signal %d", WTERMSIG(status));
        give_up(STATUS_TESTBED, "the machine ended before the command did (QEMU's status %d)", WEXITSTATUS(status));
    }
}

/* One round: waits for something to do and does it. */
static void serve(const sigset_t *usual) {
    struct pollfd fds[8];
    queue_beat();
    for (int i = 0; i < 8; i++) fds[i] = (struct pollfd){-1, 0, 0};
    fds[0] = (struct pollfd){ports[PORT_CONTROL], (short)(POLLIN | (outgoing.length ? POLLOUT : 0)), 0};
    fds[1] = (struct pollfd){ports[PORT_CONSOLE], POLLIN, 0};
    fds[2] = (struct pollfd){ports[PORT_MESSAGES], POLLIN, 0};
    if (running && input.start < input.end) fds[3] = (struct pollfd){input.sink, POLLOUT, 0};
    else if (running && !input.closed) fds[3] = (struct pollfd){0, POLLIN, 0};
    for (int i = 0; i < 2; i++) {
        bool waiting = output[i].start < output[i].end;
        if (!waiting) fds[4 + i] = (struct pollfd){output[i].source, POLLIN, 0};
        if (!output[i].closed) fds[6 + i] = (struct pollfd){output[i].sink, waiting ? POLLOUT : 0, 0};
    }
    struct timespec patience = {1, 0};
    double left = timeout_seconds - elapsed();
    if (left <= 0) give_up(STATUS_TIMEOUT, "timed out after %ld s", timeout_seconds);
    if (left < 1) patience = (struct timespec){0, (long)(left * 1e9)};
    int ready = ppoll(fds, 8, &patience, usual);
    handle_signals();
    if (ready <= 0) return;
    if (fds[1].revents) read_log(PORT_CONSOLE);
    if (fds[2].revents) read_log(PORT_MESSAGES);
    if (fds[0].revents & POLLOUT) write_control();
    if (fds[0].revents & (POLLIN | POLLHUP)) read_control();
    if (fds[3].revents) move_input(fds[3].fd == 0);
    for (int i = 0; i < 2; i++) {
        short sink = fds[6 + i].revents;
        move_output(i, (fds[4 + i].revents & (POLLIN | POLLHUP)) != 0, (sink & POLLOUT) != 0, (sink & (POLLERR | POLLNVAL)) != 0);
    }
}

int main(int argc, char **argv) {
    clock_gettime(CLOCK_MONOTONIC, &begun);
    int option;
    while ((option = getopt(argc, argv, "+t:vbD:E:T:F:W:M:q:")) != -1) {
        switch (option) {
        case 't': timeout_seconds = atol(optarg); break;
        case 'v': verbose = true; break;
        case 'b': beating = true; break;
        case 'q': qemu_argument(optarg); break;
        case 'D': case 'E': case 'T': case 'F': case 'W': case 'M': record((char)option, optarg); break;
        default: return STATUS_TESTBED;
        }
    }
    for (int i = optind; i < argc; i++) record(SETUP_ARGUMENT, argv[i]);
    if (optind == argc || !qemu_arguments.length) {
        fprintf(stderr, "testbed: no command (scripts/testbed runs this program)\n");
        return STATUS_TESTBED;
    }
    sigset_t usual;
    describe_streams();
    catch_signals(&usual);
    start_qemu(&usual);
    input.sink = ports[PORT_STDIN];
    for (int i = 0; i < 2; i++) output[i].source = ports[PORT_STDOUT + i];
    while (!exit_known || !outputs_finished()) serve(&usual);
    restore_terminal();
    kill_qemu();
    return report.status;
}
