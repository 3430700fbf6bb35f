/* SPDX-License-Identifier: MIT */
/* test_server.c - how many connections a server lets in, and how large its routes let
 * bodies be. */
#include "site.h"

enum { MOST = 3 };

#define OK_HEAD "HTTP/1.1 200 OK\r\nContent-Length: "
#define LAST_ECHO(path, length) OK_HEAD length "\r\nConnection: close\r\n\r\n" path
#define ACCEPTED "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"
#define LAST_ACCEPTED \
    "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

/* Exchanges that were left open, in the order they came. */
static uint64_t late[64];
static size_t late_count;

static bool begins_with(const smw_request *request, const char *text)
{
    return request->path.length >= strlen(text) &&
           memcmp(request->path.data, text, strlen(text)) == 0;
}

static void serve(smw_server *server, const smw_request *request, void *user)
{
    if (begins_with(request, "/late"))
        late[late_count++] = request->exchange;
    else
        site_echo(server, request, user);
}

static void open_small(site *s, uint32_t most)
{
    late_count = 0;
    site_open_with(s, serve, &(smw_server_options){.max_connections = most});
}

static void answer_late(site *s, size_t i)
{
    CHECK_INT(site_answer(s, late[i], 202, 0, "", ""), 0);
}

/* Fill the server with clients that have open requests. */
static void open_busy(site *s, client *clients, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        clients[i] = client_open(s->port);
        client_say(&clients[i], GET("/late"));
        run_until_equal(s->loop, &late_count, i + 1); /* in the order of `late` */
    }
}

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

static void close_all(client *clients, size_t count)
{
    for (size_t i = 0; i < count; i++) client_close(&clients[i]);
}

static size_t ended(client *clients, size_t count)
{
    size_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        client_receive(&clients[i]);
        sum += clients[i].is_ended;
    }
    return sum;
}

/* ---- idle ones make room ---- */

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

/* ---- none is idle ---- */

typedef struct busy {
    const char *sentence;
    const char *part;
    const char *begun; /* what has been answered to that */
    const char *rest;
    const char *answer;
    const char *last_answer; /* the same, said to close */
} busy;

#define POST(path, length) \
    "POST " path " HTTP/1.1\r\nHost: a\r\nContent-Length: " length "\r\n\r\n"

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

static void note_due(smw_loop *loop, uint64_t timer, uint64_t user)
{
    (void)loop, (void)timer;
    *(bool *)(uintptr_t)user = true;
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

/* ---- a crowd ---- */

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

/* ---- how large a body may be ---- */

typedef struct body_case {
    const char *sentence;
    const char *say;
    bool is_allowed;
} body_case;

#define CHUNKED(path) \
    "POST " path " HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
#define LAST_CHUNK "0\r\n\r\n"

static void check_bodies(site *s, const body_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        test_name = cases[i].sentence;
        client c = client_open(s->port);
        client_say(&c, cases[i].say);
        run_until(s->loop, &c, 20);
        const char *answer = cases[i].is_allowed ? "HTTP/1.1 200" : "HTTP/1.1 413";
        CHECK(client_starts_with(&c, answer));
        client_close(&c);
    }
}

static void test_a_route_may_have_its_own_limit(void)
{
    enum { SMALL = 20, TWICE, ANY, NONE, OTHER, FAR = 1000000 };
    static const struct {
        const char *pattern;
        uint32_t token;
    } routes[] = {{"/small", SMALL}, {"/twice", TWICE}, {"/any", ANY},
                  {"/none", NONE},   {"/other", OTHER}, {"/far", FAR}};
    static const body_case cases[] = {
        {"as many as allowed", POST("/small", "3") "abc", true},
        {"one more", POST("/small", "4"), false},
        {"chunks of as many", CHUNKED("/small") "2\r\nab\r\n1\r\nc\r\n" LAST_CHUNK, true},
        {"chunks of one more", CHUNKED("/small") "2\r\nab\r\n2\r\ncd\r\n", false},
        {"the limit that was set last", POST("/twice", "7") "abcdefg", true},
        {"over the limit that was set last", POST("/twice", "8"), false},
        {"any number", POST("/any", "1000000000000"), true},
        {"a body where none may be", POST("/none", "1"), false},
        {"an empty body where none may be", POST("/none", "0"), true},
        {"empty chunks where none may be", CHUNKED("/none") LAST_CHUNK, true},
        {"a chunk where none may be", CHUNKED("/none") "1\r\na\r\n", false},
        {"the server's own limit", POST("/other", "5") "abcde", true},
        {"over the server's own limit", POST("/other", "6"), false},
        {"at a far token", POST("/far", "9") "abcdefghi", true},
        {"over the limit at a far token", POST("/far", "10"), false},
        {"the server's limit on a miss", POST("/a", "5") "abcde", true},
        {"over the server's limit on a miss", POST("/a", "6"), false},
    };
    site s;
    site_open_with(&s, site_echo, &(smw_server_options){.max_body = 5});
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++)
        CHECK_INT(smw_server_route(s.server, SMW_POST, routes[i].pattern,
                                   strlen(routes[i].pattern), routes[i].token),
                  0);
    CHECK_INT(smw_server_max_body(s.server, SMALL, 3), 0);
    CHECK_INT(smw_server_max_body(s.server, TWICE, 1), 0);
    CHECK_INT(smw_server_max_body(s.server, ANY, UINT64_MAX), 0);
    CHECK_INT(smw_server_max_body(s.server, FAR, 9), 0);
    CHECK_INT(smw_server_max_body(s.server, TWICE, 7), 0);
    CHECK_INT(smw_server_max_body(s.server, NONE, 0), 0);
    check_bodies(&s, cases, sizeof cases / sizeof *cases);
    site_close(&s);
}

static void test_requests_without_a_route_may_have_their_own_limit(void)
{
    static const body_case cases[] = {
        {"as many as allowed", POST("/of/x", "2") "ab", true},
        {"one more", POST("/of/x", "3"), false},
        {"GET has a route",
         "GET /of/x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", true},
    };
    smw_loop *loop = smw_loop_new();
    site s = {.loop = loop, .on_request = site_echo};
    s.server = smw_server_new(loop, NULL);
    smw_server_callbacks callbacks = {.on_request = site_on_request, .user = &s};
    smw_server_on(s.server, &callbacks);
    CHECK_INT(smw_server_route(s.server, SMW_GET, "/of/:name", 9, ROUTE), 0);
    smw_server_miss(s.server, MISS);
    CHECK_INT(smw_server_max_body(s.server, MISS, 2), 0);
    s.port = smw_server_listen(s.server, &(smw_listen_options){.host = "127.0.0.1"});
    check_bodies(&s, cases, sizeof cases / sizeof *cases);
    site_close(&s);
}

int main(void)
{
    RUN(test_as_many_as_allowed_stay_open);
    RUN(test_a_further_client_takes_the_place_of_an_idle_one);
    RUN(test_the_one_idle_connection_among_busy_ones_makes_room);
    RUN(test_who_has_asked_before_a_step_does_not_make_room_in_it);
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
    RUN(test_a_crowd_is_served_and_never_more_than_allowed_are_inside);
    RUN(test_without_a_limit_all_get_in);
    RUN(test_one_connection_at_a_time_serves_everybody);
    RUN(test_a_route_may_have_its_own_limit);
    RUN(test_requests_without_a_route_may_have_their_own_limit);
    return test_report();
}
