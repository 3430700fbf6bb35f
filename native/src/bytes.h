/* SPDX-License-Identifier: MIT */
/* bytes.h - slices of bytes that somebody else owns. */
#ifndef SMW_BYTES_H
#define SMW_BYTES_H

#include "smw.h"

#include <string.h>

#define STR(literal) ((smw_str){(literal), sizeof(literal) - 1})

static inline smw_str str_range(const char *start, const char *end)
{
    return (smw_str){start, (size_t)(end - start)};
}

static inline bool str_equal(smw_str a, smw_str b)
{
    return a.length == b.length && (a.length == 0 || memcmp(a.data, b.data, a.length) == 0);
}

static inline char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* ASCII case only, whatever the locale. `lower_case` must be lower-case already. */
static inline bool str_equal_nocase(smw_str a, smw_str lower_case)
{
    if (a.length != lower_case.length) return false;
    for (size_t i = 0; i < a.length; i++)
        if (lower(a.data[i]) != lower_case.data[i]) return false;
    return true;
}

#endif
