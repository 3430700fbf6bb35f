/* SPDX-License-Identifier: MIT */
/* test_turn_flow.c - more than fits at once, and how long a turn waits. */
#include "desk.h"

#include <pthread.h>
#include <sys/resource.h>

/* ---- more input than fits ---- */

static void test_a_flood_of_requests_is_not_read_ahead(void)
{
    /* Whatever a client pipelines, a slow application must not be the one to store it:
     * it stays with the client, behind at most a read or two. */
    enum { TURNS = 3000 };
    static const char request[] = GET("/flood");
    static char flood[1000 * (sizeof request - 1)];
    for (size_t i = 0; i < 1000; i++)
        memcpy(flood + i * (sizeof request - 1), request, sizeof request - 1);
    desk d;
    desk_open(&d);
    client c = client_open(d.port);
    size_t sent = 0, served = 0, answered = 0;
    for (int i = 0; i < TURNS; i++) {
        size_t offset = sent % sizeof flood;
        sent += client_offer(&c, flood + offset, sizeof flood - offset);
        if (!CHECK_INT(desk_turn(&d, PATIENCE_MS, 1), 1)) break;
        served += sizeof request - 1;
        CHECK(smw_loop_stats(d.loop)->recvs <= served / 16384 + 2);
        desk_echo(&d, 0);
        client_receive(&c);
        answered += c.length;
        client_forget(&c);
    }
    CHECK(sent > served + 65536); /* it was a flood, and it was held up */
    desk_turn(&d, 0, 1);
    client_receive(&c);
    answered += c.length;
    CHECK_INT(answered, TURNS * strlen(ECHO("/flood", "6")));
    client_close(&c);
    desk_close(&d);
}

static void test_a_full_arena_loses_nothing(void)
{
    /* 40 times 16 KB do not fit into 128 KiB. */
    enum { CLIENTS = 40, REQUESTS = 400 };
    static client clients[CLIENTS];
    desk d;
    desk_open(&d);
    char request[64], answer[128];
    for (int i = 0; i < CLIENTS; i++) clients[i] = client_open(d.port);
    while (smw_server_connections(d.server) < CLIENTS) desk_turn(&d, 10, 512);
    for (int i = 0; i < CLIENTS; i++) {
        snprintf(request, sizeof request, GET("/%02d"), i);
        for (int k = 0; k < REQUESTS; k++) client_say(&clients[i], request);
    }
    for (int i = 0; i < CLIENTS; i++) {
        snprintf(answer, sizeof answer, ECHO("/%02d", "3"), i);
        desk_serve(&d, &clients[i], REQUESTS * strlen(answer), 512);
        size_t right = 0;
        for (size_t at = 0; at + strlen(answer) <= clients[i].length; at += strlen(answer))
            right += memcmp(clients[i].data + at, answer, strlen(answer)) == 0;
        CHECK_INT(right, REQUESTS);
        CHECK_INT(clients[i].length, REQUESTS * strlen(answer));
    }
    for (int i = 0; i < CLIENTS; i++) client_close(&clients[i]);
    desk_close(&d);
}

static void test_an_arena_full_of_half_heads_loses_nothing(void)
{
    enum { CLIENTS = 40, LENGTH = 10000 };
    static client clients[CLIENTS];
    static char head[LENGTH];
    desk d;
    desk_open(&d);
    memset(head, 'v', LENGTH);
    memcpy(head, "GET /half HTTP/1.1\r\nHost: a\r\nX: ", 32);
    memcpy(head + LENGTH - 4, "\r\n\r\n", 4);
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = client_open(d.port);
        client_say_bytes(&clients[i], head, LENGTH / 2 + 100 * (size_t)i);
    }
    desk_turn(&d, 10, 512);
    for (int i = 0; i < CLIENTS; i++) {
        size_t sent = LENGTH / 2 + 100 * (size_t)i;
        client_say_bytes(&clients[i], head + sent, LENGTH - sent);
    }
    for (int i = 0; i < CLIENTS; i++) DESK_EXPECT(&d, &clients[i], ECHO("/half", "5"));
    for (int i = 0; i < CLIENTS; i++) client_close(&clients[i]);
    desk_close(&d);
}

static void test_the_shortest_requests_fill_the_arena_without_loss(void)
{
    /* Each needs more room for its exchange than for its bytes. */
    enum { CLIENTS = 12, REQUESTS = 900 };
    static client clients[CLIENTS];
    desk d;
    desk_open(&d);
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = client_open(d.port);
        for (int k = 0; k < REQUESTS; k++)
            client_say(&clients[i], "GET / HTTP/1.1\r\nHost:\r\n\r\n");
    }
    for (int i = 0; i < CLIENTS; i++) {
        desk_serve(&d, &clients[i], REQUESTS * strlen(ECHO("/", "1")), 512);
        CHECK_INT(clients[i].length, REQUESTS * strlen(ECHO("/", "1")));
        client_close(&clients[i]);
    }
    desk_close(&d);
}

