/* SPDX-License-Identifier: MIT */
/* test_http_time_slow.c - time that is lost by our own slowness is not the peer's. */
#include "site_time.h"

/* `other` is the one that asks for /slow, while `waiting` has its time. */
static void open_slow(site *s, client *other, client *waiting, int kind)
{
    slowness = 2 * SHORT_MS;
    open_with(s, kind, SHORT_MS, SMW_NEVER);
    *other = client_open(s->port);
    site_waits_for(s, 1);
    *waiting = client_open(s->port);
    if (kind != IDLE) site_waits_for(s, 2); /* idle, it would have begun to wait */
}

static void close_slow(site *s, client *other, client *waiting)
{
    EXPECT(s->loop, other, ECHO("/slow", "5"));
    CHECK_INT(s->aborted, 0);
    client_close(other);
    client_close(waiting);
    site_close(s);
}

static void test_a_head_that_was_here_in_time_is_served_behind_a_slow_handler(void)
{
    site s;
    client other, waiting;
    open_slow(&s, &other, &waiting, HEAD);
    say_and_let_it_be_read(&s, &waiting, "GET /a HT");
    client_say(&other, GET("/slow"));
    client_say(&waiting, "TP/1.1\r\nHost: a\r\n\r\n");
    EXPECT(s.loop, &waiting, ECHO("/a", "2"));
    close_slow(&s, &other, &waiting);
}

static void test_a_head_that_came_during_a_slow_handler_is_served(void)
{
    site s;
    client other, waiting;
    open_slow(&s, &other, &waiting, HEAD);
    say_and_let_it_be_read(&s, &waiting, "GET /a HT");
    hurried = &waiting;
    last_words = "TP/1.1\r\nHost: a\r\n\r\n";
    client_say(&other, GET("/slow"));
    EXPECT(s.loop, &waiting, ECHO("/a", "2"));
    close_slow(&s, &other, &waiting);
}

static void test_a_body_that_came_during_a_slow_handler_is_served(void)
{
    site s;
    client other, waiting;
    open_slow(&s, &other, &waiting, BODY);
    client_say(&waiting, POST("/late", "4"));
    run_until_equal(s.loop, &kept_count, 1);
    s.upload = calloc(1, sizeof *s.upload);
    CHECK_INT(smw_read(s.loop, kept, true), 0);
    hurried = &waiting;
    last_words = "abcd";
    client_say(&other, GET("/slow"));
    run_until_equal(s.loop, &s.requests, 2);
    s.exchange = kept; /* of the last request whose body is read */
    EXPECT(s.loop, &waiting, ECHO("abcd", "4"));
    close_slow(&s, &other, &waiting);
}

static void test_a_request_that_came_during_a_slow_handler_finds_no_idle_close(void)
{
    site s;
    client other, waiting;
    open_slow(&s, &other, &waiting, IDLE);
    hurried = &waiting;
    last_words = GET("/a");
    client_say(&other, GET("/slow"));
    EXPECT(s.loop, &waiting, ECHO("/a", "2"));
    close_slow(&s, &other, &waiting);
}

static void test_the_idle_time_behind_a_slow_handler_begins_with_its_answer(void)
{
    /* The timer of the accept is still running when the handler has answered. */
    enum { IDLE_MS = 80, SLOWNESS = 50 };
    site s;
    open_with(&s, IDLE, IDLE_MS, SMW_NEVER);
    slowness = SLOWNESS;
    client c = client_open(s.port);
    run_for(s.loop, IDLE_MS / 4);
    client_say(&c, GET("/slow"));
    int64_t answered = clock_ms() + SLOWNESS; /* or later */
    EXPECT(s.loop, &c, ECHO("/slow", "5"));
    EXPECT_END(s.loop, &c);
    NOT_EARLIER(answered, IDLE_MS);
    client_close(&c);
    site_close(&s);
}

static void test_heads_of_more_clients_than_one_wait_tells_are_served_in_time(void)
{
    enum { COUNT = POLL_BATCH + 44, HEAD_MS = 200 };
    static client clients[COUNT];
    site s;
    open_with(&s, HEAD, HEAD_MS, SMW_NEVER);
    for (int i = 0; i < COUNT; i++) clients[i] = client_open(s.port);
    site_waits_for(&s, COUNT);
    for (int i = 0; i < COUNT; i++) client_say(&clients[i], "GET /a HT");
    while (smw_loop_stats(s.loop)->recvs < COUNT) smw_loop_run(s.loop, SMW_RUN_NOWAIT);
    for (int i = 0; i < COUNT; i++) client_say(&clients[i], "TP/1.1\r\nHost: a\r\n\r\n");
    rest(HEAD_MS + 20);
    size_t served = 0;
    for (int i = 0; i < COUNT; i++) {
        run_until(s.loop, &clients[i], strlen(ECHO("/a", "2")));
        if (client_starts_with(&clients[i], ECHO("/a", "2"))) served++;
    }
    CHECK_INT(served, COUNT);
    for (int i = 0; i < COUNT; i++) client_close(&clients[i]);
    site_close(&s);
}

