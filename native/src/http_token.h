/* SPDX-License-Identifier: MIT */
/* http_token.h - the bytes of a token (RFC 9110 5.6.2). */
#ifndef SMW_HTTP_TOKEN_H
#define SMW_HTTP_TOKEN_H

#include <stdbool.h>

/* What a byte becomes inside a token: itself in lower case, or 0 when it cannot stand
 * there. */
extern const unsigned char http_token_lower[256];

static inline bool is_token_char(char c)
{
    return http_token_lower[(unsigned char)c] != 0;
}

#endif
