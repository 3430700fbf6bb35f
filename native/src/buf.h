/* SPDX-License-Identifier: MIT */
/* buf.h - a growable queue of bytes, and the pool its first blocks come from. */
#ifndef SMW_BUF_H
#define SMW_BUF_H

#include <stddef.h>

/* Blocks of one size that are handed out again while they are still in cache. */
typedef struct buf_pool {
    void *spare;
    unsigned count;
} buf_pool;

typedef struct buf {
    char *data;
    size_t start;
    size_t end;
    size_t capacity;
} buf;

void buf_pool_clear(buf_pool *pool);

static inline size_t buf_length(const buf *b)
{
    return b->end - b->start;
}

static inline const char *buf_data(const buf *b)
{
    return b->data + b->start;
}

/* Room for `length` more bytes at the end, to be followed by `buf_commit`.
 * NULL when memory is short; the buffer is unchanged then. */
char *buf_reserve(buf *b, buf_pool *pool, size_t length);

static inline void buf_commit(buf *b, size_t length)
{
    b->end += length;
}

/* 0, or -ENOMEM with the buffer unchanged. */
int buf_append(buf *b, buf_pool *pool, const char *data, size_t length);

/* Drop bytes from the front. An empty buffer owns no memory. */
void buf_consume(buf *b, buf_pool *pool, size_t length);

void buf_clear(buf *b, buf_pool *pool);

#endif
