/* SPDX-License-Identifier: MIT */
#include "smw.h"

#include "test.h"

enum { NUMBERS = 2 * SMW_MAX_PARAMS };

typedef struct fixture {
    smw_loop *loop;
    smw_server *server;
    uint32_t params[NUMBERS];
} fixture;

static fixture open_server(void)
{
    fixture f = {.loop = smw_loop_new()};
    f.server = smw_server_new(f.loop, NULL);
    CHECK(f.server != NULL);
    return f;
}

static void add(fixture *f, int method, const char *pattern, uint32_t token)
{
    CHECK_INT(smw_server_route(f->server, method, pattern, strlen(pattern), token), 0);
}

static uint32_t match(fixture *f, int method, const char *path, uint32_t skip)
{
    memset(f->params, 0xFF, sizeof f->params);
    return smw_server_match(f->server, method, path, strlen(path), skip, f->params);
}

/* `pairs` ends with a 0; behind its numbers all must be 0. */
static void check_params(const fixture *f, const uint32_t *pairs)
{
    for (size_t i = 0; i < NUMBERS; i++) {
        CHECK_INT(f->params[i], *pairs);
        if (*pairs != 0) pairs++;
    }
}

#define CHECK_PARAMS(f, ...) check_params(f, (const uint32_t[]){__VA_ARGS__})

static void test_matches_are_asked_for_one_after_the_other(void)
{
    fixture f = open_server();
    add(&f, SMW_ANY, "/*", 12);
    add(&f, SMW_GET, "/users/:id/posts/:post", 11);
    add(&f, SMW_GET, "/:kind/me/posts/*", 13);
    add(&f, SMW_GET, "/users/me/posts/:post", 10);
    const char *path = "/users/me/posts/77";
    CHECK_INT(match(&f, SMW_GET, path, 0), 10);
    CHECK_PARAMS(&f, 16, 18, 0);
    CHECK_INT(match(&f, SMW_GET, path, 1), 11);
    CHECK_PARAMS(&f, 7, 9, 16, 18, 0);
    CHECK_INT(match(&f, SMW_GET, path, 2), 13);
    CHECK_PARAMS(&f, 1, 6, 0);
    CHECK_INT(match(&f, SMW_GET, path, 3), 12);
    CHECK_PARAMS(&f, 0);
    CHECK_INT(match(&f, SMW_GET, path, 4), 0);
    CHECK_PARAMS(&f, 0);
    CHECK_INT(match(&f, SMW_POST, path, 0), 12);
    smw_loop_free(f.loop);
}

static void test_all_sixteen_parameters_have_room(void)
{
    fixture f = open_server();
    add(&f, SMW_GET, "/:a/:b/:c/:d/:e/:f/:g/:h/:i/:j/:k/:l/:m/:n/:o/:p", 10);
    CHECK_INT(match(&f, SMW_GET, "/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p", 0), 10);
    for (uint32_t i = 0; i < NUMBERS; i++) CHECK_INT(f.params[i], i + 1);
    smw_loop_free(f.loop);
}

static void test_a_match_needs_no_path_and_no_number_for_its_method(void)
{
    fixture f = open_server();
    add(&f, SMW_ANY, "/", 10);
    CHECK_INT(smw_server_match(f.server, SMW_OTHER, NULL, 0, 0, f.params), 10);
    CHECK_PARAMS(&f, 0);
    CHECK_INT(match(&f, SMW_OPTIONS, "*", 0), 0);
    CHECK_PARAMS(&f, 0);
    smw_loop_free(f.loop);
}

static void test_a_path_that_only_the_miss_takes_has_no_match(void)
{
    fixture f = open_server();
    smw_server_miss(f.server, 10);
    CHECK_INT(match(&f, SMW_GET, "/", 0), 0);
    smw_loop_free(f.loop);
}

int main(void)
{
    RUN(test_matches_are_asked_for_one_after_the_other);
    RUN(test_all_sixteen_parameters_have_room);
    RUN(test_a_match_needs_no_path_and_no_number_for_its_method);
    RUN(test_a_path_that_only_the_miss_takes_has_no_match);
    return test_report();
}
