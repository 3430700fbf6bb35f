/* SPDX-License-Identifier: MIT */
/* router.c - nodes and routes in one block of memory; one hash table holds the static
 * edges of all nodes, so a node with 10,000 children costs no more to leave than one
 * with two.
 *
 * In a large table time goes into cache misses. So a static step touches two places: an
 * edge, and the node with its segment; and a route lies behind the node that was made
 * for it. Clients add no edges, hence the hash has no key: what they can make a look-up
 * pass is the longest row of edges in a table that is half empty, some tens. */
#include "router.h"

#include <errno.h>
#include <stdlib.h>

/* Nodes and routes are named by their place in the block, in units of 4 bytes. */
typedef struct node {
    uint32_t param;   /* first child for a parameter; 0: none */
    uint32_t sibling; /* of a parameter: the next one of its parent, of a later kind */
    uint32_t kind;    /* of a parameter: which segments it takes */
    uint32_t own;     /* first route of the pattern that ends here; 0: none */
    uint32_t rest;    /* first route of the pattern that ends with `*` below here */
    uint32_t statics; /* a bit for the hash of each static segment below here */
    uint32_t length;
    char segment[];
} node;

/* Those of other kinds stand between: they are the caller's to tell apart. */
enum { KIND_INT, KIND_UUID, KIND_OTHER };
#define KIND_TEXT UINT32_MAX

typedef struct route {
    uint32_t token;
    uint32_t next; /* of the same pattern; 0: none */
    int method;
} route;

typedef struct edge {
    uint32_t hash;
    uint32_t to; /* 0: free, for no edge leads to the root */
} edge;

struct router {
    uint32_t *block; /* the root is at 0 */
    uint32_t used;
    uint32_t capacity;
    edge *edges; /* open addressing, at most half full */
    uint32_t edge_capacity;
    uint32_t edge_count;
};

typedef struct part {
    smw_str segment;
    uint32_t hash;
} part;

static void read_part(part *it, const char *p, const char *end)
{
    const char *start = p;
    uint32_t h = 2166136261u; /* FNV-1a */
    for (; p < end && *p != '/'; p++) h = (h ^ (unsigned char)*p) * 16777619u;
    it->segment = str_range(start, p);
    it->hash = h;
}

/* One-to-one for each segment: edges of one hash and one segment leave one node. */
static uint32_t edge_hash(uint32_t from, uint32_t hash)
{
    uint32_t h = (hash ^ from * 2654435761u) * 2246822519u;
    return h ^ h >> 15;
}

static uint32_t static_bit(uint32_t hash)
{
    return 1u << (hash >> 27);
}

static node *node_at(const router *r, uint32_t place)
{
    return (node *)(r->block + place);
}

static route *route_at(const router *r, uint32_t place)
{
    return (route *)(r->block + place);
}

/* Find room for `size` bytes. Nodes and routes may move. */
static int add_room(router *r, size_t size, uint32_t *place)
{
    size_t units = (size + sizeof *r->block - 1) / sizeof *r->block;
    if (units > UINT32_MAX / 2 - r->used) return -ENOMEM;
    uint32_t used = r->used + (uint32_t)units;
    if (used > r->capacity) {
        uint32_t *block = realloc(r->block, (size_t)used * 2 * sizeof *block);
        if (block == NULL) return -ENOMEM;
        r->block = block;
        r->capacity = used * 2;
    }
    *place = r->used;
    r->used = used;
    return 0;
}

static int add_node(router *r, smw_str segment, uint32_t *place)
{
    int result = add_room(r, sizeof(node) + segment.length, place);
    if (result != 0) return result;
    node *it = node_at(r, *place);
    *it = (node){.length = (uint32_t)segment.length};
    memcpy(it->segment, segment.data, segment.length);
    return 0;
}

router *router_new(void)
{
    router *r = calloc(1, sizeof *r);
    uint32_t root;
    if (r != NULL && add_node(r, STR(""), &root) == 0) return r;
    free(r);
    return NULL;
}

void router_free(router *r)
{
    if (r == NULL) return;
    free(r->edges);
    free(r->block);
    free(r);
}

/* The child a static segment leads to; 0: none. */
static uint32_t follow(const router *r, uint32_t from, const part *it)
{
    if ((node_at(r, from)->statics & static_bit(it->hash)) == 0) return 0;
    uint32_t hash = edge_hash(from, it->hash), mask = r->edge_capacity - 1;
    for (uint32_t i = hash & mask; r->edges[i].to != 0; i = (i + 1) & mask) {
        if (r->edges[i].hash != hash) continue;
        const node *to = node_at(r, r->edges[i].to);
        if (str_equal((smw_str){to->segment, to->length}, it->segment))
            return r->edges[i].to;
    }
    return 0;
}

