/* SPDX-License-Identifier: MIT */
/* timer.h - a hierarchical timer wheel with ticks of one millisecond.
 *
 * Start and stop cost the same however many timers run. The wheel does not tick:
 * it tells how long to sleep, and skips to the next due slot. */
#ifndef SMW_TIMER_H
#define SMW_TIMER_H

#include "list.h"

#include <stdbool.h>
#include <stdint.h>

enum { TIMER_LEVELS = 4, TIMER_SLOTS = 64 };

typedef struct timer timer;
typedef void (*timer_fn)(timer *t);

struct timer {
    list link;
    int64_t due; /* milliseconds on the wheel's clock */
    timer_fn on_due;
};

typedef struct timer_wheel {
    int64_t now;
    uint64_t occupied[TIMER_LEVELS]; /* bit per slot that may hold timers */
    list slots[TIMER_LEVELS][TIMER_SLOTS];
} timer_wheel;

void timer_wheel_init(timer_wheel *wheel, int64_t now);

void timer_init(timer *t, timer_fn on_due);

/* Starting a running timer moves it. A time that has passed means: at the next
 * advance. */
void timer_start(timer_wheel *wheel, timer *t, int64_t due);
void timer_stop(timer *t);
bool timer_is_running(const timer *t);

static inline bool timer_wheel_is_empty(const timer_wheel *wheel)
{
    return (wheel->occupied[0] | wheel->occupied[1] | wheel->occupied[2] |
            wheel->occupied[3]) == 0;
}

/* Milliseconds from `now` until the wheel wants to be advanced; -1: never. A far timer
 * wakes it up to three times on its way down the levels (and once more every 4.6 hours
 * beyond the last), never late. */
int64_t timer_wheel_wait(timer_wheel *wheel, int64_t now);

/* Run everything that is due at `now`. A callback may start and stop any timer. */
void timer_wheel_advance(timer_wheel *wheel, int64_t now);

#endif
