/* SPDX-License-Identifier: MIT */
#include "site.h"

/* ---- what an answer looks like ---- */

static void test_a_connection_is_kept_for_the_next_request(void)
{
    site s;
    site_open(&s, site_echo);
    client c = client_open(s.port);
    client_say(&c, GET("/one"));
    EXPECT(s.loop, &c, ECHO("/one", "4"));
    client_say(&c, GET("/two"));
    EXPECT(s.loop, &c, ECHO("/two", "4"));
    CHECK_INT(smw_loop_stats(s.loop)->accepts, 1);
    client_close(&c);
    site_close(&s);
}

static void test_connection_close_is_obeyed_and_said_back(void)
{
    site s;
    site_open(&s, site_echo);
    client c = client_open(s.port);
    client_say(&c, "GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    EXPECT(s.loop, &c,
           "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n/a");
    EXPECT_END(s.loop, &c);
    client_close(&c);
    site_close(&s);
}

static void test_what_follows_connection_close_is_not_served(void)
{
    site s;
    site_open(&s, site_echo);
    client c = client_open(s.port);
    client_say(&c, "GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" GET("/b"));
    EXPECT(s.loop, &c,
           "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n/a");
    EXPECT_END(s.loop, &c);
    CHECK_INT(s.requests, 1);
    client_close(&c);
    site_close(&s);
}

static void test_http_1_0_closes_unless_it_asks_to_be_kept(void)
{
    site s;
    site_open(&s, site_echo);
    client c = client_open(s.port);
    for (int i = 0; i < 2; i++) {
        client_say(&c, "GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        EXPECT(s.loop, &c,
               "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\n/a");
    }
    client_say(&c, "GET /b HTTP/1.0\r\n\r\n");
    EXPECT(s.loop, &c,
           "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n/b");
    EXPECT_END(s.loop, &c);
    client_close(&c);
    site_close(&s);
}

static void test_head_gets_the_length_without_the_body(void)
{
    site s;
    site_open(&s, site_echo);
    client c = client_open(s.port);
    client_say(&c, "HEAD /long/path HTTP/1.1\r\nHost: a\r\n\r\n" GET("/b"));
    EXPECT(s.loop, &c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n" ECHO("/b", "2"));
    client_close(&c);
    site_close(&s);
}

static void answer_as_the_path_says(smw_server *server, const smw_request *request,
                                    void *user)
{
    site *s = user;
    smw_str path = request->path;
    if (memcmp(path.data, "/204", path.length) == 0)
        site_answer(s, request->exchange, 204, 0, "", "");
    else if (memcmp(path.data, "/304", path.length) == 0)
        site_answer(s, request->exchange, 304, 0, "ETag: \"x\"\r\n", "");
    else if (memcmp(path.data, "/299", path.length) == 0)
        site_answer(s, request->exchange, 299, SMW_OUT_REASON | SMW_OUT_TEXT,
                    "Very Well\r\nX: y\r\n", "text");
    else if (memcmp(path.data, "/298", path.length) == 0)
        site_answer(s, request->exchange, 298, 0, "", "");
    else
        site_echo(server, request, user);
}

static void test_204_and_304_have_no_content_length(void)
{
    /* RFC 9110 8.6 forbids it for 204; for 304 it would have to be the 200's. */
    site s;
    site_open(&s, answer_as_the_path_says);
    client c = client_open(s.port);
    client_say(&c, GET("/204") GET("/304") GET("/b"));
    EXPECT(s.loop, &c,
           "HTTP/1.1 204 No Content\r\n\r\n"
           "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n" ECHO("/b", "2"));
    client_close(&c);
    site_close(&s);
}

static void test_a_status_may_have_its_own_reason_or_none(void)
{
    site s;
    site_open(&s, answer_as_the_path_says);
    client c = client_open(s.port);
    client_say(&c, GET("/299") GET("/298"));
    EXPECT(s.loop, &c,
           "HTTP/1.1 299 Very Well\r\nX: y\r\n"
           "Content-Type: text/plain; charset=utf-8\r\nContent-Length: 4\r\n\r\ntext"
           "HTTP/1.1 298 \r\nContent-Length: 0\r\n\r\n");
    client_close(&c);
    site_close(&s);
}

static void answer_with_date(smw_server *server, const smw_request *request, void *user)
{
    (void)server;
    smw_answer answer = {.status = 204};
    CHECK_INT(smw_respond(((site *)user)->loop, request->exchange, &answer), 0);
}

static void test_the_date_is_the_time_in_the_preferred_format(void)
{
    site s;
    site_open(&s, answer_with_date);
    client c = client_open(s.port);
    client_say(&c, GET("/"));
    const char *before = "HTTP/1.1 204 No Content\r\nDate: ";
    size_t length = strlen(before) + 29 + 4;
    run_until(s.loop, &c, length);
    if (CHECK_INT(c.length, length)) {
        char text[30] = {0}, again[64];
        memcpy(text, c.data + strlen(before), 29);
        struct tm tm = {0};
        const char *end = strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &tm);
        CHECK(end != NULL && *end == 0);
        strftime(again, sizeof again, "%a, %d %b %Y %H:%M:%S GMT", &tm);
        CHECK_STR(((smw_str){text, 29}), again);
        CHECK(labs((long)(timegm(&tm) - time(NULL))) <= 2);
    }
    client_close(&c);
    site_close(&s);
}

