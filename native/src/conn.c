/* SPDX-License-Identifier: MIT */
#include "conn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* How long a peer may go on sending what nobody wants before it is cut off. */
#define LINGER_MS 2000

static void on_ready(smw_loop *loop, watch *w, unsigned events);
static void on_turn(smw_loop *loop, task *t);
static void on_time(timer *t);

conn *conn_new(smw_loop *loop, int fd, size_t size, const conn_protocol *protocol)
{
    conn *c = calloc(1, size);
    if (c == NULL) goto fail;
    watch_init(&c->watch, fd, on_ready);
    task_init(&c->task, on_turn);
    list_init(&c->link);
    list_init(&c->cork);
    timer_init(&c->timer, on_time);
    c->loop = loop;
    c->protocol = protocol;
    c->transport = &transport_plain;
    c->slot = slots_add(&loop->conns, c);
    if (c->slot == 0) goto fail;
    c->generation = slots_generation(&loop->conns, c->slot);
    c->since = loop->now;
    if (loop_watch(loop, &c->watch, POLL_READ | POLL_HANGUP) != 0) {
        slots_remove(&loop->conns, c->slot, c->generation);
        goto fail;
    }
    return c;
fail:
    free(c);
    transport_plain.close(fd);
    return NULL;
}

static void flush(conn *c);

/* ---- input ---- */

static void watch_again(conn *c)
{
    unsigned events = c->is_paused ? 0u : (unsigned)POLL_READ;
    if (c->is_blocked) events |= POLL_WRITE;
    /* Once seen, it would be told again and again. */
    if (!c->is_hung_up) events |= POLL_HANGUP;
    /* It can fail for want of kernel memory alone: then nothing more would ever be
     * heard of this connection. */
    if (loop_watch(c->loop, &c->watch, events) != 0) conn_break(c);
}

static void on_ready(smw_loop *loop, watch *w, unsigned events)
{
    conn *c = (conn *)w;
    if (events & POLL_WRITE && c->is_blocked) {
        c->is_blocked = false;
        flush(c);
        if (conn_is_gone(c)) return;
        watch_again(c);
        if (conn_is_gone(c)) return;
        if (buf_length(&c->out) == 0) c->protocol->on_drained(c);
        if (c->is_closed) return;
    }
    bool hangs_up = events & POLL_HANGUP && !c->is_hung_up;
    if (hangs_up) c->is_hung_up = true;
    if (events & POLL_READ) c->is_readable = true;
    if (hangs_up || c->is_paused) watch_again(c);
    if (hangs_up || (c->is_readable && !c->is_paused)) loop_defer(loop, &c->task);
}

static void discard_input(conn *c)
{
    char junk[16384];
    ssize_t count = conn_read(c, junk, sizeof junk);
    if (count == 0 || (count < 0 && count != -EAGAIN)) conn_close(c);
}

static void on_turn(smw_loop *loop, task *t)
{
    (void)loop;
    conn *c = list_entry(t, conn, task);
    if (c->is_closed) return;
    if (c->is_broken) {
        conn_close(c);
        return;
    }
    /* Finishing, input waits until the output has left: the end of the one must not
     * cut off the other. */
    if (c->is_lingering)
        discard_input(c);
    else if (!c->is_finishing)
        c->protocol->on_input(c);
}

ssize_t conn_read(conn *c, char *into, size_t length)
{
    c->is_readable = false;
    c->loop->stats.recvs++;
    ssize_t count = c->transport->read(c->watch.fd, into, length);
    return count == -EINTR ? -EAGAIN : count;
}

void conn_pause(conn *c)
{
    c->is_paused = true;
}

void conn_resume(conn *c)
{
    if (c->is_closed) return;
    c->is_paused = false;
    watch_again(c);
}

/* ---- output ---- */

void conn_cork(conn *c)
{
    c->corks++;
}

void conn_uncork(conn *c)
{
    if (c->corks == 0 || --c->corks > 0) return;
    flush(c);
}

void conn_cork_for_turn(conn *c)
{
    if (!list_is_empty(&c->cork)) return;
    list_append(&c->loop->corked, &c->cork);
    c->corks++;
}

void conn_uncork_all(smw_loop *loop)
{
    list *link;
    while ((link = list_pop(&loop->corked)) != NULL)
        conn_uncork(list_entry(link, conn, cork));
}

/* What the kernel takes of `data` now; 0 also when it takes nothing. */
static size_t send_now(conn *c, const char *data, size_t length)
{
    c->loop->stats.sends++;
    ssize_t count = c->transport->write(c->watch.fd, data, length);
    if (count == -EINTR) count = -EAGAIN;
    if (count < 0 && count != -EAGAIN) {
        conn_break(c);
        return 0;
    }
    if (count > 0) c->since = c->loop->now;
    if (count < (ssize_t)length) {
        c->is_blocked = true;
        conn_expect(c, c->send_timeout);
        watch_again(c);
    }
    return count > 0 ? (size_t)count : 0;
}

