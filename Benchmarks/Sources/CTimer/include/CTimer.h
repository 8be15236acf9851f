// Timers that are files, which the Swift module of the C library leaves out.
#pragma once

#include <stdint.h>
#include <sys/timerfd.h>
#include <time.h>

// A timer that does not run yet; -1 on failure.
static inline int timer_open(void) { return timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC); }

// Expires at once and then at every interval of so many nanoseconds; 0 stops it. -1 on failure.
static inline int timer_repeat(int timer, int64_t interval) {
    struct timespec length = {.tv_sec = interval / 1000000000, .tv_nsec = interval % 1000000000};
    struct itimerspec times = {.it_interval = length, .it_value = {.tv_nsec = interval > 0}};
    return timerfd_settime(timer, 0, &times, NULL);
}
