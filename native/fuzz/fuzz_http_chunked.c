/* SPDX-License-Identifier: MIT */
/* fuzz_http_chunked.c - any bytes, in any pieces: the same verdict and the same body,
 * as the naive decoder finds them.
 *
 * The first byte chooses what stands in front, the second where to split; the rest is
 * input. What stands in front brings the limits within reach. */
#include "../tests/naive_chunked.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* So that the byte-by-byte run, which takes a block a byte, stays cheap. */
enum { MOST = 2048 };

/* `start`, then `count` times `again`. */
static const struct front {
    const char *start;
    const char *again;
    size_t count;
} fronts[] = {
    {"", "", 0},
    {"00000000000000000000000000000", "", 0},
    {"1;", "a", HTTP_CHUNKED_MAX_EXTENSIONS - 20},
    {"1;b=\"", "\\\"", HTTP_CHUNKED_MAX_EXTENSIONS / 2 - 10},
    {"0\r\nX:", "a", HTTP_CHUNKED_MAX_TRAILERS - 20},
    {"0\r\n", "x:\r\n", HTTP_CHUNKED_MAX_TRAILER_LINES - 2},
};

static void require(bool holds)
{
    if (!holds) abort();
}

static size_t put_front(char *to, const struct front *it)
{
    size_t start = strlen(it->start), again = strlen(it->again);
    memcpy(to, it->start, start);
    to += start;
    for (size_t i = 0; i < it->count; i++, to += again) memcpy(to, it->again, again);
    return start + it->count * again;
}

static void require_same(const chunked_outcome *wanted, chunked_outcome found)
{
    require(chunked_agree(wanted, &found));
    free(found.body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char text[HTTP_CHUNKED_MAX_EXTENSIONS + HTTP_CHUNKED_MAX_TRAILERS + MOST];
    if (size < 3 || size > MOST) return 0;
    size_t front = put_front(text, &fronts[data[0] % (sizeof fronts / sizeof *fronts)]);
    memcpy(text + front, data + 2, size - 2);
    smw_str input = {text, front + size - 2};
    size_t split = front + 1 + data[1] % (size - 2);
    chunked_outcome whole = chunked_run(input, input.length, 1);
    require_same(&whole, naive_decode(input));
    require_same(&whole, chunked_run(input, split, input.length));
    require_same(&whole, chunked_run(input, split, 7));
    require_same(&whole, chunked_run(input, front + 1, 1));
    free(whole.body);
    return 0;
}