/* ---- more output than fits ---- */

static void test_a_large_body_goes_out_piece_by_piece(void)
{
    enum { LENGTH = 12000000 }; /* more than any kernel's buffers */
    char *body = malloc(LENGTH);
    for (size_t i = 0; i < LENGTH; i++) body[i] = (char)(i * 7 + i / 1000);
    desk d;
    desk_open(&d);
    client c = client_open(d.port);
    client_say(&c, GET("/large") GET("/next"));
    CHECK_INT(desk_turn(&d, PATIENCE_MS, 64), 2);
    uint64_t id = desk_id(&d, 0);
    desk_record(&d, id, 200, SMW_OUT_MORE | SMW_OUT_NO_DATE, 0, LENGTH);
    CHECK_INT(smw_flush(d.batch, d.outbox, d.outbox_length), 0);
    desk_forget_outbox(&d);
    CHECK_INT(smw_exchange_send(d.batch, id, body, LENGTH - 1, LENGTH - 1), SMW_ERECORD);
    int64_t left = smw_exchange_send(d.batch, id, body, LENGTH, LENGTH);
    CHECK(left > 0 && left < LENGTH);
    CHECK(smw_exchange_send(d.batch, id, body, LENGTH, LENGTH) == left); /* nothing moved since */
    const char *head = "HTTP/1.1 200 OK\r\nContent-Length: 12000000\r\n\r\n";
    int64_t deadline = clock_ms() + PATIENCE_MS;
    while (left > 0 && clock_ms() < deadline) {
        client_receive(&c); /* only between turns: the sockets are full again before */
        desk_turn(&d, 5, 64);
        for (size_t i = 0; i < desk_count(&d); i++) {
            CHECK_INT(desk_token(&d, i), SMW_EVENT_WRITABLE);
            CHECK(desk_id(&d, i) == id);
            int64_t rest = smw_exchange_send(d.batch, id, body, LENGTH, LENGTH);
            CHECK(rest >= 0 && rest < left);
            left = rest;
        }
    }
    CHECK_INT(smw_exchange_send(d.batch, id, body, LENGTH, LENGTH), SMW_EGONE);
    desk_serve(&d, &c, strlen(head) + LENGTH + strlen(ECHO("/next", "5")), 64);
    CHECK(client_starts_with(&c, head));
    CHECK(client_ends_with(&c, ECHO("/next", "5")));
    if (CHECK_INT(c.length, strlen(head) + LENGTH + strlen(ECHO("/next", "5"))))
        CHECK(memcmp(c.data + strlen(head), body, LENGTH) == 0);
    free(body);
    client_close(&c);
    desk_close(&d);
}

static void test_a_peer_that_leaves_a_large_body_is_reported(void)
{
    enum { LENGTH = 20000000 };
    char *body = calloc(1, LENGTH);
    desk d;
    desk_open(&d);
    client c = client_open(d.port);
    client_say(&c, GET("/large"));
    CHECK_INT(desk_turn(&d, PATIENCE_MS, 64), 1);
    uint64_t id = desk_id(&d, 0);
    desk_record(&d, id, 200, SMW_OUT_MORE, 0, LENGTH);
    CHECK_INT(desk_turn(&d, 0, 64), 0);
    CHECK(smw_exchange_send(d.batch, id, body, LENGTH, LENGTH) > 0);
    client_abort(&c);
    CHECK_INT(desk_turn(&d, PATIENCE_MS, 64), 1);
    CHECK_INT(desk_token(&d, 0), SMW_EVENT_ABORTED);
    CHECK(desk_id(&d, 0) == id);
    CHECK_INT(smw_exchange_send(d.batch, id, body, LENGTH, LENGTH), SMW_EGONE);
    free(body);
    desk_close(&d);
}

static void test_an_abort_found_while_scattering_ends_the_wait(void)
{
    desk d;
    desk_open(&d);
    client c = client_open(d.port);
    client_say(&c, GET("/a") GET("/b"));
    CHECK_INT(desk_turn(&d, PATIENCE_MS, 64), 2);
    uint64_t second = desk_id(&d, 1);
    client_abort(&c);
    desk_echo(&d, 0); /* sending it is what tells that the peer has gone */
    int64_t before = clock_ms();
    CHECK_INT(desk_turn(&d, 1000, 64), 1);
    CHECK(clock_ms() - before < 500);
    CHECK_INT(desk_token(&d, 0), SMW_EVENT_ABORTED);
    CHECK(desk_id(&d, 0) == second);
    desk_close(&d);
}

