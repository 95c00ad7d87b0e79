/* What the two ends of the testbed's relay say to each other.
 *
 * Four virtio-serial ports join them: `stdin`, `stdout` and `stderr` carry bytes and nothing else; `control` carries
 * frames in both directions: one byte of type, the payload's length as 32 bits little-endian, the payload.
 * Bytes of different ports may overtake each other, so whatever ends a stream names the stream's length. */
#pragma once
#include <stdint.h>

enum frame_type {
    /* guest to host */
    FRAME_READY = 'R',     /* the guest waits for FRAME_SETUP */
    FRAME_STARTED = 'B',   /* the command runs */
    FRAME_FAILED = 'F',    /* text: the testbed itself could not do what was asked */
    FRAME_EXIT = 'X',      /* struct exit_report */
    /* host to guest */
    FRAME_SETUP = 'S',     /* records, each a letter of enum setup_record, a text and a NUL */
    FRAME_END_OF_INPUT = 'E', /* uint64_t: how many bytes of standard input there were */
    FRAME_CLOSED = 'C',    /* one byte, 1 or 2: nobody reads that output any more */
    FRAME_WINDOW = 'W',    /* two uint16_t: rows, columns */
    FRAME_BEAT = 'T',      /* nothing: wakes every CPU, once a second (host.c says why) */
};

enum setup_record {
    SETUP_DIRECTORY = 'D', /* the command's working directory */
    SETUP_ARGUMENT = 'A',
    SETUP_ENVIRONMENT = 'E',
    SETUP_TMPFS = 'T',     /* mount a tmpfs there */
    SETUP_EXT4 = 'F',      /* mount an empty ext4 there */
    SETUP_WRITABLE = 'W',  /* mount the 9p export "w0", "w1" … there, in this order */
    SETUP_MODULES = 'M',   /* names for modprobe, separated by spaces */
    SETUP_TERMINAL = 'P',  /* "ROWS COLUMNS": standard streams are one terminal */
    SETUP_MERGED = 'O',    /* standard output and error are the same file */
};

struct exit_report {
    int32_t status;        /* as a shell has it: 0 to 255, or 128 + signal */
    uint64_t bytes[2];     /* how much went to stdout and to stderr */
} __attribute__((packed));

struct frame_header {
    uint8_t type;
    uint32_t length;
} __attribute__((packed));

enum { FRAME_LIMIT = 16 << 20 };
