/* SPDX-License-Identifier: MIT */
/* test_http_order.c - answers that come late, bodies that come slowly, and what that
 * means for the requests behind them. */
#include "site.h"

/* Exchanges that the callback left unanswered, in the order it saw them. */
static uint64_t late[64];
static size_t late_count;
static site *late_site;

static void answer_later(smw_server *server, const smw_request *request, void *user)
{
    (void)server;
    if (request->path.data[1] != 'l') { /* not /l... */
        CHECK_INT(site_answer(user, request->exchange, 200, 0, "", ""), 0);
        return;
    }
    late[late_count++] = request->exchange;
}

static void answer_first(smw_loop *loop, uint64_t timer, uint64_t user)
{
    (void)loop, (void)timer, (void)user;
    CHECK(late_count > 0);
    CHECK_INT(site_answer(late_site, late[0], 202, 0, "", ""), 0);
    late_count = 0;
}

static void open_late_with(site *s, const smw_server_options *limits)
{
    site_open_with(s, answer_later, limits);
    late_site = s;
    late_count = 0;
}

static void open_late(site *s)
{
    open_late_with(s, NULL);
}

static void test_requests_behind_a_late_answer_are_answered_after_it_once_each(void)
{
    site s;
    open_late(&s);
    client c = client_open(s.port);
    client_say(&c, GET("/a") GET("/late") GET("/b") GET("/c") "GET /d HT");
    EXPECT(s.loop, &c, OK);
    run_a_while(s.loop);
    client_receive(&c);
    CHECK_INT(c.length, 0);
    CHECK_INT(s.requests, 2);
    CHECK_INT(smw_timer_start(s.loop, 1, 0, answer_first, 0, NULL), 0);
    EXPECT(s.loop, &c, ACCEPTED OK OK);
    client_say(&c, "TP/1.1\r\nHost: a\r\n\r\n");
    EXPECT(s.loop, &c, OK);
    CHECK_INT(s.requests, 5); /* once each */
    client_close(&c);
    site_close(&s);
}

static void test_a_late_answer_may_come_between_two_runs(void)
{
    site s;
    open_late(&s);
    client c = client_open(s.port);
    client_say(&c, GET("/late") GET("/b") GET("/late") GET("/d"));
    for (int i = 0; i < 2; i++) {
        run_until_equal(s.loop, &late_count, 1);
        answer_first(s.loop, 0, 0);
        EXPECT(s.loop, &c, ACCEPTED OK);
    }
    CHECK_INT(s.requests, 4);
    client_close(&c);
    site_close(&s);
}

static void test_several_late_answers_on_one_connection_keep_their_order(void)
{
    enum { COUNT = 20 };
    site s;
    open_late(&s);
    client c = client_open(s.port);
    for (int i = 0; i < COUNT; i++) client_say(&c, GET("/late"));
    for (int i = 0; i < COUNT; i++) {
        run_until_equal(s.loop, &late_count, 1);
        CHECK_INT(smw_timer_start(s.loop, 0, 0, answer_first, 0, NULL), 0);
        EXPECT(s.loop, &c, ACCEPTED);
    }
    client_close(&c);
    site_close(&s);
}

static void test_a_request_that_comes_while_one_is_open_waits_for_it(void)
{
    site s;
    open_late(&s);
    client c = client_open(s.port);
    client_say(&c, GET("/late"));
    run_until_equal(s.loop, &late_count, 1);
    client_say(&c, GET("/b"));
    uint64_t waits = smw_loop_stats(s.loop)->waits;
    run_a_while(s.loop);
    CHECK(smw_loop_stats(s.loop)->waits > waits);
    CHECK_INT(s.requests, 1);
    CHECK_INT(smw_loop_stats(s.loop)->recvs, 1); /* it stays in the kernel */
    CHECK_INT(smw_timer_start(s.loop, 0, 0, answer_first, 0, NULL), 0);
    EXPECT(s.loop, &c, ACCEPTED OK);
    client_close(&c);
    site_close(&s);
}

