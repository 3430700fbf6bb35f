/* SPDX-License-Identifier: MIT */
/* test_http_time.c - how long a connection waits for what, and what it says then. */
#include "site_time.h"

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

/* ---- what it costs ---- */

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
    RUN(test_connections_that_wait_do_not_tick);
    return test_report();
}
