/* SPDX-License-Identifier: MIT */
/* naive_router.h - routing as its contract says it, one pattern after the other.
 *
 * Slow and plain, to compare the real router with. Patterns are borrowed. */
#ifndef SMW_NAIVE_ROUTER_H
#define SMW_NAIVE_ROUTER_H

#include "router.h"

#include <errno.h>

enum { NAIVE_ROUTES = 256 };

typedef struct naive_route {
    smw_str pattern;
    int method;
    uint32_t token;
} naive_route;

typedef struct naive_router {
    naive_route routes[NAIVE_ROUTES];
    size_t count;
} naive_router;

/* What comes before the next slash; `*rest` is behind it, NULL data at the end. */
static inline smw_str naive_cut(smw_str text, smw_str *rest)
{
    const char *end = text.data + text.length;
    const char *p = text.data;
    while (p < end && *p != '/') p++;
    *rest = p < end ? str_range(p + 1, end) : (smw_str){NULL, 0};
    return str_range(text.data, p);
}

/* What a parameter is for: the text between < and >; none of it: NULL data. */
static inline smw_str naive_type(smw_str segment)
{
    for (size_t i = 0; i < segment.length; i++)
        if (segment.data[i] == '<')
            return str_range(segment.data + i + 1, segment.data + segment.length - 1);
    return (smw_str){NULL, 0};
}

static inline bool naive_all(smw_str text, const char *allowed)
{
    for (size_t i = 0; i < text.length; i++)
        if (text.data[i] == 0 || strchr(allowed, text.data[i]) == NULL) return false;
    return text.length > 0;
}

/* 's'tatic; of parameters 'i'nt, 'u'uid, a caller's kind '#', ':' text; '*' rest; 'x'
 * malformed. */
static inline char naive_kind(smw_str segment, bool is_last)
{
    if (str_equal(segment, STR("*"))) return is_last ? '*' : 'x';
    if (segment.length == 0 || segment.data[0] != ':') return 's';
    if (segment.length == 1 || segment.data[1] == '<') return 'x';
    if (memchr(segment.data, '<', segment.length) == NULL) return ':';
    if (segment.data[segment.length - 1] != '>') return 'x';
    smw_str type = naive_type(segment);
    if (str_equal(type, STR("int"))) return 'i';
    if (str_equal(type, STR("uuid"))) return 'u';
    return naive_all(type, "0123456789") && type.length <= 6 ? '#' : 'x';
}

static inline bool naive_is_param(char kind)
{
    return strchr("iu#:", kind) != NULL;
}

static inline bool naive_takes(char kind, smw_str segment)
{
    if (segment.length == 0) return false;
    if (kind == 'i') return segment.length <= 18 && naive_all(segment, "0123456789");
    if (kind != 'u') return true;
    if (segment.length != 36) return false;
    for (size_t i = 0; i < 36; i++) {
        smw_str one = {segment.data + i, 1};
        const char *wanted = i == 8 || i == 13 || i == 18 || i == 23
                                 ? "-"
                                 : "0123456789abcdefABCDEF";
        if (!naive_all(one, wanted)) return false;
    }
    return true;
}

static inline long naive_number(smw_str type)
{
    long number = 0;
    for (size_t i = 0; i < type.length; i++) number = number * 10 + type.data[i] - '0';
    return number;
}

static inline int naive_check(smw_str pattern)
{
    if (pattern.length == 0 || pattern.data[0] != '/') return SMW_EPATTERN;
    smw_str rest = {pattern.data + 1, pattern.length - 1};
    size_t params = 0;
    while (rest.data != NULL) {
        smw_str segment = naive_cut(rest, &rest);
        char kind = naive_kind(segment, rest.data == NULL);
        if (kind == 'x') return SMW_EPATTERN;
        if (naive_is_param(kind) && ++params > SMW_MAX_PARAMS) return SMW_ELIMIT;
    }
    return 0;
}

/* Which of two patterns goes first where both match: negative, positive, or 0 when
 * they are the same but for the names of their parameters. */
