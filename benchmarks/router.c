/* SPDX-License-Identifier: MIT */
/* router.c - what a look-up costs, by the number of routes.
 *
 * Tables of 10, 100, 1,000 and 10,000 routes hold the same ten shapes under more and
 * more names of one length. Path number i has the same shape, the same parameters and
 * the same length whatever the table, so that only the number of routes differs. */
#include "router.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { SIZES = 4, LOOKUPS = 16384, ROUNDS = 200, PATH_SIZE = 64, NAMES = 10000 };

/* `@` stands for the name. */
static const char *const shapes[] = {
    "/@",
    "/@/:id",
    "/@/:id/comments",
    "/@/:id/comments/:comment",
    "/@/search",
    "/@/files/*",
    "/:team/@/settings",
    "/api/v1/@",
    "/api/v1/@/:id",
    "/api/v1/@/:id/history",
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

typedef struct lookup {
    smw_str path;
    uint32_t token; /* what is to be found; 0 for a miss */
} lookup;

typedef struct table {
    router *router;
    lookup hits[LOOKUPS];
    lookup misses[LOOKUPS];
    double best[2]; /* nanoseconds a look-up: of hits, of misses */
} table;

static const uint32_t sizes[SIZES] = {10, 100, 1000, 10000};
static uint64_t seed;

static uint32_t below(uint32_t bound)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % bound;
}

static void require(bool holds, const char *what)
{
    if (holds) return;
    fprintf(stderr, "router: %s\n", what);
    exit(1);
}

/* Name number i of NAMES: eight letters, in no order. */
static size_t put_name(char *text, uint32_t i)
{
    static const char syllables[] = "badecofugikalemopuri";
    i = i * 7919 % NAMES;
    for (size_t at = 0; at < 8; at += 2, i /= 10)
        memcpy(text + at, syllables + i % 10 * 2, 2);
    return 8;
}

/* The shape with its name put in; for a path, with its parameters, too. */
static smw_str put_shape(char *text, const char *shape, uint32_t name, bool is_path)
{
    char *out = text;
    for (const char *p = shape; *p != '\0'; p++) {
        if (*p == '@') {
            out += put_name(out, name);
        } else if (is_path && *p == ':') {
            out += sprintf(out, "%06u", below(1000000));
            while (p[1] != '\0' && p[1] != '/') p++;
        } else if (is_path && *p == '*') {
            out += sprintf(out, "logo/%06u.svg", below(1000000));
        } else {
            *out++ = *p;
        }
    }
    return str_range(text, out);
}

static void make_routes(table *t, uint32_t size)
{
    char text[PATH_SIZE];
    t->router = router_new();
    require(t->router != NULL, "no memory");
    for (uint32_t i = 0; i < size; i++) {
        smw_str pattern = put_shape(text, shapes[i % SHAPES], i / SHAPES, false);
        require(router_add(t->router, SMW_GET, pattern, i + 1) == 0, "no such route");
    }
}

/* Hits take every route alike. A miss has an unknown name, or segments too many. */
static char *make_lookups(table *t, uint32_t size)
{
    char *memory = malloc((size_t)2 * LOOKUPS * PATH_SIZE), *text = memory;
    require(memory != NULL, "no memory");
    seed = 1;
    for (int i = 0; i < 2 * LOOKUPS; i++) {
        lookup *it = i < LOOKUPS ? &t->hits[i] : &t->misses[i - LOOKUPS];
        const uint32_t shape = below(SHAPES), name = below(NAMES) % (size / SHAPES);
        bool is_hit = i < LOOKUPS, has_rest = strchr(shapes[shape], '*') != NULL;
        bool is_too_long = !is_hit && !has_rest && below(2) == 0;
        bool is_known = is_hit || is_too_long;
        it->path =
            put_shape(text, shapes[shape], is_known ? name : NAMES - 1 - name, true);
        if (is_too_long)
            it->path.length += (size_t)sprintf(text + it->path.length, "/a/b/c");
        it->token = is_hit ? name * SHAPES + shape + 1 : 0;
        text += it->path.length;
    }
    return memory;
}

/* The next look-up waits for the token of the last, whose top bit is never set: in a
 * server, too, no look-up has another one to hide its cache misses behind. */
static void find_all(const router *r, const lookup *lookups)
{
    router_match match;
    bool is_right = true;
    for (uint32_t i = 0; i < LOOKUPS; i += 1 + (match.token >> 31)) {
        router_find(r, SMW_GET, lookups[i].path, 0, &match);
        is_right &= match.token == lookups[i].token;
    }
    require(is_right, "a wrong route was found");
}

static double cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* The first of two passes brings the table back into the caches. */
static void measure(table *t, int which)
{
    const lookup *lookups = which == 0 ? t->hits : t->misses;
    find_all(t->router, lookups);
    double start = cpu_ns();
    find_all(t->router, lookups);
    double took = (cpu_ns() - start) / LOOKUPS;
    if (t->best[which] == 0 || took < t->best[which]) t->best[which] = took;
}

int main(void)
{
    static table tables[SIZES];
    char *memory[SIZES];
    for (int i = 0; i < SIZES; i++) {
        make_routes(&tables[i], sizes[i]);
        memory[i] = make_lookups(&tables[i], sizes[i]);
    }
    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < 2 * SIZES; i++) measure(&tables[i / 2], i % 2);
    printf("routes    hit ns  ratio   miss ns  ratio\n");
    for (int i = 0; i < SIZES; i++) {
        const double *best = tables[i].best, *least = tables[0].best;
        printf("%6u  %8.1f  %5.2f  %8.1f  %5.2f\n", sizes[i], best[0], best[0] / least[0],
               best[1], best[1] / least[1]);
        router_free(tables[i].router);
        free(memory[i]);
    }
    return 0;
}
