/* SPDX-License-Identifier: MIT */
/* router.c - nodes by number; one hash table holds the static edges of all nodes,
 * so a node with 10,000 children costs no more to leave than one with two. */
#include "router.h"

#include <errno.h>
#include <stdlib.h>

typedef struct endpoint {
    uint32_t tokens[SMW_ANY + 1]; /* by method; 0: none */
} endpoint;

typedef struct node {
    uint32_t param;  /* child for `:name`; 0: none */
    uint32_t own;    /* endpoint + 1 of patterns that end here */
    uint32_t rest;   /* endpoint + 1 of patterns that end with `*` below here */
} node;

typedef struct edge {
    char *segment; /* NULL: free */
    uint32_t length;
    uint32_t from;
    uint32_t to;
} edge;

struct router {
    node *nodes; /* 0 is the root, which no edge leads to */
    uint32_t node_count;
    endpoint *endpoints;
    uint32_t endpoint_count;
    edge *edges; /* open addressing, at most half full */
    uint32_t edge_capacity;
    uint32_t edge_count;
};

static uint32_t hash(uint32_t from, const char *segment, size_t length)
{
    uint32_t h = 2166136261u ^ (from * 2654435761u); /* FNV-1a */
    for (size_t i = 0; i < length; i++) h = (h ^ (unsigned char)segment[i]) * 16777619u;
    return h ^ h >> 15;
}

/* Tables grow by doubling when their count reaches a power of two. */
static void *grown(void *table, uint32_t count, size_t size)
{
    if (count != 0 && (count & (count - 1)) != 0) return table;
    return realloc(table, (count ? (size_t)count * 2 : 1) * size);
}

static int add_node(router *r, uint32_t *number)
{
    node *nodes = grown(r->nodes, r->node_count, sizeof *nodes);
    if (nodes == NULL) return -ENOMEM;
    r->nodes = nodes;
    nodes[r->node_count] = (node){0};
    *number = r->node_count++;
    return 0;
}

router *router_new(void)
{
    router *r = calloc(1, sizeof *r);
    uint32_t root;
    if (r != NULL && add_node(r, &root) == 0) return r;
    free(r);
    return NULL;
}

void router_free(router *r)
{
    if (r == NULL) return;
    for (uint32_t i = 0; i < r->edge_capacity; i++) free(r->edges[i].segment);
    free(r->edges);
    free(r->endpoints);
    free(r->nodes);
    free(r);
}

static edge *edge_slot(edge *edges, uint32_t capacity, uint32_t from, smw_str segment)
{
    uint32_t i = hash(from, segment.data, segment.length) & (capacity - 1);
    for (;; i = (i + 1) & (capacity - 1)) {
        edge *e = &edges[i];
        if (e->segment == NULL) return e;
        if (e->from == from && str_equal((smw_str){e->segment, e->length}, segment))
            return e;
    }
}

/* The child a static segment leads to; 0: none (no edge leads to the root). */
static uint32_t follow(const router *r, uint32_t from, smw_str segment)
{
    if (r->edge_capacity == 0) return 0;
    const edge *e = edge_slot(r->edges, r->edge_capacity, from, segment);
    return e->segment != NULL ? e->to : 0;
}

static int grow_edges(router *r)
{
    if (r->edge_count * 2 < r->edge_capacity) return 0;
    uint32_t capacity = r->edge_capacity ? r->edge_capacity * 2 : 16;
    edge *edges = calloc(capacity, sizeof *edges);
    if (edges == NULL) return -ENOMEM;
    for (uint32_t i = 0; i < r->edge_capacity; i++) {
        edge *e = &r->edges[i];
        if (e->segment == NULL) continue;
        *edge_slot(edges, capacity, e->from, (smw_str){e->segment, e->length}) = *e;
    }
    free(r->edges);
    r->edges = edges;
    r->edge_capacity = capacity;
    return 0;
}

static int static_child(router *r, uint32_t from, smw_str segment, uint32_t *to)
{
    *to = follow(r, from, segment);
    if (*to != 0) return 0;
    /* One byte more than needed: an empty segment is a segment, too. */
    char *copy = malloc(segment.length + 1);
    if (copy == NULL || grow_edges(r) != 0 || add_node(r, to) != 0) {
        free(copy);
        return -ENOMEM;
    }
    memcpy(copy, segment.data, segment.length);
    *edge_slot(r->edges, r->edge_capacity, from, segment) =
        (edge){copy, (uint32_t)segment.length, from, *to};
    r->edge_count++;
    return 0;
}

