/* SPDX-License-Identifier: MIT */
/* test_http_time_renewal.c - when the time for something begins, and what renews it. */
#include "site_time.h"

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

int main(void)
{
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
    return test_report();
}