/* ---- which requests reach the callback, and how ---- */

static void answer_by_route(smw_server *server, const smw_request *request, void *user)
{
    site *s = user;
    if (request->token == ROUTE_WITH_PARAMETER) {
        CHECK_INT(request->param_count, 1);
        CHECK_STR(request->params[0], "you");
        CHECK_STR(request->query, "q=1");
        CHECK_STR(request->method_name, "GET");
        CHECK_STR(request->target, "/of/you?q=1");
        CHECK_INT(request->field_count, 2);
        CHECK_STR(request->fields[1].name, "x-mine");
        CHECK_STR(request->fields[1].value, "Yes");
        CHECK_INT(request->fields[1].known, -1);
        CHECK(request->field_lines == request->fields[0].name.data);
    }
    if (request->token == MISS)
        site_answer(s, request->exchange, 404, 0, "", "");
    else
        site_echo(server, request, user);
}

static void test_requests_find_their_route_or_the_miss_token(void)
{
    site s;
    site_open(&s, answer_by_route);
    client c = client_open(s.port);
    client_say(&c, "GET /of/you?q=1 HTTP/1.1\r\nHost: a\r\nX-Mine:  Yes \r\n\r\n");
    EXPECT(s.loop, &c, ECHO("/of/you", "7"));
    client_close(&c);
    smw_server_callbacks callbacks = {.on_request = site_on_request, .user = &s};
    smw_server *other = smw_server_new(s.loop, NULL); /* without any route */
    smw_server_on(other, &callbacks);
    smw_server_miss(other, MISS);
    int port = smw_server_listen(other, &(smw_listen_options){.host = "127.0.0.1"});
    c = client_open(port);
    client_say(&c, GET("/anything"));
    EXPECT(s.loop, &c, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    client_close(&c);
    smw_server_free(other);
    site_close(&s);
}

static void test_without_callbacks_the_answer_is_503(void)
{
    smw_loop *loop = smw_loop_new();
    smw_server *server = smw_server_new(loop, NULL);
    int port = smw_server_listen(server, &(smw_listen_options){.host = "127.0.0.1"});
    client c = client_open(port);
    client_say(&c, GET("/"));
    const char *wanted = "HTTP/1.1 503 Service Unavailable\r\n";
    run_until(loop, &c, strlen(wanted));
    CHECK(client_starts_with(&c, wanted));
    client_close(&c);
    smw_loop_free(loop);
}

static int results[4];

static void answer_wrongly(smw_server *server, const smw_request *request, void *user)
{
    site *s = user;
    results[0] = site_answer(s, request->exchange, 199, 0, "", "");
    results[1] = site_answer(s, request->exchange + ((uint64_t)1 << 24), 200, 0, "", "");
    site_echo(server, request, user);
    results[2] = site_answer(s, request->exchange, 200, 0, "", "");
    results[3] = site_answer(s, 0, 200, 0, "", "");
}

static void test_an_answer_to_nothing_or_without_sense_is_refused(void)
{
    site s;
    site_open(&s, answer_wrongly);
    client c = client_open(s.port);
    client_say(&c, GET("/a"));
    EXPECT(s.loop, &c, ECHO("/a", "2"));
    CHECK_INT(results[0], SMW_ERECORD); /* an interim status is no answer */
    CHECK_INT(results[1], SMW_EGONE);   /* an exchange that is still to come */
    CHECK_INT(results[2], SMW_EGONE);   /* answered already */
    CHECK_INT(results[3], SMW_EGONE);
    client_close(&c);
    site_close(&s);
}

/* ---- bytes in any pieces ---- */

static const char three[] =
    GET("/a") "POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nGET / HTTP/" GET("/c");
#define THREE_ANSWERS ECHO("/a", "2") ECHO("/b", "2") ECHO("/c", "2")

static void test_requests_come_byte_by_byte(void)
{
    site s;
    site_open(&s, site_echo);
    client c = client_open(s.port);
    for (size_t i = 0; i < sizeof three - 1; i++) {
        client_say_bytes(&c, three + i, 1);
        smw_loop_run(s.loop, SMW_RUN_NOWAIT);
    }
    EXPECT(s.loop, &c, THREE_ANSWERS);
    client_close(&c);
    site_close(&s);
}

static void test_every_split_in_two_gives_the_same_answers(void)
{
    site s;
    site_open(&s, site_echo);
    client c = client_open(s.port);
    for (size_t i = 1; i < sizeof three - 1; i++) {
        uint64_t reads = smw_loop_stats(s.loop)->recvs;
        int64_t deadline = clock_ms() + PATIENCE_MS;
        client_say_bytes(&c, three, i);
        while (smw_loop_stats(s.loop)->recvs == reads && clock_ms() < deadline) {
            smw_loop_run(s.loop, SMW_RUN_NOWAIT);
            await_event(s.loop, -1);
        }
        client_say_bytes(&c, three + i, sizeof three - 1 - i);
        EXPECT(s.loop, &c, THREE_ANSWERS);
    }
    CHECK_INT(s.requests, 3 * (sizeof three - 2));
    client_close(&c);
    site_close(&s);
}

static void test_a_client_may_leave_at_any_byte(void)
{
    site s;
    site_open(&s, site_echo);
    for (size_t i = 0; i < sizeof three; i++) {
        for (int resets = 0; resets < 2; resets++) {
            client c = client_open(s.port);
            client_say_bytes(&c, three, i);
            if (i % 2 == 0) smw_loop_run(s.loop, SMW_RUN_NOWAIT);
            if (resets)
                client_abort(&c);
            else
                client_close(&c);
        }
    }
    CHECK(smw_loop_run(s.loop, SMW_RUN_NOWAIT) == 1);
    /* All were accepted, in bursts, before the last of them goes. */
    int64_t deadline = clock_ms() + PATIENCE_MS;
    while (smw_loop_stats(s.loop)->accepts < 2 * sizeof three && clock_ms() < deadline)
        smw_loop_run(s.loop, SMW_RUN_NOWAIT);
    site_waits_for(&s, 0);
    client c = client_open(s.port);
    client_say(&c, GET("/still"));
    EXPECT(s.loop, &c, ECHO("/still", "6"));
    client_close(&c);
    site_close(&s);
}

static void test_many_connections_get_their_own_answers(void)
{
    enum { COUNT = 200 };
    static client clients[COUNT];
    site s;
    site_open(&s, site_echo);
    char text[128];
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < COUNT; i++) {
            if (round == 0) clients[i] = client_open(s.port);
            snprintf(text, sizeof text, GET("/%03d"), i);
            client_say(&clients[i], text);
        }
        for (int i = 0; i < COUNT; i++) {
            snprintf(text, sizeof text, ECHO("/%03d", "4"), i);
            EXPECT(s.loop, &clients[i], text);
        }
    }
    CHECK_INT(smw_server_connections(s.server), COUNT);
    for (int i = 0; i < COUNT; i++) client_close(&clients[i]);
    site_waits_for(&s, 0);
    site_close(&s);
}

