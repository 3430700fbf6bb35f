/* SPDX-License-Identifier: MIT */
/* test_http_body_limit.c - bodies of requests that are too large. */
#include "site_body.h"

#define REFUSAL_413 REFUSAL("413", "Content Too Large", "17")
#define GET_OF(path, length) \
    "GET " path " HTTP/1.1\r\nHost: a\r\nContent-Length: " length "\r\n\r\n"

static void test_a_body_whose_length_is_too_large_is_refused_at_its_head(void)
{
    static const struct {
        uint64_t of_server; /* 0: 16 MiB */
        bool has_own;
        uint64_t of_token;
        const char *request;
        bool is_refused;
    } cases[] = {
        {0, false, 0, POST_OF("/up", "16777216"), false},
        {0, false, 0, POST_OF("/up", "16777217"), true},
        {0, false, 0, POST_OF("/up", "9999999999999999999999999"), true},
        {1000, false, 0, POST_OF("/up", "1000"), false},
        {1000, false, 0, POST_OF("/up", "1001"), true},
        {1000, true, 2000, POST_OF("/up", "2000"), false},
        {1000, true, 2000, POST_OF("/up", "2001"), true},
        {1000, true, 10, POST_OF("/up", "10"), false},
        {1000, true, 10, POST_OF("/up", "11"), true},
        {1000, true, 0, POST_OF("/up", "0"), false},
        {1000, true, 0, POST_OF("/up", "1"), true},
        {1000, true, UINT64_MAX, POST_OF("/up", "1000000000000000"), false},
        {1000, true, UINT64_MAX - 1, POST_OF("/up", "1000000000000000"), false},
        /* Not the token that has a limit of its own. */
        {1000, true, 2000, GET_OF("/of/x", "1001"), true},
        {1000, true, 10, GET_OF("/of/x", "1000"), false},
        /* A 100 would be a lie. */
        {1000, false, 0,
         "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
         "Content-Length: 1001\r\n\r\n",
         true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        site s;
        smw_server_options options = {.max_body = cases[i].of_server};
        client c = open_with(&s, leave_open, &options);
        if (cases[i].has_own)
            CHECK_INT(smw_server_max_body(s.server, ROUTE, cases[i].of_token), 0);
        client_say(&c, cases[i].request);
        if (cases[i].is_refused) {
            expect_refusal(&s, &c, REFUSAL_413);
            CHECK_INT(s.requests, 0);
        } else {
            run_until_equal(s.loop, &s.requests, 1);
            expect_silence(&s, &c);
        }
        CHECK_INT(s.aborted, 0);
        finish(&s, &c);
    }
}

static void test_a_refusal_of_HEAD_has_no_content(void)
{
    site s;
    client c = open_with(&s, leave_open, &(smw_server_options){.max_body = 1000});
    client_say(&c, "HEAD /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n");
    run_until(s.loop, &c, TO_THE_END);
    CHECK(client_starts_with(&c, REFUSAL_413));
    CHECK(client_ends_with(&c, "\r\n\r\n")); /* RFC 9110 9.3.2 */
    finish(&s, &c);
}

static void test_requests_before_a_body_that_is_too_large_are_answered(void)
{
    site s;
    client c = open_with(&s, site_echo, &(smw_server_options){.max_body = 1000});
    client_say(&c, GET("/a") POST_OF("/up", "1001") GET("/b"));
    run_until(s.loop, &c, TO_THE_END);
    CHECK(client_starts_with(&c, ECHO("/a", "2") REFUSAL_413));
    CHECK(client_ends_with(&c, "\r\n\r\nContent Too Large"));
    CHECK_INT(s.requests, 1);
    finish(&s, &c);
}

static void test_a_body_in_chunks_that_grows_too_large_is_refused_while_it_is_read(void)
{
    message m = post(600, 0, 600);
    size_t chunk = m.length - m.head - 5; /* without the last one */
    for (int is_exact = 0; is_exact < 2; is_exact++) {
        site s;
        smw_server_options options = {.max_body = is_exact ? 1200 : 1199};
        client c = open_with(&s, site_read, &options);
        client_say_bytes(&c, m.data, m.head + chunk);
        run_until_equal(s.loop, &s.upload->pieces, 1);
        client_say_bytes(&c, m.data + m.head, m.length - m.head);
        if (is_exact) {
            run_until_equal(s.loop, &s.upload->ends, 1);
            CHECK_INT(s.upload->length, 1200);
            CHECK_INT(s.aborted, 0);
        } else {
            check_aborted(&s, 413);
            expect_refusal(&s, &c, REFUSAL_413);
            CHECK_INT(s.upload->ends, 0);
            CHECK(s.upload->length <= 1199);
        }
        finish(&s, &c);
    }
    message_free(&m);
}

static void test_chunks_over_the_limit_beside_their_head_never_see_a_handler(void)
{
    site s;
    client c = open_with(&s, site_read, &(smw_server_options){.max_body = 10});
    client_say(&c, POST_CHUNKED "6\r\nabcdef\r\n5\r\nghijk\r\n0\r\n\r\n");
    expect_refusal(&s, &c, REFUSAL_413);
    CHECK_INT(s.requests, 0);
    CHECK_INT(s.aborted, 0);
    finish(&s, &c);
}

static void test_the_limit_of_a_route_holds_for_chunks_too(void)
{
    site s;
    client c = open_with(&s, site_read, &(smw_server_options){.max_body = 10});
    CHECK_INT(smw_server_max_body(s.server, ROUTE, UINT64_MAX), 0);
    message m = post(100000, 0, 9999);
    say_all(&s, &c, m.data, m.length);
    expect_back(&s, &c, &m);
    message_free(&m);
    finish(&s, &c);
}

int main(void)
{
    RUN(test_a_body_whose_length_is_too_large_is_refused_at_its_head);
    RUN(test_a_refusal_of_HEAD_has_no_content);
    RUN(test_requests_before_a_body_that_is_too_large_are_answered);
    RUN(test_a_body_in_chunks_that_grows_too_large_is_refused_while_it_is_read);
    RUN(test_chunks_over_the_limit_beside_their_head_never_see_a_handler);
    RUN(test_the_limit_of_a_route_holds_for_chunks_too);
    return test_report();
}
