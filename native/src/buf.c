/* SPDX-License-Identifier: MIT */
#include "buf.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 4096

/* As many as answers usually leave in one turn; the rest goes back to malloc.
 * None under AddressSanitizer: a pool would hide a use after free. */
#if defined(__SANITIZE_ADDRESS__) /* gcc */
#define POOL_LIMIT 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) /* clang */
#define POOL_LIMIT 0
#endif
#endif
#ifndef POOL_LIMIT
#define POOL_LIMIT 64
#endif

static char *block_take(buf_pool *pool)
{
    void *block = pool->spare;
    if (block == NULL) return malloc(BLOCK);
    memcpy(&pool->spare, block, sizeof pool->spare);
    pool->count--;
    return block;
}

static void block_give(buf_pool *pool, char *data, size_t capacity)
{
    if (capacity != BLOCK || (int)pool->count >= POOL_LIMIT) {
        free(data);
        return;
    }
    memcpy(data, &pool->spare, sizeof pool->spare);
    pool->spare = data;
    pool->count++;
}

void buf_pool_clear(buf_pool *pool)
{
    while (pool->spare != NULL) free(block_take(pool));
}

static char *grow(buf *b, buf_pool *pool, size_t length)
{
    size_t used = buf_length(b);
    size_t capacity = b->capacity ? b->capacity : BLOCK;
    while (capacity - used < length) {
        if (capacity > SIZE_MAX / 2) return NULL;
        capacity *= 2;
    }
    if (capacity == b->capacity) {
        memmove(b->data, b->data + b->start, used);
    } else {
        char *data = capacity == BLOCK ? block_take(pool) : malloc(capacity);
        if (data == NULL) return NULL;
        if (used > 0) memcpy(data, b->data + b->start, used);
        if (b->data != NULL) block_give(pool, b->data, b->capacity);
        b->data = data;
        b->capacity = capacity;
    }
    b->start = 0;
    b->end = used;
    return b->data + used;
}

char *buf_reserve(buf *b, buf_pool *pool, size_t length)
{
    if (b->capacity - b->end >= length && b->data != NULL) return b->data + b->end;
    return grow(b, pool, length);
}

int buf_append(buf *b, buf_pool *pool, const char *data, size_t length)
{
    if (length == 0) return 0;
    char *room = buf_reserve(b, pool, length);
    if (room == NULL) return -ENOMEM;
    memcpy(room, data, length);
    b->end += length;
    return 0;
}

void buf_consume(buf *b, buf_pool *pool, size_t length)
{
    b->start += length;
    if (b->start == b->end) buf_clear(b, pool);
}

void buf_clear(buf *b, buf_pool *pool)
{
    if (b->data != NULL) block_give(pool, b->data, b->capacity);
    *b = (buf){0};
}
