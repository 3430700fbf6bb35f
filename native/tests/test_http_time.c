/* SPDX-License-Identifier: MIT */
/* test_http_time.c - how long a connection waits for what, and what it says then.
 *
 * No time is bounded from above, so that a machine may be as slow as it likes. Where a
 * peer is to be in time, the loop does not run while that peer rests: what was sent
 * before a step is in time, however late the step is. */
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
static smw_server_options timeouts(int kind, uint32_t own, uint32_t others)
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
static void rest(int64_t ms)
{
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    while (nanosleep(&left, &left) != 0) continue;
}

static void run_for(smw_loop *loop, int64_t ms)
{
    int64_t end = clock_ms() + ms;
    while (clock_ms() <= end) {
        smw_loop_run(loop, SMW_RUN_NOWAIT);
        await_event(loop, -1);
    }
}

/* Say it and run until it was read, and no longer. */
static bool say_and_let_it_be_read(site *s, client *c, const char *text)
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
static const char *last_words;

static void keep(const smw_request *request)
{
    kept = request->exchange;
    kept_count++;
}

static int add_piece(site *s, unsigned flags, const char *text)
{
    smw_answer piece = {.flags = flags, .body = {text, strlen(text)}};
    return smw_respond(s->loop, kept, &piece);
}

static void begin_large(site *s, unsigned flags)
{
    /* So that the kernel does not take it off our hands before the client does. */
    int room = 256 * 1024, fd = http_conn_of(s->loop, kept)->watch.fd;
    CHECK(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room) == 0);
    smw_answer answer = {.status = 200, .flags = flags, .body_length = LARGE};
    if (flags & SMW_OUT_STREAM) answer.body = (smw_str){large, LARGE};
    CHECK_INT(smw_respond(s->loop, kept, &answer), 0);
    if (flags & SMW_OUT_MORE) CHECK(http_send(s->loop, kept, large, LARGE, LARGE) > 0);
}

static void go_on_with_large(smw_server *server, uint64_t exchange, void *user)
{
    (void)server;
    http_send(((site *)user)->loop, exchange, large, LARGE, LARGE);
}

static bool is_path(const smw_request *request, const char *path)
{
    return request->path.length == strlen(path) &&
           memcmp(request->path.data, path, strlen(path)) == 0;
}

static void serve(smw_server *server, const smw_request *request, void *user)
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

static void open_timed(site *s, const smw_server_options *options)
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

static void open_with(site *s, int kind, uint32_t own, uint32_t others)
{
    smw_server_options options = timeouts(kind, own, others);
    open_timed(s, &options);
}

/* Of which a part has come. */
#define POST(path, length) \
    "POST " path " HTTP/1.1\r\nHost: a\r\nContent-Length: " length "\r\n\r\n"
#define CHUNKED(path) \
    "POST " path " HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
#define BEGIN "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegin\r\n"
#define ACCEPTED "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"
#define CLOSE "Connection: close\r\n\r\n"

/* Run until the server has ended the connection, which said `wanted` before, and
 * refused with `status`: its answer has a Date. */
static void expect_refusal(site *s, client *c, const char *wanted, const char *status,
                           const char *reason)
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

/* ---- every state of a connection, and the time that it may last ---- */

typedef struct state {
    const char *sentence;
    int kind;
    const char *say;
    const char *answer; /* what came before the time was over */
    const char *status; /* said then; NULL: it closes without a word */
    int abort_status;   /* told to the application; 0: nothing was open */
} state;

