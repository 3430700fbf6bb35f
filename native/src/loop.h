/* SPDX-License-Identifier: MIT */
/* loop.h - what happens between two sleeps.
 *
 * One step: wait, note what is ready, serve ready connections in the order in which
 * they became ready, until all are served or the batch is full, then run timers: so
 * that nobody is late whose bytes were here in time. What was not served stays first in
 * line for the next step. */
#ifndef SMW_LOOP_H
#define SMW_LOOP_H

#include "buf.h"
#include "list.h"
#include "poll.h"
#include "slots.h"
#include "smw.h"
#include "timer.h"

/* Something with a descriptor. First member of whatever is watched, because a
 * retired watch is freed as a whole once no event can name it. */
typedef struct watch watch;
typedef void (*watch_fn)(smw_loop *loop, watch *w, unsigned events);
struct watch {
    int fd;          /* -1 once retired */
    unsigned events; /* of interest now */
    bool is_active;  /* counted as something that keeps the loop going */
    watch_fn on_ready;
    watch *next_retired;
};

/* Something that waits its turn to be served. */
typedef struct task task;
typedef void (*task_fn)(smw_loop *loop, task *t);
struct task {
    list link;
    task_fn run;
};

/* Something that must be gone before the loop: listeners, servers, the batch. */
typedef struct dependent dependent;
typedef void (*dependent_fn)(dependent *d);
struct dependent {
    list link;
    dependent_fn free; /* unlinks itself */
};

/* The stack that requests are read onto: reset when a turn ends. */
typedef struct arena {
    char *data;
    size_t size;
    size_t used;
    bool is_ours; /* made by the loop itself, for C users */
} arena;

struct smw_loop {
    poller poll;
    timer_wheel timers;
    arena arena;
    list pending; /* tasks that need no readiness */
    list gathered; /* tasks to run when the arena is about to be reset */
    list corked;  /* connections that owe a send at the end of a scatter */
    list dependents;
    buf_pool pool;
    slots conns;
    struct handles *handles; /* the user's timers and watches, once there are some */
    watch *retired;
    watch wakeup;
    int wakeup_writer;
    smw_batch *batch; /* the turn's, when there is one */
    smw_stats stats;
    size_t active;     /* watches and timers that keep `run` going */
    int64_t now;       /* of loop_clock, as of the last wait or scatter; some ms old */
    bool is_full;      /* the batch takes no more requests in this turn */
    bool is_abandoned; /* the back end is the parent's: it must not be told */
    bool was_woken;
    bool wants_stop;
    bool is_running;   /* inside of `smw_loop_run` */
    int64_t date_second; /* what `date` says; 0: nothing yet */
    char date[32];       /* IMF-fixdate, RFC 9110 5.6.7 */
};

/* Monotonic milliseconds that have passed. */
int64_t loop_clock(void);

/* When at least `delay_ms` will be over on that clock: part of a millisecond counts as
 * one, so nothing is early. */
int64_t loop_deadline(int64_t delay_ms);

void watch_init(watch *w, int fd, watch_fn on_ready);

/* Change the events of interest. 0 or -errno. */
int loop_watch(smw_loop *loop, watch *w, unsigned events);

/* Stop watching; it may be watched again. */
void loop_unwatch(smw_loop *loop, watch *w);

/* Stop watching and free the struct at the end of the step. Its descriptor is the
 * caller's to close, after this. */
void loop_retire(smw_loop *loop, watch *w);

void dependent_init(smw_loop *loop, dependent *d, dependent_fn on_free);

void task_init(task *t, task_fn run);

/* Queue a task for this step or the next; no effect when it is queued already. */
void loop_defer(smw_loop *loop, task *t);

/* The same, but before all others: it has waited already. */
void loop_defer_first(smw_loop *loop, task *t);

void loop_start_timer(smw_loop *loop, timer *t, int64_t delay_ms);
void loop_stop_timer(smw_loop *loop, timer *t);

/* Settle what still points into the arena, then reset it. */
void loop_begin_turn(smw_loop *loop);

/* Memory that lasts until the next turn begins; NULL when the arena is full. */
void *loop_allocate(smw_loop *loop, size_t size);

/* One step. The number of events, or -errno; -EINTR after a signal. */
int loop_step(smw_loop *loop, int64_t timeout_ms);

/* Bring `now` up to date, cheaply. */
void loop_read_clock(smw_loop *loop);

/* 29 bytes, such as "Sun, 06 Nov 1994 08:49:37 GMT". */
const char *loop_date(smw_loop *loop);

#endif
