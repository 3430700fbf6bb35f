/* SPDX-License-Identifier: MIT */
/* http_chunked.h - from the chunked transfer coding to a body (RFC 9112 7.1).
 *
 * Pure: no I/O, no allocation, no state but the struct. Strict: every line ends with
 * CRLF and has white space only where the grammar puts it, though RFC 9112 2.2 would
 * let a bare LF pass: where two programs differ about the end of a line, requests are
 * smuggled. */
#ifndef SMW_HTTP_CHUNKED_H
#define SMW_HTTP_CHUNKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Without them a peer could send for ever and never reach a limit of the body. */
enum {
    HTTP_CHUNKED_MAX_DIGITS = 32, /* of a size, whose value is at most 2^63 - 1 */
    /* What stands between size and CRLF, in all chunks of a body together. */
    HTTP_CHUNKED_MAX_EXTENSIONS = 16384,
    HTTP_CHUNKED_MAX_TRAILERS = 16384, /* bytes of field lines with their CRLF */
    HTTP_CHUNKED_MAX_TRAILER_LINES = 100,
};

/* Of `phase`; the others are the decoder's own. */
enum { HTTP_CHUNKED_COMPLETE = 1 };

/* All zero: at the beginning of a body. */
typedef struct http_chunked {
    uint64_t left; /* bytes of the current chunk's data still to come */
    uint16_t extension_bytes;
    uint16_t trailer_bytes;
    uint8_t trailer_lines;
    uint8_t digits; /* of the current size */
    uint8_t phase;
} http_chunked;

/* Decode in place: the body's bytes in `data` are moved together at its front,
 * `*decoded` of them. Extensions and trailers are checked and dropped: RFC 9110 6.5.1
 * lets a trailer be merged only where its field is known to be safe.
 *
 * Returns the bytes used of `data`: all of it until the body is complete, then only up
 * to its end; what follows is the next request's and stays as it was. What is left
 * between the decoded bytes and the used ones is of no value. Call again with more
 * until http_chunked_is_complete(); from then on nothing is used.
 *
 * Or returns the negative HTTP status that refuses the message: -400, or -431 for
 * trailers over a limit. `*decoded` then counts the bytes of this call before the
 * fault, and the state must not be used again.
 *
 * The same bytes give the same verdict and the same decoded bytes in whatever pieces
 * they come: the first byte that cannot stand where it does refuses the message. */
ssize_t http_chunked_decode(http_chunked *state, char *data, size_t length,
                            size_t *decoded);

static inline bool http_chunked_is_complete(const http_chunked *state)
{
    return state->phase == HTTP_CHUNKED_COMPLETE;
}

#endif
