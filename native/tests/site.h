/* SPDX-License-Identifier: MIT */
/* site.h - a small HTTP server for the tests of C users' callbacks. */
#ifndef SMW_TEST_SITE_H
#define SMW_TEST_SITE_H

#include "client.h"

enum { ROUTE = SMW_FIRST_TOKEN, ROUTE_WITH_PARAMETER, MISS };

typedef void (*request_fn)(smw_server *server, const smw_request *request, void *user);

/* What came of one body. */
typedef struct upload {
    char data[256 * 1024];
    size_t length;
    size_t pieces;
    size_t ends; /* must never be over 1 */
} upload;

typedef struct site {
    smw_loop *loop;
    smw_server *server;
    int port;
    size_t requests; /* handed out so far */
    size_t aborted;
    int abort_status;   /* of the last one */
    uint64_t exchange;  /* of the last request */
    upload *upload;     /* where pieces go, when a test reads bodies */
    request_fn on_request;
} site;

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"
#define ECHO(path, length) "HTTP/1.1 200 OK\r\nContent-Length: " length "\r\n\r\n" path
#define OK "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
#define ACCEPTED "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"
#define REFUSAL(status, reason, length)                                                 \
    "HTTP/1.1 " status " " reason "\r\nContent-Type: text/plain; charset=utf-8\r\n"     \
    "Content-Length: " length "\r\n"

static inline void site_on_request(smw_server *server, const smw_request *request,
                                   void *user)
{
    site *s = user;
    s->requests++;
    s->exchange = request->exchange;
    s->on_request(server, request, user);
}

static inline void site_on_aborted(smw_server *server, uint64_t exchange, int status,
                                   void *user)
{
    (void)server, (void)exchange;
    ((site *)user)->aborted++;
    ((site *)user)->abort_status = status;
}

/* The whole body comes back as the answer. */
static inline void site_on_data(smw_server *server, uint64_t exchange, smw_str piece,
                                bool is_last, void *user)
{
    (void)server;
    site *s = user;
    upload *u = s->upload;
    CHECK(u->ends == 0 && exchange == s->exchange);
    CHECK(u->length + piece.length <= sizeof u->data);
    if (piece.length > 0) memcpy(u->data + u->length, piece.data, piece.length);
    u->length += piece.length;
    u->pieces++;
    if (!is_last) return;
    u->ends++;
    smw_answer answer = {.status = 200,
                         .flags = SMW_OUT_NO_DATE,
                         .body = {u->data, u->length},
                         .body_length = u->length};
    CHECK_INT(smw_respond(s->loop, exchange, &answer), 0);
}

/* In place, because the callbacks keep its address. */
static inline void site_open_with(site *s, request_fn on_request,
                                  const smw_server_options *limits)
{
    *s = (site){.on_request = on_request};
    s->loop = smw_loop_new();
    s->server = smw_server_new(s->loop, limits);
    smw_server_callbacks callbacks = {
        .on_request = site_on_request, .on_data = site_on_data,
        .on_aborted = site_on_aborted, .user = s};
    smw_server_on(s->server, &callbacks);
    CHECK_INT(smw_server_route(s->server, SMW_ANY, "/*", 2, ROUTE), 0);
    CHECK_INT(smw_server_route(s->server, SMW_GET, "/of/:name", 9, ROUTE_WITH_PARAMETER),
              0);
    smw_server_miss(s->server, MISS);
    smw_listen_options options = {.host = "127.0.0.1"};
    s->port = smw_server_listen(s->server, &options);
    CHECK(s->port > 0);
}

static inline void site_open(site *s, request_fn on_request)
{
    site_open_with(s, on_request, NULL);
}

static inline void site_close(site *s)
{
    smw_loop_free(s->loop);
    free(s->upload);
}

/* Read the body of each request, and answer with it. */
static inline void site_read(smw_server *server, const smw_request *request, void *user)
{
    (void)server;
    site *s = user;
    if (s->upload == NULL) s->upload = malloc(sizeof *s->upload);
    s->upload->length = s->upload->pieces = s->upload->ends = 0;
    CHECK_INT(smw_read(s->loop, request->exchange, true), 0);
}

static inline int site_answer(site *s, uint64_t exchange, int status, unsigned flags,
                              const char *head, const char *body)
{
    smw_answer answer = {.status = status,
                         .flags = flags | SMW_OUT_NO_DATE,
                         .head = {head, strlen(head)},
                         .body = {body, strlen(body)},
                         .body_length = strlen(body)};
    return smw_respond(s->loop, exchange, &answer);
}

/* The path comes back as the body, so an answer tells which request it is for. */
static inline void site_echo(smw_server *server, const smw_request *request, void *user)
{
    (void)server;
    smw_answer answer = {.status = 200,
                         .flags = SMW_OUT_NO_DATE,
                         .body = request->path,
                         .body_length = request->path.length};
    CHECK_INT(smw_respond(((site *)user)->loop, request->exchange, &answer), 0);
}

static inline bool site_waits_for(site *s, size_t connections)
{
    int64_t deadline = clock_ms() + PATIENCE_MS;
    while (smw_server_connections(s->server) != connections) {
        if (clock_ms() > deadline)
            return CHECK_INT(smw_server_connections(s->server), connections);
        smw_loop_run(s->loop, SMW_RUN_NOWAIT);
        await_event(s->loop, -1);
    }
    return true;
}

#endif
