/* SPDX-License-Identifier: MIT */
#include "naive_router.h"

#include "test.h"

#include <time.h>

static smw_str str(const char *text)
{
    return (smw_str){text, strlen(text)};
}

static int add(router *r, int method, const char *pattern, uint32_t token)
{
    return router_add(r, method, str(pattern), token);
}

static router_match find(const router *r, int method, const char *path)
{
    router_match match;
    router_find(r, method, str(path), 0, &match);
    return match;
}

static uint32_t token_of(const router *r, int method, const char *path)
{
    return find(r, method, path).token;
}

static uint32_t token_behind(const router *r, int method, const char *path, uint32_t skip)
{
    router_match match;
    router_find(r, method, str(path), skip, &match);
    return match.token;
}

#define BIT(method) (1u << (method))

static void test_an_empty_router_finds_nothing(void)
{
    router *r = router_new();
    static const char *const paths[] = {"/", "", "/a", "//", "*", "a:80"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        router_match match = find(r, SMW_GET, paths[i]);
        CHECK_INT(match.token, 0);
        CHECK_INT(match.allow, 0);
        CHECK_INT(match.param_count, 0);
    }
    router_free(r);
    router_free(NULL);
}

static void test_static_goes_before_a_parameter_and_that_before_the_rest(void)
{
    router *r = router_new();
    CHECK_INT(add(r, SMW_GET, "/*", 1), 0);
    CHECK_INT(add(r, SMW_GET, "/users/*", 2), 0);
    CHECK_INT(add(r, SMW_GET, "/users/:id", 3), 0);
    CHECK_INT(add(r, SMW_GET, "/users/me", 4), 0);
    CHECK_INT(token_of(r, SMW_GET, "/users/me"), 4);
    CHECK_INT(token_of(r, SMW_GET, "/users/7"), 3);
    CHECK_INT(token_of(r, SMW_GET, "/users/7/posts"), 2);
    CHECK_INT(token_of(r, SMW_GET, "/users"), 1);
    CHECK_INT(token_of(r, SMW_GET, "/anything/else"), 1);
    CHECK_INT(token_of(r, SMW_GET, "/"), 1);
    router_free(r);
}

static void test_types_go_before_text_and_take_what_they_are_for(void)
{
    router *r = router_new();
    CHECK_INT(add(r, SMW_GET, "/:text", 1), 0);
    CHECK_INT(add(r, SMW_GET, "/:kind<9>", 2), 0);
    CHECK_INT(add(r, SMW_GET, "/:id<uuid>", 3), 0);
    CHECK_INT(add(r, SMW_GET, "/:n<int>", 4), 0);
    CHECK_INT(add(r, SMW_GET, "/7", 5), 0);
    CHECK_INT(add(r, SMW_GET, "/:kind<8>/x", 6), 0);
    CHECK_INT(add(r, SMW_GET, "/:other<int>", 7), SMW_EEXIST);
    CHECK_INT(token_of(r, SMW_GET, "/7"), 5);
    CHECK_INT(token_behind(r, SMW_GET, "/7", 1), 4);
    CHECK_INT(token_behind(r, SMW_GET, "/7", 2), 2);
    CHECK_INT(token_behind(r, SMW_GET, "/7", 3), 1);
    CHECK_INT(token_behind(r, SMW_GET, "/7", 4), 0);
    CHECK_INT(token_of(r, SMW_GET, "/123456789012345678"), 4);
    CHECK_INT(token_of(r, SMW_GET, "/1234567890123456789"), 2);
    CHECK_INT(token_of(r, SMW_GET, "/-7"), 2);
    CHECK_INT(token_of(r, SMW_GET, "/0123abcd-0123-4567-89ab-CDEF01234567"), 3);
    CHECK_INT(token_of(r, SMW_GET, "/0123abcd-0123-4567-89ab0CDEF01234567"), 2);
    CHECK_INT(token_of(r, SMW_GET, "/0123abcd-0123-4567-89ab-CDEF0123456"), 2);
    router_match match = find(r, SMW_GET, "/a/x");
    CHECK_INT(match.token, 6);
    CHECK_INT(match.param_count, 1);
    CHECK_STR(match.params[0], "a");
    router_free(r);
}

