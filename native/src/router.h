/* SPDX-License-Identifier: MIT */
/* router.h - a trie of patterns: method and path in, token and parameters out.
 *
 * A look-up allocates nothing and hashes each segment once, however many routes
 * there are. Paths are compared as they came, without percent-decoding. */
#ifndef SMW_ROUTER_H
#define SMW_ROUTER_H

#include "bytes.h"

typedef struct router router;

typedef struct router_match {
    uint32_t token;  /* 0: no route; tokens are never 0 */
    uint32_t allow;  /* without a token: bit per method that would have matched */
    smw_str params[SMW_MAX_PARAMS];
    size_t param_count;
} router_match;

/* NULL when memory is short. */
router *router_new(void);
void router_free(router *r);

/* 0, -ENOMEM, SMW_EPATTERN, SMW_EEXIST or SMW_ELIMIT (too many parameters). */
int router_add(router *r, int method, smw_str pattern, uint32_t token);

/* Fill `match`; its parameters borrow from `path`. HEAD falls back on GET. */
void router_find(const router *r, int method, smw_str path, router_match *match);

#endif
