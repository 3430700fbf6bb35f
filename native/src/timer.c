/* SPDX-License-Identifier: MIT */
/* timer.c - level L has 64 slots of 64^L ms each. A timer sits in the lowest level
 * whose 64 slots reach its due time, and falls a level whenever its slot begins. */
#include "timer.h"

#include <stddef.h>

#define LEVEL_BITS 6
#define FARTHEST ((INT64_C(63)) << (LEVEL_BITS * (TIMER_LEVELS - 1)))

void timer_wheel_init(timer_wheel *wheel, int64_t now)
{
    wheel->now = now;
    for (int level = 0; level < TIMER_LEVELS; level++) {
        wheel->occupied[level] = 0;
        for (int i = 0; i < TIMER_SLOTS; i++) list_init(&wheel->slots[level][i]);
    }
}

void timer_init(timer *t, timer_fn on_due)
{
    list_init(&t->link);
    t->due = 0;
    t->on_due = on_due;
}

bool timer_is_running(const timer *t)
{
    return !list_is_empty(&t->link);
}

static int64_t ticks(int64_t time, int level)
{
    return time >> (LEVEL_BITS * level);
}

/* Put a timer where its due time belongs. One that lies beyond the last level goes
 * into its farthest slot and is placed again from there. */
static void place(timer_wheel *wheel, timer *t)
{
    int64_t at = t->due < wheel->now ? wheel->now : t->due;
    if (at - wheel->now > FARTHEST) at = wheel->now + FARTHEST;
    int level = 0;
    while (ticks(at, level) - ticks(wheel->now, level) >= TIMER_SLOTS) level++;
    unsigned index = (unsigned)(ticks(at, level) & (TIMER_SLOTS - 1));
    list_append(&wheel->slots[level][index], &t->link);
    wheel->occupied[level] |= UINT64_C(1) << index;
}

void timer_start(timer_wheel *wheel, timer *t, int64_t due)
{
    list_remove(&t->link);
    t->due = due;
    place(wheel, t);
}

void timer_stop(timer *t)
{
    list_remove(&t->link);
}

/* When the first occupied slot of a level begins; -1 when it has none. Slots that
 * timer_stop emptied are forgotten here. */
static int64_t level_next(timer_wheel *wheel, int level)
{
    int64_t current = ticks(wheel->now, level);
    unsigned shift = (unsigned)(current & (TIMER_SLOTS - 1));
    while (wheel->occupied[level] != 0) {
        uint64_t bits = wheel->occupied[level];
        if (shift > 0) bits = bits >> shift | bits << (TIMER_SLOTS - shift);
        int distance = __builtin_ctzll(bits);
        unsigned index = (shift + (unsigned)distance) & (TIMER_SLOTS - 1);
        if (!list_is_empty(&wheel->slots[level][index]))
            return (current + distance) << (LEVEL_BITS * level);
        wheel->occupied[level] &= ~(UINT64_C(1) << index);
    }
    return -1;
}

static int64_t wheel_next(timer_wheel *wheel)
{
    int64_t next = -1;
    for (int level = 0; level < TIMER_LEVELS; level++) {
        int64_t at = level_next(wheel, level);
        if (at >= 0 && (next < 0 || at < next)) next = at;
    }
    return next;
}

int64_t timer_wheel_wait(timer_wheel *wheel, int64_t now)
{
    int64_t next = wheel_next(wheel);
    if (next < 0) return -1;
    return next > now ? next - now : 0;
}

static void take_slot(timer_wheel *wheel, int level, list *taken)
{
    unsigned index = (unsigned)(ticks(wheel->now, level) & (TIMER_SLOTS - 1));
    list *link;
    while ((link = list_pop(&wheel->slots[level][index])) != NULL)
        list_append(taken, link);
    wheel->occupied[level] &= ~(UINT64_C(1) << index);
}

void timer_wheel_advance(timer_wheel *wheel, int64_t now)
{
    for (;;) {
        int64_t next = wheel_next(wheel);
        if (next < 0 || next > now) break;
        if (next > wheel->now) wheel->now = next;
        /* Lower levels last: what falls from above may be due right now. */
        list taken;
        list_init(&taken);
        list *link;
        for (int level = TIMER_LEVELS - 1; level > 0; level--) {
            take_slot(wheel, level, &taken);
            while ((link = list_pop(&taken)) != NULL)
                place(wheel, list_entry(link, timer, link));
        }
        take_slot(wheel, 0, &taken);
        /* This tick is over before its callbacks run: a timer that one starts for the
         * past belongs to the next tick, or it could keep us here for ever. */
        wheel->now++;
        while ((link = list_pop(&taken)) != NULL) {
            timer *due = list_entry(link, timer, link);
            due->on_due(due);
        }
    }
    if (wheel->now <= now) wheel->now = now + 1;
}
