/* SPDX-License-Identifier: MIT */
/* http_reply.c - answers out: each in its turn, whole, large or as a stream. */
#include "http_conn.h"
#include "http_status.h"

#include <errno.h>

/* A body that its handler left unread is read up to here to save the connection. */
#define DISCARD_MOST 65536

static char *put_piece(const http_conn *h, char *p, smw_str data, bool is_last)
{
    if (!h->has_content) return p;
    if (h->is_chunked) return http_answer_chunk(p, data, is_last);
    if (data.length > 0) memcpy(p, data.data, data.length);
    return p + data.length;
}

/* The head, and what comes with it of the body. */
static int write_answer(http_conn *h, const smw_answer *answer)
{
    exchange *ex = &h->current;
    conn *c = &h->conn;
    http_framing framing = http_answer_framing(answer, ex->asked);
    if (framing.must_close) ex->is_last = true;
    h->is_chunked = framing.is_chunked;
    h->has_content = framing.has_content;
    bool is_stream = answer->flags & SMW_OUT_STREAM;
    bool comes_later = answer->flags & SMW_OUT_MORE && framing.has_content;
    bool is_last = !is_stream || answer->flags & SMW_OUT_LAST;
    size_t room = HTTP_ANSWER_HEAD_ROOM + HTTP_ANSWER_CHUNK_ROOM + answer->head.length;
    char *start = conn_reserve(c, room + answer->body.length);
    if (start == NULL) return -ENOMEM;
    const char *persistence = ex->is_last ? "close" : ex->asked.is_old ? "keep-alive" : NULL;
    char *p = http_answer_head(start, answer, &framing, loop_date(c->loop), persistence);
    if (!comes_later) p = put_piece(h, p, answer->body, is_last);
    h->answer_left = comes_later ? framing.length : 0;
    h->is_streaming = comes_later || !is_last;
    conn_commit(c, (size_t)(p - start));
    return 0;
}

static int write_piece(http_conn *h, const smw_answer *answer)
{
    bool is_last = answer->flags & SMW_OUT_LAST;
    size_t room = HTTP_ANSWER_CHUNK_ROOM + answer->body.length;
    char *start = conn_reserve(&h->conn, room);
    if (start == NULL) return -ENOMEM;
    char *p = put_piece(h, start, answer->body, is_last);
    h->is_streaming = !is_last;
    conn_commit(&h->conn, (size_t)(p - start));
    return 0;
}

/* The peer learns with its answer, or not at all, that the connection closes; it may
 * be sending more. */
static void close_after(http_conn *h)
{
    h->current.is_last = true;
    h->conn.must_linger = true;
}

/* Whether the rest of an unread body is more than the connection is worth. */
static bool has_much_unread(const http_conn *h, const smw_answer *answer)
{
    if (!h->is_alone) return false;
    if (h->wants_body && answer->flags & SMW_OUT_STREAM) return false; /* it reads on */
    /* RFC 9110 10.1.1: it may come or not, now that it was not asked for. */
    if (h->owes_continue) return true;
    return !h->body.is_chunked && h->body.left > DISCARD_MOST;
}

/* The current answer is complete: on to the next exchange, or to the end. */
static void complete(http_conn *h)
{
    conn *c = &h->conn;
    /* Nobody is left who waits for its output to leave, but for the next request. */
    h->is_streaming = h->wants_body = h->wants_writable = false;
    h->first++;
    if (h->host->closes_all && http_conn_is_idle(h)) close_after(h);
    if (h->is_alone) {
        http_conn_drop_body(h);
        if (!http_body_cut(&h->body, DISCARD_MOST)) close_after(h);
    }
    if (h->current.is_last) {
        if (!http_body_is_complete(&h->body) || c->is_readable) c->must_linger = true;
        h->next = h->first; /* whatever was behind it goes unanswered */
        h->takes_no_more = true; /* RFC 9112 9.6: nor is anything else processed */
        conn_finish(c);
        return;
    }
    if (http_conn_is_idle(h)) {
        http_conn_go_on(h);
        return;
    }
    if (h->last == h->current.next) h->last = &h->current;
    h->current = *h->current.next;
}

static int begin(http_conn *h, const smw_answer *answer)
{
    if (answer->status < 200 || answer->status > 999) return SMW_ERECORD;
    /* Not in front of one that was handed out already. */
    bool must_close = h->host->closes_all && h->next - h->first == 1;
    if (answer->flags & SMW_OUT_CLOSE || must_close || has_much_unread(h, answer))
        close_after(h);
    return write_answer(h, answer);
}

static int add(http_conn *h, const smw_answer *answer)
{
    if (answer->flags & SMW_OUT_CLOSE) close_after(h);
    return write_piece(h, answer);
}

int http_answer(smw_loop *loop, uint64_t id, const smw_answer *answer)
{
    http_conn *h = http_conn_find(loop, id);
    if (h == NULL) return SMW_EGONE;
    bool is_piece = answer->status == 0;
    bool is_open_stream = h->is_streaming && h->answer_left == 0;
    bool fits = is_piece ? is_open_stream : !h->is_streaming;
    if (slot_generation(id) != h->first || !fits) return SMW_EORDER;
    if (answer->flags & SMW_OUT_AGAIN) http_conn_take_back(h);
    int result = is_piece ? add(h, answer) : begin(h, answer);
    if (result == 0) h->owes_continue = false; /* it would stand in the answer */
    if (result == 0 && !h->is_streaming) complete(h);
    return result;
}

int64_t http_send(smw_loop *loop, uint64_t id, const char *data, size_t length,
                  uint64_t left)
{
    http_conn *h = http_conn_find(loop, id);
    if (h == NULL || h->answer_left == 0 || slot_generation(id) != h->first)
        return SMW_EGONE;
    if (left < h->answer_left || left < length) return SMW_ERECORD;
    uint64_t sent = left - h->answer_left; /* of `data`, by calls before this one */
    if (sent < length) {
        size_t rest = length - (size_t)sent;
        h->answer_left -= conn_write_some(&h->conn, data + sent, rest, HTTP_HIGH_WATER);
    }
    if (conn_is_gone(&h->conn)) return SMW_EGONE;
    h->wants_writable = h->answer_left > 0;
    if (h->answer_left > 0) return (int64_t)h->answer_left;
    complete(h);
    return 0;
}

int http_take_back(smw_loop *loop, uint64_t id)
{
    http_conn *h = http_conn_find(loop, id);
    if (h == NULL || slot_generation(id) != h->first) return SMW_EGONE;
    http_conn_take_back(h);
    return 0;
}

int64_t http_backlog(smw_loop *loop, uint64_t id)
{
    http_conn *h = http_conn_find(loop, id);
    if (h == NULL || conn_is_gone(&h->conn)) return SMW_EGONE;
    size_t waiting = buf_length(&h->conn.out);
    if (waiting > 0) h->wants_writable = true;
    return (int64_t)waiting;
}

void http_reply_refuse(http_conn *h, int status, bool is_head)
{
    smw_answer answer = {.status = status, .flags = SMW_OUT_TEXT};
    answer.body = http_reason(status);
    answer.body_length = answer.body.length;
    h->refusal = 0;
    h->current = (exchange){.asked.is_head = is_head};
    close_after(h); /* what was refused is still coming in */
    if (write_answer(h, &answer) == 0) conn_finish(&h->conn);
}
