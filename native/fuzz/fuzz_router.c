/* SPDX-License-Identifier: MIT */
/* fuzz_router.c - any routes and any paths: every match is found, and in the order in
 * which the naive router finds them.
 *
 * The input is lines of a byte for the method and a text. Up to an empty line they
 * are routes, behind it requests. */
#include "../tests/naive_router.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The naive router takes time that grows with the square of its routes. */
enum { MOST = 4096 };

static void require(bool holds)
{
    if (!holds) abort();
}

static smw_str next_line(smw_str *input)
{
    const char *end = input->data + input->length;
    const char *lf = input->length > 0 ? memchr(input->data, '\n', input->length) : NULL;
    smw_str line = str_range(input->data, lf != NULL ? lf : end);
    *input = str_range(lf != NULL ? lf + 1 : end, end);
    return line;
}

static void add_routes(router *r, naive_router *naive, smw_str *input)
{
    smw_str line;
    uint32_t token = 1;
    while ((line = next_line(input)).length > 0 && naive->count < NAIVE_ROUTES) {
        int method = (unsigned char)line.data[0] % (SMW_ANY + 1);
        smw_str pattern = {line.data + 1, line.length - 1};
        if (method == SMW_OTHER) method = SMW_ANY; /* no route may have it */
        int wanted = naive_add(naive, method, pattern, token);
        require(router_add(r, method, pattern, token) == wanted);
        token++;
    }
}

static void check_params(const router_match *found, smw_str path)
{
    for (size_t i = 0; i < found->param_count; i++) {
        smw_str it = found->params[i];
        require(it.length > 0 && it.data > path.data &&
                it.data + it.length <= path.data + path.length);
    }
}

static void find_all(const router *r, const naive_router *naive, smw_str input)
{
    while (input.length > 0) {
        smw_str line = next_line(&input);
        if (line.length == 0) continue;
        int method = (unsigned char)line.data[0] % (SMW_OTHER + 1);
        smw_str path = {line.data + 1, line.length - 1};
        const naive_route *last = NULL;
        uint32_t skip = 0;
        do {
            router_match found, wanted;
            router_find(r, method, path, skip++, &found);
            last = naive_next(naive, method, path, last, &wanted);
            require(naive_agrees(&found, &wanted));
            check_params(&found, path);
        } while (last != NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static naive_router naive;
    if (size > MOST) return 0;
    router *r = router_new();
    if (r == NULL) return 0;
    /* A copy of the exact size, so that a read past its end is seen. */
    char *copy = malloc(size + (size == 0));
    require(copy != NULL);
    if (size > 0) memcpy(copy, data, size);
    smw_str input = {copy, size};
    naive.count = 0;
    add_routes(r, &naive, &input);
    find_all(r, &naive, input);
    router_free(r);
    free(copy);
    return 0;
}
