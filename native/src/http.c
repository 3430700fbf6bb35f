/* SPDX-License-Identifier: MIT */
/* http.c - requests in: from bytes to callbacks, one connection at a time. */
#include "http.h"

#include "http_conn.h"
#include "net.h"

#include <errno.h>

/* Enough for a burst of pipelined requests, small enough to share the arena. */
#define READ_MOST 16384
#define READ_LEAST 4096

/* A body that is wanted comes in larger pieces. */
#define READ_BODY 65536

/* How long a client that has connected may take to ask before it counts as idle. */
#define ARRIVAL_MS 1000

static const conn_protocol protocol;

http_conn *http_conn_find(smw_loop *loop, uint64_t id)
{
    conn *c = conn_at(loop, id);
    if (c == NULL || c->protocol != &protocol) return NULL;
    if (c->is_finishing || c->is_broken) return NULL;
    http_conn *h = (http_conn *)c;
    uint64_t generation = slot_generation(id);
    return generation >= h->first && generation < h->next ? h : NULL;
}

conn *http_conn_of(smw_loop *loop, uint64_t id)
{
    http_conn *h = http_conn_find(loop, id);
    return h == NULL ? NULL : &h->conn;
}

int http_close(smw_loop *loop, uint64_t id)
{
    conn *c = conn_at(loop, id);
    if (c == NULL || c->protocol != &protocol) return SMW_EGONE;
    http_conn *h = (http_conn *)c;
    if (http_conn_find(loop, id) != NULL) {
        conn_break(c);
        return 0;
    }
    /* The connection bears the number of its last request. */
    uint64_t generation = slot_generation(id);
    if (generation != c->generation || generation + 1 != h->first) return SMW_EGONE;
    if (c->is_finishing || c->is_broken) return 0;
    h->takes_no_more = true;
    c->must_linger = true; /* the peer may be sending more */
    conn_finish(c);
    return 0;
}

static bool expects_body(const http_conn *h)
{
    return h->wants_body && h->owes_body;
}

/* A peer that has ended its side may still take the rest of an answer of known length,
 * or have gone: only sending tells. */
static bool is_being_sent(const http_conn *h)
{
    return h->answer_left > 0 && h->conn.is_hung_up;
}

/* ---- time ---- */

/* How long the connection may wait for what it waits for; 0: for ever. */
static uint32_t patience(const http_conn *h)
{
    const http_timeouts *timeouts = &h->host->timeouts;
    if (h->conn.is_blocked || is_being_sent(h)) return timeouts->send;
    if (!http_conn_is_idle(h)) return expects_body(h) ? timeouts->body : timeouts->answer;
    if (!http_body_is_complete(&h->body)) return timeouts->body;
    return h->is_reading_head ? timeouts->head : timeouts->idle;
}

void http_conn_start_waiting(http_conn *h)
{
    if (h->conn.is_blocked) return; /* it waits for the peer to take what is sent */
    h->conn.since = h->conn.loop->now;
    h->was_looked_at = false;
    conn_expect(&h->conn, patience(h));
}

/* ---- what cannot be served ---- */

static void refuse(http_conn *h, int status, bool is_head)
{
    h->refusal = status;
    h->refuses_head = is_head;
    h->takes_no_more = true;
    /* Those before it are answered first. */
    if (http_conn_is_idle(h)) http_reply_refuse(h, status, is_head);
}

/* End the open exchange in place of its handler, with `status` if that can still be
 * said and is not 0. In a step alone: it makes a record. */
static void abort_open(http_conn *h, int status)
{
    uint64_t id = http_conn_exchange(h);
    h->first = h->next;
    h->takes_no_more = true;
    h->wants_writable = false;
    http_conn_drop_body(h);
    if (status == 0 || h->is_streaming)
        conn_finish(&h->conn); /* answers before it may still be on their way */
    else
        http_reply_refuse(h, status, h->current.asked.is_head);
    h->host->on_aborted(h->host, id, status);
}

