/* SPDX-License-Identifier: MIT */
#include "http.h"

#include "http_status.h"

#include <errno.h>

/* Enough for a burst of pipelined requests, small enough to share the arena. */
#define READ_MOST 16384
#define READ_LEAST 4096

/* A body that its handler left unread is read up to here to save the connection. */
#define DISCARD_MOST 65536

/* How much of a large body waits in our own queue, behind the kernel's. */
#define HIGH_WATER (256 * 1024)

/* What must be known about a request when its answer comes. */
typedef struct exchange {
    struct exchange *next; /* the one behind it in this turn; in the arena */
    char *input;           /* where its head begins in the arena */
    bool is_head;
    bool is_old;   /* HTTP/1.0 */
    bool is_last;  /* the connection closes after it */
} exchange;

typedef struct http_conn {
    conn conn;
    http_host *host;
    task settle;       /* to do before the arena is reset */
    uint64_t next;     /* generation of the next request; the last used one is the */
    uint64_t first;    /* conn's; [first, next) are unanswered */
    exchange current;  /* of `first` */
    exchange *last;    /* of `next - 1`, while the turn lasts */
    char *input_end;   /* in the arena: what this turn has parsed of it */
    size_t scanned;    /* how far the parser has looked for the end of a head */
    uint64_t discard;  /* bytes of a request body still to be skipped */
    uint64_t body_left; /* bytes of the current answer's body still to come */
    int refusal;       /* status to answer with once nothing is open; 0: none */
    bool takes_no_more; /* no request after those it has */
    bool is_held;      /* `conn.in` begins with a whole head: do not read more yet */
    bool is_streaming; /* the current answer's head is out, its body is not */
    bool wants_writable;
} http_conn;

static const conn_protocol protocol;

static bool is_idle(const http_conn *h)
{
    return h->first == h->next;
}

static void go_on(http_conn *h);

/* ---- answers ---- */

static char *put(char *p, const char *data, size_t length)
{
    if (length > 0) memcpy(p, data, length); /* an absent head is {NULL, 0} */
    return p + length;
}

#define PUT(p, literal) put((p), (literal), sizeof(literal) - 1)

static char *put_number(char *p, uint64_t number)
{
    char digits[20];
    char *start = digits + sizeof digits;
    do *--start = (char)('0' + number % 10);
    while ((number /= 10) != 0);
    return put(p, start, (size_t)(digits + sizeof digits - start));
}

/* More than all that put_head adds to the application's own lines. */
#define HEAD_ROOM 256

static char *put_head(char *p, smw_loop *loop, const smw_answer *answer,
                      const exchange *ex, bool closes)
{
    p = PUT(p, "HTTP/1.1 ");
    p = put_number(p, (unsigned)answer->status);
    *p++ = ' ';
    if (!(answer->flags & SMW_OUT_REASON)) {
        smw_str reason = http_reason(answer->status);
        p = put(p, reason.data, reason.length);
        p = PUT(p, "\r\n");
    }
    p = put(p, answer->head.data, answer->head.length);
    if (answer->flags & SMW_OUT_TEXT)
        p = PUT(p, "Content-Type: text/plain; charset=utf-8\r\n");
    if (http_status_has_body(answer->status)) {
        p = PUT(p, "Content-Length: ");
        p = put_number(p, answer->body_length);
        p = PUT(p, "\r\n");
    }
    if (!(answer->flags & SMW_OUT_NO_DATE)) {
        p = PUT(p, "Date: ");
        p = put(p, loop_date(loop), 29);
        p = PUT(p, "\r\n");
    }
    if (closes)
        p = PUT(p, "Connection: close\r\n");
    else if (ex->is_old)
        p = PUT(p, "Connection: keep-alive\r\n");
    return PUT(p, "\r\n");
}

static int write_answer(http_conn *h, const smw_answer *answer)
{
    const exchange *ex = &h->current;
    bool has_body = !ex->is_head && http_status_has_body(answer->status);
    bool is_inline = has_body && !(answer->flags & SMW_OUT_MORE);
    size_t body = is_inline ? answer->body.length : 0;
    char *start = conn_reserve(&h->conn, HEAD_ROOM + answer->head.length + body);
    if (start == NULL) return -ENOMEM;
    char *p = put_head(start, h->conn.loop, answer, ex, h->current.is_last);
    if (body > 0) p = put(p, answer->body.data, body);
    h->body_left = has_body && !is_inline ? answer->body_length : 0;
    h->is_streaming = h->body_left > 0;
    conn_commit(&h->conn, (size_t)(p - start));
    return 0;
}

static void refuse_now(http_conn *h)
{
    smw_answer answer = {.status = h->refusal, .flags = SMW_OUT_TEXT};
    answer.body = http_reason(h->refusal);
    answer.body_length = answer.body.length;
    h->refusal = 0;
    h->current = (exchange){.is_last = true};
    h->conn.must_linger = true; /* what was refused is still coming in */
    if (write_answer(h, &answer) == 0) conn_finish(&h->conn);
}

