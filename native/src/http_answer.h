/* SPDX-License-Identifier: MIT */
/* http_answer.h - from an answer to the bytes of its head, and of its chunks.
 *
 * Pure: no I/O, no allocation. */
#ifndef SMW_HTTP_ANSWER_H
#define SMW_HTTP_ANSWER_H

#include "bytes.h"

/* What must be known of a request when its answer is framed. */
typedef struct http_asked {
    bool is_head;
    bool is_connect;
    bool is_old; /* HTTP/1.0 */
} http_asked;

/* How the end of an answer is told (RFC 9112 6). */
typedef struct http_framing {
    uint64_t length;
    bool has_length; /* Content-Length is said */
    bool is_chunked;
    bool has_content; /* bytes follow the head */
    bool must_close;  /* nothing but the end of the connection tells it */
} http_framing;

http_framing http_answer_framing(const smw_answer *answer, http_asked asked);

/* More than http_answer_head adds to the application's own lines. */
enum { HTTP_ANSWER_HEAD_ROOM = 256 };

/* Write the head at `p` and return where it ends. `date`: 29 bytes. `persistence`:
 * "close", "keep-alive", or NULL when that goes without saying. */
char *http_answer_head(char *p, const smw_answer *answer, const http_framing *framing,
                       const char *date, const char *persistence);

/* More than http_answer_chunk adds to the data. */
enum { HTTP_ANSWER_CHUNK_ROOM = 32 };

/* Write `data` as one chunk, none when it is empty, and the last chunk when `is_last`
 * (RFC 9112 7.1). Returns where it ends. */
char *http_answer_chunk(char *p, smw_str data, bool is_last);

#endif
