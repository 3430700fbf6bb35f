/* SPDX-License-Identifier: MIT */
/* Where two things meet on one connection: frees in callbacks, a 100 and an answer, a
 * pause and a timeout, an upload and an output that nobody takes. */
#include "conn.h"
#include "site.h"

#define UPLOAD (64 << 20)
#define POST(length, more)                                                              \
    "POST /a HTTP/1.1\r\nHost: a\r\n" more "Content-Length: " length "\r\n\r\n"

static void read_body(smw_server *server, const smw_request *request, void *user)
{
    (void)server;
    CHECK_INT(smw_read(((site *)user)->loop, request->exchange, true), 0);
}

/* Begin a stream, and add the body to it as it comes. */
static void stream_body(smw_server *server, const smw_request *request, void *user)
{
    (void)server;
    site *s = user;
    CHECK_INT(site_answer(s, request->exchange, 200, SMW_OUT_STREAM, "", "begin"), 0);
    CHECK_INT(smw_read(s->loop, request->exchange, true), 0);
}

static size_t most_waiting;

static void add_piece(smw_server *server, uint64_t exchange, smw_str piece, bool is_last,
                      void *user)
{
    (void)server;
    site *s = user;
    smw_answer answer = {.flags = is_last ? SMW_OUT_LAST : 0, .body = piece};
    CHECK_INT(smw_respond(s->loop, exchange, &answer), 0);
    const conn *c = conn_at(s->loop, exchange);
    if (c != NULL && buf_length(&c->out) > most_waiting) most_waiting = buf_length(&c->out);
}

static void listen_to(site *s, void (*on_aborted)(smw_server *, uint64_t, int, void *))
{
    smw_server_callbacks callbacks = {.on_request = site_on_request,
                                      .on_data = add_piece,
                                      .on_aborted = on_aborted,
                                      .user = s};
    smw_server_on(s->server, &callbacks);
}

static void free_server(smw_server *server, uint64_t exchange, int status, void *user)
{
    (void)exchange, (void)status;
    smw_server_free(server);
    ((site *)user)->aborted++;
}

static void test_a_server_may_be_freed_when_an_exchange_is_aborted(void)
{
    site s;
    site_open(&s, read_body);
    listen_to(&s, free_server);
    client c = client_open(s.port);
    client_say(&c, POST("5", ""));
    run_until_equal(s.loop, &s.requests, 1);
    client_abort(&c);
    run_until_equal(s.loop, &s.aborted, 1);
    site_close(&s);
}

static void test_no_100_stands_in_an_answer(void)
{
    site s;
    site_open(&s, stream_body);
    listen_to(&s, site_on_aborted);
    client c = client_open(s.port);
    client_say(&c, POST("5", "Expect: 100-continue\r\n"));
    run_until_equal(s.loop, &s.requests, 1);
    run_a_while(s.loop);
    client_say(&c, "12345");
    run_until(s.loop, &c, strlen("HTTP/1.1 200 OK\r\n") + 80);
    CHECK(client_ends_with(&c, "\r\n\r\n5\r\nbegin\r\n5\r\n12345\r\n0\r\n\r\n"));
    client_close(&c);
    site_close(&s);
}

static void test_a_pause_in_reading_begins_the_time_for_the_answer(void)
{
    site s;
    site_open_with(&s, read_body,
                   &(smw_server_options){.answer_timeout = 50, .body_timeout = SMW_NEVER});
    client c = client_open(s.port);
    client_say(&c, POST("5", ""));
    run_until_equal(s.loop, &s.requests, 1);
    run_a_while(s.loop);
    CHECK_INT(smw_read(s.loop, s.exchange, false), 0);
    run_until_equal(s.loop, &s.aborted, 1);
    CHECK_INT(s.abort_status, 503);
    client_close(&c);
    site_close(&s);
}

static void test_an_upload_cannot_fill_an_output_that_nobody_takes(void)
{
    site s;
    site_open_with(&s, stream_body,
                   &(smw_server_options){.max_body = UPLOAD, .send_timeout = 100});
    listen_to(&s, site_on_aborted);
    client c = client_open(s.port);
    client_say(&c, POST("67108864", ""));
    run_until_equal(s.loop, &s.requests, 1);
    static char junk[65536];
    size_t left = UPLOAD;
    most_waiting = 0;
    int64_t deadline = clock_ms() + PATIENCE_MS;
    while (s.aborted == 0 && CHECK(clock_ms() < deadline)) {
        left -= client_offer(&c, junk, left < sizeof junk ? left : sizeof junk);
        smw_loop_run(s.loop, SMW_RUN_NOWAIT);
        await_event(s.loop, -1);
    }
    CHECK(most_waiting < 1024 * 1024);
    client_close(&c);
    site_close(&s);
}

static char large[8 * 1024 * 1024];

static void answer_much_and_stop(smw_server *server, const smw_request *request, void *user)
{
    smw_answer answer = {
        .status = 200, .body = {large, sizeof large}, .body_length = sizeof large};
    CHECK_INT(smw_respond(((site *)user)->loop, request->exchange, &answer), 0);
    smw_server_stop(server);
}

static void test_nothing_is_handed_out_of_a_connection_that_closes(void)
{
    site s;
    site_open(&s, answer_much_and_stop);
    client c = client_open(s.port);
    client_say(&c, GET("/1") GET("/2") GET("/3"));
    run_until_equal(s.loop, &s.requests, 1);
    run_a_while(s.loop);
    CHECK_INT(s.requests, 1);
    client_close(&c);
    site_waits_for(&s, 0);
    site_close(&s);
}

int main(void)
{
    RUN(test_a_server_may_be_freed_when_an_exchange_is_aborted);
    RUN(test_no_100_stands_in_an_answer);
    RUN(test_a_pause_in_reading_begins_the_time_for_the_answer);
    RUN(test_an_upload_cannot_fill_an_output_that_nobody_takes);
    RUN(test_nothing_is_handed_out_of_a_connection_that_closes);
    return test_report();
}