static void on_timeout(conn *c)
{
    http_conn *h = (http_conn *)c;
    uint32_t allowed = patience(h);
    if (allowed == 0) return;
    int64_t left = c->since + allowed - c->loop->now;
    /* It may wait for us: in line to be served, or with bytes in the socket that no
     * event has told yet. One more look at it is owed. */
    if (left <= 0 && (!h->was_looked_at || !list_is_empty(&c->task.link))) {
        h->was_looked_at = c->is_readable = true;
        loop_defer(c->loop, &c->task);
        left = 1;
    }
    /* What is told of it needs room in the batch. */
    if (left <= 0 && c->loop->is_full && !http_conn_is_idle(h)) left = 1;
    if (left > 0) {
        conn_expect(c, (uint32_t)left);
        return;
    }
    if (c->is_blocked)
        conn_close(c);
    else if (!http_conn_is_idle(h))
        abort_open(h, is_being_sent(h) ? 0 : expects_body(h) ? 408 : 503);
    else if (h->is_reading_head)
        refuse(h, 408, false);
    else
        conn_finish(c);
}

/* ---- bodies ---- */

void http_conn_drop_body(http_conn *h)
{
    h->piece = (smw_str){NULL, 0};
    buf_clear(&h->held, &h->conn.loop->pool);
    h->is_alone = h->owes_body = h->wants_body = h->owes_continue = false;
}

static void give(http_conn *h, smw_str piece)
{
    bool is_last = http_body_is_complete(&h->body);
    h->owes_body = !is_last;
    http_conn_start_waiting(h);
    h->host->on_data(h->host, http_conn_exchange(h), piece, is_last);
}

/* Read on in a body: for its handler, or past it when that has answered. The bytes
 * used, or -1 when the connection goes no further. */
static ssize_t take_body(http_conn *h, char *data, size_t length)
{
    size_t content;
    ssize_t used = http_body_take(&h->body, data, length, &content);
    bool is_open = !http_conn_is_idle(h);
    if (used < 0) {
        if (is_open) {
            abort_open(h, (int)-used);
        } else {
            h->conn.must_linger = true;
            conn_finish(&h->conn);
        }
        return -1;
    }
    bool has_news = content > 0 || http_body_is_complete(&h->body);
    if (is_open && has_news)
        give(h, (smw_str){data, content});
    else
        http_conn_start_waiting(h);
    return used;
}

/* What came when nobody had asked for it goes through the arena. */
static void give_held(http_conn *h)
{
    conn *c = &h->conn;
    size_t length = buf_length(&h->held);
    char *place = c->loop->arena.data + c->loop->arena.used;
    if (length > 0) memcpy(place, buf_data(&h->held), length);
    c->loop->arena.used += length;
    buf_clear(&h->held, &c->loop->pool);
    give(h, (smw_str){place, length});
}

/* The arena is about to be reset, and a piece in it may still be asked for. */
static void hold_piece(http_conn *h)
{
    conn *c = &h->conn;
    int result = buf_append(&h->held, &c->loop->pool, h->piece.data, h->piece.length);
    h->piece = (smw_str){NULL, 0};
    if (result != 0)
        conn_break(c);
    else if (h->wants_body)
        loop_defer(c->loop, &c->task);
}

static void send_continue(http_conn *h)
{
    smw_str text = STR("HTTP/1.1 100 Continue\r\n\r\n");
    h->owes_continue = false;
    if (h->conn.loop->batch != NULL) conn_cork_for_turn(&h->conn);
    conn_write(&h->conn, text.data, text.length);
}

int http_read(smw_loop *loop, uint64_t id, bool wants)
{
    http_conn *h = http_conn_find(loop, id);
    if (h == NULL) return SMW_EGONE;
    if (!h->owes_body) return 0;
    bool has_changed = h->wants_body != wants;
    h->wants_body = wants;
    if (has_changed) http_conn_start_waiting(h);
    if (!wants) return 0;
    if (h->owes_continue) send_continue(h);
    if (h->piece.length > 0) return 0; /* comes after this callback or turn */
    loop_defer(loop, &h->conn.task);
    conn_resume(&h->conn);
    return 0;
}

int http_read_piece(smw_loop *loop, uint64_t id, bool wants, smw_str *piece, bool *is_last)
{
    http_conn *h = http_conn_find(loop, id);
    if (h == NULL) return SMW_EGONE;
    *piece = (smw_str){NULL, 0};
    if (wants && h->owes_body && buf_length(&h->held) == 0) {
        *piece = h->piece;
        h->piece = (smw_str){NULL, 0};
        h->owes_body = !http_body_is_complete(&h->body);
    }
    *is_last = !h->owes_body;
    return http_read(loop, id, wants);
}

