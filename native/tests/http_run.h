/* SPDX-License-Identifier: MIT */
/* http_run.h - give one input to the parser in every possible pair of pieces.
 *
 * Every piece lives in a heap block of exactly its size, so that AddressSanitizer
 * sees a read past its end. */
#ifndef SMW_HTTP_RUN_H
#define SMW_HTTP_RUN_H

#include "http_parser.h"

#include "test.h"

static const http_limits run_limits = {
    .max_head = 16384, .max_line = 8192, .max_fields = HTTP_MAX_FIELDS};

static inline char *run_copy(const char *data, size_t length)
{
    char *copy = malloc(length);
    if (copy == NULL) abort();
    return memcpy(copy, data, length);
}

static inline ssize_t run_whole(smw_str input, const http_limits *limits)
{
    http_head head;
    size_t scanned = 0;
    char *copy = run_copy(input.data, input.length);
    ssize_t result = http_parse_head(copy, input.length, &scanned, limits, &head);
    free(copy);
    return result;
}

/* First `split` bytes, then all of them: what a connection held, and one read more. */
static inline ssize_t run_split(smw_str input, size_t split, const http_limits *limits)
{
    http_head head;
    size_t scanned = 0;
    char *first = run_copy(input.data, split);
    ssize_t result = http_parse_head(first, split, &scanned, limits, &head);
    if (result == 0) {
        /* What the parser put into lower case stays so. */
        char *all = run_copy(input.data, input.length);
        memcpy(all, first, split);
        result = http_parse_head(all, input.length, &scanned, limits, &head);
        free(all);
    }
    free(first);
    return result;
}

static inline ssize_t run_bytewise(smw_str input, const http_limits *limits)
{
    http_head head;
    size_t scanned = 0;
    ssize_t result = 0;
    char *held = NULL;
    for (size_t length = 1; result == 0 && length <= input.length; length++) {
        char *more = run_copy(input.data, length);
        if (held != NULL) memcpy(more, held, length - 1);
        free(held);
        held = more;
        result = http_parse_head(held, length, &scanned, limits, &head);
    }
    free(held);
    return result;
}

/* The verdict must be the same in whatever pieces the bytes arrive. */
static inline void run_everywhere(const char *sentence, smw_str input,
                                  const http_limits *limits, ssize_t wanted)
{
    test_say(run_whole(input, limits) == wanted, sentence, 0, "whole",
             run_whole(input, limits), wanted);
    test_say(run_bytewise(input, limits) == wanted, sentence, 0, "byte by byte",
             run_bytewise(input, limits), wanted);
    for (size_t split = 1; split < input.length; split++) {
        ssize_t found = run_split(input, split, limits);
        if (!test_say(found == wanted, sentence, (int)split, "split there", found,
                      wanted))
            return;
    }
}

#endif