/* ---- refusals ---- */

static void test_a_refusal_comes_after_the_answers_before_it_and_closes(void)
{
    site s;
    site_open(&s, site_echo);
    client c = client_open(s.port);
    client_say(&c, GET("/a") "BAD\r\n\r\n" GET("/b"));
    run_until(s.loop, &c, TO_THE_END);
    CHECK(c.is_ended && c.error == 0);
    CHECK(client_starts_with(&c, ECHO("/a", "2") REFUSAL("400", "Bad Request", "11")));
    CHECK(client_ends_with(&c, "Connection: close\r\n\r\nBad Request"));
    CHECK_INT(s.requests, 1);
    client_close(&c);
    site_waits_for(&s, 0);
    site_close(&s);
}

static void test_a_refusal_is_readable_though_the_client_sends_on(void)
{
    /* Closing with unread input resets the connection, and a reset may overtake the
     * answer (RFC 9112 9.6). So the client must see an end here, not a reset. */
    static char junk[300000];
    memset(junk, 'j', sizeof junk);
    site s;
    site_open(&s, site_echo);
    client c = client_open(s.port);
    client_say(&c, "BAD\r\n\r\n");
    for (size_t sent = 0; sent < sizeof junk;) {
        sent += client_offer(&c, junk + sent, sizeof junk - sent);
        smw_loop_run(s.loop, SMW_RUN_NOWAIT);
    }
    run_until(s.loop, &c, TO_THE_END);
    CHECK(c.is_ended);
    CHECK_INT(c.error, 0);
    CHECK(client_starts_with(&c, "HTTP/1.1 400"));
    client_close(&c);
    site_waits_for(&s, 0);
    site_close(&s);
}

int main(void)
{
    RUN(test_a_connection_is_kept_for_the_next_request);
    RUN(test_connection_close_is_obeyed_and_said_back);
    RUN(test_what_follows_connection_close_is_not_served);
    RUN(test_http_1_0_closes_unless_it_asks_to_be_kept);
    RUN(test_head_gets_the_length_without_the_body);
    RUN(test_204_and_304_have_no_content_length);
    RUN(test_a_status_may_have_its_own_reason_or_none);
    RUN(test_the_date_is_the_time_in_the_preferred_format);
    RUN(test_requests_find_their_route_or_the_miss_token);
    RUN(test_without_callbacks_the_answer_is_503);
    RUN(test_an_answer_to_nothing_or_without_sense_is_refused);
    RUN(test_requests_come_byte_by_byte);
    RUN(test_every_split_in_two_gives_the_same_answers);
    RUN(test_a_client_may_leave_at_any_byte);
    RUN(test_many_connections_get_their_own_answers);
    RUN(test_a_refusal_comes_after_the_answers_before_it_and_closes);
    RUN(test_a_refusal_is_readable_though_the_client_sends_on);
    return test_report();
}
