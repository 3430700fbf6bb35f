/* SPDX-License-Identifier: MIT */
/* http.h - exchanges: requests in, answers out, in order, on one connection.
 *
 * An exchange's id is the connection's slot and a generation that counts the
 * requests of the slot; [first, next) of them are open. A batch gets all requests
 * that one read brought; those behind one that stays unanswered when the turn ends are
 * taken back and come again after it. Callbacks get one at a time. A request with a
 * body is open alone. */
#ifndef SMW_HTTP_H
#define SMW_HTTP_H

#include "conn.h"
#include "http_parser.h"

/* What a peer may take, as in smw_server_options; but 0: no timeout. */
typedef struct http_timeouts {
    uint32_t head;
    uint32_t body;
    uint32_t idle;
    uint32_t send;
    uint32_t answer;
} http_timeouts;

/* What a server is to its connections. */
typedef struct http_host {
    /* Find the request's token and parameters; returns how long its body may be. */
    uint64_t (*route)(struct http_host *host, smw_request *request);
    void (*on_request)(struct http_host *host, const smw_request *request);
    void (*on_data)(struct http_host *host, uint64_t exchange, smw_str piece, bool is_last);
    void (*on_writable)(struct http_host *host, uint64_t exchange);
    void (*on_aborted)(struct http_host *host, uint64_t exchange, int status);
    void (*on_closed)(struct http_host *host);
    http_limits limits;
    http_timeouts timeouts;
    bool half_close;
    bool closes_all; /* every answer closes its connection */
} http_host;

/* Serve HTTP on a descriptor and append the connection to `owner`. 0 or -ENOMEM;
 * the descriptor is taken over either way. */
int http_open(smw_loop *loop, int fd, http_host *host, list *owner);

/* Whether a connection may make room for another: nothing is owed on it, no request has
 * begun to come, and it was served, or has had its time to ask. */
bool http_may_leave(const conn *c);

/* Close a connection as soon as it owes nothing. */
void http_stop(conn *c);

/* Answer an exchange, or add to its answer. Its connection must be corked or is sent at
 * once. 0, SMW_EGONE, SMW_EORDER, SMW_ERECORD or -ENOMEM. */
int http_answer(smw_loop *loop, uint64_t exchange, const smw_answer *answer);

/* The connection of an open exchange, or NULL. */
conn *http_conn_of(smw_loop *loop, uint64_t exchange);

/* Go on with a body announced by SMW_OUT_MORE where the last call stopped; `data` begins
 * `left` bytes before its end. The bytes that are left, or an error. */
int64_t http_send(smw_loop *loop, uint64_t exchange, const char *data, size_t length,
                  uint64_t left);

/* Close the connection of an exchange: at once while it is open; behind its answer when
 * that was given and nothing was handed out since. 0 or SMW_EGONE. */
int http_close(smw_loop *loop, uint64_t exchange);

/* See smw_exchange_take_back. */
int http_take_back(smw_loop *loop, uint64_t exchange);

/* Bytes of the connection's output that the kernel has not taken; when there are any,
 * on_writable follows. Or SMW_EGONE. */
int64_t http_backlog(smw_loop *loop, uint64_t exchange);

/* Have on_data called for the request's body, or no more for now. 0 or SMW_EGONE. */
int http_read(smw_loop *loop, uint64_t exchange, bool wants);

/* The same, and take the piece that came with the request of this turn, in the arena;
 * `*is_last`: nothing comes behind it. */
int http_read_piece(smw_loop *loop, uint64_t exchange, bool wants, smw_str *piece,
                    bool *is_last);

#endif
