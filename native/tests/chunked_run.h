/* SPDX-License-Identifier: MIT */
/* chunked_run.h - decode one input in pieces, and keep what came of it.
 *
 * Every piece lives in a heap block of exactly its size, so that AddressSanitizer
 * sees a read past its end. */
#ifndef SMW_CHUNKED_RUN_H
#define SMW_CHUNKED_RUN_H

#include "bytes.h"
#include "http_chunked.h"

#include <stdlib.h>

typedef struct chunked_outcome {
    int status;       /* 0, or the negative one that refuses the input */
    bool is_complete;
    bool is_sound;    /* what the contract says of every call was so */
    size_t used;      /* when not refused */
    size_t length;    /* of `body`, which is freed by the one who got it */
    char *body;
} chunked_outcome;

/* A block even for no bytes at all. */
static inline char *chunked_block(size_t length)
{
    char *block = malloc(length + (length == 0));
    if (block == NULL) abort();
    return block;
}

/* One call, on a block of its own. */
static inline void chunked_run_piece(http_chunked *state, const char *data, size_t length,
                                     chunked_outcome *out)
{
    size_t decoded = length + 1;
    char *block = chunked_block(length);
    memcpy(block, data, length);
    ssize_t result = http_chunked_decode(state, block, length, &decoded);
    size_t used = result > 0 ? (size_t)result : 0;
    out->is_complete = result >= 0 && http_chunked_is_complete(state);
    out->status = result < 0 ? (int)result : 0;
    out->used += used;
    if (decoded > length || used > length || (result >= 0 && decoded > used) ||
        (result >= 0 && !out->is_complete && used < length) ||
        (result >= 0 && memcmp(block + used, data + used, length - used) != 0)) {
        out->is_sound = false;
    } else {
        memcpy(out->body + out->length, block, decoded);
        out->length += decoded;
    }
    free(block);
}

/* The first piece is of `first` bytes, the others are of `step`. */
static inline chunked_outcome chunked_run(smw_str input, size_t first, size_t step)
{
    http_chunked state = {0};
    chunked_outcome out = {.is_sound = true, .body = chunked_block(input.length)};
    size_t given = 0, next = first;
    while (given < input.length && out.is_sound && out.status == 0 && !out.is_complete) {
        size_t length = next < input.length - given ? next : input.length - given;
        chunked_run_piece(&state, input.data + given, length, &out);
        given += length;
        next = step;
    }
    return out;
}

static inline bool chunked_agree(const chunked_outcome *a, const chunked_outcome *b)
{
    return a->is_sound && b->is_sound && a->status == b->status &&
           a->is_complete == b->is_complete && (a->status != 0 || a->used == b->used) &&
           a->length == b->length && memcmp(a->body, b->body, a->length) == 0;
}

#endif