static void test_a_wrong_turn_is_taken_back_with_its_parameters(void)
{
    router *r = router_new();
    CHECK_INT(add(r, SMW_GET, "/a/:x/c", 1), 0);
    CHECK_INT(add(r, SMW_GET, "/:x/b/:y", 2), 0);
    CHECK_INT(add(r, SMW_GET, "/:x/:y/:z/:w", 3), 0);
    CHECK_INT(token_of(r, SMW_GET, "/a/b/c"), 1);
    router_match match = find(r, SMW_GET, "/a/b/d");
    CHECK_INT(match.token, 2);
    CHECK_INT(match.param_count, 2);
    CHECK_STR(match.params[0], "a");
    CHECK_STR(match.params[1], "d");
    match = find(r, SMW_GET, "/a/b/c/d");
    CHECK_INT(match.token, 3);
    CHECK_INT(match.param_count, 4);
    CHECK_STR(match.params[3], "d");
    match = find(r, SMW_GET, "/a/x/d");
    CHECK_INT(match.token, 0);
    CHECK_INT(match.param_count, 0);
    router_free(r);
}

static void test_parameters_borrow_from_the_path(void)
{
    router *r = router_new();
    CHECK_INT(add(r, SMW_GET, "/:first/-/:second", 1), 0);
    const char *path = "/a%20b/-/:second";
    router_match match = find(r, SMW_GET, path);
    CHECK_INT(match.param_count, 2);
    CHECK_STR(match.params[0], "a%20b");
    CHECK_STR(match.params[1], ":second");
    CHECK(match.params[0].data == path + 1);
    router_free(r);
}

static void test_paths_are_compared_byte_by_byte(void)
{
    router *r = router_new();
    CHECK_INT(add(r, SMW_GET, "/Case", 1), 0);
    CHECK_INT(add(r, SMW_GET, "/a*", 2), 0);
    CHECK_INT(add(r, SMW_GET, "/a:b", 3), 0);
    CHECK_INT(token_of(r, SMW_GET, "/case"), 0);
    CHECK_INT(token_of(r, SMW_GET, "/%43ase"), 0);
    CHECK_INT(token_of(r, SMW_GET, "/Cas"), 0);
    CHECK_INT(token_of(r, SMW_GET, "/Cases"), 0);
    /* A star or a colon elsewhere than in front is an ordinary character. */
    CHECK_INT(token_of(r, SMW_GET, "/a*"), 2);
    CHECK_INT(token_of(r, SMW_GET, "/ab"), 0);
    CHECK_INT(token_of(r, SMW_GET, "/a:b"), 3);
    router_free(r);
}

/* They have one FNV-1a hash of 32 bits: clients can find such segments. */
static void test_segments_of_one_hash_are_told_apart(void)
{
    router *r = router_new();
    CHECK_INT(add(r, SMW_GET, "/costarring", 1), 0);
    CHECK_INT(token_of(r, SMW_GET, "/liquid"), 0);
    CHECK_INT(add(r, SMW_GET, "/liquid", 2), 0);
    CHECK_INT(token_of(r, SMW_GET, "/costarring"), 1);
    CHECK_INT(token_of(r, SMW_GET, "/liquid"), 2);
    router_free(r);
}

/* RFC 9112 3.2.1: an absolute form without a path means "/". */
static void test_an_empty_path_is_the_root(void)
{
    router *r = router_new();
    CHECK_INT(add(r, SMW_GET, "/", 1), 0);
    CHECK_INT(token_of(r, SMW_GET, "/"), 1);
    CHECK_INT(token_of(r, SMW_GET, ""), 1);
    router_match match;
    router_find(r, SMW_GET, (smw_str){NULL, 0}, 0, &match);
    CHECK_INT(match.token, 1);
    CHECK_INT(token_of(r, SMW_GET, "//"), 0);
    router_free(r);
}

