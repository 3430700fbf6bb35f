/* SPDX-License-Identifier: MIT */
/* site_time.h - a site whose connections are timed.
 *
 * No time is bounded from above, so that a machine may be as slow as it likes. Where a
 * peer is to be in time, the loop does not run while that peer rests: what was sent
 * before a step is in time, however late the step is. */
#ifndef SMW_TEST_SITE_TIME_H
#define SMW_TEST_SITE_TIME_H

#include "post.h"
#include "site.h"

#include "http.h"
#include "loop.h"

/* A step's clock is one tick behind at most, 10 ms on the slowest of kernels; the rest
 * is what is lost in whole milliseconds. */
#define EARLY_MS 12

#define NOT_EARLIER(start, timeout) CHECK(clock_ms() - (start) >= (timeout) - EARLY_MS)

enum { SHORT_MS = 40, PAST_MS = 60, MINUTE_MS = 60000 };
enum { HEAD, BODY, IDLE, SEND, ANSWER, KINDS };

/* One timeout, and all the others. */
static inline smw_server_options timeouts(int kind, uint32_t own, uint32_t others)
{
    uint32_t of[KINDS];
    for (int i = 0; i < KINDS; i++) of[i] = i == kind ? own : others;
    return (smw_server_options){.head_timeout = of[HEAD],
                                .body_timeout = of[BODY],
                                .idle_timeout = of[IDLE],
                                .send_timeout = of[SEND],
                                .answer_timeout = of[ANSWER]};
}

/* Let the peer rest while the loop does not run. */
static inline void rest(int64_t ms)
{
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    while (nanosleep(&left, &left) != 0) continue;
}

static inline void run_for(smw_loop *loop, int64_t ms)
{
    int64_t end = clock_ms() + ms;
    while (clock_ms() <= end) {
        smw_loop_run(loop, SMW_RUN_NOWAIT);
        await_event(loop, -1);
    }
}

/* Say it and run until it was read, and no longer. */
static inline bool say_and_let_it_be_read(site *s, client *c, const char *text)
{
    int64_t deadline = clock_ms() + PATIENCE_MS;
    uint64_t recvs = smw_loop_stats(s->loop)->recvs;
    client_say(c, text);
    while (smw_loop_stats(s->loop)->recvs == recvs) {
        if (clock_ms() > deadline) return CHECK(clock_ms() <= deadline);
        smw_loop_run(s->loop, SMW_RUN_NOWAIT);
        await_event(s->loop, -1);
    }
    return true;
}

/* ---- an application whose paths say what it does ---- */

enum { LARGE = 8 * 1024 * 1024 };

static char large[LARGE];
static uint64_t kept;    /* the exchange that was left open */
static size_t kept_count;
static int64_t slowness; /* of /slow, in ms */
static client *hurried;  /* says `last_words` at the end of /slow */
static const char *last_words = "";

static inline void keep(const smw_request *request)
{
    kept = request->exchange;
    kept_count++;
}

static inline int add_piece(site *s, unsigned flags, const char *text)
{
    smw_answer piece = {.flags = flags, .body = {text, strlen(text)}};
    return smw_respond(s->loop, kept, &piece);
}

static inline void begin_large(site *s, unsigned flags)
{
    /* So that the kernel does not take it off our hands before the client does. */
    int room = 256 * 1024, fd = http_conn_of(s->loop, kept)->watch.fd;
    CHECK(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room) == 0);
    smw_answer answer = {.status = 200, .flags = flags, .body_length = LARGE};
    if (flags & SMW_OUT_STREAM) answer.body = (smw_str){large, LARGE};
    CHECK_INT(smw_respond(s->loop, kept, &answer), 0);
    if (flags & SMW_OUT_MORE) CHECK(http_send(s->loop, kept, large, LARGE, LARGE) > 0);
}

static inline void go_on_with_large(smw_server *server, uint64_t exchange, void *user)
{
    (void)server;
    http_send(((site *)user)->loop, exchange, large, LARGE, LARGE);
}

static inline bool is_path(const smw_request *request, const char *path)
{
    return request->path.length == strlen(path) &&
           memcmp(request->path.data, path, strlen(path)) == 0;
}

static inline void serve(smw_server *server, const smw_request *request, void *user)
{
    site *s = user;
    if (is_path(request, "/piece")) {
        CHECK_INT(add_piece(s, 0, "piece"), 0);
        site_echo(server, request, user);
    } else if (is_path(request, "/slow")) {
        rest(slowness);
        if (hurried != NULL) client_say(hurried, last_words);
        site_echo(server, request, user);
    } else if (is_path(request, "/read")) {
        site_read(server, request, user);
    } else if (is_path(request, "/late")) {
        keep(request);
    } else if (is_path(request, "/stream")) {
        keep(request);
        CHECK_INT(site_answer(s, kept, 200, SMW_OUT_STREAM, "", "begin"), 0);
    } else if (is_path(request, "/large")) {
        keep(request);
        begin_large(s, SMW_OUT_MORE);
    } else if (is_path(request, "/large-stream")) {
        keep(request);
        begin_large(s, SMW_OUT_STREAM);
    } else if (is_path(request, "/large-whole-stream")) {
        keep(request);
        begin_large(s, SMW_OUT_STREAM | SMW_OUT_LAST);
    } else {
        site_echo(server, request, user);
    }
}

static inline void open_timed(site *s, const smw_server_options *options)
{
    kept = kept_count = 0;
    hurried = NULL;
    site_open_with(s, serve, options);
    smw_server_callbacks callbacks = {.on_request = site_on_request,
                                      .on_data = site_on_data,
                                      .on_writable = go_on_with_large,
                                      .on_aborted = site_on_aborted,
                                      .user = s};
    smw_server_on(s->server, &callbacks);
}

static inline void open_with(site *s, int kind, uint32_t own, uint32_t others)
{
    smw_server_options options = timeouts(kind, own, others);
    open_timed(s, &options);
}

#define BEGIN "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegin\r\n"
#define CLOSE "Connection: close\r\n\r\n"

/* Run until the server has ended the connection, which said `wanted` before, and
 * refused with `status`: its answer has a Date. */
static inline void expect_refusal(site *s, client *c, const char *wanted,
                                  const char *status, const char *reason)
{
    char head[512];
    snprintf(head, sizeof head,
             "%s"
             "HTTP/1.1 %s %s\r\nContent-Type: text/plain; charset=utf-8\r\n"
             "Content-Length: %zu\r\nDate: ",
             wanted, status, reason, strlen(reason));
    run_until(s->loop, c, TO_THE_END);
    CHECK(c->is_ended);
    CHECK_INT(c->error, 0);
    CHECK(client_starts_with(c, head));
    snprintf(head, sizeof head, "GMT\r\n" CLOSE "%s", reason);
    CHECK(client_ends_with(c, head));
}

#define EXPECT_408(s, c) expect_refusal((s), (c), "", "408", "Request Timeout")

static const char *const large_paths[] = {
    GET("/large"), GET("/large-stream"), GET("/large-whole-stream")};

enum { LARGE_PATHS = sizeof large_paths / sizeof *large_paths };

#endif