static void start_linger(conn *c)
{
    buf_clear(&c->in, &c->loop->pool);
    if (!c->must_linger || c->transport->shutdown(c->watch.fd) != 0) {
        conn_close(c);
        return;
    }
    c->is_lingering = true;
    loop_start_timer(c->loop, &c->timer, LINGER_MS);
    conn_resume(c);
}

static void flush(conn *c)
{
    if (conn_is_gone(c) || c->corks > 0 || c->is_blocked) return;
    if (buf_length(&c->out) > 0) {
        size_t sent = send_now(c, buf_data(&c->out), buf_length(&c->out));
        if (conn_is_gone(c)) return;
        if (sent > 0) buf_consume(&c->out, &c->loop->pool, sent);
    }
    if (c->is_finishing && !c->is_lingering && buf_length(&c->out) == 0) start_linger(c);
}

char *conn_reserve(conn *c, size_t length)
{
    if (conn_is_gone(c)) return NULL;
    char *room = buf_reserve(&c->out, &c->loop->pool, length);
    if (room == NULL) conn_break(c);
    return room;
}

void conn_commit(conn *c, size_t length)
{
    buf_commit(&c->out, length);
    flush(c);
}

int conn_write(conn *c, const char *data, size_t length)
{
    if (length == 0) return 0;
    char *room = conn_reserve(c, length);
    if (room == NULL) return -ENOMEM;
    memcpy(room, data, length);
    conn_commit(c, length);
    return 0;
}

size_t conn_write_some(conn *c, const char *data, size_t length, size_t high_water)
{
    size_t taken = 0;
    /* What is queued goes first, whatever the cork: this is a large body. */
    unsigned corks = c->corks;
    c->corks = 0;
    flush(c);
    c->corks = corks;
    if (conn_is_gone(c)) return 0;
    if (buf_length(&c->out) == 0 && !c->is_blocked) {
        taken = send_now(c, data, length);
        if (conn_is_gone(c)) return 0;
    }
    size_t queued = buf_length(&c->out);
    size_t room = queued < high_water ? high_water - queued : 0;
    size_t rest = length - taken < room ? length - taken : room;
    if (buf_append(&c->out, &c->loop->pool, data + taken, rest) != 0) {
        conn_break(c);
        return 0;
    }
    return taken + rest;
}

/* ---- time ---- */

void conn_expect(conn *c, uint32_t timeout_ms)
{
    if (timeout_ms == 0 || c->is_lingering) return;
    if (timer_is_running(&c->timer) && c->timer.due <= c->loop->now + timeout_ms) return;
    loop_start_timer(c->loop, &c->timer, timeout_ms);
}

static void on_time(timer *t)
{
    conn *c = list_entry(t, conn, timer);
    c->loop->active--; /* the timer's */
    if (c->is_lingering)
        conn_close(c);
    else if (!conn_is_gone(c))
        c->protocol->on_timeout(c);
}

/* ---- the end ---- */

void conn_finish(conn *c)
{
    if (conn_is_gone(c) || c->is_finishing) return;
    c->is_finishing = true;
    conn_pause(c);
    flush(c);
}

void conn_break(conn *c)
{
    if (conn_is_gone(c)) return;
    c->is_broken = true;
    buf_clear(&c->out, &c->loop->pool);
    loop_defer(c->loop, &c->task);
}

void conn_close(conn *c)
{
    if (c->is_closed) return;
    c->is_closed = true;
    smw_loop *loop = c->loop;
    int fd = c->watch.fd;
    list_remove(&c->task.link);
    list_remove(&c->cork);
    list_remove(&c->link);
    loop_stop_timer(loop, &c->timer);
    buf_clear(&c->in, &loop->pool);
    buf_clear(&c->out, &loop->pool);
    loop_retire(loop, &c->watch);
    c->transport->close(fd);
    slots_remove(&loop->conns, c->slot, c->generation);
    c->protocol->on_closed(c); /* where its id names nothing any more */
}

/* ---- by id ---- */

static conn *find(smw_loop *loop, uint64_t id)
{
    conn *c = slots_get(&loop->conns, id);
    return c == NULL || c->is_finishing || c->is_broken ? NULL : c;
}

int smw_conn_cork(smw_loop *loop, uint64_t id)
{
    conn *c = find(loop, id);
    if (c == NULL) return SMW_EGONE;
    conn_cork(c);
    return 0;
}

int smw_conn_uncork(smw_loop *loop, uint64_t id)
{
    conn *c = slots_get(&loop->conns, id);
    if (c == NULL || c->is_broken) return SMW_EGONE;
    conn_uncork(c);
    return 0;
}

int smw_conn_write(smw_loop *loop, uint64_t id, const char *data, size_t length)
{
    conn *c = find(loop, id);
    if (c == NULL) return SMW_EGONE;
    return conn_write(c, data, length);
}

int smw_conn_close(smw_loop *loop, uint64_t id)
{
    conn *c = find(loop, id);
    if (c == NULL) return SMW_EGONE;
    conn_finish(c);
    return 0;
}
