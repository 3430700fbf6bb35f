/* SPDX-License-Identifier: MIT */
/* handles.c - timers and watched descriptors for users of the loop: by id and by number,
 * made when the first is asked for. */
#include "loop.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

typedef struct user_timer {
    timer timer;
    smw_loop *loop;
    smw_timer_fn on_due;
    uint64_t user;
    uint64_t id;
    uint64_t repeat_ms;
} user_timer;

typedef struct user_watch {
    watch watch;
    smw_watch_fn on_ready;
    uint64_t user;
} user_watch;

typedef struct handles {
    dependent dependent;
    smw_loop *loop;
    slots timers;
    user_watch **watches; /* by descriptor */
    size_t watch_count;
} handles;

static void user_timer_free(user_timer *it);

static void handles_free(dependent *d)
{
    handles *h = list_entry(d, handles, dependent);
    for (uint32_t i = 0; i < h->timers.count; i++) {
        user_timer *it = slots_at(&h->timers, i);
        if (it != NULL) user_timer_free(it);
    }
    for (size_t fd = 0; fd < h->watch_count; fd++)
        if (h->watches[fd] != NULL) loop_retire(h->loop, &h->watches[fd]->watch);
    slots_clear(&h->timers);
    free(h->watches);
    list_remove(&d->link);
    h->loop->handles = NULL;
    free(h);
}

static handles *handles_of(smw_loop *loop)
{
    if (loop->handles != NULL) return loop->handles;
    handles *h = calloc(1, sizeof *h);
    if (h == NULL) return NULL;
    h->loop = loop;
    loop->handles = h;
    dependent_init(loop, &h->dependent, handles_free);
    return h;
}

/* ---- timers ---- */

static void user_timer_free(user_timer *it)
{
    loop_stop_timer(it->loop, &it->timer);
    slots_remove(&it->loop->handles->timers, slot_number(it->id), slot_generation(it->id));
    free(it);
}

static void on_user_timer(timer *t)
{
    user_timer *it = list_entry(t, user_timer, timer);
    smw_loop *loop = it->loop;
    smw_timer_fn on_due = it->on_due;
    uint64_t id = it->id, user = it->user;
    loop->active--; /* it is not running any more */
    if (it->repeat_ms > 0)
        loop_start_timer(loop, t, (int64_t)it->repeat_ms);
    else
        user_timer_free(it);
    on_due(loop, id, user);
}

int smw_timer_start(smw_loop *loop, uint64_t delay_ms, uint64_t repeat_ms,
                    smw_timer_fn on_due, uint64_t user, uint64_t *id)
{
    if (on_due == NULL || delay_ms > INT32_MAX || repeat_ms > INT32_MAX) return -EINVAL;
    handles *h = handles_of(loop);
    user_timer *it = h == NULL ? NULL : calloc(1, sizeof *it);
    if (it == NULL) return -ENOMEM;
    uint32_t number = slots_add(&h->timers, it);
    if (number == 0) {
        free(it);
        return -ENOMEM;
    }
    it->loop = loop;
    it->on_due = on_due;
    it->user = user;
    it->repeat_ms = repeat_ms;
    it->id = slot_id(number, slots_generation(&h->timers, number));
    timer_init(&it->timer, on_user_timer);
    loop_start_timer(loop, &it->timer, (int64_t)delay_ms);
    if (id != NULL) *id = it->id;
    return 0;
}

static user_timer *find_timer(const smw_loop *loop, uint64_t id)
{
    return loop->handles == NULL ? NULL : slots_get(&loop->handles->timers, id);
}

int smw_timer_stop(smw_loop *loop, uint64_t id)
{
    user_timer *it = find_timer(loop, id);
    if (it == NULL) return SMW_EGONE;
    user_timer_free(it);
    return 0;
}

bool smw_timer_is_running(const smw_loop *loop, uint64_t id)
{
    return find_timer(loop, id) != NULL;
}

/* ---- descriptors ---- */

static void on_user_watch(smw_loop *loop, watch *w, unsigned events)
{
    user_watch *it = (user_watch *)w;
    /* A hangup is readable: the reader finds the end there. */
    unsigned seen = (events & POLL_READ ? SMW_READABLE : 0u) |
                    (events & POLL_WRITE ? SMW_WRITABLE : 0u);
    seen &= w->events;
    if (seen != 0) it->on_ready(loop, w->fd, seen, it->user);
}

static int grow(handles *h, int fd)
{
    if ((size_t)fd < h->watch_count) return 0;
    /* The table is as long as the highest descriptor: not for one that is none. */
    if (fcntl(fd, F_GETFD) < 0) return -errno;
    size_t count = (size_t)fd + 64;
    user_watch **table = realloc(h->watches, count * sizeof *table);
    if (table == NULL) return -ENOMEM;
    memset(table + h->watch_count, 0, (count - h->watch_count) * sizeof *table);
    h->watches = table;
    h->watch_count = count;
    return 0;
}

int smw_watch_set(smw_loop *loop, int fd, unsigned events, smw_watch_fn on_ready,
                  uint64_t user)
{
    if (fd < 0 || events > (SMW_READABLE | SMW_WRITABLE)) return -EINVAL;
    if (events != 0 && on_ready == NULL) return -EINVAL;
    handles *h = handles_of(loop);
    if (h == NULL) return -ENOMEM;
    user_watch *it = (size_t)fd < h->watch_count ? h->watches[fd] : NULL;
    if (events == 0) {
        /* The struct stays, for the next watch of this number. A caller who closes a
         * descriptor before it is forgotten, and has a duplicate of it, leaves the kernel
         * with an entry that nobody can remove: what that names must not be freed while
         * the loop lives. */
        if (it != NULL) loop_unwatch(loop, &it->watch);
        return 0;
    }
    int result = grow(h, fd);
    if (result != 0) return result;
    if (it == NULL) {
        it = calloc(1, sizeof *it);
        if (it == NULL) return -ENOMEM;
        watch_init(&it->watch, fd, on_user_watch);
        h->watches[fd] = it;
    }
    it->on_ready = on_ready;
    it->user = user;
    return loop_watch(loop, &it->watch, events); /* SMW_* equal POLL_* */
}

_Static_assert((int)SMW_READABLE == (int)POLL_READ && (int)SMW_WRITABLE == (int)POLL_WRITE,
               "smw_watch_set hands its events to poll_set");