static void test_an_abort_found_by_a_direct_call_is_a_record_of_the_next_turn(void)
{
    /* No call but the turn makes records: one that came in between could be lost. */
    enum { LENGTH = 100000 };
    static char body[LENGTH];
    desk d;
    desk_open(&d);
    client c = client_open(d.port);
    client_say(&c, GET("/a"));
    CHECK_INT(desk_turn(&d, PATIENCE_MS, 64), 1);
    uint64_t id = desk_id(&d, 0);
    desk_record(&d, id, 200, SMW_OUT_MORE, 0, LENGTH);
    CHECK_INT(desk_turn(&d, 0, 64), 0);
    client_abort(&c);
    CHECK_INT(smw_exchange_send(d.batch, id, body, LENGTH, LENGTH), SMW_EGONE);
    CHECK_INT(smw_exchange_send(d.batch, id, body, LENGTH, LENGTH), SMW_EGONE);
    CHECK_INT(desk_count(&d), 0);
    CHECK_INT(smw_server_connections(d.server), 1);
    CHECK_INT(desk_turn(&d, -1, 64), 1);
    CHECK_INT(desk_token(&d, 0), SMW_EVENT_ABORTED);
    CHECK(desk_id(&d, 0) == id);
    CHECK_INT(smw_server_connections(d.server), 0);
    desk_close(&d);
}