static const state states[] = {
    {"before the first request", IDLE, "", "", NULL, 0},
    {"between two requests", IDLE, GET("/a"), ECHO("/a", "2"), NULL, 0},
    {"behind a body", IDLE, POST("/read", "2") "ab", ECHO("ab", "2"), NULL, 0},
    {"behind a body that nobody read", IDLE, POST("/a", "2") "ab", ECHO("/a", "2"), NULL,
     0},
    {"in a request line", HEAD, "GET / HT", "", "408", 0},
    {"in a field", HEAD, "GET / HTTP/1.1\r\nHo", "", "408", 0},
    {"in the head behind another", HEAD, GET("/a") "GET / HT", ECHO("/a", "2"), "408", 0},
    {"in the head behind a body", HEAD, POST("/read", "2") "abGE", ECHO("ab", "2"), "408",
     0},
    {"in a body that is read", BODY, POST("/read", "4") "ab", "", "408", 408},
    {"before a body that is read", BODY, POST("/read", "4"), "", "408", 408},
    {"in a chunk that is read", BODY, CHUNKED("/read") "4\r\nab", "", "408", 408},
    {"in the size of a chunk", BODY, CHUNKED("/read") "2\r\nab\r\n1", "", "408", 408},
    {"before the last chunk", BODY, CHUNKED("/read") "2\r\nab\r\n", "", "408", 408},
    {"before the body that was told to come", BODY,
     "POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n"
     "\r\n",
     "HTTP/1.1 100 Continue\r\n\r\n", "408", 408},
    {"in the rest of a body that nobody read", BODY, POST("/a", "4") "ab",
     ECHO("/a", "2"), NULL, 0},
    {"in the rest of chunks that nobody read", BODY, CHUNKED("/a") "4\r\nab",
     ECHO("/a", "2"), NULL, 0},
    {"before an answer", ANSWER, GET("/late"), "", "503", 503},
    {"before an answer behind another", ANSWER, GET("/a") GET("/late"), ECHO("/a", "2"),
     "503", 503},
    {"before an answer with half a head behind it", ANSWER, GET("/late") "GET / HT", "",
     "503", 503},
    {"before an answer to a body that nobody reads", ANSWER, POST("/late", "4") "ab", "",
     "503", 503},
    {"in a stream", ANSWER, GET("/stream"), BEGIN, NULL, 503},
};

enum { STATES = sizeof states / sizeof *states };

static const char *const large_paths[] = {
    GET("/large"), GET("/large-stream"), GET("/large-whole-stream")};

enum { LARGE_PATHS = sizeof large_paths / sizeof *large_paths };

static void test_each_state_ends_when_its_time_is_over_and_not_before(void)
{
    for (size_t i = 0; i < STATES; i++) {
        const state *it = &states[i];
        test_name = it->sentence;
        site s;
        /* A running timer of a minute is not to hide the one that is due first. */
        open_with(&s, it->kind, SHORT_MS, MINUTE_MS);
        int64_t start = clock_ms();
        client c = client_open(s.port);
        client_say(&c, it->say);
        if (it->status == NULL) {
            EXPECT(s.loop, &c, it->answer);
            EXPECT_END(s.loop, &c);
        } else {
            expect_refusal(&s, &c, it->answer, it->status,
                           it->status[0] == '4' ? "Request Timeout"
                                                : "Service Unavailable");
        }
        NOT_EARLIER(start, SHORT_MS);
        CHECK_INT(s.aborted, it->abort_status != 0);
        CHECK_INT(s.abort_status, it->abort_status);
        if (it->abort_status != 0)
            CHECK_INT(site_answer(&s, s.exchange, 200, 0, "", ""), SMW_EGONE);
        client_close(&c);
        site_waits_for(&s, 0);
        site_close(&s);
    }
}

static void test_no_state_ends_by_the_time_of_another(void)
{
    for (size_t i = 0; i < STATES + LARGE_PATHS; i++) {
        bool is_large = i >= STATES;
        test_name = is_large ? "in a blocked answer" : states[i].sentence;
        site s;
        open_with(&s, is_large ? SEND : states[i].kind, SMW_NEVER, 20);
        client c = client_open(s.port);
        client_say(&c, is_large ? large_paths[i - STATES] : states[i].say);
        run_for(s.loop, PAST_MS);
        CHECK_INT(smw_server_connections(s.server), 1);
        CHECK_INT(s.aborted, 0);
        client_receive(&c);
        CHECK(!c.is_ended && c.error == 0);
        if (!is_large)
            test_say_bytes(__FILE__, __LINE__, "answer", c.data, c.length,
                           states[i].answer, strlen(states[i].answer));
        client_close(&c);
        site_close(&s);
    }
}

static void test_never_runs_no_timer(void)
{
    static const uint32_t nevers[] = {SMW_NEVER, SMW_NEVER + 1u, UINT32_MAX};
    for (size_t i = 0; i < STATES + LARGE_PATHS; i++) {
        test_name = i < STATES ? states[i].sentence : "in a blocked answer";
        uint32_t never = nevers[i % 3];
        site s;
        open_with(&s, HEAD, never, never);
        client c = client_open(s.port);
        client_say(&c, i < STATES ? states[i].say : large_paths[i - STATES]);
        site_waits_for(&s, 1);
        run_a_while(s.loop);
        CHECK(timer_wheel_is_empty(&s.loop->timers));
        client_close(&c);
        site_close(&s);
    }
}

