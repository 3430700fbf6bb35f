/* SPDX-License-Identifier: MIT */
#include "loop.h"

#include "net.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* For C users: as much as a turn of 100 busy connections reads. */
#define OWN_ARENA (256 * 1024)

int64_t loop_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t loop_deadline(int64_t delay_ms)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + (now.tv_nsec + 999999) / 1000000 + delay_ms;
}

void loop_read_clock(smw_loop *loop)
{
#ifdef CLOCK_MONOTONIC_COARSE
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now); /* 4 ms off at most, and cheaper */
    loop->now = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
#else
    loop->now = loop_clock();
#endif
}

/* ---- watches ---- */

void watch_init(watch *w, int fd, watch_fn on_ready)
{
    *w = (watch){.fd = fd, .on_ready = on_ready};
}

int loop_watch(smw_loop *loop, watch *w, unsigned events)
{
    if (events == w->events) return 0;
    int result = poll_set(&loop->poll, w->fd, w->events, events, w);
    if (result != 0) return result;
    if (!w->is_active) loop->active++;
    w->is_active = true;
    w->events = events;
    return 0;
}

void loop_unwatch(smw_loop *loop, watch *w)
{
    if (w->events != 0 && !loop->is_abandoned)
        poll_set(&loop->poll, w->fd, w->events, 0, w);
    w->events = 0;
    if (w->is_active) loop->active--;
    w->is_active = false;
}

void loop_retire(smw_loop *loop, watch *w)
{
    if (w->fd < 0) return;
    loop_unwatch(loop, w);
    w->fd = -1;
    w->next_retired = loop->retired;
    loop->retired = w;
}

static void free_retired(smw_loop *loop)
{
    while (loop->retired != NULL) {
        watch *w = loop->retired;
        loop->retired = w->next_retired;
        free(w);
    }
}

/* ---- tasks and dependents ---- */

void dependent_init(smw_loop *loop, dependent *d, dependent_fn on_free)
{
    d->free = on_free;
    list_append(&loop->dependents, &d->link);
}

void task_init(task *t, task_fn run)
{
    list_init(&t->link);
    t->run = run;
}

void loop_defer(smw_loop *loop, task *t)
{
    if (list_is_empty(&t->link)) list_append(&loop->pending, &t->link);
}

void loop_defer_first(smw_loop *loop, task *t)
{
    list_remove(&t->link);
    list_prepend(&loop->pending, &t->link);
}

static void run_pending(smw_loop *loop)
{
    list *link;
    while (!loop->is_full && (link = list_pop(&loop->pending)) != NULL) {
        task *t = list_entry(link, task, link);
        t->run(loop, t);
    }
}

/* ---- timers ---- */

void loop_start_timer(smw_loop *loop, timer *t, int64_t delay_ms)
{
    if (!timer_is_running(t)) loop->active++;
    /* The clock is read here: the step's own time may be old by a slow handler. */
    timer_start(&loop->timers, t, loop_deadline(delay_ms));
}

void loop_stop_timer(smw_loop *loop, timer *t)
{
    if (!timer_is_running(t)) return;
    timer_stop(t);
    loop->active--;
}

/* ---- the loop itself ---- */

static void on_wakeup(smw_loop *loop, watch *w, unsigned events)
{
    (void)events;
    net_drain_wakeup(w->fd);
    loop->was_woken = true;
}

static int open_wakeup(smw_loop *loop)
{
    int reader;
    int result = net_open_wakeup(&reader, &loop->wakeup_writer);
    if (result != 0) return result;
    watch_init(&loop->wakeup, reader, on_wakeup);
    result = loop_watch(loop, &loop->wakeup, POLL_READ);
    loop->active = 0; /* the wake-up does not keep the loop going */
    return result;
}

smw_loop *smw_loop_new(void)
{
    smw_loop *loop = calloc(1, sizeof *loop);
    if (loop == NULL) return NULL;
    loop->wakeup.fd = -1;
    loop->wakeup_writer = -1;
    timer_wheel_init(&loop->timers, loop_clock());
    loop_read_clock(loop);
    list_init(&loop->pending);
    list_init(&loop->gathered);
    list_init(&loop->corked);
    list_init(&loop->dependents);
    int result = poll_open(&loop->poll);
    if (result == 0) result = open_wakeup(loop);
    if (result != 0) {
        smw_loop_free(loop);
        errno = -result;
        return NULL;
    }
    return loop;
}

void smw_loop_free(smw_loop *loop)
{
    if (loop == NULL) return;
    while (!list_is_empty(&loop->dependents)) {
        dependent *d = list_entry(loop->dependents.prev, dependent, link);
        d->free(d);
    }
    free_retired(loop);
    net_close_wakeup(loop->wakeup.fd, loop->wakeup_writer);
    poll_close(&loop->poll);
    slots_clear(&loop->conns);
    buf_pool_clear(&loop->pool);
    if (loop->arena.is_ours) free(loop->arena.data);
    free(loop);
}

void smw_loop_abandon(smw_loop *loop)
{
    loop->is_abandoned = true;
    poll_close(&loop->poll); /* closing again, as free does, has no effect */
    smw_loop_free(loop);
}