static inline int naive_order(smw_str a, smw_str b)
{
    while (a.data != NULL && b.data != NULL) {
        smw_str x = naive_cut(a, &a), y = naive_cut(b, &b);
        const char *kinds = "siu#:*";
        long p = strchr(kinds, naive_kind(x, a.data == NULL)) - kinds;
        long q = strchr(kinds, naive_kind(y, b.data == NULL)) - kinds;
        if (p != q) return p < q ? -1 : 1;
        if (p == 3 && naive_number(naive_type(x)) != naive_number(naive_type(y)))
            return naive_number(naive_type(x)) < naive_number(naive_type(y)) ? -1 : 1;
        if (p == 0 && !str_equal(x, y)) return 1; /* not one pattern, in any case */
    }
    return a.data == b.data ? 0 : 1;
}

static inline int naive_add(naive_router *n, int method, smw_str pattern, uint32_t token)
{
    int result = naive_check(pattern);
    if (result != 0) return result;
    for (size_t i = 0; i < n->count; i++) {
        const naive_route *it = &n->routes[i];
        if (it->method == method && naive_order(it->pattern, pattern) == 0)
            return SMW_EEXIST;
    }
    if (n->count == NAIVE_ROUTES) return -ENOMEM;
    n->routes[n->count++] = (naive_route){pattern, method, token};
    return 0;
}

static inline bool naive_matches(smw_str pattern, smw_str path, router_match *match)
{
    match->param_count = 0;
    /* Targets that are no paths are seen by the `*` of the root alone. */
    if (path.data[0] != '/') return str_equal(pattern, STR("/*"));
    while (pattern.data != NULL && path.data != NULL) {
        smw_str wanted = naive_cut(pattern, &pattern);
        char kind = naive_kind(wanted, pattern.data == NULL);
        if (kind == '*') return true;
        smw_str segment = naive_cut(path, &path);
        if (kind == 's' && !str_equal(wanted, segment)) return false;
        if (naive_is_param(kind) && !naive_takes(kind, segment)) return false;
        if (naive_is_param(kind)) match->params[match->param_count++] = segment;
    }
    return pattern.data == NULL && path.data == NULL;
}

/* How well a route's method answers: the own before HEAD from GET before any; -1. */
static inline int naive_rank(int route, int method)
{
    if (route == method) return 0;
    if (method == SMW_HEAD && route == SMW_GET) return 1;
    return route == SMW_ANY ? 2 : -1;
}

/* Whether `a` goes before `b`, both of which match. */
static inline bool naive_before(const naive_route *a, const naive_route *b, int method)
{
    int order = naive_order(a->pattern, b->pattern);
    if (order != 0) return order < 0;
    return naive_rank(a->method, method) < naive_rank(b->method, method);
}

/* The first match (`after` NULL), or the one that follows `after`. */
static inline const naive_route *naive_next(const naive_router *n, int method,
                                            smw_str path, const naive_route *after,
                                            router_match *match)
{
    const naive_route *best = NULL;
    uint32_t allow = 0;
    router_match seen;
    *match = (router_match){0};
    if (path.length == 0) path = STR("/");
    for (size_t i = 0; i < n->count; i++) {
        const naive_route *it = &n->routes[i];
        if (!naive_matches(it->pattern, path, &seen)) continue;
        int rank = naive_rank(it->method, method);
        if (rank < 0 && it->method < SMW_METHODS) allow |= 1u << it->method;
        if (rank < 0 || (after != NULL && !naive_before(after, it, method))) continue;
        if (best != NULL && !naive_before(it, best, method)) continue;
        best = it;
        match->token = it->token;
        match->param_count = seen.param_count;
        memcpy(match->params, seen.params, sizeof seen.params);
    }
    if (best == NULL && after == NULL) match->allow = allow;
    return best;
}

static inline bool naive_agrees(const router_match *a, const router_match *b)
{
    if (a->token != b->token || a->allow != b->allow) return false;
    if (a->param_count != b->param_count) return false;
    for (size_t i = 0; i < a->param_count; i++)
        if (!str_equal(a->params[i], b->params[i])) return false;
    return true;
}

#endif