static void test_by_default_all_but_the_answer_are_timed(void)
{
    static const smw_server_options defaults;
    site s;
    open_timed(&s, &defaults);
    client c = client_open(s.port);
    site_waits_for(&s, 1);
    CHECK(!timer_wheel_is_empty(&s.loop->timers));
    client_close(&c);
    site_close(&s);

    open_with(&s, ANSWER, 0, 20);
    c = client_open(s.port);
    client_say(&c, GET("/late"));
    run_for(s.loop, PAST_MS);
    CHECK_INT(site_answer(&s, kept, 202, 0, "", ""), 0);
    EXPECT(s.loop, &c, ACCEPTED);
    client_close(&c);
    site_close(&s);
}

/* ---- heads ---- */

static void test_the_time_for_a_head_is_not_renewed_by_its_bytes(void)
{
    enum { MOST = 100 };
    site s;
    open_with(&s, HEAD, SHORT_MS, SMW_NEVER);
    client c = client_open(s.port);
    int64_t start = clock_ms();
    client_say(&c, "GET / HTTP/1.1\r\nX: ");
    int said = 0;
    while (said < MOST && c.length == 0) {
        run_for(s.loop, 10);
        said += (int)client_offer(&c, "x", 1);
        client_receive(&c);
    }
    CHECK(said < MOST);
    EXPECT_408(&s, &c);
    NOT_EARLIER(start, SHORT_MS);
    CHECK_INT(s.requests, 0);
    client_close(&c);
    site_close(&s);
}

static void test_the_time_for_a_head_begins_with_its_first_byte(void)
{
    site s;
    open_with(&s, HEAD, SHORT_MS, SMW_NEVER);
    client c = client_open(s.port);
    for (int i = 0; i < 2; i++) {
        run_for(s.loop, PAST_MS);
        client_say(&c, GET("/a"));
        EXPECT(s.loop, &c, ECHO("/a", "2"));
    }
    run_for(s.loop, PAST_MS);
    int64_t start = clock_ms();
    client_say(&c, "G");
    EXPECT_408(&s, &c);
    NOT_EARLIER(start, SHORT_MS);
    client_close(&c);
    site_close(&s);
}

static void test_the_time_for_a_head_begins_anew_with_the_next_one(void)
{
    site s;
    open_with(&s, HEAD, SHORT_MS, SMW_NEVER);
    client c = client_open(s.port);
    int64_t start = 0;
    for (int i = 0; i < 4; i++) {
        start = clock_ms();
        say_and_let_it_be_read(&s, &c, "GET /a HTTP/1.1\r\nHo");
        if (i == 3) break;
        rest(SHORT_MS / 2);
        client_say(&c, "st: a\r\n\r\n");
        EXPECT(s.loop, &c, ECHO("/a", "2"));
        run_for(s.loop, PAST_MS); /* between them it is over */
    }
    EXPECT_408(&s, &c);
    NOT_EARLIER(start, SHORT_MS);
    client_close(&c);
    site_close(&s);
}

static void test_the_time_for_half_a_head_behind_a_request_begins_with_its_answer(void)
{
    site s;
    open_with(&s, HEAD, SHORT_MS, SMW_NEVER);
    client c = client_open(s.port);
    client_say(&c, GET("/late") "GET /b HT");
    run_until_equal(s.loop, &kept_count, 1);
    run_for(s.loop, PAST_MS);
    client_receive(&c);
    CHECK(c.length == 0 && !c.is_ended);
    int64_t start = clock_ms();
    CHECK_INT(site_answer(&s, kept, 202, 0, "", ""), 0);
    expect_refusal(&s, &c, ACCEPTED, "408", "Request Timeout");
    NOT_EARLIER(start, SHORT_MS);
    CHECK_INT(s.requests, 1);
    CHECK_INT(s.aborted, 0);
    client_close(&c);
    site_close(&s);
}

/* ---- bodies ---- */

