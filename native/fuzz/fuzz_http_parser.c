/* SPDX-License-Identifier: MIT */
/* fuzz_http_parser.c - any bytes, in any pieces: the same verdict, and a head that
 * lies within the input.
 *
 * The first byte chooses the limits, the second where to split; the rest is input. */
#include "http_fields.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* So that the byte-by-byte run, which copies the input once a byte, stays cheap. */
enum { MOST = 2048 };

static const http_limits limits[] = {
    {.max_head = 16384, .max_line = 8192, .max_fields = HTTP_MAX_FIELDS},
    {.max_head = 64, .max_line = 24, .max_fields = 2},
    {.max_head = 40, .max_line = 60, .max_fields = 1},
    {.max_head = 1024, .max_line = 512, .max_fields = 8},
};

static void require(bool holds)
{
    if (!holds) abort();
}

/* A block of its own size, so that a read past its end is seen. `held` is what came
 * before, with what the parser put into lower case. */
static char *copy(const char *data, size_t length, const char *held, size_t held_length)
{
    char *block = malloc(length);
    require(block != NULL);
    memcpy(block, data, length);
    if (held_length > 0) memcpy(block, held, held_length);
    return block;
}

static void require_within(const http_head *head, smw_str slice)
{
    const char *end = head->text.data + head->text.length;
    require(slice.data >= head->text.data && slice.data + slice.length <= end);
}

static void require_field(const http_head *head, const smw_field *field)
{
    require_within(head, field->name);
    require_within(head, field->value);
    require(field->name.length > 0 && field->name.data >= head->field_lines);
    for (size_t i = 0; i < field->name.length; i++)
        require(field->name.data[i] == lower(field->name.data[i]));
    bool is_ascii = true;
    for (size_t i = 0; i < field->value.length; i++) {
        unsigned char c = (unsigned char)field->value.data[i];
        require((c >= 0x20 || c == '\t') && c != 0x7f);
        if (c > 0x7f) is_ascii = false;
    }
    require(field->is_ascii == is_ascii);
    require(field->known == http_field_number(field->name));
}

static void require_sound(const http_head *head, const char *input, ssize_t used,
                          const http_limits *l)
{
    require(head->text.data >= input);
    require(head->text.data + head->text.length == input + used);
    require((size_t)used <= l->max_head && head->field_count <= l->max_fields);
    require_within(head, head->method_name);
    require_within(head, head->target);
    require_within(head, head->path);
    if (head->query.data != NULL) require_within(head, head->query);
    require(head->method_name.length > 0 && head->target.length > 0);
    require(head->minor >= 0 && head->minor <= 9);
    require(!(head->is_chunked && head->has_length)); /* RFC 9112 6.1 */
    for (size_t i = 0; i < head->field_count; i++) require_field(head, &head->fields[i]);
}

/* Only letters may have changed, and only their case. */
static void require_unchanged(const char *now, const char *before, size_t length)
{
    for (size_t i = 0; i < length; i++)
        require(now[i] == before[i] || now[i] == lower(before[i]));
}

static ssize_t parse_whole(const char *data, size_t length, const http_limits *l)
{
    http_head head;
    size_t scanned = 0;
    char *block = copy(data, length, NULL, 0);
    ssize_t result = http_parse_head(block, length, &scanned, l, &head);
    require(result <= (ssize_t)length);
    require_unchanged(block, data, length);
    if (result > 0) require_sound(&head, block, result, l);
    free(block);
    return result;
}

/* In pieces: the first of `first` bytes, the others of `step`. */
static ssize_t parse_pieces(const char *data, size_t length, size_t first, size_t step,
                            const http_limits *l)
{
    http_head head;
    size_t scanned = 0, held = 0, next = first;
    char *block = NULL;
    ssize_t result = 0;
    while (result == 0 && held < length) {
        if (next > length) next = length;
        char *more = copy(data, next, block, held);
        free(block);
        block = more;
        held = next;
        next += step;
        result = http_parse_head(block, held, &scanned, l, &head);
    }
    if (result > 0) require_sound(&head, block, result, l);
    free(block);
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3 || size > MOST) return 0;
    const http_limits *l = &limits[data[0] % 4];
    const char *input = (const char *)data + 2;
    size_t length = size - 2, split = 1 + data[1] % length;
    ssize_t whole = parse_whole(input, length, l);
    require(parse_pieces(input, length, split, length, l) == whole);
    require(parse_pieces(input, length, split, 7, l) == whole);
    require(parse_pieces(input, length, 1, 1, l) == whole);
    return 0;
}