/* ---- requests ---- */

static exchange *add_exchange(http_conn *h, const http_head *head)
{
    smw_loop *loop = h->conn.loop;
    exchange *ex = &h->current;
    if (!http_conn_is_idle(h)) {
        ex = loop_allocate(loop, sizeof *ex);
        if (ex == NULL) return NULL;
        h->last->next = ex;
    }
    *ex = (exchange){.input = (char *)(uintptr_t)head->text.data,
                     .asked = {.is_head = head->method == SMW_HEAD,
                               .is_connect = head->method == SMW_CONNECT,
                               .is_old = head->minor == 0},
                     .is_last = !head->is_keep_alive};
    /* The first one is kept in the connection, so its successor is linked there. */
    h->last = ex;
    return ex;
}

static void fill_request(smw_request *request, const http_head *head)
{
    request->method = head->method;
    request->minor = head->minor;
    request->head = head->text;
    request->method_name = head->method_name;
    request->target = head->target;
    request->path = head->path;
    request->query = head->query;
    request->field_lines = head->field_lines;
    request->fields = head->fields;
    request->field_count = head->field_count;
}

static void deliver(http_conn *h, smw_request *request, const exchange *ex)
{
    request->exchange = slot_id(h->conn.slot, h->next);
    /* Not back to less than requests that were taken back had: their ids are known. */
    if (h->next > h->conn.generation) h->conn.generation = h->next;
    h->next++;
    h->takes_no_more = ex->is_last;
    h->is_reading_head = false;
    /* Without a batch an empty body is told like any other. */
    h->owes_body = h->is_alone || h->conn.loop->batch == NULL;
    if (list_is_empty(&h->settle.link))
        list_append(&h->conn.loop->gathered, &h->settle.link);
    http_conn_start_waiting(h);
    h->host->on_request(h->host, request);
}

/* Begin the body that stands behind a head. The bytes used of it, or -status. */
static ssize_t begin_body(http_conn *h, const http_head *head, char *data, size_t length,
                          uint64_t most)
{
    size_t content = 0;
    ssize_t used = http_body_begin(&h->body, head, most);
    if (used == 0) used = http_body_take(&h->body, data, length, &content);
    if (used < 0) {
        h->body = (http_body){0};
        return used;
    }
    h->piece = (smw_str){data, content};
    h->is_alone = true;
    h->owes_continue = head->expects_continue && used == 0;
    return used;
}

/* Only a batch may show requests behind an open one: it is answered as a whole. */
static bool must_wait(const http_conn *h)
{
    if (h->conn.loop->is_full) return true;
    return !http_conn_is_idle(h) && (h->conn.loop->batch == NULL || h->is_alone);
}

/* The bytes used by one request, 0 when it is not complete or must wait (then
 * `is_held`), or -1 when the connection takes no more. */
static ssize_t take_request(http_conn *h, char *input, size_t length)
{
    if (h->takes_no_more) return -1;
    h->is_held = must_wait(h);
    if (h->is_held) return 0;
    http_head head;
    ssize_t used =
        http_parse_head(input, length, &h->scanned, &h->host->limits, &head);
    if (used == 0) return 0;
    if (used < 0) {
        refuse(h, (int)-used, head.method == SMW_HEAD);
        return -1;
    }
    h->scanned = 0;
    bool has_body = head.is_chunked || head.content_length > 0;
    h->is_held = has_body && !http_conn_is_idle(h);
    if (h->is_held) return 0;
    smw_request request;
    fill_request(&request, &head);
    uint64_t most = h->host->route(h->host, &request);
    exchange *ex = add_exchange(h, &head);
    if (ex == NULL) {
        h->conn.loop->is_full = h->is_held = true;
        return 0;
    }
    if (has_body) {
        ssize_t result =
            begin_body(h, &head, input + used, length - (size_t)used, most);
        if (result < 0) {
            refuse(h, (int)-result, ex->asked.is_head);
            return -1;
        }
        used += result;
    }
    deliver(h, &request, ex);
    if (expects_body(h) && !conn_is_gone(&h->conn) && !h->conn.is_finishing) {
        smw_str piece = h->piece;
        h->piece = (smw_str){NULL, 0};
        if (piece.length > 0 || http_body_is_complete(&h->body)) give(h, piece);
    }
    return used;
}