static void test_each_byte_of_a_body_renews_its_time(void)
{
    site s;
    open_with(&s, BODY, SHORT_MS, SMW_NEVER);
    client c = client_open(s.port);
    client_say(&c, POST("/read", "8"));
    run_until_equal(s.loop, &s.requests, 1);
    int64_t start = clock_ms();
    for (size_t i = 1; i <= 7; i++) {
        rest(SHORT_MS / 2);
        client_say(&c, "x");
        run_until_equal(s.loop, &s.upload->length, i);
    }
    NOT_EARLIER(start, 3 * SHORT_MS); /* or the test proves nothing */
    rest(SHORT_MS / 2);
    client_say(&c, "x");
    EXPECT(s.loop, &c, ECHO("xxxxxxxx", "8"));
    CHECK_INT(s.aborted, 0);
    client_close(&c);
    site_close(&s);
}

static void test_each_byte_of_a_skipped_body_renews_its_time(void)
{
    site s;
    open_with(&s, BODY, SHORT_MS, SMW_NEVER);
    client c = client_open(s.port);
    client_say(&c, POST("/a", "8"));
    EXPECT(s.loop, &c, ECHO("/a", "2"));
    for (int i = 0; i < 8; i++) {
        rest(SHORT_MS / 2);
        if (!say_and_let_it_be_read(&s, &c, "x")) break;
    }
    client_say(&c, GET("/b"));
    EXPECT(s.loop, &c, ECHO("/b", "2"));
    client_close(&c);
    site_close(&s);
}

static void test_the_time_for_a_body_begins_when_it_is_asked_for(void)
{
    site s;
    open_with(&s, BODY, SHORT_MS, SMW_NEVER);
    client c = client_open(s.port);
    client_say(&c, POST("/late", "4") "ab");
    run_until_equal(s.loop, &kept_count, 1);
    run_for(s.loop, PAST_MS);
    CHECK_INT(s.aborted, 0);
    int64_t start = clock_ms();
    s.upload = calloc(1, sizeof *s.upload);
    CHECK_INT(smw_read(s.loop, kept, true), 0);
    EXPECT_408(&s, &c);
    NOT_EARLIER(start, SHORT_MS);
    CHECK_INT(s.upload->length, 2);
    CHECK_INT(s.abort_status, 408);
    client_close(&c);
    site_close(&s);
}

static void test_a_body_that_nobody_asks_for_takes_as_long_as_its_answer(void)
{
    site s;
    open_with(&s, BODY, SHORT_MS, SMW_NEVER);
    client c = client_open(s.port);
    client_say(&c, POST("/late", "4") "ab");
    run_until_equal(s.loop, &kept_count, 1);
    run_for(s.loop, PAST_MS);
    CHECK_INT(site_answer(&s, kept, 202, 0, "", ""), 0);
    EXPECT(s.loop, &c, ACCEPTED);
    client_say(&c, "cd" GET("/b"));
    EXPECT(s.loop, &c, ECHO("/b", "2"));
    CHECK_INT(s.aborted, 0);
    client_close(&c);
    site_close(&s);
}

static void test_a_body_that_is_not_wanted_for_now_takes_no_time(void)
{
    site s;
    open_with(&s, BODY, SHORT_MS, SMW_NEVER);
    client c = client_open(s.port);
    client_say(&c, POST("/read", "4") "ab");
    run_until_equal(s.loop, &s.requests, 1);
    run_until_equal(s.loop, &s.upload->length, 2);
    CHECK_INT(smw_read(s.loop, s.exchange, false), 0);
    run_for(s.loop, PAST_MS);
    CHECK_INT(s.aborted, 0);
    CHECK_INT(smw_read(s.loop, s.exchange, true), 0);
    client_say(&c, "cd");
    EXPECT(s.loop, &c, ECHO("abcd", "4"));
    client_close(&c);
    site_close(&s);
}

/* ---- between requests ---- */

static void test_each_request_renews_the_idle_time(void)
{
    site s;
    open_with(&s, IDLE, SHORT_MS, SMW_NEVER);
    client c = client_open(s.port);
    int64_t first = clock_ms(), start = first;
    for (int i = 0; i < 6; i++) {
        if (i > 0) rest(SHORT_MS / 2);
        start = clock_ms();
        client_say(&c, GET("/a"));
        EXPECT(s.loop, &c, ECHO("/a", "2"));
    }
    CHECK(start - first >= 2 * SHORT_MS); /* or the test proves nothing */
    EXPECT_END(s.loop, &c);
    NOT_EARLIER(start, SHORT_MS);
    client_close(&c);
    site_close(&s);
}

