/* SPDX-License-Identifier: MIT */
/* router.h - a trie of patterns: method and path in, token and parameters out.
 *
 * A look-up allocates nothing. It takes time for the bytes of the path, each read once,
 * and for the nodes that the path leads to: of those n segments deep 2^n at most, all
 * made by patterns, and one where no place has both a static segment and a parameter.
 * So no path costs more than its length and the table's size together.
 *
 * Paths are compared as they came, without percent-decoding. */
#ifndef SMW_ROUTER_H
#define SMW_ROUTER_H

#include "bytes.h"

typedef struct router router;

typedef struct router_match {
    uint32_t token;  /* 0: no such match; tokens are never 0 */
    uint32_t allow;  /* no match at all: bit per method that would have matched */
    smw_str params[SMW_MAX_PARAMS];
    size_t param_count;
} router_match;

/* NULL when memory is short. */
router *router_new(void);
void router_free(router *r);

/* 0, -ENOMEM, SMW_EPATTERN, SMW_EEXIST or SMW_ELIMIT (too many parameters). */
int router_add(router *r, int method, smw_str pattern, uint32_t token);

/* Fill `match` with the match number `skip`, from 0; its parameters borrow from `path`.
 * Matches come in this order: where they part, static before parameters before `*`, and of
 * parameters `:name<int>` (1 to 18 digits) before `:name<uuid>` before `:name<N>`, a number that stands for
 * a kind of the caller's own and takes any segment, before `:name`; for one
 * pattern the method's own route, for HEAD then that of GET, then that of any method. */
void router_find(const router *r, int method, smw_str path, uint32_t skip,
                 router_match *match);

#endif