/* Hand out what `input` has, until it ends, the turn is full, or something must be
 * answered first. Returns the bytes used. */
static size_t consume(http_conn *h, char *input, size_t length)
{
    size_t used = 0;
    h->is_held = false;
    while (used < length && !conn_is_gone(&h->conn) && !h->conn.is_finishing) {
        bool is_body = !http_body_is_complete(&h->body);
        ssize_t taken = is_body ? take_body(h, input + used, length - used)
                                : take_request(h, input + used, length - used);
        if (taken < 0) return length;
        if (taken == 0) break;
        used += (size_t)taken;
    }
    return used;
}

/* Bytes that this turn does not use wait in the connection. */
static void keep(http_conn *h, const char *data, size_t length)
{
    conn *c = &h->conn;
    if (length == 0 || conn_is_gone(c) || c->is_finishing) return;
    if (buf_append(&c->in, &c->loop->pool, data, length) != 0) {
        conn_close(c);
        return;
    }
    if (h->is_held || h->is_reading_head || !http_conn_is_idle(h)) return;
    h->is_reading_head = true;
    http_conn_start_waiting(h);
}

/* The peer has ended its side. */
static void on_end(http_conn *h)
{
    if (expects_body(h))
        abort_open(h, 400);
    else
        conn_finish(&h->conn);
}

/* One read on top of what was held, in one piece in the arena. The number of bytes
 * there, or -1 when there is nothing to do with them. */
static ssize_t read_into(http_conn *h, char *place, size_t room)
{
    conn *c = &h->conn;
    size_t held = buf_length(&c->in);
    if (held > 0) {
        memcpy(place, buf_data(&c->in), held);
        buf_clear(&c->in, &c->loop->pool);
    }
    if (!c->is_readable || h->is_held) return (ssize_t)held;
    size_t most = expects_body(h) ? READ_BODY : READ_MOST;
    room -= held;
    ssize_t count = conn_read(c, place + held, room < most ? room : most);
    if (count == 0) on_end(h);
    if (count < 0 && count != -EAGAIN) conn_close(c);
    if (conn_is_gone(c) || c->is_finishing) return -1;
    return (ssize_t)held + (count > 0 ? count : 0);
}

static void read_on(http_conn *h, char *place, size_t room)
{
    conn *c = &h->conn;
    ssize_t length = read_into(h, place, room);
    if (length <= 0) return;
    c->loop->arena.used += (size_t)length;
    size_t used = consume(h, place, (size_t)length);
    h->input_end = place + used;
    keep(h, place + used, (size_t)length - used);
    if (conn_is_gone(c) || c->is_finishing || !http_conn_is_idle(h)) return;
    /* Nobody will announce again what is here already. */
    if (h->is_held || c->is_readable) loop_defer(c->loop, &c->task);
}

/* An exchange is open, and nothing behind it may be read. */
static void wait_for_answer(http_conn *h)
{
    conn *c = &h->conn;
    /* Who waits for its handler may have lost interest. */
    if (c->is_hung_up && !h->host->half_close && h->answer_left == 0) {
        abort_open(h, 0);
        return;
    }
    /* From here on it has the time for sending; a last look does not renew it. */
    if (is_being_sent(h) && !h->was_looked_at) http_conn_start_waiting(h);
    conn_pause(c); /* its answer resumes it */
}

static void on_input(conn *c)
{
    http_conn *h = (http_conn *)c;
    smw_loop *loop = c->loop;
    if (!http_conn_is_idle(h) && !expects_body(h)) {
        wait_for_answer(h);
        return;
    }
    /* A peer that asks and does not read may not fill our memory with answers. */
    if (buf_length(&c->out) > HTTP_HIGH_WATER) {
        conn_pause(c); /* that its output has left resumes it */
        return;
    }
    /* The end of the room is for the exchanges of pipelined requests. */
    size_t wanted = buf_length(&h->held) + buf_length(&c->in) + READ_LEAST;
    size_t room = loop->arena.size - loop->arena.used;
    room -= room / 4;
    if (room < wanted) {
        loop->is_full = true;
        loop_defer_first(loop, &c->task);
    } else if (expects_body(h) &&
               (buf_length(&h->held) > 0 || http_body_is_complete(&h->body))) {
        give_held(h);
    } else {
        read_on(h, loop->arena.data + loop->arena.used, room);
    }
}