/* How long a step may sleep, as the back end wants it. */
static int step_timeout(smw_loop *loop, int64_t timeout_ms)
{
    if (timeout_ms == 0 || !list_is_empty(&loop->pending)) return 0;
    int64_t due = -1;
    if (!timer_wheel_is_empty(&loop->timers))
        due = timer_wheel_wait(&loop->timers, loop_clock());
    if (due >= 0 && (timeout_ms < 0 || due < timeout_ms)) timeout_ms = due;
    return timeout_ms > INT32_MAX ? INT32_MAX : (int)timeout_ms;
}

int loop_step(smw_loop *loop, int64_t timeout_ms)
{
    poll_event events[POLL_BATCH];
    loop->was_woken = false;
    loop->stats.waits++;
    int timeout = step_timeout(loop, timeout_ms);
    int count = poll_wait(&loop->poll, events, POLL_BATCH, timeout);
    loop_read_clock(loop);
    for (int i = 0; i < count; i++) {
        watch *w = events[i].data;
        if (w->fd >= 0) w->on_ready(loop, w, events[i].events);
    }
    run_pending(loop);
    if (!timer_wheel_is_empty(&loop->timers))
        timer_wheel_advance(&loop->timers, loop_clock());
    free_retired(loop);
    return count;
}

void loop_begin_turn(smw_loop *loop)
{
    list *link;
    while ((link = list_pop(&loop->gathered)) != NULL) {
        task *t = list_entry(link, task, link);
        t->run(loop, t);
    }
    loop->arena.used = 0;
    loop->is_full = false;
}

void *loop_allocate(smw_loop *loop, size_t size)
{
    arena *a = &loop->arena;
    size_t start = (a->used + 15) & ~(size_t)15;
    if (start > a->size || a->size - start < size) return NULL;
    a->used = start + size;
    return a->data + start;
}

static int give_own_arena(smw_loop *loop)
{
    if (loop->arena.data != NULL) return 0;
    loop->arena.data = malloc(OWN_ARENA);
    if (loop->arena.data == NULL) return -ENOMEM;
    loop->arena.size = OWN_ARENA;
    loop->arena.is_ours = true;
    return 0;
}

static bool has_work(const smw_loop *loop)
{
    return loop->active > 0 || !list_is_empty(&loop->pending);
}

int smw_loop_run(smw_loop *loop, int mode)
{
    if (loop->batch != NULL) return SMW_EBUSY; /* a turn would be lost between */
    if (loop->is_running) return SMW_EBUSY; /* the step outside would lose its events */
    int result = give_own_arena(loop);
    if (result != 0) return result;
    loop->wants_stop = false;
    loop->is_running = true;
    do {
        if (!has_work(loop)) break;
        loop_begin_turn(loop);
        result = loop_step(loop, mode == SMW_RUN_NOWAIT ? 0 : -1);
        /* EINTR goes back to the caller, whose language may have signal handlers
         * to run; calling again loses nothing. */
    } while (result >= 0 && mode == SMW_RUN_DEFAULT && !loop->wants_stop);
    loop->is_running = false;
    return result < 0 ? result : has_work(loop);
}

void smw_loop_stop(smw_loop *loop)
{
    loop->wants_stop = true;
}

void smw_loop_wake(smw_loop *loop)
{
    net_wake(loop->wakeup_writer);
}

const smw_stats *smw_loop_stats(const smw_loop *loop)
{
    return &loop->stats;
}

int smw_loop_descriptor(const smw_loop *loop)
{
    return poll_descriptor(&loop->poll);
}

/* ---- the Date ---- */

static void put_text(char *at, const char *table, int index)
{
    memcpy(at, table + index * 3, 3);
}

static void put_two(char *at, int number)
{
    at[0] = (char)('0' + number / 10 % 10);
    at[1] = (char)('0' + number % 10);
}

const char *loop_date(smw_loop *loop)
{
    struct timespec now;
#ifdef CLOCK_REALTIME_COARSE
    clock_gettime(CLOCK_REALTIME_COARSE, &now); /* 4 ms off at most, and cheaper */
#else
    clock_gettime(CLOCK_REALTIME, &now);
#endif
    if (now.tv_sec == loop->date_second) return loop->date;
    loop->date_second = now.tv_sec;
    struct tm tm;
    gmtime_r(&now.tv_sec, &tm);
    memcpy(loop->date, "Thu, 01 Jan 1970 00:00:00 GMT", 30);
    put_text(loop->date, "SunMonTueWedThuFriSat", tm.tm_wday);
    put_two(loop->date + 5, tm.tm_mday);
    put_text(loop->date + 8, "JanFebMarAprMayJunJulAugSepOctNovDec", tm.tm_mon);
    put_two(loop->date + 12, tm.tm_year / 100 + 19);
    put_two(loop->date + 14, tm.tm_year % 100);
    put_two(loop->date + 17, tm.tm_hour);
    put_two(loop->date + 20, tm.tm_min);
    put_two(loop->date + 23, tm.tm_sec);
    return loop->date;
}