/* A batch that is full after each request. */
typedef struct small_batch {
    smw_batch *batch;
    smw_batch_memory memory;
} small_batch;

static void small_batch_open(small_batch *b, smw_loop *loop)
{
    b->memory = (smw_batch_memory){
        .arena = malloc(128 * 1024),
        .arena_size = 128 * 1024,
        .words = malloc(SMW_W_COUNT * sizeof(uint32_t)),
        .word_count = SMW_W_COUNT,
        .records = malloc(1024 * 3 * sizeof(uint64_t)),
        .record_count = 1024,
        .shared = calloc(1, sizeof(smw_shared)),
    };
    b->batch = smw_batch_new(loop, &b->memory);
    CHECK(b->batch != NULL);
}

static void small_batch_clear(small_batch *b)
{
    free(b->memory.arena);
    free(b->memory.words);
    free(b->memory.records);
    free(b->memory.shared);
}

/* Take the one request of a turn; 0 when there is none in time. */
static uint64_t small_batch_take(small_batch *b, int64_t timeout_ms)
{
    b->memory.shared->count = 0;
    int count = smw_turn(b->batch, timeout_ms, 1, "", 0);
    if (count == 0) return 0;
    CHECK_INT(count, 1);
    CHECK_INT(b->memory.records[1], ROUTE);
    return b->memory.records[0];
}

static void test_a_head_that_finds_the_batch_full_waits_in_line(void)
{
    smw_loop *loop = smw_loop_new();
    small_batch b;
    small_batch_open(&b, loop);
    smw_server_options limits = timeouts(HEAD, SHORT_MS, SMW_NEVER);
    smw_server *server = smw_server_new(loop, &limits);
    CHECK_INT(smw_server_route(server, SMW_GET, "/*", 2, ROUTE), 0);
    int port = smw_server_listen(server, &(smw_listen_options){.host = "127.0.0.1"});
    enum { COUNT = 3, REQUESTS = 2 * (COUNT - 1) + 1 };
    client clients[COUNT], *last = &clients[COUNT - 1];
    for (int i = 0; i < COUNT; i++) clients[i] = client_open(port);
    while (smw_server_connections(server) < COUNT) CHECK_INT(small_batch_take(&b, 1), 0);
    client_say(last, "GET /a HT");
    while (smw_loop_stats(loop)->recvs == 0) CHECK_INT(small_batch_take(&b, 1), 0);
    for (int i = 0; i < COUNT - 1; i++) client_say(&clients[i], GET("/a") GET("/a"));
    client_say(last, "TP/1.1\r\nHost: a\r\n\r\n");
    site s = {.loop = loop}; /* for site_answer */
    for (int i = 0; i < REQUESTS; i++) {
        rest(PAST_MS);
        uint64_t id = small_batch_take(&b, PATIENCE_MS);
        if (!CHECK(id != 0)) break;
        CHECK_INT(site_answer(&s, id, 202, 0, "", ""), 0);
    }
    for (int i = 0; i < COUNT; i++) {
        client_receive(&clients[i]);
        CHECK_INT(clients[i].length, (i < COUNT - 1 ? 2 : 1) * strlen(ACCEPTED));
        client_close(&clients[i]);
    }
    smw_loop_free(loop);
    small_batch_clear(&b);
}

int main(void)
{
    RUN(test_a_head_that_was_here_in_time_is_served_behind_a_slow_handler);
    RUN(test_a_head_that_came_during_a_slow_handler_is_served);
    RUN(test_a_body_that_came_during_a_slow_handler_is_served);
    RUN(test_a_request_that_came_during_a_slow_handler_finds_no_idle_close);
    RUN(test_the_idle_time_behind_a_slow_handler_begins_with_its_answer);
    RUN(test_heads_of_more_clients_than_one_wait_tells_are_served_in_time);
    RUN(test_a_head_that_finds_the_batch_full_waits_in_line);
    return test_report();
}