static void test_a_slash_at_the_end_makes_another_path(void)
{
    router *r = router_new();
    CHECK_INT(add(r, SMW_GET, "/a", 1), 0);
    CHECK_INT(add(r, SMW_GET, "/b/", 2), 0);
    CHECK_INT(add(r, SMW_GET, "/c/*", 3), 0);
    CHECK_INT(token_of(r, SMW_GET, "/a/"), 0);
    CHECK_INT(token_of(r, SMW_GET, "/b"), 0);
    CHECK_INT(token_of(r, SMW_GET, "/b/"), 2);
    /* The rest may be empty, but not the slash before it. */
    CHECK_INT(token_of(r, SMW_GET, "/c"), 0);
    CHECK_INT(token_of(r, SMW_GET, "/c/"), 3);
    CHECK_INT(token_of(r, SMW_GET, "/c//"), 3);
    router_free(r);
}

static void test_an_empty_segment_is_no_parameter(void)
{
    router *r = router_new();
    CHECK_INT(add(r, SMW_GET, "/a/:x/b", 1), 0);
    CHECK_INT(add(r, SMW_GET, "/:y", 2), 0);
    CHECK_INT(token_of(r, SMW_GET, "/a//b"), 0);
    CHECK_INT(token_of(r, SMW_GET, "/"), 0);
    CHECK_INT(add(r, SMW_GET, "/a//b", 3), 0);
    CHECK_INT(token_of(r, SMW_GET, "/a//b"), 3);
    CHECK_INT(token_of(r, SMW_GET, "/a/x/b"), 1);
    router_free(r);
}

static void test_a_miss_tells_which_methods_would_have_matched(void)
{
    router *r = router_new();
    CHECK_INT(add(r, SMW_GET, "/a/b", 1), 0);
    CHECK_INT(add(r, SMW_PUT, "/a/b", 2), 0);
    CHECK_INT(add(r, SMW_DELETE, "/a/:x", 3), 0);
    CHECK_INT(add(r, SMW_PATCH, "/a/*", 4), 0);
    CHECK_INT(add(r, SMW_TRACE, "/b/*", 5), 0);
    router_match match = find(r, SMW_POST, "/a/b");
    CHECK_INT(match.token, 0);
    CHECK_INT(match.allow, BIT(SMW_GET) | BIT(SMW_PUT) | BIT(SMW_DELETE) | BIT(SMW_PATCH));
    CHECK_INT(find(r, SMW_POST, "/a/c").allow, BIT(SMW_DELETE) | BIT(SMW_PATCH));
    CHECK_INT(find(r, SMW_OTHER, "/a/c/d").allow, BIT(SMW_PATCH));
    CHECK_INT(find(r, SMW_POST, "/c").allow, 0);
    /* A method that only a weaker pattern has still finds it. */
    CHECK_INT(token_of(r, SMW_PATCH, "/a/b"), 4);
    CHECK_INT(token_of(r, SMW_DELETE, "/a/b"), 3);
    router_free(r);
}

/* RFC 9110 9.3.2: HEAD is answered as GET is. */
static void test_head_falls_back_on_get(void)
{
    router *r = router_new();
    CHECK_INT(add(r, SMW_GET, "/a", 1), 0);
    CHECK_INT(add(r, SMW_GET, "/b", 2), 0);
    CHECK_INT(add(r, SMW_HEAD, "/b", 3), 0);
    CHECK_INT(add(r, SMW_HEAD, "/c", 4), 0);
    CHECK_INT(token_of(r, SMW_HEAD, "/a"), 1);
    CHECK_INT(token_of(r, SMW_HEAD, "/b"), 3);
    CHECK_INT(token_of(r, SMW_GET, "/c"), 0);
    CHECK_INT(find(r, SMW_GET, "/c").allow, BIT(SMW_HEAD));
    router_free(r);
}

static void test_any_takes_what_the_methods_leave(void)
{
    router *r = router_new();
    CHECK_INT(add(r, SMW_ANY, "/a", 1), 0);
    CHECK_INT(add(r, SMW_GET, "/a", 2), 0);
    CHECK_INT(add(r, SMW_POST, "/*", 3), 0);
    CHECK_INT(token_of(r, SMW_GET, "/a"), 2);
    CHECK_INT(token_of(r, SMW_HEAD, "/a"), 2);
    CHECK_INT(token_of(r, SMW_POST, "/a"), 1);
    CHECK_INT(token_of(r, SMW_OTHER, "/a"), 1);
    CHECK_INT(token_of(r, SMW_OTHER, "/b"), 0);
    router_free(r);
}

