/* SPDX-License-Identifier: MIT */
/* What a batch must not lose: requests behind an answered one, and the ends of many. */
#include "desk.h"

#include <sys/resource.h>

static size_t told(const desk *d, uint64_t exchange)
{
    size_t found = 0;
    for (size_t i = 0; i < desk_count(d); i++)
        found += desk_token(d, i) == SMW_EVENT_ABORTED && desk_id(d, i) == exchange;
    return found;
}

static void test_what_was_left_alone_behind_an_answer_comes_again(void)
{
    desk d;
    desk_open(&d);
    client c = client_open(d.port);
    client_say(&c, GET("/1") GET("/2") GET("/3"));
    CHECK_INT(desk_turn(&d, PATIENCE_MS, 64), 3);
    uint64_t second = desk_id(&d, 1);
    desk_answer(&d, desk_id(&d, 0), SMW_OUT_AGAIN, desk_path(&d, 0));
    CHECK_INT(desk_turn(&d, PATIENCE_MS, 64), 2);
    CHECK(desk_id(&d, 0) == second);
    DESK_EXPECT(&d, &c, ECHO("/1", "2") ECHO("/2", "2") ECHO("/3", "2"));
    client_close(&c);
    desk_close(&d);
}

static void test_a_stopping_server_closes_behind_the_last_that_was_handed_out(void)
{
    desk d;
    desk_open(&d);
    client c = client_open(d.port);
    client_say(&c, GET("/1") GET("/2"));
    CHECK_INT(desk_turn(&d, PATIENCE_MS, 64), 2);
    uint64_t second = desk_id(&d, 1);
    smw_server_stop(d.server);
    desk_echo(&d, 0);
    desk_turn(&d, 0, 64);
    CHECK_INT(told(&d, second), 0);
    desk_answer(&d, second, 0, (smw_str){"/2", 2});
    desk_turn(&d, 0, 64);
    DESK_EXPECT(&d, &c,
                ECHO("/1", "2") "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"
                                "Connection: close\r\n\r\n/2");
    client_close(&c);
    desk_close(&d);
}

enum { MANY = 1100 }; /* more than a batch has records */

static void test_the_ends_of_many_that_are_late_at_once_are_all_told(void)
{
    struct rlimit room;
    getrlimit(RLIMIT_NOFILE, &room);
    room.rlim_cur = room.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &room) != 0 || room.rlim_cur < 2 * MANY + 100) {
        printf("too few descriptors for %d connections: not tested\n", MANY);
        return;
    }
    desk d = {.memory = memory_of(256 * 1024, 512, 1024)};
    d.loop = smw_loop_new();
    d.batch = smw_batch_new(d.loop, &d.memory);
    d.server = smw_server_new(d.loop, &(smw_server_options){.answer_timeout = 1000});
    CHECK_INT(smw_server_route(d.server, SMW_GET, "/*", 2, ROUTE), 0);
    d.port = smw_server_listen(d.server, &(smw_listen_options){.host = "127.0.0.1"});
    static client clients[MANY];
    for (int i = 0; i < MANY; i++) {
        clients[i] = client_open(d.port);
        client_say(&clients[i], GET("/a"));
    }
    size_t requests = 0, aborted = 0;
    bool has_slept = false;
    int64_t deadline = clock_ms() + 2 * PATIENCE_MS;
    while (aborted < requests + (requests < MANY) && CHECK(clock_ms() < deadline)) {
        desk_turn(&d, 10, 256);
        for (size_t i = 0; i < desk_count(&d); i++)
            desk_token(&d, i) == SMW_EVENT_ABORTED ? aborted++ : requests++;
        if (requests < MANY || has_slept) continue;
        usleep(1100 * 1000); /* one slow handler makes them all late */
        has_slept = true;
    }
    CHECK_INT(aborted, MANY);
    for (int i = 0; i < MANY; i++) client_close(&clients[i]);
    desk_close(&d);
}

int main(void)
{
    RUN(test_what_was_left_alone_behind_an_answer_comes_again);
    RUN(test_a_stopping_server_closes_behind_the_last_that_was_handed_out);
    RUN(test_the_ends_of_many_that_are_late_at_once_are_all_told);
    return test_report();
}