static void put_edge(edge *edges, uint32_t capacity, edge it)
{
    uint32_t i = it.hash & (capacity - 1);
    while (edges[i].to != 0) i = (i + 1) & (capacity - 1);
    edges[i] = it;
}

static int grow_edges(router *r)
{
    if (r->edge_count * 2 < r->edge_capacity) return 0;
    uint32_t capacity = r->edge_capacity ? r->edge_capacity * 2 : 16;
    edge *edges = calloc(capacity, sizeof *edges);
    if (edges == NULL) return -ENOMEM;
    for (uint32_t i = 0; i < r->edge_capacity; i++)
        if (r->edges[i].to != 0) put_edge(edges, capacity, r->edges[i]);
    free(r->edges);
    r->edges = edges;
    r->edge_capacity = capacity;
    return 0;
}

static int static_child(router *r, uint32_t from, const part *it, uint32_t *to)
{
    *to = follow(r, from, it);
    if (*to != 0) return 0;
    if (grow_edges(r) != 0 || add_node(r, it->segment, to) != 0) return -ENOMEM;
    put_edge(r->edges, r->edge_capacity, (edge){edge_hash(from, it->hash), *to});
    r->edge_count++;
    node_at(r, from)->statics |= static_bit(it->hash);
    return 0;
}

/* What `:name<type>` says: int, uuid, or a number of the caller's own; none is text. */
static int read_kind(smw_str segment, uint32_t *kind)
{
    const char *end = segment.data + segment.length;
    const char *p = memchr(segment.data, '<', segment.length);
    *kind = KIND_TEXT;
    if (p == NULL) return 0;
    if (p == segment.data + 1 || end[-1] != '>') return SMW_EPATTERN;
    smw_str type = str_range(p + 1, end - 1);
    uint32_t number = 0;
    if (str_equal(type, STR("int"))) *kind = KIND_INT;
    else if (str_equal(type, STR("uuid"))) *kind = KIND_UUID;
    else if (type.length == 0 || type.length > 6) return SMW_EPATTERN;
    else {
        for (size_t i = 0; i < type.length; i++) {
            if (type.data[i] < '0' || type.data[i] > '9') return SMW_EPATTERN;
            number = number * 10 + (uint32_t)(type.data[i] - '0');
        }
        *kind = KIND_OTHER + number;
    }
    return 0;
}

static int param_child(router *r, uint32_t from, uint32_t kind, uint32_t *to)
{
    uint32_t before = 0, next = node_at(r, from)->param;
    while (next != 0 && node_at(r, next)->kind < kind) {
        before = next;
        next = node_at(r, next)->sibling;
    }
    *to = next;
    if (next != 0 && node_at(r, next)->kind == kind) return 0;
    int result = add_node(r, STR(""), to);
    if (result != 0) return result;
    node_at(r, *to)->kind = kind;
    node_at(r, *to)->sibling = next;
    if (before != 0) node_at(r, before)->sibling = *to;
    else node_at(r, from)->param = *to;
    return 0;
}

static uint32_t *first_route(const router *r, uint32_t at, bool is_rest)
{
    node *it = node_at(r, at);
    return is_rest ? &it->rest : &it->own;
}

static int add_route(router *r, uint32_t at, bool is_rest, int method, uint32_t token)
{
    uint32_t last = 0, place;
    for (uint32_t i = *first_route(r, at, is_rest); i != 0; i = route_at(r, i)->next) {
        if (route_at(r, i)->method == method) return SMW_EEXIST;
        last = i;
    }
    if (add_room(r, sizeof(route), &place) != 0) return -ENOMEM;
    *route_at(r, place) = (route){token, 0, method};
    *(last != 0 ? &route_at(r, last)->next : first_route(r, at, is_rest)) = place;
    return 0;
}

int router_add(router *r, int method, smw_str pattern, uint32_t token)
{
    bool is_method = method >= 0 && method <= SMW_ANY && method != SMW_OTHER;
    if (!is_method || token == 0) return -EINVAL;
    if (pattern.length == 0 || pattern.data[0] != '/') return SMW_EPATTERN;
    const char *p = pattern.data, *end = pattern.data + pattern.length;
    uint32_t at = 0;
    size_t params = 0;
    while (p < end) {
        part it;
        read_part(&it, p + 1, end);
        p = it.segment.data + it.segment.length;
        if (str_equal(it.segment, STR("*")))
            return p < end ? SMW_EPATTERN : add_route(r, at, true, method, token);
        bool is_param = it.segment.length > 0 && it.segment.data[0] == ':';
        if (is_param && it.segment.length == 1) return SMW_EPATTERN;
        uint32_t kind = KIND_TEXT;
        int result = is_param ? read_kind(it.segment, &kind) : 0;
        if (result != 0) return result;
        if (is_param && ++params > SMW_MAX_PARAMS) return SMW_ELIMIT;
        result = is_param ? param_child(r, at, kind, &at) : static_child(r, at, &it, &at);
        if (result != 0) return result;
    }
    return add_route(r, at, false, method, token);
}