/* RFC 9112 3.2.3 and 3.2.4: these targets name no resource of ours. */
static void test_targets_that_are_no_paths_are_seen_by_the_roots_rest_alone(void)
{
    router *r = router_new();
    CHECK_INT(add(r, SMW_ANY, "/:x", 1), 0);
    CHECK_INT(add(r, SMW_ANY, "/", 2), 0);
    CHECK_INT(token_of(r, SMW_OPTIONS, "*"), 0);
    CHECK_INT(token_of(r, SMW_CONNECT, "a:80"), 0);
    CHECK_INT(add(r, SMW_GET, "/*", 3), 0);
    CHECK_INT(find(r, SMW_OPTIONS, "*").allow, BIT(SMW_GET));
    CHECK_INT(add(r, SMW_OPTIONS, "/*", 4), 0);
    CHECK_INT(token_of(r, SMW_OPTIONS, "*"), 4);
    CHECK_INT(find(r, SMW_OPTIONS, "*").param_count, 0);
    router_free(r);
}

static void test_malformed_patterns_are_refused(void)
{
    static const char *const patterns[] = {
        "",     "a",       "*",    ":a",      "a/b",      "/:",     "/a/:",  "/:/a", "/*/a", "/a/*/b",
        "/*/",  "/a/*/*",  "/:<int>", "/:a<", "/:a<>", "/:a<int", "/:a<text>", "/:a<1234567>", "/:a<int>b",
    };
    router *r = router_new();
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++)
        CHECK_INT(add(r, SMW_GET, patterns[i], 1), SMW_EPATTERN);
    /* What was built of them leads nowhere. */
    CHECK_INT(token_of(r, SMW_GET, "/a/b"), 0);
    CHECK_INT(find(r, SMW_POST, "/a/").allow, 0);
    router_free(r);
}

static void test_methods_and_tokens_out_of_range_are_refused(void)
{
    router *r = router_new();
    CHECK_INT(add(r, -1, "/", 1), -EINVAL);
    CHECK_INT(add(r, SMW_ANY + 1, "/", 1), -EINVAL);
    CHECK_INT(add(r, SMW_GET, "/", 0), -EINVAL);
    /* Methods without a number are seen by `any` routes only. */
    CHECK_INT(add(r, SMW_OTHER, "/", 1), -EINVAL);
    router_free(r);
}

static void test_a_method_and_a_shape_are_taken_once(void)
{
    static const char *const patterns[] = {"/", "/a", "/a/", "/:x", "/:x/:y", "/*", "/a/*"};
    router *r = router_new();
    for (uint32_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        CHECK_INT(add(r, SMW_GET, patterns[i], i + 1), 0);
        CHECK_INT(add(r, SMW_GET, patterns[i], 99), SMW_EEXIST);
        CHECK_INT(add(r, SMW_PUT, patterns[i], i + 1), 0);
    }
    /* Parameters of other names are the same pattern. */
    CHECK_INT(add(r, SMW_GET, "/:other", 99), SMW_EEXIST);
    CHECK_INT(add(r, SMW_GET, "/:y/:x", 99), SMW_EEXIST);
    CHECK_INT(token_of(r, SMW_GET, "/b"), 4);
    router_free(r);
}

static void test_sixteen_parameters_fit_and_seventeen_do_not(void)
{
    router *r = router_new();
    const char *pattern = "/:a/:b/:c/:d/:e/:f/:g/:h/:i/:j/:k/:l/:m/:n/:o/:p";
    CHECK_INT(add(r, SMW_GET, pattern, 1), 0);
    router_match match = find(r, SMW_GET, "/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16");
    CHECK_INT(match.token, 1);
    CHECK_INT(match.param_count, SMW_MAX_PARAMS);
    CHECK_STR(match.params[15], "16");
    CHECK_INT(add(r, SMW_GET, "/:a/:b/:c/:d/:e/:f/:g/:h/:i/:j/:k/:l/:m/:n/:o/:p/:q", 2),
              SMW_ELIMIT);
    CHECK_INT(token_of(r, SMW_GET, "/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17"), 0);
    router_free(r);
}

/* ---- several matches ---- */

