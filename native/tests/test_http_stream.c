/* SPDX-License-Identifier: MIT */
/* test_http_stream.c - answers whose length is not known when they begin. */
#include "site.h"

#define CHUNKED "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
#define END "0\r\n\r\n"

/* A request for /stream stays open; others are answered. */
static void leave_streams_open(smw_server *server, const smw_request *request, void *user)
{
    if (request->path.length != 7) site_echo(server, request, user);
}

/* A server with one request that waits for its answer. */
static client open_asked_with(site *s, const char *request,
                              const smw_server_options *options)
{
    site_open_with(s, leave_streams_open, options);
    client c = client_open(s->port);
    client_say(&c, request);
    run_until_equal(s->loop, &s->requests, 1);
    return c;
}

static client open_asked(site *s, const char *request)
{
    return open_asked_with(s, request, NULL);
}

static int begin(site *s, unsigned flags, const char *text)
{
    return site_answer(s, s->exchange, 200, SMW_OUT_STREAM | flags, "", text);
}

static int add(site *s, unsigned flags, const char *text)
{
    return site_answer(s, s->exchange, 0, flags, "", text);
}

static void expect_silence(site *s, client *c)
{
    run_a_while(s->loop);
    client_receive(c);
    CHECK_INT(c->length, 0);
    CHECK(!c->is_ended && c->error == 0);
}

/* The connection serves the next request, for it was kept. */
static void expect_kept(site *s, client *c)
{
    client_say(c, GET("/next"));
    EXPECT(s->loop, c, ECHO("/next", "5"));
}

static void finish(site *s, client *c)
{
    client_close(c);
    site_waits_for(s, 0);
    site_close(s);
}

/* ---- what it looks like ---- */

static void test_the_pieces_of_a_stream_leave_as_chunks_as_they_come(void)
{
    site s;
    client c = open_asked(&s, GET("/stream"));
    CHECK_INT(begin(&s, 0, "one"), 0);
    EXPECT(s.loop, &c, CHUNKED "3\r\none\r\n");
    expect_silence(&s, &c);
    CHECK_INT(add(&s, 0, "sixteen bytes it"), 0);
    EXPECT(s.loop, &c, "10\r\nsixteen bytes it\r\n");
    CHECK_INT(add(&s, 0, ""), 0); /* as a chunk it would be the end */
    expect_silence(&s, &c);
    CHECK_INT(add(&s, SMW_OUT_LAST, "end"), 0);
    EXPECT(s.loop, &c, "3\r\nend\r\n" END);
    CHECK_INT(add(&s, 0, "more"), SMW_EGONE);
    CHECK_INT(add(&s, SMW_OUT_LAST, ""), SMW_EGONE);
    expect_kept(&s, &c);
    CHECK_INT(s.aborted, 0);
    finish(&s, &c);
}

static void test_a_stream_may_be_empty_or_begin_or_end_without_content(void)
{
    static const struct {
        const char *pieces[4]; /* the first with the head, the last with the end */
        const char *wanted;
    } cases[] = {
        {{""}, CHUNKED END},
        {{"all"}, CHUNKED "3\r\nall\r\n" END},
        {{"", ""}, CHUNKED END},
        {{"", "", ""}, CHUNKED END},
        {{"a", ""}, CHUNKED "1\r\na\r\n" END},
        {{"", "a"}, CHUNKED "1\r\na\r\n" END},
        {{"a", "", "b"}, CHUNKED "1\r\na\r\n1\r\nb\r\n" END},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        site s;
        client c = open_asked(&s, GET("/stream"));
        const char *const *piece = cases[i].pieces;
        CHECK_INT(begin(&s, piece[1] == NULL ? SMW_OUT_LAST : 0, piece[0]), 0);
        for (piece++; *piece != NULL; piece++)
            CHECK_INT(add(&s, piece[1] == NULL ? SMW_OUT_LAST : 0, *piece), 0);
        EXPECT(s.loop, &c, cases[i].wanted);
        expect_kept(&s, &c);
        finish(&s, &c);
    }
}

