/* SPDX-License-Identifier: MIT */
/* test_server_crowd.c - a crowd of clients at a server, with few places and with many. */
#include "post.h"
#include "site_full.h"

typedef struct visitor {
    client client;
    int kind;
    const char *rest; /* to say later; NULL: nothing */
    bool stays;       /* does not close by itself once it was answered */
    bool is_served;
} visitor;

static uint32_t next_random(void)
{
    static uint32_t state = 20240229;
    state = state * 1664525 + 1013904223;
    return state >> 8;
}

enum { AT_ONCE, LATER, HALF_HEAD, HALF_BODY, WAYS };

static void visitor_open(visitor *v, const site *s, int number)
{
    static const char *const rests[WAYS] = {
        [HALF_HEAD] = "TP/1.1\r\nHost: a\r\n\r\n", [HALF_BODY] = "dy"};
    static const char *const formats[WAYS] = {
        [AT_ONCE] = GET("/%03d"),
        [LATER] = GET("/late%03d"),
        [HALF_HEAD] = "GET /%03d HT",
        [HALF_BODY] = POST("/%03d", "4") "bo",
    };
    char text[128];
    *v = (visitor){.kind = (int)(next_random() % WAYS), .stays = next_random() % 2};
    v->client = client_open(s->port);
    v->rest = rests[v->kind];
    snprintf(text, sizeof text, formats[v->kind], number);
    client_say(&v->client, text);
}

static void check_answer(visitor *v, int number)
{
    char end[32];
    client *c = &v->client;
    snprintf(end, sizeof end, "\r\n\r\n/%03d", number);
    bool is_late = v->kind == LATER;
    v->is_served = client_ends_with(c, is_late ? "\r\n\r\n" : end);
    if (!v->is_served) return;
    CHECK(client_starts_with(c, is_late ? "HTTP/1.1 202" : "HTTP/1.1 200"));
}

static void test_a_crowd_is_served_and_never_more_than_allowed_are_inside(void)
{
    enum { COUNT = 200, INSIDE = 8 };
    static visitor visitors[COUNT];
    site s;
    open_small(&s, INSIDE);
    for (int i = 0; i < COUNT; i++) visitor_open(&visitors[i], &s, i);
    int64_t deadline = clock_ms() + 3 * PATIENCE_MS;
    size_t most = 0, served = 0, cut = 0;
    while (served + cut < COUNT && clock_ms() < deadline) {
        smw_loop_run(s.loop, SMW_RUN_NOWAIT);
        size_t inside = smw_server_connections(s.server);
        if (inside > most) most = inside;
        if (late_count > 0 && next_random() % 2) {
            size_t i = next_random() % late_count;
            answer_late(&s, i);
            late[i] = late[--late_count];
        }
        for (int i = 0; i < COUNT; i++) {
            visitor *v = &visitors[i];
            if (v->client.fd < 0) continue;
            if (v->rest != NULL && next_random() % 8 == 0) {
                client_say(&v->client, v->rest);
                v->rest = NULL;
            }
            client_receive(&v->client);
            bool was_served = v->is_served;
            if (!was_served) check_answer(v, i);
            served += v->is_served && !was_served;
            bool is_over = v->client.is_ended || v->client.error != 0;
            cut += is_over && !v->is_served;
            /* The rest of a body is still owed, though its answer is here. */
            bool leaves = v->is_served && !v->stays && v->rest == NULL;
            if (is_over || leaves) client_close(&v->client);
        }
    }
    CHECK_INT(served, COUNT);
    CHECK_INT(cut, 0);
    CHECK_INT(s.requests, COUNT);
    CHECK_INT(s.aborted, 0);
    CHECK_INT(most, INSIDE);
    for (int i = 0; i < COUNT; i++) client_close(&visitors[i].client);
    site_waits_for(&s, 0);
    site_close(&s);
}

static void test_without_a_limit_all_get_in(void)
{
    enum { COUNT = 100 };
    static client clients[COUNT];
    site s;
    open_small(&s, 0);
    for (int i = 0; i < COUNT; i++) clients[i] = client_open(s.port);
    site_waits_for(&s, COUNT);
    CHECK_INT(ended(clients, COUNT), 0);
    close_all(clients, COUNT);
    site_close(&s);
}

static void test_one_connection_at_a_time_serves_everybody(void)
{
    enum { COUNT = 10 };
    client clients[COUNT];
    site s;
    open_small(&s, 1);
    for (int i = 0; i < COUNT; i++) {
        clients[i] = client_open(s.port);
        client_say(&clients[i], GET("/a"));
    }
    for (int i = 0; i < COUNT; i++) {
        run_until(s.loop, &clients[i], strlen(ECHO("/a", "2")));
        CHECK(client_ends_with(&clients[i], "\r\n\r\n/a"));
        CHECK_INT(smw_server_connections(s.server), 1);
        client_close(&clients[i]);
    }
    close_all(clients, COUNT);
    site_close(&s);
}

int main(void)
{
    RUN(test_a_crowd_is_served_and_never_more_than_allowed_are_inside);
    RUN(test_without_a_limit_all_get_in);
    RUN(test_one_connection_at_a_time_serves_everybody);
    return test_report();
}