/* ---- looking up ---- */

enum { KEPT = 32 };

typedef struct walk {
    const router *router;
    const char *end;
    int method;
    uint32_t skip; /* matches that are still to be passed over */
    router_match *match;
    /* Where static segments and parameters mix, the walk comes back to a segment for
     * node after node. It is read once, for clients choose its length. Only patterns
     * that mix deeper than KEPT make the walk read again. */
    uint32_t kept;
    part parts[KEPT];
} walk;

static uint32_t token_of(const router *r, uint32_t first, int method)
{
    for (uint32_t i = first; i != 0; i = route_at(r, i)->next)
        if (route_at(r, i)->method == method) return route_at(r, i)->token;
    return 0;
}

static bool take(walk *w, uint32_t token)
{
    if (token == 0) return false;
    if (w->skip > 0) {
        w->skip--;
        return false;
    }
    w->match->token = token;
    return true;
}

/* Take one of a pattern's routes, or note which methods it has. */
static bool accept(walk *w, uint32_t first)
{
    const router *r = w->router;
    if (first == 0) return false;
    if (take(w, token_of(r, first, w->method))) return true;
    if (w->method == SMW_HEAD && take(w, token_of(r, first, SMW_GET))) return true;
    if (take(w, token_of(r, first, SMW_ANY))) return true;
    for (uint32_t i = first; i != 0; i = route_at(r, i)->next)
        w->match->allow |= 1u << route_at(r, i)->method;
    return false;
}

static const part *part_at(walk *w, uint32_t depth, const char *p, part *spare)
{
    if (depth < w->kept) return &w->parts[depth];
    part *it = depth < KEPT ? &w->parts[w->kept++] : spare;
    read_part(it, p, w->end);
    return it;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* 8-4-4-4-12 hexadecimal digits (RFC 9562 4). */
static bool is_uuid(smw_str it)
{
    if (it.length != 36) return false;
    for (size_t i = 0; i < it.length; i++) {
        bool is_dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (is_dash ? it.data[i] != '-' : !is_hex(it.data[i])) return false;
    }
    return true;
}

/* One that fits 64 bits: so the walk, which may come here from many nodes, reads no more
 * of a segment whose length the client has chosen. */
static bool is_int(smw_str it)
{
    if (it.length > 18) return false;
    for (size_t i = 0; i < it.length; i++)
        if (!is_digit(it.data[i])) return false;
    return true;
}

static bool takes(uint32_t kind, smw_str segment)
{
    if (kind == KIND_INT) return is_int(segment);
    if (kind == KIND_UUID) return is_uuid(segment);
    return true;
}

static bool find(walk *w, uint32_t at, uint32_t depth, const char *p);

static bool enter(walk *w, uint32_t child, uint32_t depth, smw_str segment)
{
    const char *end = segment.data + segment.length;
    if (end == w->end) return accept(w, node_at(w->router, child)->own);
    return find(w, child, depth, end + 1);
}

/* Static before `:name` before `*`. As deep as the longest pattern at most. No node is
 * visited twice: each is entered from its parent alone, and by one segment. */
static bool find(walk *w, uint32_t at, uint32_t depth, const char *p)
{
    const node *here = node_at(w->router, at);
    if (here->statics == 0 && here->param == 0) return accept(w, here->rest);
    part spare;
    const part *it = part_at(w, depth, p, &spare);
    uint32_t child = follow(w->router, at, it);
    if (child != 0 && enter(w, child, depth + 1, it->segment)) return true;
    if (it->segment.length == 0) return accept(w, here->rest);
    for (child = here->param; child != 0; child = node_at(w->router, child)->sibling) {
        if (!takes(node_at(w->router, child)->kind, it->segment)) continue;
        w->match->params[w->match->param_count++] = it->segment;
        if (enter(w, child, depth + 1, it->segment)) return true;
        w->match->param_count--;
    }
    return accept(w, here->rest);
}

void router_find(const router *r, int method, smw_str path, uint32_t skip,
                 router_match *match)
{
    match->token = 0;
    match->allow = 0;
    match->param_count = 0;
    if (path.length == 0) path = STR("/"); /* RFC 9112 3.2.1 */
    walk w; /* not cleared: only the parts that were read are looked at */
    w.router = r;
    w.end = path.data + path.length;
    w.method = method;
    w.skip = skip;
    w.match = match;
    w.kept = 0;
    /* `OPTIONS *` and CONNECT's authority are not paths; only the root's `*` sees them. */
    if (path.data[0] != '/') accept(&w, node_at(r, 0)->rest);
    else find(&w, 0, 0, path.data + 1);
    if (match->token != 0 || skip > 0) match->allow = 0;
}