static void answer_with_a_stream(smw_server *server, const smw_request *request,
                                 void *user)
{
    (void)server, (void)request;
    CHECK_INT(begin(user, 0, "a"), 0);
    CHECK_INT(add(user, 0, "b"), 0);
    CHECK_INT(add(user, SMW_OUT_LAST, "c"), 0);
}

static void test_streams_that_are_whole_in_their_callbacks_are_answers_like_others(void)
{
    site s;
    site_open(&s, answer_with_a_stream);
    client c = client_open(s.port);
    client_say(&c, GET("/a") GET("/b"));
#define ABC CHUNKED "1\r\na\r\n1\r\nb\r\n1\r\nc\r\n" END
    EXPECT(s.loop, &c, ABC ABC);
    finish(&s, &c);
}

static void test_the_head_of_a_stream_has_the_lines_of_its_application(void)
{
    site s;
    client c = open_asked(&s, GET("/stream"));
    unsigned flags = SMW_OUT_STREAM | SMW_OUT_TEXT;
    CHECK_INT(site_answer(&s, s.exchange, 500, flags, "A: b\r\n", ""), 0);
    EXPECT(s.loop, &c,
           "HTTP/1.1 500 Internal Server Error\r\nA: b\r\n"
           "Content-Type: text/plain; charset=utf-8\r\n"
           "Transfer-Encoding: chunked\r\n\r\n");
    CHECK_INT(add(&s, SMW_OUT_LAST, ""), 0);
    EXPECT(s.loop, &c, END);
    finish(&s, &c);
}

