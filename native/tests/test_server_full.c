/* SPDX-License-Identifier: MIT */
/* test_server_full.c - clients wait outside while none that is inside is idle. */
#include "post.h"
#include "site_full.h"

static bool run_until_read(site *s, uint64_t recvs)
{
    int64_t deadline = clock_ms() + PATIENCE_MS;
    while (smw_loop_stats(s->loop)->recvs < recvs) {
        if (clock_ms() > deadline) return CHECK(clock_ms() <= deadline);
        smw_loop_run(s->loop, SMW_RUN_NOWAIT);
        await_event(s->loop, -1);
    }
    return true;
}

typedef struct busy {
    const char *sentence;
    const char *part;
    const char *begun; /* what has been answered to that */
    const char *rest;
    const char *answer;
    const char *last_answer; /* the same, said to close */
} busy;

static const busy ways[] = {
    {"in a head", "GET /a HT", "", "TP/1.1\r\nHost: a\r\n\r\n", ECHO("/a", "2"),
     LAST_ECHO("/a", "2")},
    {"in a second head", GET("/a") "GET /b HT", ECHO("/a", "2"),
     "TP/1.1\r\nHost: a\r\n\r\n", ECHO("/b", "2"), LAST_ECHO("/b", "2")},
    {"in a body behind its answer", POST("/a", "4") "ab", ECHO("/a", "2"),
     "cd" GET("/b"), ECHO("/b", "2"), LAST_ECHO("/b", "2")},
    {"before its answer", GET("/late"), "", "", ACCEPTED, LAST_ACCEPTED},
    {"in a body that nobody reads", POST("/late", "4") "ab", "", "cd", ACCEPTED,
     LAST_ACCEPTED},
    {"before its answer, with a second request behind it", GET("/late") GET("/b"), "", "",
     ACCEPTED ECHO("/b", "2"), LAST_ACCEPTED},
};

static void test_a_further_client_waits_while_none_is_idle(void)
{
    for (size_t k = 0; k < sizeof ways / sizeof *ways; k++) {
        const busy *way = &ways[k];
        test_name = way->sentence;
        client clients[MOST + 1], *further = &clients[MOST];
        site s;
        open_small(&s, MOST);
        for (size_t i = 0; i < MOST; i++) {
            clients[i] = client_open(s.port);
            client_say(&clients[i], way->part);
        }
        run_until_read(&s, MOST);
        for (size_t i = 0; i < MOST; i++) EXPECT(s.loop, &clients[i], way->begun);
        *further = client_open(s.port);
        client_say(further, GET("/further"));
        run_a_while(s.loop);
        client_receive(further);
        CHECK(further->length == 0 && !further->is_ended);
        CHECK_INT(smw_loop_stats(s.loop)->accepts, MOST);

        if (late_count > 0) answer_late(&s, 0);
        client_say(&clients[0], way->rest);
        EXPECT(s.loop, &clients[0], way->last_answer);
        EXPECT_END(s.loop, &clients[0]);
        client_close(&clients[0]);
        EXPECT(s.loop, further, ECHO("/further", "8"));
        for (size_t i = 1; i < MOST; i++) { /* nobody waits outside any more */
            if (late_count > 0) answer_late(&s, i);
            client_say(&clients[i], way->rest);
            EXPECT(s.loop, &clients[i], way->answer);
        }
        client_say(further, GET("/again"));
        EXPECT(s.loop, further, ECHO("/again", "6"));
        CHECK_INT(s.aborted, 0);
        CHECK_INT(ended(clients + 1, MOST), 0);
        close_all(clients, MOST + 1);
        site_close(&s);
    }
}