static void test_input_behind_an_open_request_does_not_spin_the_loop(void)
{
    site s;
    open_late(&s);
    client c = client_open(s.port);
    client_say(&c, GET("/late"));
    run_until_equal(s.loop, &late_count, 1);
    client_say(&c, GET("/b"));
    CHECK_INT(smw_timer_start(s.loop, 30, 0, answer_first, 0, NULL), 0);
    uint64_t waits = smw_loop_stats(s.loop)->waits;
    while (late_count > 0) smw_loop_run(s.loop, SMW_RUN_ONCE);
    CHECK(smw_loop_stats(s.loop)->waits - waits < 10);
    EXPECT(s.loop, &c, ACCEPTED OK);
    client_close(&c);
    site_close(&s);
}

static void test_a_refusal_waits_for_a_late_answer(void)
{
    site s;
    open_late(&s);
    client c = client_open(s.port);
    client_say(&c, GET("/late") GET("/b") "BAD\r\n\r\n");
    run_until_equal(s.loop, &late_count, 1);
    run_a_while(s.loop);
    client_receive(&c);
    CHECK_INT(c.length, 0);
    CHECK_INT(smw_timer_start(s.loop, 0, 0, answer_first, 0, NULL), 0);
    run_until(s.loop, &c, TO_THE_END);
    CHECK(client_starts_with(&c, ACCEPTED OK REFUSAL("400", "Bad Request", "11")));
    CHECK(c.is_ended && c.error == 0);
    client_close(&c);
    site_close(&s);
}

static void test_requests_are_answered_though_the_client_sends_no_more(void)
{
    site s;
    open_late_with(&s, &(smw_server_options){.half_close = true});
    client c = client_open(s.port);
    client_say(&c, GET("/a") GET("/late") GET("/b"));
    CHECK(shutdown(c.fd, SHUT_WR) == 0);
    run_until_equal(s.loop, &late_count, 1);
    CHECK_INT(smw_timer_start(s.loop, 1, 0, answer_first, 0, NULL), 0);
    EXPECT(s.loop, &c, OK ACCEPTED OK);
    EXPECT_END(s.loop, &c);
    site_waits_for(&s, 0);
    CHECK_INT(s.aborted, 0);
    client_close(&c);
    site_close(&s);
}

static void test_a_late_answer_to_nobody_says_that_it_is_gone(void)
{
    site s;
    open_late(&s);
    client c = client_open(s.port);
    client_say(&c, GET("/late") GET("/b"));
    run_until_equal(s.loop, &late_count, 1);
    smw_server_free(s.server);
    CHECK_INT(s.aborted, 1);
    CHECK_INT(site_answer(&s, late[0], 200, 0, "", ""), SMW_EGONE);
    client_close(&c);
    site_close(&s);
}

/* ---- bodies ---- */

static void test_a_body_is_skipped_and_the_next_request_served(void)
{
    static char body[50000];
    memset(body, 'G', sizeof body);
    site s;
    site_open(&s, site_echo);
    client c = client_open(s.port);
    client_say(&c, "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 50000\r\n\r\n");
    EXPECT(s.loop, &c, ECHO("/a", "2"));
    client_say_bytes(&c, body, sizeof body);
    client_say(&c, GET("/b"));
    EXPECT(s.loop, &c, ECHO("/b", "2"));
    client_close(&c);
    site_close(&s);
}

static void test_a_body_too_large_to_skip_closes_the_connection(void)
{
    static char body[400000];
    site s;
    site_open(&s, site_echo);
    client c = client_open(s.port);
    client_say(&c, "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 400000\r\n\r\n");
    for (size_t sent = 0; sent < sizeof body;) {
        sent += client_offer(&c, body + sent, sizeof body - sent);
        smw_loop_run(s.loop, SMW_RUN_NOWAIT);
    }
    EXPECT(s.loop, &c,
           "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n/a");
    EXPECT_END(s.loop, &c);
    CHECK_INT(c.error, 0);
    client_close(&c);
    site_waits_for(&s, 0);
    site_close(&s);
}

/* ---- the end of a connection ---- */

static void answer_and_close(smw_server *server, const smw_request *request, void *user)
{
    (void)server;
    site_answer(user, request->exchange, 200, SMW_OUT_CLOSE, "", "");
}

