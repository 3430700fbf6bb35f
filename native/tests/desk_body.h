/* SPDX-License-Identifier: MIT */
/* desk_body.h - bodies that come to a desk: what is said to it, and how it takes them. */
#ifndef SMW_TEST_DESK_BODY_H
#define SMW_TEST_DESK_BODY_H

#include "desk.h"
#include "message.h"

/* A POST whose parameters are `name` and x, with `length` bytes of body: by length, or in
 * chunks of up to `chunk` bytes. `fields`: more lines. */
static inline message post_with(const char *fields, size_t name, size_t length,
                                size_t chunk)
{
    char head[256];
    snprintf(head, sizeof head, "POST /%zu/b/x HTTP/1.1\r\nHost: a\r\n%s", name, fields);
    message m = message_of(head, length, name, chunk);
    free(m.body); /* only `data` is left to be freed */
    m.body = NULL;
    return m;
}

static inline message post(size_t name, size_t length, size_t chunk)
{
    return post_with("", name, length, chunk);
}

/* What came of one body. */
typedef struct upload {
    size_t name;
    size_t length;
    size_t wrong; /* bytes that are not its own */
    size_t pieces;
    size_t ends;
} upload;

/* Look at a piece while it lasts; its length. */
static inline size_t take(const desk *d, upload *u, uint64_t piece)
{
    uint64_t start = piece >> 32, end = piece & (SMW_PIECE_LAST - 1);
    bool is_inside = start <= end && end <= d->memory.arena_size;
    if (!CHECK((int64_t)piece >= 0) || !CHECK(is_inside)) return 0;
    CHECK_INT(u->ends, 0);
    for (uint64_t i = start; i < end; i++)
        u->wrong += d->memory.arena[i] != byte_at(u->length++, u->name);
    u->pieces++;
    if (piece & SMW_PIECE_LAST) u->ends++;
    return (size_t)(end - start);
}

static inline uint64_t desk_base(const desk *d, size_t i)
{
    return d->memory.records[3 * i + 2];
}

static inline int64_t read_body(desk *d, uint64_t exchange)
{
    return smw_exchange_read(d->batch, exchange, true);
}

/* The next batch has `count` records, the first of `token`. */
static inline bool expect_records(desk *d, int line, size_t count, uint64_t token)
{
    desk_turn(d, PATIENCE_MS, 64);
    return check_int(__FILE__, line, "records", (long long)desk_count(d),
                     (long long)count) &&
           check_int(__FILE__, line, "token", (long long)desk_token(d, 0),
                     (long long)token);
}

#define EXPECT_RECORDS(d, count, token) expect_records((d), __LINE__, (count), (token))

static inline void answer_ok(desk *d, uint64_t exchange)
{
    desk_answer(d, exchange, 0, (smw_str){"ok", 2});
}

#define OK ECHO("ok", "2")

static inline void expect_nothing(desk *d, client *c)
{
    for (int i = 0; i < 3; i++) CHECK_INT(desk_turn(d, 2, 64), 0);
    client_receive(c);
    CHECK_INT(c->length, 0);
    CHECK(!c->is_ended && c->error == 0);
}

#endif
