/* SPDX-License-Identifier: MIT */
/* test_server_max_body.c - how large a server and its routes let bodies be. */
#include "post.h"
#include "site.h"

typedef struct body_case {
    const char *sentence;
    const char *say;
    bool is_allowed;
} body_case;

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
    RUN(test_a_route_may_have_its_own_limit);
    RUN(test_requests_without_a_route_may_have_their_own_limit);
    return test_report();
}
