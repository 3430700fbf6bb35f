/* SPDX-License-Identifier: MIT */
/* http_conn.h - what http.c (requests in) and http_reply.c (answers out) share. */
#ifndef SMW_HTTP_CONN_H
#define SMW_HTTP_CONN_H

#include "http.h"
#include "http_answer.h"
#include "http_body.h"

/* How much of what is sent waits in our own queue, behind the kernel's. */
#define HTTP_HIGH_WATER (256 * 1024)

/* What must be known about a request when its answer comes. */
typedef struct exchange {
    struct exchange *next; /* the one behind it in this turn; in the arena */
    char *input;           /* where its head begins in the arena */
    http_asked asked;
    bool is_last; /* the connection closes after it */
} exchange;

typedef struct http_conn {
    conn conn;
    http_host *host;
    task settle;      /* to do before the arena is reset */
    uint64_t next;    /* generation of the next request; the last used one is the */
    uint64_t first;   /* conn's; [first, next) are unanswered */
    exchange current; /* of `first` */
    exchange *last;   /* of `next - 1`, while the turn lasts */

    /* Input. */
    char *input_end; /* in the arena: what this turn has parsed of it */
    size_t scanned;  /* how far the parser has looked for the end of a head */
    http_body body;  /* of the request that was read last, answered or not */
    smw_str piece;   /* of that, in the arena: what came with the head */
    buf held;        /* the same from an earlier turn, when nobody asked for it */
    int refusal;     /* status to answer with once nothing is open; 0: none */
    bool refuses_head;  /* what is refused is a HEAD request */
    bool takes_no_more; /* no request after those it has */
    bool is_held;       /* `conn.in` begins with a whole head: do not read more yet */
    bool is_reading_head;
    bool was_looked_at; /* its time is over, and it was given a last chance */
    bool is_alone;      /* the open request has a body: nothing is read behind it */
    bool owes_body;     /* the end of the body has not been handed over */
    bool wants_body;    /* what has not may be */
    bool owes_continue; /* the peer waits for a 100 */

    /* Output. */
    bool is_streaming; /* the current answer's head is out, its body is not */
    bool is_chunked;   /* that body is */
    bool has_content;  /* that body is sent at all */
    bool wants_writable;
    uint64_t answer_left; /* bytes of an announced length still to come */
} http_conn;

static inline bool http_conn_is_idle(const http_conn *h)
{
    return h->first == h->next;
}

static inline uint64_t http_conn_exchange(const http_conn *h)
{
    return slot_id(h->conn.slot, h->first);
}

/* The connection of an exchange that is open, or NULL. */
http_conn *http_conn_find(smw_loop *loop, uint64_t exchange);

/* What the connection waits for begins here, and so does the time for it. */
void http_conn_start_waiting(http_conn *h);

/* The body of the current request is wanted no more. */
void http_conn_drop_body(http_conn *h);

/* Nothing is open any more: what was held, was refused or had ended goes on. */
void http_conn_go_on(http_conn *h);

/* Take back the requests behind the open one that were handed out in this turn. */
void http_conn_take_back(http_conn *h);

/* Answer with a status of the core's own, and close. */
void http_reply_refuse(http_conn *h, int status, bool is_head);

#endif