static void test_who_waits_outside_gets_in_behind_a_stream(void)
{
    client clients[MOST + 1], *further = &clients[MOST];
    site s;
    open_small(&s, MOST);
    open_busy(&s, clients, MOST);
    CHECK_INT(site_answer(&s, late[0], 200, SMW_OUT_STREAM, "", "begin"), 0);
    EXPECT(s.loop, &clients[0],
           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegin\r\n");
    *further = client_open(s.port);
    client_say(further, GET("/a"));
    run_a_while(s.loop);
    CHECK_INT(smw_loop_stats(s.loop)->accepts, MOST);
    smw_answer last = {.flags = SMW_OUT_LAST};
    CHECK_INT(smw_respond(s.loop, late[0], &last), 0);
    EXPECT(s.loop, &clients[0], "0\r\n\r\n");
    EXPECT_END(s.loop, &clients[0]); /* which its head could not say */
    client_close(&clients[0]);
    EXPECT(s.loop, further, ECHO("/a", "2"));
    close_all(clients, MOST + 1);
    site_close(&s);
}

static void test_who_waits_outside_gets_in_when_somebody_leaves(void)
{
    client clients[MOST + 1], *further = &clients[MOST];
    site s;
    open_small(&s, MOST);
    open_busy(&s, clients, MOST);
    *further = client_open(s.port);
    client_say(further, GET("/a"));
    run_a_while(s.loop);
    client_abort(&clients[1]);
    EXPECT(s.loop, further, ECHO("/a", "2"));
    CHECK_INT(s.aborted, 1);
    answer_late(&s, 0);
    EXPECT(s.loop, &clients[0], ACCEPTED);
    close_all(clients, MOST + 1);
    site_close(&s);
}

static void test_who_gives_up_outside_harms_nobody(void)
{
    client clients[MOST + 2], *further = &clients[MOST];
    site s;
    open_small(&s, MOST);
    open_busy(&s, clients, MOST);
    for (int i = 0; i < 2; i++) further[i] = client_open(s.port);
    client_say(&further[0], GET("/gone"));
    run_a_while(s.loop);
    client_abort(&further[0]);
    client_say(&further[1], GET("/a"));
    answer_late(&s, 0);
    EXPECT(s.loop, &clients[0], LAST_ACCEPTED);
    client_close(&clients[0]);
    EXPECT(s.loop, &further[1], ECHO("/a", "2"));
    close_all(clients, MOST + 2);
    site_close(&s);
}

static void test_all_that_wait_outside_get_in_one_after_the_other(void)
{
    enum { COUNT = 20 };
    client clients[MOST + COUNT], *further = &clients[MOST];
    site s;
    open_small(&s, MOST);
    open_busy(&s, clients, MOST);
    for (int i = 0; i < COUNT; i++) {
        further[i] = client_open(s.port);
        client_say(&further[i], GET("/a"));
    }
    run_a_while(s.loop);
    CHECK_INT(smw_loop_stats(s.loop)->accepts, MOST);
    client_abort(&clients[0]);
    /* The two others stay busy: one place serves all. */
    for (int i = 0; i < COUNT; i++) {
        run_until(s.loop, &further[i], strlen(ECHO("/a", "2")));
        CHECK(client_starts_with(&further[i], OK_HEAD "2\r\n"));
        CHECK(client_ends_with(&further[i], "\r\n\r\n/a"));
        client_close(&further[i]);
        CHECK(smw_server_connections(s.server) <= MOST);
    }
    CHECK_INT(s.aborted, 1);
    close_all(clients, MOST + COUNT);
    site_close(&s);
}

static void test_who_waits_outside_does_not_spin_the_loop(void)
{
    client clients[MOST + 1];
    site s;
    open_small(&s, MOST);
    open_busy(&s, clients, MOST);
    clients[MOST] = client_open(s.port);
    run_a_while(s.loop);
    bool is_due = false;
    uint64_t user = (uint64_t)(uintptr_t)&is_due;
    CHECK_INT(smw_timer_start(s.loop, 50, 0, note_due, user, NULL), 0);
    uint64_t waits = smw_loop_stats(s.loop)->waits;
    while (!is_due) smw_loop_run(s.loop, SMW_RUN_ONCE);
    CHECK(smw_loop_stats(s.loop)->waits - waits < 10);
    close_all(clients, MOST + 1);
    site_close(&s);
}

/* ---- more than one listener, and the end ---- */

static void test_a_held_server_lets_in_when_it_is_released(void)
{
    site s;
    open_small(&s, MOST);
    smw_server_hold(s.server, true);
    client c = client_open(s.port);
    client_say(&c, GET("/a"));
    run_a_while(s.loop);
    CHECK_INT(smw_loop_stats(s.loop)->accepts, 0);
    smw_server_hold(s.server, false);
    EXPECT(s.loop, &c, ECHO("/a", "2"));
    client_close(&c);
    site_close(&s);
}

static void test_connections_of_two_listeners_count_together(void)
{
    client clients[MOST + 2], *further = &clients[MOST];
    site s;
    open_small(&s, MOST);
    int port = smw_server_listen(s.server, &(smw_listen_options){.host = "127.0.0.1"});
    CHECK(port > 0);
    for (int i = 0; i < MOST; i++) {
        clients[i] = client_open(i == 1 ? port : s.port);
        client_say(&clients[i], GET("/late"));
        run_until_equal(s.loop, &late_count, (size_t)i + 1);
    }
    further[0] = client_open(s.port);
    further[1] = client_open(port);
    for (int i = 0; i < 2; i++) client_say(&further[i], GET("/late"));
    run_a_while(s.loop);
    CHECK_INT(smw_loop_stats(s.loop)->accepts, MOST);
    for (size_t i = 0; i < 2; i++) {
        /* Crowded for as long as one of the two is outside. */
        answer_late(&s, i);
        EXPECT(s.loop, &clients[i], LAST_ACCEPTED);
        EXPECT_END(s.loop, &clients[i]);
        client_close(&clients[i]);
        run_until_equal(s.loop, &late_count, MOST + i + 1);
        run_a_while(s.loop);
        CHECK_INT(smw_server_connections(s.server), MOST);
    }
    for (size_t i = 2; i < MOST + 2; i++) answer_late(&s, i);
    for (size_t i = 2; i < MOST + 2; i++) EXPECT(s.loop, &clients[i], ACCEPTED);
    close_all(clients, MOST + 2);
    site_close(&s);
}

static void test_a_crowded_server_stops(void)
{
    client clients[MOST + 1], *further = &clients[MOST];
    site s;
    open_small(&s, MOST);
    CHECK(smw_server_listen(s.server, &(smw_listen_options){.host = "127.0.0.1"}) > 0);
    open_busy(&s, clients, MOST);
    *further = client_open(s.port);
    client_say(further, GET("/a"));
    run_a_while(s.loop);
    smw_server_stop(s.server);
    for (size_t i = 0; i < MOST; i++) {
        answer_late(&s, i);
        EXPECT(s.loop, &clients[i], LAST_ACCEPTED);
        EXPECT_END(s.loop, &clients[i]);
        client_close(&clients[i]);
        site_waits_for(&s, MOST - 1 - i);
    }
    run_until(s.loop, further, TO_THE_END);
    CHECK_INT(further->length, 0);
    CHECK_INT(s.requests, MOST);
    CHECK_INT(smw_loop_run(s.loop, SMW_RUN_DEFAULT), 0); /* nothing is left */
    client_close(further);
    site_close(&s);
}

static void test_a_crowded_server_is_freed(void)
{
    client clients[MOST + 1];
    site s;
    open_small(&s, MOST);
    open_busy(&s, clients, MOST);
    clients[MOST] = client_open(s.port);
    run_a_while(s.loop);
    smw_server_free(s.server);
    CHECK_INT(s.aborted, MOST);
    CHECK_INT(smw_loop_run(s.loop, SMW_RUN_DEFAULT), 0);
    close_all(clients, MOST + 1);
    site_close(&s);
}

int main(void)
{
    RUN(test_a_further_client_waits_while_none_is_idle);
    RUN(test_who_waits_outside_gets_in_behind_a_stream);
    RUN(test_who_waits_outside_gets_in_when_somebody_leaves);
    RUN(test_who_gives_up_outside_harms_nobody);
    RUN(test_all_that_wait_outside_get_in_one_after_the_other);
    RUN(test_who_waits_outside_does_not_spin_the_loop);
    RUN(test_a_held_server_lets_in_when_it_is_released);
    RUN(test_connections_of_two_listeners_count_together);
    RUN(test_a_crowded_server_stops);
    RUN(test_a_crowded_server_is_freed);
    return test_report();
}
