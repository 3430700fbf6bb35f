/* SPDX-License-Identifier: MIT */
/* site_body.h - a site that gets bodies: what is said to it, and what comes back. */
#ifndef SMW_TEST_SITE_BODY_H
#define SMW_TEST_SITE_BODY_H

#include "message.h"
#include "post.h"
#include "site.h"

/* `line`: the request line, and fields. */
static inline message post_with(const char *line, size_t size, size_t seed, size_t chunk)
{
    char head[256];
    snprintf(head, sizeof head, "%s\r\nHost: a\r\n", line);
    return message_of(head, size, seed, chunk);
}

static inline message post(size_t size, size_t seed, size_t chunk)
{
    return post_with("POST /up HTTP/1.1", size, seed, chunk);
}

#define POST_OF POST
#define POST_CHUNKED CHUNKED("/up")

/* Send pieces of that size, each by itself, while the loop runs. */
static inline void say_in_pieces(site *s, client *c, const char *data, size_t length,
                                 size_t piece)
{
    int64_t deadline = clock_ms() + PATIENCE_MS;
    for (size_t sent = 0; sent < length;) {
        size_t next = length - sent < piece ? length - sent : piece;
        sent += client_offer(c, data + sent, next);
        smw_loop_run(s->loop, SMW_RUN_NOWAIT);
        if (!CHECK(clock_ms() < deadline)) return;
    }
}

static inline void say_all(site *s, client *c, const char *data, size_t length)
{
    say_in_pieces(s, c, data, length, SIZE_MAX);
}

#define HEAD_OF "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n"
#define CLOSING(path, length)                                                           \
    "HTTP/1.1 200 OK\r\nContent-Length: " length "\r\nConnection: close\r\n\r\n" path

/* The body has come back, and nothing else. */
static inline bool expect_back(site *s, client *c, const message *m)
{
    char head[64];
    size_t size = (size_t)snprintf(head, sizeof head, HEAD_OF, m->size);
    run_until(s->loop, c, size + m->size);
    bool is_right = CHECK(client_starts_with(c, head)) &&
                    CHECK_INT(c->length, size + m->size) &&
                    CHECK(memcmp(c->data + size, m->body, m->size) == 0) &&
                    CHECK_INT(s->upload->ends, 1);
    client_forget(c);
    return is_right;
}

/* The core answered in place of the handler, and closes. */
static inline void expect_refusal(site *s, client *c, const char *refusal)
{
    run_until(s->loop, c, TO_THE_END);
    CHECK(client_starts_with(c, refusal));
    CHECK(c->is_ended && c->error == 0);
    client_forget(c);
}

static inline void expect_silence(site *s, client *c)
{
    run_a_while(s->loop);
    client_receive(c);
    CHECK_INT(c->length, 0);
    CHECK(!c->is_ended && c->error == 0);
}

/* The exchange ended with `status` and not by its handler. */
static inline void check_aborted(site *s, int status)
{
    run_until_equal(s->loop, &s->aborted, 1);
    CHECK_INT(s->abort_status, status);
    CHECK_INT(site_answer(s, s->exchange, 200, 0, "", "late"), SMW_EGONE);
    CHECK_INT(smw_read(s->loop, s->exchange, true), SMW_EGONE);
}

static inline void leave_open(smw_server *server, const smw_request *request, void *user)
{
    (void)server, (void)request, (void)user;
}

static inline client open_with(site *s, request_fn on_request,
                               const smw_server_options *options)
{
    site_open_with(s, on_request, options);
    s->upload = calloc(1, sizeof *s->upload);
    return client_open(s->port);
}

static inline client open_site(site *s, request_fn on_request)
{
    return open_with(s, on_request, NULL);
}

static inline void finish(site *s, client *c)
{
    client_close(c);
    site_waits_for(s, 0);
    site_close(s);
}

/* ---- bodies read later, and measured ---- */

/* Whose body `read_now` asks for. */
static site *late_site;

static inline void read_now(smw_loop *loop, uint64_t timer, uint64_t user)
{
    (void)timer, (void)user;
    CHECK_INT(smw_read(loop, late_site->exchange, true), 0);
}

/* What came of a body too large to keep. */
static struct {
    size_t length;
    size_t wrong; /* bytes that are not those of byte_at(i, 0) */
    size_t pieces;
    size_t largest;
    size_t ends;
    bool pauses; /* after every piece */
} meter;

static inline void measure(smw_server *server, uint64_t exchange, smw_str piece,
                           bool is_last, void *user)
{
    (void)server;
    CHECK(piece.length > 0 || is_last);
    for (size_t i = 0; i < piece.length; i++)
        meter.wrong += piece.data[i] != byte_at(meter.length + i, 0);
    meter.length += piece.length;
    meter.pieces++;
    if (piece.length > meter.largest) meter.largest = piece.length;
    if (is_last) {
        meter.ends++;
        CHECK_INT(site_answer(user, exchange, 200, 0, "", ""), 0);
    } else if (meter.pauses) {
        CHECK_INT(smw_read(((site *)user)->loop, exchange, false), 0);
    }
}

/* Have bodies handed to `on_data` instead of sent back. */
static inline void hear(site *s,
                        void (*on_data)(smw_server *, uint64_t, smw_str, bool, void *))
{
    memset(&meter, 0, sizeof meter);
    smw_server_callbacks callbacks = {.on_request = site_on_request,
                                      .on_data = on_data,
                                      .on_aborted = site_on_aborted,
                                      .user = s};
    smw_server_on(s->server, &callbacks);
}

static inline void read_posts_of_the_meter(smw_server *server, const smw_request *request,
                                           void *user)
{
    if (request->method == SMW_POST)
        CHECK_INT(smw_read(((site *)user)->loop, request->exchange, true), 0);
    else
        site_echo(server, request, user);
}

#endif