static void test_the_idle_time_begins_with_a_late_answer(void)
{
    site s;
    open_with(&s, IDLE, SHORT_MS, SMW_NEVER);
    client c = client_open(s.port);
    client_say(&c, GET("/late"));
    run_until_equal(s.loop, &kept_count, 1);
    run_for(s.loop, PAST_MS);
    int64_t start = clock_ms();
    CHECK_INT(site_answer(&s, kept, 202, 0, "", ""), 0);
    EXPECT(s.loop, &c, ACCEPTED);
    EXPECT_END(s.loop, &c);
    NOT_EARLIER(start, SHORT_MS);
    client_close(&c);
    site_close(&s);
}

/* ---- answers ---- */

static void test_the_time_for_an_answer_begins_when_its_request_is_handed_out(void)
{
    site s;
    open_with(&s, ANSWER, 2 * SHORT_MS, SMW_NEVER);
    client c = client_open(s.port);
    client_say(&c, GET("/late") GET("/late"));
    run_until_equal(s.loop, &kept_count, 1);
    rest(SHORT_MS);
    int64_t start = clock_ms();
    CHECK_INT(site_answer(&s, kept, 202, 0, "", ""), 0);
    expect_refusal(&s, &c, ACCEPTED, "503", "Service Unavailable");
    NOT_EARLIER(start, 2 * SHORT_MS);
    CHECK_INT(kept_count, 2);
    CHECK_INT(s.aborted, 1);
    client_close(&c);
    site_close(&s);
}

static void test_a_stream_goes_on_as_long_as_its_pieces_come_in_time(void)
{
    site s;
    open_with(&s, ANSWER, SHORT_MS, SMW_NEVER);
    client c = client_open(s.port), other = client_open(s.port);
    client_say(&c, GET("/stream"));
    EXPECT(s.loop, &c, BEGIN);
    for (int i = 0; i < 6; i++) {
        rest(SHORT_MS / 2);
        client_say(&other, GET("/piece")); /* given in a callback, so in its step */
        EXPECT(s.loop, &c, "5\r\npiece\r\n");
        EXPECT(s.loop, &other, ECHO("/piece", "6"));
    }
    CHECK_INT(s.aborted, 0);
    int64_t start = clock_ms();
    client_say(&other, GET("/piece"));
    EXPECT(s.loop, &c, "5\r\npiece\r\n");
    EXPECT_END(s.loop, &c); /* without a last chunk */
    NOT_EARLIER(start, SHORT_MS);
    CHECK_INT(s.aborted, 1);
    CHECK_INT(s.abort_status, 503);
    CHECK_INT(add_piece(&s, SMW_OUT_LAST, ""), SMW_EGONE);
    client_close(&c);
    client_close(&other);
    site_close(&s);
}

/* ---- what the client does not take ---- */

static void test_a_client_that_takes_nothing_of_an_answer_is_closed(void)
{
    for (size_t i = 0; i < LARGE_PATHS; i++) {
        bool is_whole = i == LARGE_PATHS - 1; /* nothing of it is the application's */
        site s;
        open_with(&s, SEND, SHORT_MS, SMW_NEVER);
        client c = client_open(s.port);
        int64_t start = clock_ms();
        client_say(&c, large_paths[i]);
        run_until_equal(s.loop, &kept_count, 1);
        site_waits_for(&s, 0);
        NOT_EARLIER(start, SHORT_MS);
        CHECK_INT(s.aborted, !is_whole);
        CHECK_INT(s.abort_status, 0);
        run_until(s.loop, &c, TO_THE_END);
        CHECK(c.length < LARGE);
        client_close(&c);
        site_close(&s);
    }
}

