/* SPDX-License-Identifier: MIT */
/* http_parser.h - from bytes to a request head.
 *
 * Pure: no I/O, no allocation, no state but the place where the scan stopped. The
 * verdict depends on complete lines alone, so it is the same in whatever pieces
 * the bytes arrive. Strict: no bare LF or CR, no folding, no space before a colon. */
#ifndef SMW_HTTP_PARSER_H
#define SMW_HTTP_PARSER_H

#include "bytes.h"

#include <sys/types.h>

enum { HTTP_MAX_FIELDS = 100 };

typedef struct http_limits {
    uint32_t max_head;
    uint32_t max_line;
    uint32_t max_fields; /* at most HTTP_MAX_FIELDS */
} http_limits;

/* Numbered fields that the core itself looks at; smw_header_name lists all. */
enum {
    FIELD_HOST = 0,
    FIELD_EXPECT = 4,
    FIELD_CONNECTION = 10,
    FIELD_CONTENT_LENGTH = 19,
    FIELD_TRANSFER_ENCODING = 31,
};

typedef struct http_head {
    smw_str text;   /* the whole head, without empty lines in front of it */
    smw_str method_name;
    smw_str target;
    smw_str path;   /* empty: "/" */
    smw_str query;  /* data NULL: the target has no "?" */
    const char *field_lines;
    int method;     /* SMW_GET... or SMW_OTHER */
    int minor;      /* of HTTP/1.x; above 1 is treated as 1 (RFC 9110 2.5) */
    bool is_keep_alive;
    bool is_chunked;
    bool has_length;
    bool expects_continue;
    uint64_t content_length;
    size_t field_count;
    smw_field fields[HTTP_MAX_FIELDS]; /* only the first field_count are set */
} http_head;

/* Parse one request head from the start of `input`.
 *
 * Returns the bytes used, 0 when the head is incomplete (call again with more and
 * the same `scanned`, which begins as 0), or the negative HTTP status that refuses
 * it: -400, -413, -414, -417, -431, -501, -505. Field names are put into lower case in
 * place; nothing else is written. Slices in `head` borrow from `input`. */
ssize_t http_parse_head(char *input, size_t length, size_t *scanned,
                        const http_limits *limits, http_head *head);

/* The number of a method by its name, or SMW_OTHER. Case matters (RFC 9110 9.1). */
int http_method(smw_str name);

#endif