static void test_to_HTTP_1_0_a_stream_is_raw_and_ends_with_the_connection(void)
{
    static const char *const requests[] = {
        "GET /stream HTTP/1.0\r\n\r\n",
        "GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" GET("/b"),
    };
    for (size_t i = 0; i < 2; i++) {
        site s;
        client c = open_asked(&s, requests[i]);
        CHECK_INT(begin(&s, 0, "one"), 0);
        EXPECT(s.loop, &c, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\none");
        CHECK_INT(add(&s, 0, ""), 0);
        CHECK_INT(add(&s, 0, "two"), 0);
        EXPECT(s.loop, &c, "two");
        expect_silence(&s, &c);
        CHECK_INT(add(&s, SMW_OUT_LAST, "three"), 0);
        EXPECT(s.loop, &c, "three");
        EXPECT_END(s.loop, &c);
        CHECK_INT(s.requests, 1);
        finish(&s, &c);
    }
}

static void test_what_may_have_no_content_has_none_as_a_stream_either(void)
{
    static const struct {
        const char *request;
        int status;
        const char *wanted;
    } cases[] = {
        {"HEAD /stream HTTP/1.1\r\nHost: a\r\n\r\n", 200, "HTTP/1.1 200 OK\r\n\r\n"},
        {"HEAD /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200,
         "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\n"},
        {GET("/stream"), 204, "HTTP/1.1 204 No Content\r\n\r\n"},
        {GET("/stream"), 304, "HTTP/1.1 304 Not Modified\r\n\r\n"},
        {GET("/stream"), 205, "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        site s;
        client c = open_asked(&s, cases[i].request);
        int status = cases[i].status;
        CHECK_INT(site_answer(&s, s.exchange, status, SMW_OUT_STREAM, "", "one"), 0);
        CHECK_INT(add(&s, 0, "two"), 0);
        EXPECT(s.loop, &c, cases[i].wanted);
        expect_silence(&s, &c);
        CHECK_INT(add(&s, SMW_OUT_LAST, "three"), 0);
        expect_silence(&s, &c);
        expect_kept(&s, &c);
        finish(&s, &c);
    }
}

static void leave_open(smw_server *server, const smw_request *request, void *user)
{
    (void)server, (void)request, (void)user;
}

static void test_an_accepted_CONNECT_ends_without_content(void)
{
    site s;
    site_open(&s, leave_open);
    client c = client_open(s.port);
    client_say(&c, "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n");
    run_until_equal(s.loop, &s.requests, 1);
    CHECK_INT(begin(&s, 0, "one"), 0);
    CHECK_INT(add(&s, SMW_OUT_LAST, "two"), 0);
    EXPECT(s.loop, &c, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
    EXPECT_END(s.loop, &c);
    finish(&s, &c);
}

/* ---- order ---- */

static void test_a_piece_without_a_stream_is_refused_and_costs_nothing(void)
{
    site s;
    client c = open_asked(&s, GET("/stream"));
    CHECK_INT(add(&s, 0, "one"), SMW_EORDER);
    CHECK_INT(add(&s, SMW_OUT_LAST, "one"), SMW_EORDER);
    expect_silence(&s, &c);
    CHECK_INT(site_answer(&s, s.exchange, 200, 0, "", ""), 0);
    EXPECT(s.loop, &c, OK);
    expect_kept(&s, &c);
    finish(&s, &c);
}

static void test_a_second_head_during_a_stream_is_refused_and_costs_nothing(void)
{
    site s;
    client c = open_asked(&s, GET("/stream"));
    CHECK_INT(begin(&s, 0, "one"), 0);
    CHECK_INT(begin(&s, 0, "two"), SMW_EORDER);
    CHECK_INT(site_answer(&s, s.exchange, 200, 0, "", "two"), SMW_EORDER);
    CHECK_INT(site_answer(&s, s.exchange, 200, SMW_OUT_MORE, "", "two"), SMW_EORDER);
    CHECK_INT(add(&s, SMW_OUT_LAST, ""), 0);
    EXPECT(s.loop, &c, CHUNKED "3\r\none\r\n" END);
    expect_kept(&s, &c);
    finish(&s, &c);
}

static void test_a_body_of_known_length_takes_no_pieces(void)
{
    site s;
    client c = open_asked(&s, GET("/stream"));
    CHECK_INT(site_answer(&s, s.exchange, 200, SMW_OUT_MORE, "", "five!"), 0);
    CHECK_INT(add(&s, 0, "five!"), SMW_EORDER);
    CHECK_INT(add(&s, SMW_OUT_LAST, "five!"), SMW_EORDER);
    CHECK_INT(begin(&s, 0, "two"), SMW_EORDER);
    EXPECT(s.loop, &c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    client_close(&c);
    site_close(&s); /* it still waits for the rest */
}

static void test_a_malformed_head_of_a_stream_is_refused(void)
{
    static const int statuses[] = {1, 100, 199, 1000, -200};
    site s;
    client c = open_asked(&s, GET("/stream"));
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
        CHECK_INT(site_answer(&s, s.exchange, statuses[i], SMW_OUT_STREAM, "", "x"),
                  SMW_ERECORD);
    CHECK_INT(add(&s, 0, "one"), SMW_EORDER); /* none of them began one */
    CHECK_INT(begin(&s, SMW_OUT_LAST, ""), 0);
    EXPECT(s.loop, &c, CHUNKED END);
    finish(&s, &c);
}

static void test_requests_behind_a_stream_are_answered_after_it(void)
{
    site s;
    client c = open_asked(&s, GET("/a"));
    client_say(&c, GET("/stream") GET("/b") GET("/c") "GET /d HT");
    EXPECT(s.loop, &c, ECHO("/a", "2"));
    run_until_equal(s.loop, &s.requests, 2);
    CHECK_INT(begin(&s, 0, "one"), 0);
    EXPECT(s.loop, &c, CHUNKED "3\r\none\r\n");
    client_say(&c, "TP/1.1\r\nHost: a\r\n\r\n");
    expect_silence(&s, &c);
    CHECK_INT(s.requests, 2);
    CHECK_INT(add(&s, SMW_OUT_LAST, "two"), 0);
    EXPECT(s.loop, &c,
           "3\r\ntwo\r\n" END ECHO("/b", "2") ECHO("/c", "2") ECHO("/d", "2"));
    CHECK_INT(s.requests, 5);
    finish(&s, &c);
}

/* ---- the connection's end ---- */

static void test_the_last_piece_may_close_the_connection(void)
{
    for (int with_pieces = 0; with_pieces < 2; with_pieces++) {
        site s;
        client c = open_asked(&s, GET("/stream") GET("/b"));
        CHECK_INT(begin(&s, 0, "one"), 0);
        /* Said on the way it holds for the end. */
        if (with_pieces) CHECK_INT(add(&s, SMW_OUT_CLOSE, "two"), 0);
        EXPECT(s.loop, &c, with_pieces ? CHUNKED "3\r\none\r\n3\r\ntwo\r\n"
                                       : CHUNKED "3\r\none\r\n");
        expect_silence(&s, &c);
        CHECK_INT(add(&s, SMW_OUT_LAST | (with_pieces ? 0 : SMW_OUT_CLOSE), "end"), 0);
        EXPECT(s.loop, &c, "3\r\nend\r\n" END);
        EXPECT_END(s.loop, &c);
        CHECK_INT(c.error, 0);
        CHECK_INT(s.requests, 1);
        finish(&s, &c);
    }
}

static void test_a_stream_that_closes_says_so_in_its_head(void)
{
    site s;
    client c = open_asked(&s, GET("/stream") GET("/b"));
    CHECK_INT(begin(&s, SMW_OUT_CLOSE, "one"), 0);
    EXPECT(s.loop, &c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
                       "Connection: close\r\n\r\n3\r\none\r\n");
    expect_silence(&s, &c);
    CHECK_INT(add(&s, SMW_OUT_LAST, ""), 0);
    EXPECT(s.loop, &c, END);
    EXPECT_END(s.loop, &c);
    CHECK_INT(s.requests, 1);
    finish(&s, &c);
}

static void test_a_client_that_wants_to_close_gets_its_whole_stream(void)
{
    site s;
    client c =
        open_asked(&s, "GET /stream HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    CHECK_INT(begin(&s, 0, "one"), 0);
    CHECK_INT(add(&s, SMW_OUT_LAST, "two"), 0);
    EXPECT(s.loop, &c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
                       "Connection: close\r\n\r\n3\r\none\r\n3\r\ntwo\r\n" END);
    EXPECT_END(s.loop, &c);
    finish(&s, &c);
}

static void test_a_stopped_server_closes_behind_the_end_of_a_stream(void)
{
    site s;
    client c = open_asked(&s, GET("/stream"));
    CHECK_INT(begin(&s, 0, "one"), 0);
    smw_server_stop(s.server);
    CHECK_INT(add(&s, SMW_OUT_LAST, "two"), 0);
    EXPECT(s.loop, &c, CHUNKED "3\r\none\r\n3\r\ntwo\r\n" END);
    EXPECT_END(s.loop, &c);
    finish(&s, &c);
}

static void test_a_peer_that_leaves_in_the_middle_aborts_a_stream(void)
{
    enum { ENDS, ENDS_AND_ASKED_MORE, RESETS, WAYS };
    for (int way = 0; way < WAYS; way++) {
        site s;
        client c = open_asked(&s, GET("/stream"));
        CHECK_INT(begin(&s, 0, "one"), 0);
        EXPECT(s.loop, &c, CHUNKED "3\r\none\r\n");
        if (way == ENDS_AND_ASKED_MORE) client_say(&c, GET("/b"));
        if (way == RESETS)
            client_abort(&c);
        else
            CHECK(shutdown(c.fd, SHUT_WR) == 0);
        run_until_equal(s.loop, &s.aborted, 1);
        CHECK_INT(s.abort_status, 0);
        CHECK_INT(add(&s, 0, "two"), SMW_EGONE);
        CHECK_INT(add(&s, SMW_OUT_LAST, ""), SMW_EGONE);
        if (way == ENDS) EXPECT_END(s.loop, &c); /* no last chunk: it is cut short */
        CHECK_INT(s.requests, 1);
        CHECK_INT(s.aborted, 1);
        finish(&s, &c);
    }
}

static void test_a_stream_goes_on_when_clients_may_end_early(void)
{
    site s;
    client c = open_asked_with(&s, GET("/stream") GET("/b"),
                               &(smw_server_options){.half_close = true});
    CHECK_INT(begin(&s, 0, "one"), 0);
    CHECK(shutdown(c.fd, SHUT_WR) == 0);
    EXPECT(s.loop, &c, CHUNKED "3\r\none\r\n");
    expect_silence(&s, &c);
    CHECK_INT(add(&s, SMW_OUT_LAST, "two"), 0);
    EXPECT(s.loop, &c, "3\r\ntwo\r\n" END ECHO("/b", "2"));
    EXPECT_END(s.loop, &c);
    CHECK_INT(s.aborted, 0);
    finish(&s, &c);
}

/* ---- much of it ---- */

static char byte_at(size_t i)
{
    return (char)(i * 31 + i / 251 + i / 64256 * 7);
}

/* Undo the chunks behind the head in place; the bytes of the content, or 0 when it is
 * malformed or not complete. */
static size_t content_of(client *c)
{
    if (!CHECK(client_starts_with(c, CHUNKED) && client_ends_with(c, END))) return 0;
    char *from = c->data + strlen(CHUNKED), *to = c->data, *end = c->data + c->length;
    for (;;) {
        char *data;
        size_t size = strtoul(from, &data, 16);
        if (data == from || end - data < (ptrdiff_t)size + 4) return 0;
        from = data + 2 + size;
        if (memcmp(data, "\r\n", 2) != 0 || memcmp(from, "\r\n", 2) != 0) return 0;
        memmove(to, data + 2, size);
        to += size;
        from += 2;
        if (size == 0) return from == end ? (size_t)(to - c->data) : 0;
    }
}

static void expect_content(site *s, client *c, size_t length)
{
    int64_t deadline = clock_ms() + PATIENCE_MS;
    while (!client_ends_with(c, "\r\n" END) && CHECK(clock_ms() < deadline))
        run_until(s->loop, c, c->length + 1);
    if (!CHECK_INT(content_of(c), length)) return;
    size_t wrong = 0;
    for (size_t i = 0; i < length; i++) wrong += c->data[i] != byte_at(i);
    CHECK_INT(wrong, 0);
    client_forget(c);
}

static void test_a_slow_client_gets_every_byte_of_a_long_stream(void)
{
    enum { PIECE = 100000, PIECES = 50 };
    site s;
    client c = open_asked(&s, GET("/stream") GET("/b"));
    char *piece = malloc(PIECE);
    CHECK_INT(begin(&s, 0, ""), 0);
    for (size_t i = 0; i < PIECES; i++) {
        for (size_t k = 0; k < PIECE; k++) piece[k] = byte_at(i * PIECE + k);
        smw_answer more = {.body = {piece, PIECE},
                           .flags = i == PIECES - 1 ? SMW_OUT_LAST : 0};
        CHECK_INT(smw_respond(s.loop, s.exchange, &more), 0);
        if (i % 10 == 0) smw_loop_run(s.loop, SMW_RUN_NOWAIT);
    }
    free(piece);
    /* The next request is not answered before there is room again. */
    size_t size = 0;
    while (s.requests < 2 && CHECK(size < 2 * PIECE * PIECES)) {
        smw_loop_run(s.loop, SMW_RUN_NOWAIT);
        client_receive(&c);
        size = c.length;
    }
    int64_t deadline = clock_ms() + PATIENCE_MS;
    while (!client_ends_with(&c, ECHO("/b", "2")) && CHECK(clock_ms() < deadline))
        run_until(s.loop, &c, c.length + 1);
    c.length -= strlen(ECHO("/b", "2"));
    expect_content(&s, &c, PIECE * PIECES);
    finish(&s, &c);
}

/* ---- both ways at once ---- */

static void begin_to_echo(smw_server *server, const smw_request *request, void *user)
{
    if (request->method != SMW_POST) {
        site_echo(server, request, user);
        return;
    }
    CHECK_INT(smw_read(((site *)user)->loop, request->exchange, true), 0);
    CHECK_INT(begin(user, 0, ""), 0);
}

static void echo_piece(smw_server *server, uint64_t exchange, smw_str piece, bool is_last,
                       void *user)
{
    (void)server;
    smw_answer more = {.body = piece, .flags = is_last ? SMW_OUT_LAST : 0};
    CHECK_INT(smw_respond(((site *)user)->loop, exchange, &more), 0);
}

static void open_echo(site *s)
{
    site_open(s, begin_to_echo);
    smw_server_callbacks callbacks = {.on_request = site_on_request,
                                      .on_data = echo_piece,
                                      .on_aborted = site_on_aborted,
                                      .user = s};
    smw_server_on(s->server, &callbacks);
}

static void test_a_body_can_stream_back_while_it_comes(void)
{
    enum { LENGTH = 400000 };
    site s;
    open_echo(&s);
    client c = client_open(s.port);
    client_say(&c, "POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 400000\r\n\r\n");
    char *body = malloc(LENGTH);
    for (size_t i = 0; i < LENGTH; i++) body[i] = byte_at(i);
    for (size_t sent = 0; sent < LENGTH;) {
        size_t next = LENGTH - sent < 50000 ? LENGTH - sent : 50000;
        sent += client_offer(&c, body + sent, next);
        run_until(s.loop, &c, c.length + 1);
    }
    free(body);
    expect_content(&s, &c, LENGTH);
    expect_kept(&s, &c);
    finish(&s, &c);
}

static void test_a_stream_is_cut_short_when_its_requests_body_goes_wrong(void)
{
    site s;
    open_echo(&s);
    client c = client_open(s.port);
    client_say(&c, "POST /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                   "3\r\nabc\r\n");
    EXPECT(s.loop, &c, CHUNKED "3\r\nabc\r\n");
    client_say(&c, "Z\r\n");
    run_until_equal(s.loop, &s.aborted, 1);
    CHECK_INT(s.abort_status, 400);
    EXPECT_END(s.loop, &c); /* nothing that could pass for the end */
    CHECK_INT(add(&s, SMW_OUT_LAST, ""), SMW_EGONE);
    finish(&s, &c);
}

int main(void)
{
    RUN(test_the_pieces_of_a_stream_leave_as_chunks_as_they_come);
    RUN(test_a_stream_may_be_empty_or_begin_or_end_without_content);
    RUN(test_streams_that_are_whole_in_their_callbacks_are_answers_like_others);
    RUN(test_the_head_of_a_stream_has_the_lines_of_its_application);
    RUN(test_to_HTTP_1_0_a_stream_is_raw_and_ends_with_the_connection);
    RUN(test_what_may_have_no_content_has_none_as_a_stream_either);
    RUN(test_an_accepted_CONNECT_ends_without_content);
    RUN(test_a_piece_without_a_stream_is_refused_and_costs_nothing);
    RUN(test_a_second_head_during_a_stream_is_refused_and_costs_nothing);
    RUN(test_a_body_of_known_length_takes_no_pieces);
    RUN(test_a_malformed_head_of_a_stream_is_refused);
    RUN(test_requests_behind_a_stream_are_answered_after_it);
    RUN(test_the_last_piece_may_close_the_connection);
    RUN(test_a_stream_that_closes_says_so_in_its_head);
    RUN(test_a_client_that_wants_to_close_gets_its_whole_stream);
    RUN(test_a_stopped_server_closes_behind_the_end_of_a_stream);
    RUN(test_a_peer_that_leaves_in_the_middle_aborts_a_stream);
    RUN(test_a_stream_goes_on_when_clients_may_end_early);
    RUN(test_a_slow_client_gets_every_byte_of_a_long_stream);
    RUN(test_a_body_can_stream_back_while_it_comes);
    RUN(test_a_stream_is_cut_short_when_its_requests_body_goes_wrong);
    return test_report();
}