static int param_child(router *r, uint32_t from, uint32_t *to)
{
    *to = r->nodes[from].param;
    if (*to != 0) return 0;
    int result = add_node(r, to);
    if (result == 0) r->nodes[from].param = *to;
    return result;
}

static int set_token(router *r, uint32_t *place, int method, uint32_t token)
{
    if (*place == 0) {
        endpoint *table = grown(r->endpoints, r->endpoint_count, sizeof *table);
        if (table == NULL) return -ENOMEM;
        r->endpoints = table;
        table[r->endpoint_count] = (endpoint){0};
        *place = ++r->endpoint_count;
    }
    uint32_t *known = &r->endpoints[*place - 1].tokens[method];
    if (*known != 0) return SMW_EEXIST;
    *known = token;
    return 0;
}

int router_add(router *r, int method, smw_str pattern, uint32_t token)
{
    bool is_method = method >= 0 && method <= SMW_ANY && method != SMW_OTHER;
    if (!is_method || token == 0) return -EINVAL;
    if (pattern.length == 0 || pattern.data[0] != '/') return SMW_EPATTERN;
    const char *p = pattern.data + 1, *end = pattern.data + pattern.length;
    uint32_t at = 0;
    size_t params = 0;
    for (;;) {
        const char *slash = p < end ? memchr(p, '/', (size_t)(end - p)) : NULL;
        smw_str segment = str_range(p, slash != NULL ? slash : end);
        if (str_equal(segment, STR("*"))) {
            if (slash != NULL) return SMW_EPATTERN;
            return set_token(r, &r->nodes[at].rest, method, token);
        }
        bool is_param = segment.length > 0 && segment.data[0] == ':';
        if (is_param && segment.length == 1) return SMW_EPATTERN;
        if (is_param && ++params > SMW_MAX_PARAMS) return SMW_ELIMIT;
        int result =
            is_param ? param_child(r, at, &at) : static_child(r, at, segment, &at);
        if (result != 0) return result;
        if (slash == NULL) return set_token(r, &r->nodes[at].own, method, token);
        p = slash + 1;
    }
}

/* Take the endpoint's token for the method, or note which methods it has. */
static bool accept(const router *r, uint32_t place, int method, router_match *match)
{
    if (place == 0) return false;
    const uint32_t *tokens = r->endpoints[place - 1].tokens;
    uint32_t token = tokens[method];
    if (token == 0 && method == SMW_HEAD) token = tokens[SMW_GET];
    if (token == 0) token = tokens[SMW_ANY];
    match->token = token;
    if (token != 0) return true;
    for (int i = 0; i < SMW_METHODS; i++)
        if (tokens[i] != 0) match->allow |= 1u << i;
    return false;
}

/* Static before `:name` before `*`. As deep as the longest pattern at most, and no
 * node is visited twice, whatever the path. */
static bool find(const router *r, uint32_t at, const char *p, const char *end, int method,
                 router_match *match)
{
    const char *slash = p < end ? memchr(p, '/', (size_t)(end - p)) : NULL;
    smw_str segment = str_range(p, slash != NULL ? slash : end);
    const node *here = &r->nodes[at];
    uint32_t child = follow(r, at, segment);
    if (child != 0 && (slash != NULL ? find(r, child, slash + 1, end, method, match)
                                     : accept(r, r->nodes[child].own, method, match)))
        return true;
    if (here->param != 0 && segment.length > 0) {
        match->params[match->param_count++] = segment;
        if (slash != NULL ? find(r, here->param, slash + 1, end, method, match)
                          : accept(r, r->nodes[here->param].own, method, match))
            return true;
        match->param_count--;
    }
    return accept(r, here->rest, method, match);
}

void router_find(const router *r, int method, smw_str path, router_match *match)
{
    match->token = 0;
    match->allow = 0;
    match->param_count = 0;
    if (path.length == 0) path = STR("/"); /* RFC 9112 3.2.1 */
    /* `OPTIONS *` and CONNECT's authority are not paths; only the root's `*` sees them. */
    if (path.data[0] != '/') {
        accept(r, r->nodes[0].rest, method, match);
        return;
    }
    find(r, 0, path.data + 1, path.data + path.length, method, match);
}
