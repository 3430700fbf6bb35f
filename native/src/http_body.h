/* SPDX-License-Identifier: MIT */
/* http_body.h - the body of a request: how its end is told, and how much may come.
 *
 * Pure: no I/O, no allocation. */
#ifndef SMW_HTTP_BODY_H
#define SMW_HTTP_BODY_H

#include "http_chunked.h"
#include "http_parser.h"

/* All zero: no body, or one that is complete. */
typedef struct http_body {
    uint64_t left; /* bytes to come; chunked: that may come at most */
    http_chunked chunked;
    bool is_chunked;
} http_body;

/* Begin the body that a head announces, of at most `most` bytes. 0 or -413. */
int http_body_begin(http_body *body, const http_head *head, uint64_t most);

/* Whether nothing more of it will come. */
static inline bool http_body_is_complete(const http_body *body)
{
    return !body->is_chunked && body->left == 0;
}

/* Take what belongs to the body from the front of `data`, and move its content
 * together there, `*content` bytes. Returns the bytes used, or the negative status that
 * refuses the message: -400, -413, -431. */
ssize_t http_body_take(http_body *body, char *data, size_t length, size_t *content);

/* Let no more than `most` bytes come from here on. False when it is known to be more. */
bool http_body_cut(http_body *body, uint64_t most);

#endif