static void test_matches_come_in_the_order_of_precedence(void)
{
    static const char *const patterns[] = {
        "/*", "/:x/*", "/:x/:y", "/:x/b", "/a/*", "/a/:y", "/a/b",
    };
    enum { COUNT = sizeof patterns / sizeof *patterns };
    router *r = router_new();
    for (uint32_t i = 0; i < COUNT; i++)
        CHECK_INT(add(r, SMW_GET, patterns[i], COUNT - i), 0);
    CHECK_INT(add(r, SMW_GET, "/a/b/c", 99), 0);
    for (uint32_t skip = 0; skip < COUNT; skip++)
        CHECK_INT(token_behind(r, SMW_GET, "/a/b", skip), skip + 1);
    CHECK_INT(token_behind(r, SMW_GET, "/a/b", COUNT), 0);
    CHECK_INT(token_behind(r, SMW_GET, "/a/b", UINT32_MAX), 0);
    router_free(r);
}

static void test_a_pattern_gives_its_own_method_then_get_for_head_then_any(void)
{
    router *r = router_new();
    CHECK_INT(add(r, SMW_ANY, "/*", 4), 0);
    CHECK_INT(add(r, SMW_ANY, "/a", 3), 0);
    CHECK_INT(add(r, SMW_GET, "/a", 2), 0);
    CHECK_INT(add(r, SMW_HEAD, "/a", 1), 0);
    CHECK_INT(add(r, SMW_POST, "/a", 9), 0);
    for (uint32_t skip = 0; skip < 4; skip++)
        CHECK_INT(token_behind(r, SMW_HEAD, "/a", skip), skip + 1);
    CHECK_INT(token_behind(r, SMW_HEAD, "/a", 4), 0);
    for (uint32_t skip = 0; skip < 3; skip++)
        CHECK_INT(token_behind(r, SMW_GET, "/a", skip), skip + 2);
    CHECK_INT(token_behind(r, SMW_OTHER, "/a", 0), 3);
    CHECK_INT(token_behind(r, SMW_OTHER, "/a", 1), 4);
    CHECK_INT(token_behind(r, SMW_OTHER, "/a", 2), 0);
    router_free(r);
}

static void test_each_match_has_its_own_parameters(void)
{
    router *r = router_new();
    CHECK_INT(add(r, SMW_GET, "/a/:y", 1), 0);
    CHECK_INT(add(r, SMW_GET, "/:x/:y", 2), 0);
    CHECK_INT(add(r, SMW_GET, "/:x/*", 3), 0);
    CHECK_INT(add(r, SMW_GET, "/*", 4), 0);
    static const char *const wanted[4][2] = {{"b"}, {"a", "b"}, {"a"}};
    static const size_t counts[] = {1, 2, 1, 0};
    for (uint32_t skip = 0; skip < 4; skip++) {
        router_match match;
        router_find(r, SMW_GET, STR("/a/b"), skip, &match);
        CHECK_INT(match.token, skip + 1);
        CHECK_INT(match.param_count, counts[skip]);
        for (size_t i = 0; i < counts[skip]; i++)
            CHECK_STR(match.params[i], wanted[skip][i]);
    }
    router_free(r);
}

static void test_only_a_path_without_any_match_tells_methods(void)
{
    router *r = router_new();
    CHECK_INT(add(r, SMW_PUT, "/a", 1), 0);
    CHECK_INT(add(r, SMW_GET, "/:x", 2), 0);
    CHECK_INT(find(r, SMW_POST, "/a").allow, BIT(SMW_PUT) | BIT(SMW_GET));
    CHECK_INT(find(r, SMW_GET, "/a").allow, 0);
    router_match match;
    router_find(r, SMW_GET, STR("/a"), 1, &match);
    CHECK_INT(match.token, 0);
    CHECK_INT(match.allow, 0);
    CHECK_INT(match.param_count, 0);
    router_find(r, SMW_POST, STR("/a"), 1, &match);
    CHECK_INT(match.allow, 0);
    router_free(r);
}

static void test_targets_that_are_no_paths_have_several_matches_too(void)
{
    router *r = router_new();
    CHECK_INT(add(r, SMW_OPTIONS, "/*", 1), 0);
    CHECK_INT(add(r, SMW_ANY, "/*", 2), 0);
    for (uint32_t skip = 0; skip < 3; skip++)
        CHECK_INT(token_behind(r, SMW_OPTIONS, "*", skip), skip < 2 ? skip + 1 : 0);
    router_free(r);
}