void http_conn_go_on(http_conn *h)
{
    conn *c = &h->conn;
    if (h->refusal != 0) {
        http_reply_refuse(h, h->refusal, h->refuses_head);
        return;
    }
    http_conn_start_waiting(h);
    if (buf_length(&c->in) > 0 || c->is_readable) loop_defer(c->loop, &c->task);
    if (c->is_paused) conn_resume(c);
}

static void on_drained(conn *c)
{
    http_conn *h = (http_conn *)c;
    http_conn_start_waiting(h);
    if (h->wants_writable) {
        h->wants_writable = false;
        h->host->on_writable(h->host, http_conn_exchange(h));
    } else if (c->is_paused && http_conn_is_idle(h) && !c->is_finishing) {
        http_conn_go_on(h); /* its requests had to wait for the room */
    } else if (c->is_paused && expects_body(h)) {
        conn_resume(c);
    }
}

/* ---- the end of the turn ---- */

/* What is behind the open exchange waits until that is answered. */
void http_conn_take_back(http_conn *h)
{
    if (h->next - h->first < 2) return;
    conn *c = &h->conn;
    buf_pool *pool = &c->loop->pool;
    const char *input = h->current.next->input;
    buf held = c->in;
    c->in = (buf){0};
    int result = buf_append(&c->in, pool, input, (size_t)(h->input_end - input));
    if (result == 0 && buf_length(&held) > 0)
        result = buf_append(&c->in, pool, buf_data(&held), buf_length(&held));
    buf_clear(&held, pool);
    h->next = h->first + 1;
    h->takes_no_more = false;
    h->refusal = 0;
    h->scanned = 0;
    h->is_held = true;
    h->current.next = NULL;
    if (result != 0) conn_break(c);
}

/* The arena is about to be reset. */
static void on_settle(smw_loop *loop, task *t)
{
    (void)loop;
    http_conn *h = list_entry(t, http_conn, settle);
    if (conn_is_gone(&h->conn) || h->conn.is_finishing) return;
    if (h->piece.length > 0) hold_piece(h);
    http_conn_take_back(h);
}

/* ---- the connection ---- */

static void on_closed(conn *c)
{
    http_conn *h = (http_conn *)c;
    uint64_t id = http_conn_exchange(h);
    bool was_open = !http_conn_is_idle(h);
    list_remove(&h->settle.link);
    h->first = h->next;
    http_conn_drop_body(h);
    http_host *host = h->host;
    host->on_closed(host);
    if (was_open) host->on_aborted(host, id, 0); /* it may free the server */
}

static const conn_protocol protocol = {
    .on_input = on_input,
    .on_drained = on_drained,
    .on_timeout = on_timeout,
    .on_closed = on_closed,
};

int http_open(smw_loop *loop, int fd, http_host *host, list *owner)
{
    conn *c = conn_new(loop, fd, sizeof(http_conn), &protocol);
    if (c == NULL) return -ENOMEM;
    http_conn *h = (http_conn *)c;
    h->host = host;
    h->first = h->next = c->generation;
    c->send_timeout = host->timeouts.send;
    task_init(&h->settle, on_settle);
    list_append(owner, &c->link);
    http_conn_start_waiting(h);
    return 0;
}

bool http_may_leave(const conn *c)
{
    const http_conn *h = (const http_conn *)c;
    bool was_served = h->next > c->generation;
    if (!was_served && c->loop->now - c->since < ARRIVAL_MS) return false;
    return http_conn_is_idle(h) && http_body_is_complete(&h->body) &&
           !h->is_reading_head && !c->is_readable && !c->is_finishing &&
           !conn_is_gone(c) && buf_length(&c->in) == 0 && buf_length(&c->out) == 0 &&
           !net_has_input(c->watch.fd); /* no event has told it yet */
}

void http_stop(conn *c)
{
    const http_conn *h = (http_conn *)c;
    if (!http_conn_is_idle(h)) return;
    if (!http_body_is_complete(&h->body)) c->must_linger = true;
    conn_finish(c);
}