static void test_a_client_that_takes_something_now_and_then_gets_the_whole(void)
{
    for (size_t i = 0; i < LARGE_PATHS; i++) {
        bool is_open = i == 1; /* nobody ends this stream */
        size_t wanted = LARGE + (i == 0 ? strlen("Content-Length: 8388608\r\n")
                                        : strlen("Transfer-Encoding: chunked\r\n"));
        site s;
        open_with(&s, SEND, SHORT_MS, SMW_NEVER);
        client c = client_open(s.port);
        client_say(&c, large_paths[i]);
        int64_t start = clock_ms(), last = start;
        int64_t deadline = start + PATIENCE_MS;
        while (c.length < wanted && !c.is_ended && clock_ms() < deadline) {
            size_t before = c.length;
            client_receive(&c);
            if (c.length > before) last = clock_ms();
            for (int k = 0; k < 3; k++) {
                await_event(s.loop, -1);
                smw_loop_run(s.loop, SMW_RUN_NOWAIT);
            }
            rest(SHORT_MS / 2);
        }
        CHECK(c.length >= wanted);
        CHECK(last - start > SHORT_MS); /* or the test proves nothing */
        CHECK(!c.is_ended && c.error == 0);
        CHECK_INT(s.aborted, 0);
        CHECK_INT(smw_server_connections(s.server), 1);
        if (!is_open) {
            client_forget(&c);
            client_say(&c, GET("/a"));
            run_until(s.loop, &c, strlen(ECHO("/a", "2")));
            CHECK(client_ends_with(&c, ECHO("/a", "2")));
        }
        client_close(&c);
        site_close(&s);
    }
}

/* ---- our own slowness is not the peer's ---- */

/* `other` is the one that asks for /slow, while `waiting` has its time. */
static void open_slow(site *s, client *other, client *waiting, int kind)
{
    slowness = 2 * SHORT_MS;
    open_with(s, kind, SHORT_MS, SMW_NEVER);
    *other = client_open(s->port);
    site_waits_for(s, 1);
    *waiting = client_open(s->port);
    if (kind != IDLE) site_waits_for(s, 2); /* idle, it would have begun to wait */
}

static void close_slow(site *s, client *other, client *waiting)
{
    EXPECT(s->loop, other, ECHO("/slow", "5"));
    CHECK_INT(s->aborted, 0);
    client_close(other);
    client_close(waiting);
    site_close(s);
}

static void test_a_head_that_was_here_in_time_is_served_behind_a_slow_handler(void)
{
    site s;
    client other, waiting;
    open_slow(&s, &other, &waiting, HEAD);
    say_and_let_it_be_read(&s, &waiting, "GET /a HT");
    client_say(&other, GET("/slow"));
    client_say(&waiting, "TP/1.1\r\nHost: a\r\n\r\n");
    EXPECT(s.loop, &waiting, ECHO("/a", "2"));
    close_slow(&s, &other, &waiting);
}

static void test_a_head_that_came_during_a_slow_handler_is_served(void)
{
    site s;
    client other, waiting;
    open_slow(&s, &other, &waiting, HEAD);
    say_and_let_it_be_read(&s, &waiting, "GET /a HT");
    hurried = &waiting;
    last_words = "TP/1.1\r\nHost: a\r\n\r\n";
    client_say(&other, GET("/slow"));
    EXPECT(s.loop, &waiting, ECHO("/a", "2"));
    close_slow(&s, &other, &waiting);
}

static void test_a_body_that_came_during_a_slow_handler_is_served(void)
{
    site s;
    client other, waiting;
    open_slow(&s, &other, &waiting, BODY);
    client_say(&waiting, POST("/late", "4"));
    run_until_equal(s.loop, &kept_count, 1);
    s.upload = calloc(1, sizeof *s.upload);
    CHECK_INT(smw_read(s.loop, kept, true), 0);
    hurried = &waiting;
    last_words = "abcd";
    client_say(&other, GET("/slow"));
    run_until_equal(s.loop, &s.requests, 2);
    s.exchange = kept; /* of the last request whose body is read */
    EXPECT(s.loop, &waiting, ECHO("abcd", "4"));
    close_slow(&s, &other, &waiting);
}

static void test_a_request_that_came_during_a_slow_handler_finds_no_idle_close(void)
{
    site s;
    client other, waiting;
    open_slow(&s, &other, &waiting, IDLE);
    hurried = &waiting;
    last_words = GET("/a");
    client_say(&other, GET("/slow"));
    EXPECT(s.loop, &waiting, ECHO("/a", "2"));
    close_slow(&s, &other, &waiting);
}