/* ---- large tables ---- */

static void test_ten_thousand_routes_are_all_found(void)
{
    enum { COUNT = 10000 };
    router *r = router_new();
    char path[64];
    for (uint32_t i = 0; i < COUNT; i++) {
        snprintf(path, sizeof path, i % 2 ? "/n%u" : "/deep/%u/:id/end", i);
        if (!CHECK_INT(add(r, SMW_GET, path, i + 1), 0)) break;
    }
    for (uint32_t i = 0; i < COUNT; i++) {
        snprintf(path, sizeof path, i % 2 ? "/n%u" : "/deep/%u/x/end", i);
        if (!CHECK_INT(token_of(r, SMW_GET, path), i + 1)) break;
    }
    CHECK_INT(token_of(r, SMW_GET, "/n10001"), 0);
    CHECK_INT(token_of(r, SMW_GET, "/deep/10002/x/end"), 0);
    router_free(r);
}

/* The router remembers only so many segments of a path: patterns may be longer. */
static void test_wrong_turns_are_taken_back_at_any_depth(void)
{
    enum { DEPTH = 100 };
    char text[3 * DEPTH + 8];
    for (int turn = 0; turn < DEPTH; turn++) {
        router *r = router_new();
        size_t length = 0;
        for (int i = 0; i < DEPTH; i++)
            length += (size_t)sprintf(text + length, i == turn ? "/:x" : "/a");
        CHECK_INT(router_add(r, SMW_GET, (smw_str){text, length}, 1), 0);
        length = 0;
        for (int i = 0; i < DEPTH; i++) length += (size_t)sprintf(text + length, "/a");
        size_t path = length;
        length += (size_t)sprintf(text + length, "/b");
        CHECK_INT(router_add(r, SMW_GET, (smw_str){text, length}, 2), 0);
        router_match match;
        router_find(r, SMW_GET, (smw_str){text, path}, 0, &match);
        CHECK_INT(match.token, 1);
        CHECK_INT(match.param_count, 1);
        CHECK(match.params[0].data == text + 2 * turn + 1);
        CHECK_STR(match.params[0], "a");
        router_find(r, SMW_GET, (smw_str){text, length}, 0, &match);
        CHECK_INT(match.token, 2);
        router_free(r);
    }
}

/* CPU time of a miss, the least of some: others use the machine, too. */
static int64_t miss_ns(const router *r, smw_str path)
{
    int64_t least = INT64_MAX;
    for (int i = 0; i < 5; i++) {
        struct timespec start, end;
        router_match match;
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start);
        router_find(r, SMW_GET, path, 0, &match);
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
        CHECK_INT(match.token, 0);
        int64_t took =
            (end.tv_sec - start.tv_sec) * 1000000000LL + end.tv_nsec - start.tv_nsec;
        if (took < least) least = took;
    }
    return least;
}

/* Every mixture of static segments and parameters, so that the walk visits all nodes;
 * reading the long segment at each of them would take some thousand times as long. */
static void test_clients_cannot_multiply_a_tables_nodes_by_a_paths_length(void)
{
    enum { DEPTH = 12, LONG = 60000 };
    router *r = router_new();
    char *text = malloc(LONG);
    for (uint32_t mix = 0; mix < 1u << DEPTH; mix++) {
        size_t length = 0;
        for (int i = 0; i < DEPTH; i++)
            length += (size_t)sprintf(text + length, mix >> i & 1 ? "/:x" : "/a");
        length += (size_t)sprintf(text + length, "/end");
        CHECK_INT(router_add(r, SMW_GET, (smw_str){text, length}, mix + 1), 0);
    }
    for (size_t i = 0; i < LONG; i++) text[i] = i % 2 ? 'a' : '/';
    int64_t brief = miss_ns(r, (smw_str){text, 2 * DEPTH + 2});
    CHECK(miss_ns(r, (smw_str){text, LONG}) < 20 * brief); /* many segments */
    memset(text + 2 * DEPTH + 1, 'a', LONG - 2 * DEPTH - 1);
    CHECK(miss_ns(r, (smw_str){text, LONG}) < 20 * brief); /* one long segment */
    free(text);
    router_free(r);
}