/* The current answer is complete: on to the next exchange, or to the end. */
static void complete(http_conn *h)
{
    bool was_last = h->current.is_last;
    h->is_streaming = false;
    h->first++;
    if (was_last) {
        if (h->discard > 0 || h->conn.is_readable) h->conn.must_linger = true;
        h->next = h->first; /* whatever was behind it goes unanswered */
        h->takes_no_more = true; /* RFC 9112 9.6: nor is anything else processed */
        conn_finish(&h->conn);
        return;
    }
    if (!is_idle(h)) {
        if (h->last == h->current.next) h->last = &h->current;
        h->current = *h->current.next;
        return;
    }
    go_on(h);
}

static http_conn *find(smw_loop *loop, uint64_t id)
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
    http_conn *h = find(loop, id);
    return h == NULL ? NULL : &h->conn;
}

int http_answer(smw_loop *loop, uint64_t id, const smw_answer *answer)
{
    http_conn *h = find(loop, id);
    if (h == NULL) return SMW_EGONE;
    if (slot_generation(id) != h->first || h->is_streaming) return SMW_EORDER;
    if (answer->status < 200 || answer->status > 999) return SMW_ERECORD;
    /* What is left of a body belongs to the last request that was read. */
    bool has_much_left = h->discard > DISCARD_MOST && h->first + 1 == h->next;
    if (answer->flags & SMW_OUT_CLOSE || h->host->is_stopping || has_much_left) {
        h->current.is_last = true;
        h->conn.must_linger = true; /* the peer does not know, and may send more */
    }
    int result = write_answer(h, answer);
    if (result == 0 && !h->is_streaming) complete(h);
    return result;
}

int64_t http_send(smw_loop *loop, uint64_t id, const char *data, size_t length)
{
    http_conn *h = find(loop, id);
    if (h == NULL || !h->is_streaming || slot_generation(id) != h->first)
        return SMW_EGONE;
    if (length < h->body_left) return SMW_ERECORD;
    const char *rest = data + (length - h->body_left);
    h->body_left -= conn_write_some(&h->conn, rest, (size_t)h->body_left, HIGH_WATER);
    if (conn_is_gone(&h->conn)) return SMW_EGONE;
    h->wants_writable = h->body_left > 0;
    if (h->body_left > 0) return (int64_t)h->body_left;
    complete(h);
    return 0;
}

static void on_drained(conn *c)
{
    http_conn *h = (http_conn *)c;
    if (h->wants_writable) {
        h->wants_writable = false;
        h->host->on_writable(h->host, slot_id(c->slot, h->first));
    } else if (c->is_paused && is_idle(h) && !c->is_finishing) {
        go_on(h); /* its requests had to wait for the room */
    }
}

/* ---- requests ---- */

static void refuse(http_conn *h, int status)
{
    h->refusal = status;
    h->takes_no_more = true;
    if (is_idle(h)) refuse_now(h);
}