static void test_the_idle_time_behind_a_slow_handler_begins_with_its_answer(void)
{
    /* The timer of the accept is still running when the handler has answered. */
    enum { IDLE_MS = 80, SLOWNESS = 50 };
    site s;
    open_with(&s, IDLE, IDLE_MS, SMW_NEVER);
    slowness = SLOWNESS;
    client c = client_open(s.port);
    run_for(s.loop, IDLE_MS / 4);
    client_say(&c, GET("/slow"));
    int64_t answered = clock_ms() + SLOWNESS; /* or later */
    EXPECT(s.loop, &c, ECHO("/slow", "5"));
    EXPECT_END(s.loop, &c);
    NOT_EARLIER(answered, IDLE_MS);
    client_close(&c);
    site_close(&s);
}

static void test_heads_of_more_clients_than_one_wait_tells_are_served_in_time(void)
{
    enum { COUNT = POLL_BATCH + 44, HEAD_MS = 200 };
    static client clients[COUNT];
    site s;
    open_with(&s, HEAD, HEAD_MS, SMW_NEVER);
    for (int i = 0; i < COUNT; i++) clients[i] = client_open(s.port);
    site_waits_for(&s, COUNT);
    for (int i = 0; i < COUNT; i++) client_say(&clients[i], "GET /a HT");
    while (smw_loop_stats(s.loop)->recvs < COUNT) smw_loop_run(s.loop, SMW_RUN_NOWAIT);
    for (int i = 0; i < COUNT; i++) client_say(&clients[i], "TP/1.1\r\nHost: a\r\n\r\n");
    rest(HEAD_MS + 20);
    size_t served = 0;
    for (int i = 0; i < COUNT; i++) {
        run_until(s.loop, &clients[i], strlen(ECHO("/a", "2")));
        if (client_starts_with(&clients[i], ECHO("/a", "2"))) served++;
    }
    CHECK_INT(served, COUNT);
    for (int i = 0; i < COUNT; i++) client_close(&clients[i]);
    site_close(&s);
}

/* A batch that is full after each request. */
typedef struct small_batch {
    smw_batch *batch;
    smw_batch_memory memory;
} small_batch;

static void small_batch_open(small_batch *b, smw_loop *loop)
{
    b->memory = (smw_batch_memory){
        .arena = malloc(128 * 1024),
        .arena_size = 128 * 1024,
        .words = malloc(SMW_W_COUNT * sizeof(uint32_t)),
        .word_count = SMW_W_COUNT,
        .records = malloc(1024 * 3 * sizeof(uint64_t)),
        .record_count = 1024,
        .shared = calloc(1, sizeof(smw_shared)),
    };
    b->batch = smw_batch_new(loop, &b->memory);
    CHECK(b->batch != NULL);
}

static void small_batch_clear(small_batch *b)
{
    free(b->memory.arena);
    free(b->memory.words);
    free(b->memory.records);
    free(b->memory.shared);
}

/* Take the one request of a turn; 0 when there is none in time. */
static uint64_t small_batch_take(small_batch *b, int64_t timeout_ms)
{
    b->memory.shared->count = 0;
    int count = smw_turn(b->batch, timeout_ms, 1, "", 0);
    if (count == 0) return 0;
    CHECK_INT(count, 1);
    CHECK_INT(b->memory.records[1], ROUTE);
    return b->memory.records[0];
}

static void test_a_head_that_finds_the_batch_full_waits_in_line(void)
{
    smw_loop *loop = smw_loop_new();
    small_batch b;
    small_batch_open(&b, loop);
    smw_server_options limits = timeouts(HEAD, SHORT_MS, SMW_NEVER);
    smw_server *server = smw_server_new(loop, &limits);
    CHECK_INT(smw_server_route(server, SMW_GET, "/*", 2, ROUTE), 0);
    int port = smw_server_listen(server, &(smw_listen_options){.host = "127.0.0.1"});
    enum { COUNT = 3, REQUESTS = 2 * (COUNT - 1) + 1 };
    client clients[COUNT], *last = &clients[COUNT - 1];
    for (int i = 0; i < COUNT; i++) clients[i] = client_open(port);
    while (smw_server_connections(server) < COUNT) CHECK_INT(small_batch_take(&b, 1), 0);
    client_say(last, "GET /a HT");
    while (smw_loop_stats(loop)->recvs == 0) CHECK_INT(small_batch_take(&b, 1), 0);
    for (int i = 0; i < COUNT - 1; i++) client_say(&clients[i], GET("/a") GET("/a"));
    client_say(last, "TP/1.1\r\nHost: a\r\n\r\n");
    site s = {.loop = loop}; /* for site_answer */
    for (int i = 0; i < REQUESTS; i++) {
        rest(PAST_MS);
        uint64_t id = small_batch_take(&b, PATIENCE_MS);
        if (!CHECK(id != 0)) break;
        CHECK_INT(site_answer(&s, id, 202, 0, "", ""), 0);
    }
    for (int i = 0; i < COUNT; i++) {
        client_receive(&clients[i]);
        CHECK_INT(clients[i].length, (i < COUNT - 1 ? 2 : 1) * strlen(ACCEPTED));
        client_close(&clients[i]);
    }
    smw_loop_free(loop);
    small_batch_clear(&b);
}

