/* SPDX-License-Identifier: MIT */
/* test_server_idle.c - idle connections make room where a server lets in only so many. */
#include "site_full.h"

static void test_as_many_as_allowed_stay_open(void)
{
    client clients[MOST];
    site s;
    open_small(&s, MOST);
    for (int i = 0; i < MOST; i++) {
        clients[i] = client_open(s.port);
        run_a_while(s.loop);
    }
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < MOST; i++) {
            client_say(&clients[i], GET("/a"));
            EXPECT(s.loop, &clients[i], ECHO("/a", "2"));
        }
    CHECK_INT(ended(clients, MOST), 0);
    CHECK_INT(smw_loop_stats(s.loop)->accepts, MOST);
    CHECK_INT(smw_server_connections(s.server), MOST);
    close_all(clients, MOST);
    site_close(&s);
}

static void test_a_further_client_takes_the_place_of_an_idle_one(void)
{
    enum { COUNT = MOST + 10 };
    static const char *const says[] = {"", GET("/a")};
    for (size_t k = 0; k < 2; k++) { /* before the first request, and after it */
        client clients[COUNT];
        site s;
        open_small(&s, MOST);
        for (size_t i = 0; i < COUNT; i++) {
            clients[i] = client_open(s.port);
            const char *say = i < MOST ? says[k] : GET("/a");
            client_say(&clients[i], say);
            EXPECT(s.loop, &clients[i], say[0] != '\0' ? ECHO("/a", "2") : "");
            run_a_while(s.loop);
            CHECK_INT(ended(clients, i + 1), i < MOST ? 0 : i + 1 - MOST);
            CHECK_INT(smw_server_connections(s.server), i < MOST ? i + 1 : MOST);
        }
        close_all(clients, COUNT);
        site_close(&s);
    }
}

static void test_the_one_idle_connection_among_busy_ones_makes_room(void)
{
    for (size_t place = 0; place < MOST; place++) {
        client clients[MOST + 1];
        site s;
        open_small(&s, MOST);
        for (size_t i = 0; i < MOST; i++) {
            clients[i] = client_open(s.port);
            client_say(&clients[i], i == place ? GET("/a") : GET("/late"));
            site_waits_for(&s, i + 1);
        }
        EXPECT(s.loop, &clients[place], ECHO("/a", "2"));
        run_until_equal(s.loop, &late_count, MOST - 1);
        clients[MOST] = client_open(s.port);
        client_say(&clients[MOST], GET("/b"));
        EXPECT(s.loop, &clients[MOST], ECHO("/b", "2"));
        EXPECT_END(s.loop, &clients[place]);
        CHECK_INT(s.aborted, 0);
        answer_late(&s, 0);
        answer_late(&s, 1);
        for (size_t i = 0; i < MOST; i++)
            if (i != place) EXPECT(s.loop, &clients[i], ACCEPTED);
        CHECK_INT(ended(clients, MOST + 1), 1);
        close_all(clients, MOST + 1);
        site_close(&s);
    }
}

static void test_who_has_asked_before_a_step_does_not_make_room_in_it(void)
{
    client clients[MOST + 1], *further = &clients[MOST];
    site s;
    open_small(&s, MOST);
    for (int i = 0; i < MOST; i++) {
        clients[i] = client_open(s.port);
        client_say(&clients[i], GET("/a"));
        EXPECT(s.loop, &clients[i], ECHO("/a", "2"));
    }
    /* First in the order of events, so that the others' bytes are not yet told. */
    *further = client_open(s.port);
    client_say(further, GET("/b"));
    for (int i = 0; i < MOST; i++) client_say(&clients[i], GET("/b"));
    for (int i = 0; i <= MOST; i++) {
        run_until(s.loop, &clients[i], strlen(ECHO("/b", "2")));
        CHECK(client_starts_with(&clients[i], OK_HEAD "2\r\n"));
        CHECK(client_ends_with(&clients[i], "\r\n\r\n/b"));
        client_close(&clients[i]);
    }
    CHECK_INT(s.requests, 2 * MOST + 1);
    site_close(&s);
}

int main(void)
{
    RUN(test_as_many_as_allowed_stay_open);
    RUN(test_a_further_client_takes_the_place_of_an_idle_one);
    RUN(test_the_one_idle_connection_among_busy_ones_makes_room);
    RUN(test_who_has_asked_before_a_step_does_not_make_room_in_it);
    return test_report();
}