static exchange *add_exchange(http_conn *h, const http_head *head)
{
    smw_loop *loop = h->conn.loop;
    exchange *ex = &h->current;
    if (!is_idle(h)) {
        ex = loop_allocate(loop, sizeof *ex);
        if (ex == NULL) return NULL;
        h->last->next = ex;
    }
    *ex = (exchange){.input = (char *)(uintptr_t)head->text.data,
                     .is_head = head->method == SMW_HEAD,
                     .is_old = head->minor == 0,
                     /* No body was asked for, so whether one comes is anybody's guess. */
                     .is_last = !head->is_keep_alive || head->expects_continue};
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

/* False when there is no room for it in this turn. */
static bool deliver(http_conn *h, const http_head *head)
{
    exchange *ex = add_exchange(h, head);
    if (ex == NULL) return false;
    smw_request request;
    fill_request(&request, head);
    request.exchange = slot_id(h->conn.slot, h->next);
    /* Not back to less than requests that were taken back had: their ids are known. */
    if (h->next > h->conn.generation) h->conn.generation = h->next;
    h->next++;
    h->takes_no_more = ex->is_last;
    h->discard = head->content_length;
    if (list_is_empty(&h->settle.link))
        list_append(&h->conn.loop->gathered, &h->settle.link);
    h->host->on_request(h->host, &request);
    return true;
}

static size_t skip_body(http_conn *h, size_t available)
{
    size_t skipped = h->discard < available ? (size_t)h->discard : available;
    h->discard -= skipped;
    return skipped;
}

/* Only a batch may show requests behind an open one: it is answered as a whole. */
static bool must_wait(const http_conn *h)
{
    return h->conn.loop->is_full || (h->conn.loop->batch == NULL && !is_idle(h));
}

/* Hand out requests from `input` until it ends, the turn is full, or one must be
 * answered first. Returns the bytes used. */
static size_t consume(http_conn *h, char *input, size_t length)
{
    size_t used = 0;
    while (used < length && !conn_is_gone(&h->conn)) {
        if (h->discard > 0) {
            used += skip_body(h, length - used);
            continue;
        }
        if (h->takes_no_more || must_wait(h)) break;
        http_head head;
        ssize_t parsed = http_parse_head(input + used, length - used, &h->scanned,
                                         &h->host->limits, &head);
        if (parsed == 0) break;
        if (parsed > 0 && head.is_chunked) parsed = -501;
        if (parsed < 0) {
            refuse(h, (int)-parsed);
            return length;
        }
        h->scanned = 0;
        if (!deliver(h, &head)) {
            h->conn.loop->is_full = true;
            break;
        }
        used += (size_t)parsed;
    }
    return used;
}

/* Bytes that this turn does not use wait in the connection. */
static void keep(http_conn *h, const char *data, size_t length)
{
    conn *c = &h->conn;
    if (conn_is_gone(c) || c->is_finishing) return;
    if (h->takes_no_more) length = 0;
    if (buf_append(&c->in, &c->loop->pool, data, length) != 0) conn_close(c);
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
    room -= held;
    ssize_t count = conn_read(c, place + held, room < READ_MOST ? room : READ_MOST);
    if (count == 0) conn_finish(c);
    if (count < 0 && count != -EAGAIN) conn_close(c);
    if (conn_is_gone(c) || c->is_finishing) return -1;
    return (ssize_t)held + (count > 0 ? count : 0);
}

static void on_input(conn *c)
{
    http_conn *h = (http_conn *)c;
    smw_loop *loop = c->loop;
    /* A peer that asks and does not read may not fill our memory with answers. */
    if (!is_idle(h) || buf_length(&c->out) > HIGH_WATER) {
        conn_pause(c); /* its answer resumes it, or that its output has left */
        return;
    }
    /* The end of the room is for the exchanges of pipelined requests. */
    size_t wanted = buf_length(&c->in) + READ_LEAST;
    size_t room = loop->arena.size - loop->arena.used;
    room -= room / 4;
    if (room < wanted) {
        loop->is_full = true;
        loop_defer_first(loop, &c->task);
        return;
    }
    char *place = loop->arena.data + loop->arena.used;
    ssize_t length = read_into(h, place, room);
    if (length <= 0) return;
    loop->arena.used += (size_t)length;
    size_t used = consume(h, place, (size_t)length);
    h->input_end = place + used;
    keep(h, place + used, (size_t)length - used);
    h->is_held = must_wait(h) && used < (size_t)length;
    if (conn_is_gone(c) || c->is_finishing || !is_idle(h)) return;
    /* Nobody will announce again what is here already. */
    if (h->is_held || c->is_readable) loop_defer(loop, &c->task);
}

/* Nothing is open any more: what was held, was refused or had ended goes on. */
static void go_on(http_conn *h)
{
    conn *c = &h->conn;
    if (h->refusal != 0) {
        refuse_now(h);
        return;
    }
    bool has_input = buf_length(&c->in) > 0;
    if (has_input || c->is_readable) loop_defer(c->loop, &c->task);
    if (c->is_paused) conn_resume(c);
}

/* The arena is about to be reset: take back what is behind an open exchange. */
static void on_settle(smw_loop *loop, task *t)
{
    http_conn *h = list_entry(t, http_conn, settle);
    conn *c = &h->conn;
    if (conn_is_gone(c) || c->is_finishing || h->next - h->first < 2) return;
    const char *input = h->current.next->input;
    buf held = c->in;
    c->in = (buf){0};
    int result = buf_append(&c->in, &loop->pool, input, (size_t)(h->input_end - input));
    if (result == 0 && buf_length(&held) > 0)
        result = buf_append(&c->in, &loop->pool, buf_data(&held), buf_length(&held));
    buf_clear(&held, &loop->pool);
    h->next = h->first + 1;
    h->takes_no_more = false;
    h->refusal = 0;
    h->discard = 0;
    h->scanned = 0;
    h->is_held = true;
    h->current.next = NULL;
    if (result != 0) conn_break(c);
}

/* ---- the connection ---- */

static void on_closed(conn *c)
{
    http_conn *h = (http_conn *)c;
    uint64_t first = h->first;
    bool was_open = !is_idle(h);
    list_remove(&h->settle.link);
    h->first = h->next;
    if (was_open) h->host->on_aborted(h->host, slot_id(c->slot, first));
    h->host->on_closed(h->host);
}

static const conn_protocol protocol = {
    .on_input = on_input,
    .on_drained = on_drained,
    .on_closed = on_closed,
};

int http_open(smw_loop *loop, int fd, http_host *host, list *owner)
{
    conn *c = conn_new(loop, fd, sizeof(http_conn), &protocol);
    if (c == NULL) return -ENOMEM;
    http_conn *h = (http_conn *)c;
    h->host = host;
    h->first = h->next = c->generation;
    task_init(&h->settle, on_settle);
    list_append(owner, &c->link);
    return 0;
}

void http_stop(conn *c)
{
    if (is_idle((http_conn *)c)) conn_finish(c);
}