static void test_more_aborts_than_records_are_all_reported(void)
{
    enum { PEERS = 1100 }; /* the desk has 1024 records */
    struct rlimit limit = {0};
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = limit.rlim_max;
    if (limit.rlim_max < 2 * PEERS + 64 || setrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    static client clients[PEERS];
    static uint64_t ids[PEERS];
    static char body[1000];
    desk d;
    desk_open(&d);
    for (size_t i = 0; i < PEERS; i++) {
        clients[i] = client_open(d.port);
        client_say(&clients[i], GET("/a"));
        if (!CHECK_INT(desk_turn(&d, PATIENCE_MS, 64), 1)) break;
        ids[i] = desk_id(&d, 0);
        desk_record(&d, ids[i], 200, SMW_OUT_MORE, 0, sizeof body);
    }
    CHECK_INT(desk_turn(&d, 0, 64), 0);
    for (size_t i = 0; i < PEERS; i++) client_abort(&clients[i]);
    for (size_t i = 0; i < PEERS; i++)
        CHECK_INT(smw_exchange_send(d.batch, ids[i], body, sizeof body, sizeof body), SMW_EGONE);
    size_t reported = 0;
    while (desk_turn(&d, 0, 64) > 0)
        for (size_t i = 0; i < desk_count(&d); i++)
            reported += desk_token(&d, i) == SMW_EVENT_ABORTED;
    CHECK_INT(reported, PEERS);
    CHECK_INT(smw_server_connections(d.server), 0);
    desk_close(&d);
}

static void test_a_peer_that_asks_and_does_not_read_is_not_read_either(void)
{
    enum { BODY = 16000, MOST = 2000 };
    static char body[BODY];
    desk d;
    desk_open(&d);
    client c = client_open(d.port);
    size_t requests = 0;
    do {
        for (int i = 0; i < 100; i++) client_offer(&c, GET("/a"), strlen(GET("/a")));
        desk_turn(&d, 50, 256);
        for (size_t i = 0; i < desk_count(&d); i++)
            desk_answer(&d, desk_id(&d, i), 0, (smw_str){body, BODY});
        requests += desk_count(&d);
    } while (desk_count(&d) > 0 && requests < MOST);
    CHECK(requests < MOST);
    /* Once it reads, its other requests come. */
    int64_t deadline = clock_ms() + PATIENCE_MS;
    while (desk_turn(&d, 1, 256) == 0 && clock_ms() < deadline) {
        client_receive(&c);
        client_forget(&c);
    }
    CHECK(desk_count(&d) > 0);
    client_close(&c);
    desk_close(&d);
}

/* ---- descriptors, timeouts, wake-ups ---- */

static void test_watched_descriptors_are_reported_while_they_are_ready(void)
{
    int ends[2];
    CHECK(pipe(ends) == 0);
    desk d;
    desk_open(&d);
    CHECK_INT(smw_batch_watch(d.batch, ends[0], SMW_READABLE), 0);
    CHECK_INT(desk_turn(&d, 0, 64), 0);
    CHECK(write(ends[1], "x", 1) == 1);
    for (int i = 0; i < 2; i++) { /* level-triggered: until it is read */
        CHECK_INT(desk_turn(&d, PATIENCE_MS, 64), 1);
        CHECK_INT(desk_token(&d, 0), SMW_EVENT_READY);
        CHECK_INT(desk_id(&d, 0), ends[0]);
        CHECK_INT(d.memory.records[2], SMW_READABLE);
    }
    CHECK_INT(smw_batch_watch(d.batch, ends[0], 0), 0);
    CHECK_INT(desk_turn(&d, 0, 64), 0);
    CHECK_INT(smw_batch_watch(d.batch, ends[1], SMW_READABLE | SMW_WRITABLE), 0);
    CHECK_INT(desk_turn(&d, PATIENCE_MS, 64), 1);
    CHECK_INT(d.memory.records[2], SMW_WRITABLE);
    desk_close(&d);
    close(ends[0]);
    close(ends[1]);
}

static void test_descriptors_are_reported_beside_a_full_batch_of_requests(void)
{
    int ends[2];
    CHECK(pipe(ends) == 0 && write(ends[1], "x", 1) == 1);
    desk d;
    desk_open(&d);
    client c = client_open(d.port);
    client_say(&c, GET("/a") GET("/b"));
    while (smw_server_connections(d.server) == 0) desk_turn(&d, 10, 1);
    CHECK_INT(smw_batch_watch(d.batch, ends[0], SMW_READABLE), 0);
    if (desk_count(&d) == 0) desk_turn(&d, PATIENCE_MS, 1);
    size_t ready = 0, requests = 0;
    for (int i = 0; i < 3; i++) {
        size_t here = 0;
        for (size_t k = 0; k < desk_count(&d); k++) {
            ready += desk_token(&d, k) == SMW_EVENT_READY;
            here += desk_token(&d, k) >= SMW_FIRST_TOKEN;
        }
        CHECK(here <= 1);
        requests += here;
        desk_echo_all(&d);
        desk_turn(&d, 100, 1);
    }
    CHECK_INT(requests, 2);
    CHECK(ready >= 2);
    client_close(&c);
    desk_close(&d);
    close(ends[0]);
    close(ends[1]);
}

static void test_a_turn_waits_as_long_as_it_may(void)
{
    desk d;
    desk_open(&d);
    int64_t before = clock_ms();
    CHECK_INT(desk_turn(&d, 0, 64), 0);
    CHECK(clock_ms() - before < 15);
    CHECK_INT(smw_loop_stats(d.loop)->waits, 1);
    before = clock_ms();
    CHECK_INT(desk_turn(&d, 20, 64), 0);
    int64_t waited = clock_ms() - before;
    CHECK(waited >= 20 && waited < 500);
    CHECK(smw_loop_stats(d.loop)->waits <= 3);
    desk_close(&d);
}

static void test_what_concerns_only_the_core_does_not_end_a_turn(void)
{
    desk d;
    desk_open(&d);
    client c = client_open(d.port);
    client_say(&c, "GET /half HTTP"); /* a connection and half a request */
    int64_t before = clock_ms();
    CHECK_INT(desk_turn(&d, 20, 64), 0);
    CHECK(clock_ms() - before >= 20);
    CHECK_INT(smw_server_connections(d.server), 1);
    CHECK_INT(smw_loop_stats(d.loop)->recvs, 1);
    client_close(&c);
    desk_close(&d);
}

static void *wake_from_a_thread(void *loop)
{
    smw_loop_wake(loop);
    return NULL;
}

static void test_a_wake_up_ends_a_turn_without_limit(void)
{
    desk d;
    desk_open(&d);
    smw_loop_wake(d.loop); /* before the wait is as good as during it */
    CHECK_INT(desk_turn(&d, -1, 64), 0);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, wake_from_a_thread, d.loop) == 0);
    CHECK_INT(desk_turn(&d, -1, 64), 0);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK_INT(desk_turn(&d, 0, 64), 0);
    desk_close(&d);
}

int main(void)
{
    RUN(test_a_flood_of_requests_is_not_read_ahead);
    RUN(test_a_full_arena_loses_nothing);
    RUN(test_an_arena_full_of_half_heads_loses_nothing);
    RUN(test_the_shortest_requests_fill_the_arena_without_loss);
    RUN(test_a_large_body_goes_out_piece_by_piece);
    RUN(test_a_peer_that_leaves_a_large_body_is_reported);
    RUN(test_an_abort_found_while_scattering_ends_the_wait);
    RUN(test_an_abort_found_by_a_direct_call_is_a_record_of_the_next_turn);
    RUN(test_more_aborts_than_records_are_all_reported);
    RUN(test_a_peer_that_asks_and_does_not_read_is_not_read_either);
    RUN(test_watched_descriptors_are_reported_while_they_are_ready);
    RUN(test_descriptors_are_reported_beside_a_full_batch_of_requests);
    RUN(test_a_turn_waits_as_long_as_it_may);
    RUN(test_what_concerns_only_the_core_does_not_end_a_turn);
    RUN(test_a_wake_up_ends_a_turn_without_limit);
    return test_report();
}