/* ---- against the naive router ---- */

static uint64_t seed = 20240229;

static uint32_t below(uint32_t bound)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % bound;
}

/* Few words, so that patterns and paths meet often. */
static smw_str random_path(char *text, const char *const *words, uint32_t count)
{
    size_t length = 0;
    uint32_t segments = 1 + below(4);
    for (uint32_t i = 0; i < segments; i++)
        length += (size_t)snprintf(text + length, 48, "/%s", words[below(count)]);
    return (smw_str){text, length};
}

static void check_random_routes(void)
{
    static const char *const parts[] = {
        "a",       "b",        "",       ":x",     ":yy",    "*",     ":",      "7",
        ":i<int>", ":u<uuid>", ":k<12>", ":k<03>", ":k<3>",  ":<int>", ":i<int", ":k<x>",
    };
    static const char *const words[] = {
        "a", "b", "", "c", ":x", "7", "123456789012345678", "1234567890123456789",
        "0123abcd-0123-4567-89ab-CDEF01234567", "0123abcd-0123-4567-89ab-CDEF0123456x",
    };
    static char texts[40][256];
    router *r = router_new();
    naive_router naive = {0};
    for (uint32_t i = 0; i < 40; i++) {
        smw_str pattern = random_path(texts[i], parts, 16);
        int method = (int)below(SMW_METHODS);
        if (below(6) == 0) method = SMW_ANY;
        int wanted = naive_add(&naive, method, pattern, i + 1);
        CHECK_INT(router_add(r, method, pattern, i + 1), wanted);
    }
    for (int i = 0; i < 200; i++) {
        char text[256];
        smw_str path = random_path(text, words, 10);
        int method = (int)below(SMW_METHODS + 1);
        const naive_route *last = NULL;
        uint32_t skip = 0;
        do {
            router_match found, wanted;
            router_find(r, method, path, skip, &found);
            last = naive_next(&naive, method, path, last, &wanted);
            if (!CHECK(naive_agrees(&found, &wanted)))
                fprintf(stderr, "  path %.*s, method %d, skip %u\n", (int)path.length,
                        text, method, skip);
            skip++;
        } while (last != NULL);
    }
    router_free(r);
}

static void test_random_routes_are_found_as_the_contract_says(void)
{
    printf("seed %llu\n", (unsigned long long)seed);
    for (int i = 0; i < 200; i++) check_random_routes();
}

int main(void)
{
    RUN(test_an_empty_router_finds_nothing);
    RUN(test_static_goes_before_a_parameter_and_that_before_the_rest);
    RUN(test_types_go_before_text_and_take_what_they_are_for);
    RUN(test_a_wrong_turn_is_taken_back_with_its_parameters);
    RUN(test_parameters_borrow_from_the_path);
    RUN(test_paths_are_compared_byte_by_byte);
    RUN(test_segments_of_one_hash_are_told_apart);
    RUN(test_an_empty_path_is_the_root);
    RUN(test_a_slash_at_the_end_makes_another_path);
    RUN(test_an_empty_segment_is_no_parameter);
    RUN(test_a_miss_tells_which_methods_would_have_matched);
    RUN(test_head_falls_back_on_get);
    RUN(test_any_takes_what_the_methods_leave);
    RUN(test_targets_that_are_no_paths_are_seen_by_the_roots_rest_alone);
    RUN(test_malformed_patterns_are_refused);
    RUN(test_methods_and_tokens_out_of_range_are_refused);
    RUN(test_a_method_and_a_shape_are_taken_once);
    RUN(test_sixteen_parameters_fit_and_seventeen_do_not);
    RUN(test_matches_come_in_the_order_of_precedence);
    RUN(test_a_pattern_gives_its_own_method_then_get_for_head_then_any);
    RUN(test_each_match_has_its_own_parameters);
    RUN(test_only_a_path_without_any_match_tells_methods);
    RUN(test_targets_that_are_no_paths_have_several_matches_too);
    RUN(test_ten_thousand_routes_are_all_found);
    RUN(test_wrong_turns_are_taken_back_at_any_depth);
    RUN(test_clients_cannot_multiply_a_tables_nodes_by_a_paths_length);
    RUN(test_random_routes_are_found_as_the_contract_says);
    return test_report();
}
