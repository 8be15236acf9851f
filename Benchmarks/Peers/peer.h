// What every peer of the measurements shares.
//
// A peer is a process that does slices on request. It prints `ready <what it is>`, then reads lines from standard input
// and ends with it. `slice <count>` is one slice; the peer answers `armed` when something outside has to begin now, and
// in the end `done <figures>`, all in plain numbers, the CPU microseconds of the whole process first.
#pragma once

#include <hiredis/hiredis.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static inline int64_t nanoseconds(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

// CPU time of this process, all threads.
static inline double cpu_microseconds(void) { return (double)nanoseconds(CLOCK_PROCESS_CPUTIME_ID) / 1000; }

static inline double wall_microseconds(void) { return (double)nanoseconds(CLOCK_MONOTONIC) / 1000; }

static inline void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

static inline void say(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
    fflush(stdout);
}

static inline redisContext *connect_to(const char *port) {
    redisContext *context = redisConnect("127.0.0.1", atoi(port));
    if (context == NULL || context->err) fail("cannot connect to port %s", port);
    return context;
}

static inline redisReply *next_reply(redisContext *context) {
    void *reply = NULL;
    if (redisGetReply(context, &reply) != REDIS_OK || reply == NULL) fail("connection lost: %s", context->errstr);
    if (((redisReply *)reply)->type == REDIS_REPLY_ERROR) fail("refused: %s", ((redisReply *)reply)->str);
    return reply;
}

static inline void say_ready(void) { say("ready hiredis %d.%d.%d", HIREDIS_MAJOR, HIREDIS_MINOR, HIREDIS_PATCH); }

// Waits for `slice <count>`; 0 at the end of standard input.
static inline long next_slice(void) {
    char line[128];
    if (fgets(line, sizeof line, stdin) == NULL) return 0;
    long count = 0;
    if (sscanf(line, "slice %ld", &count) != 1 || count < 1) fail("not a slice: %s", line);
    return count;
}