static void test_nothing_is_served_after_an_answer_that_closes(void)
{
    /* RFC 9112 9.6: a server that says "close" must not process what follows, also
     * while the connection lingers for the rest of a body. */
    site s;
    site_open(&s, answer_and_close);
    client c = client_open(s.port);
    client_say(&c, "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody" GET("/b")
                       GET("/c"));
    EXPECT(s.loop, &c,
           "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    EXPECT_END(s.loop, &c);
    CHECK_INT(s.requests, 1);
    client_close(&c);
    site_waits_for(&s, 0);
    site_close(&s);
}

static void free_the_server(smw_server *server, const smw_request *request, void *user)
{
    (void)request, (void)user;
    smw_server_free(server);
}

static void test_a_callback_may_free_its_server(void)
{
    site s;
    site_open(&s, free_the_server);
    client c = client_open(s.port);
    client_say(&c, GET("/a") GET("/b"));
    run_until(s.loop, &c, TO_THE_END);
    CHECK_INT(c.length, 0);
    CHECK_INT(s.requests, 1);
    CHECK_INT(s.aborted, 1);
    CHECK_INT(smw_loop_run(s.loop, SMW_RUN_DEFAULT), 0); /* nothing is left */
    client_close(&c);
    site_close(&s);
}

static void test_a_stopped_server_closes_what_owes_nothing_and_answers_the_rest(void)
{
    site s;
    open_late(&s);
    client idle = client_open(s.port), busy = client_open(s.port);
    client_say(&busy, GET("/late"));
    run_until_equal(s.loop, &late_count, 1);
    site_waits_for(&s, 2);
    smw_server_stop(s.server);
    EXPECT_END(s.loop, &idle);
    CHECK_INT(smw_server_connections(s.server), 1);
    CHECK_INT(smw_timer_start(s.loop, 0, 0, answer_first, 0, NULL), 0);
    EXPECT(s.loop, &busy,
           "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    EXPECT_END(s.loop, &busy);
    client_close(&busy); /* which the server's lingering close waits for */
    site_waits_for(&s, 0);
    CHECK_INT(smw_server_connections(s.server), 0);
    CHECK_INT(smw_loop_run(s.loop, SMW_RUN_DEFAULT), 0);
    client_close(&idle);
    site_close(&s);
}

static void test_an_id_of_a_closed_connection_stays_dead_when_its_slot_is_used_again(void)
{
    site s;
    open_late(&s);
    client first = client_open(s.port);
    client_say(&first, GET("/late"));
    run_until_equal(s.loop, &late_count, 1);
    uint64_t old = late[0];
    answer_first(s.loop, 0, 0);
    EXPECT(s.loop, &first, ACCEPTED);
    client_close(&first);
    site_waits_for(&s, 0);
    client second = client_open(s.port);
    client_say(&second, GET("/late"));
    run_until_equal(s.loop, &late_count, 1);
    CHECK((old & 0xFFFFFF) == (late[0] & 0xFFFFFF)); /* the same slot */
    CHECK(old != late[0]);
    CHECK_INT(site_answer(&s, old, 200, 0, "", ""), SMW_EGONE);
    client_close(&second);
    site_close(&s);
}

int main(void)
{
    RUN(test_requests_behind_a_late_answer_are_answered_after_it_once_each);
    RUN(test_a_late_answer_may_come_between_two_runs);
    RUN(test_several_late_answers_on_one_connection_keep_their_order);
    RUN(test_a_request_that_comes_while_one_is_open_waits_for_it);
    RUN(test_input_behind_an_open_request_does_not_spin_the_loop);
    RUN(test_a_refusal_waits_for_a_late_answer);
    RUN(test_requests_are_answered_though_the_client_sends_no_more);
    RUN(test_a_late_answer_to_nobody_says_that_it_is_gone);
    RUN(test_a_body_is_skipped_and_the_next_request_served);
    RUN(test_a_body_too_large_to_skip_closes_the_connection);
    RUN(test_nothing_is_served_after_an_answer_that_closes);
    RUN(test_a_callback_may_free_its_server);
    RUN(test_a_stopped_server_closes_what_owes_nothing_and_answers_the_rest);
    RUN(test_an_id_of_a_closed_connection_stays_dead_when_its_slot_is_used_again);
    return test_report();
}