/* ---- what it costs ---- */

static void note_due(smw_loop *loop, uint64_t id, uint64_t user)
{
    (void)loop, (void)id;
    *(bool *)(uintptr_t)user = true;
}

static void test_connections_that_wait_do_not_tick(void)
{
    enum { COUNT = 3 };
    client clients[COUNT];
    site s;
    open_with(&s, IDLE, MINUTE_MS, MINUTE_MS);
    for (int i = 0; i < COUNT; i++) {
        clients[i] = client_open(s.port);
        client_say(&clients[i], GET("/a"));
        EXPECT(s.loop, &clients[i], ECHO("/a", "2"));
    }
    bool is_due = false;
    uint64_t user = (uint64_t)(uintptr_t)&is_due;
    CHECK_INT(smw_timer_start(s.loop, 300, 0, note_due, user, NULL), 0);
    uint64_t waits = smw_loop_stats(s.loop)->waits;
    while (!is_due) smw_loop_run(s.loop, SMW_RUN_ONCE);
    CHECK(smw_loop_stats(s.loop)->waits - waits <= 3);
    for (int i = 0; i < COUNT; i++) client_close(&clients[i]);
    site_close(&s);
}

int main(void)
{
    RUN(test_each_state_ends_when_its_time_is_over_and_not_before);
    RUN(test_no_state_ends_by_the_time_of_another);
    RUN(test_never_runs_no_timer);
    RUN(test_by_default_all_but_the_answer_are_timed);
    RUN(test_the_time_for_a_head_is_not_renewed_by_its_bytes);
    RUN(test_the_time_for_a_head_begins_with_its_first_byte);
    RUN(test_the_time_for_a_head_begins_anew_with_the_next_one);
    RUN(test_the_time_for_half_a_head_behind_a_request_begins_with_its_answer);
    RUN(test_each_byte_of_a_body_renews_its_time);
    RUN(test_each_byte_of_a_skipped_body_renews_its_time);
    RUN(test_the_time_for_a_body_begins_when_it_is_asked_for);
    RUN(test_a_body_that_nobody_asks_for_takes_as_long_as_its_answer);
    RUN(test_a_body_that_is_not_wanted_for_now_takes_no_time);
    RUN(test_each_request_renews_the_idle_time);
    RUN(test_the_idle_time_begins_with_a_late_answer);
    RUN(test_the_time_for_an_answer_begins_when_its_request_is_handed_out);
    RUN(test_a_stream_goes_on_as_long_as_its_pieces_come_in_time);
    RUN(test_a_client_that_takes_nothing_of_an_answer_is_closed);
    RUN(test_a_client_that_takes_something_now_and_then_gets_the_whole);
    RUN(test_a_head_that_was_here_in_time_is_served_behind_a_slow_handler);
    RUN(test_a_head_that_came_during_a_slow_handler_is_served);
    RUN(test_a_body_that_came_during_a_slow_handler_is_served);
    RUN(test_a_request_that_came_during_a_slow_handler_finds_no_idle_close);
    RUN(test_the_idle_time_behind_a_slow_handler_begins_with_its_answer);
    RUN(test_heads_of_more_clients_than_one_wait_tells_are_served_in_time);
    RUN(test_a_head_that_finds_the_batch_full_waits_in_line);
    RUN(test_connections_that_wait_do_not_tick);
    return test_report();
}
