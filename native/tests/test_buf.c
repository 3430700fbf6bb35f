/* SPDX-License-Identifier: MIT */
#include "buf.h"

#include "test.h"

enum { BLOCK = 4096 };

static char letters[64 * 1024];

static void fill_letters(void)
{
    for (size_t i = 0; i < sizeof letters; i++) letters[i] = (char)('a' + i % 23);
}

static void check_holds(const buf *b, const char *wanted, size_t length)
{
    if (CHECK_INT(buf_length(b), length) && length > 0)
        CHECK(memcmp(buf_data(b), wanted, length) == 0);
}

static void check_owns_nothing(const buf *b)
{
    CHECK(b->data == NULL);
    CHECK_INT(b->capacity, 0);
    CHECK_INT(buf_length(b), 0);
}

static void test_bytes_leave_in_the_order_they_came(void)
{
    buf_pool pool = {0};
    buf b = {0};
    CHECK_INT(buf_append(&b, &pool, "hello ", 6), 0);
    CHECK_INT(buf_append(&b, &pool, "world", 5), 0);
    check_holds(&b, "hello world", 11);
    buf_consume(&b, &pool, 3);
    check_holds(&b, "lo world", 8);
    CHECK_INT(buf_append(&b, &pool, "!", 1), 0);
    check_holds(&b, "lo world!", 9);
    buf_clear(&b, &pool);
    buf_pool_clear(&pool);
}

static void test_an_empty_buffer_owns_no_memory(void)
{
    buf_pool pool = {0};
    buf b = {0};
    CHECK_INT(buf_append(&b, &pool, NULL, 0), 0);
    check_owns_nothing(&b);
    buf_consume(&b, &pool, 0);
    buf_clear(&b, &pool);
    check_owns_nothing(&b);
    CHECK_INT(buf_append(&b, &pool, "abc", 3), 0);
    buf_consume(&b, &pool, 1);
    CHECK(b.data != NULL);
    buf_consume(&b, &pool, 2);
    check_owns_nothing(&b);
    CHECK_INT(buf_append(&b, &pool, letters, 3 * BLOCK), 0);
    buf_consume(&b, &pool, 3 * BLOCK);
    check_owns_nothing(&b);
    buf_pool_clear(&pool);
}

static void test_reserved_room_counts_once_it_is_committed(void)
{
    buf_pool pool = {0};
    buf b = {0};
    char *room = buf_reserve(&b, &pool, 100);
    if (!CHECK(room != NULL)) return;
    memset(room, 'x', 100); /* all of it may be written */
    CHECK_INT(buf_length(&b), 0);
    memcpy(room, "abcdef", 6);
    buf_commit(&b, 6);
    check_holds(&b, "abcdef", 6);
    CHECK(buf_reserve(&b, &pool, 1) == buf_data(&b) + 6);
    check_holds(&b, "abcdef", 6);
    buf_clear(&b, &pool);
    buf_pool_clear(&pool);
}

static void test_growth_keeps_what_is_there(void)
{
    buf_pool pool = {0};
    buf b = {0};
    size_t length = 0;
    while (length < 50000) {
        size_t more = length / 7 + 1;
        CHECK_INT(buf_append(&b, &pool, letters + length, more), 0);
        length += more;
        check_holds(&b, letters, length);
        CHECK(b.capacity >= length && b.capacity < 2 * length + BLOCK + 1);
    }
    buf_clear(&b, &pool);
    check_owns_nothing(&b);
    buf_pool_clear(&pool);
}

static void test_a_full_block_is_not_grown_before_it_must(void)
{
    buf_pool pool = {0};
    buf b = {0};
    CHECK_INT(buf_append(&b, &pool, letters, BLOCK), 0);
    CHECK_INT(b.capacity, BLOCK);
    CHECK_INT(buf_append(&b, &pool, letters + BLOCK, 1), 0);
    CHECK_INT(b.capacity, 2 * BLOCK);
    check_holds(&b, letters, BLOCK + 1);
    buf_clear(&b, &pool);
    buf_pool_clear(&pool);
}

/* Room in front is used again rather than more memory taken. */
static void test_consumed_room_is_used_again(void)
{
    buf_pool pool = {0};
    buf b = {0};
    CHECK_INT(buf_append(&b, &pool, letters, BLOCK), 0);
    buf_consume(&b, &pool, 1000);
    CHECK_INT(b.start, 1000);
    CHECK_INT(buf_append(&b, &pool, letters + BLOCK, 1000), 0);
    CHECK_INT(b.start, 0);
    CHECK_INT(b.capacity, BLOCK);
    check_holds(&b, letters + 1000, BLOCK);
    buf_consume(&b, &pool, 1);
    CHECK_INT(buf_append(&b, &pool, letters + BLOCK + 1000, 2), 0);
    CHECK_INT(b.capacity, 2 * BLOCK);
    check_holds(&b, letters + 1001, BLOCK + 1);
    buf_clear(&b, &pool);
    buf_pool_clear(&pool);
}

static void test_more_than_all_memory_is_refused_and_changes_nothing(void)
{
    buf_pool pool = {0};
    buf b = {0};
    CHECK(buf_reserve(&b, &pool, SIZE_MAX) == NULL);
    check_owns_nothing(&b);
    CHECK_INT(buf_append(&b, &pool, "abc", 3), 0);
    CHECK(buf_reserve(&b, &pool, SIZE_MAX) == NULL);
    CHECK(buf_reserve(&b, &pool, SIZE_MAX - 2) == NULL);
    check_holds(&b, "abc", 3);
    buf_clear(&b, &pool);
    buf_pool_clear(&pool);
}

/* ---- the pool; under AddressSanitizer it keeps nothing, by design ---- */

static void test_a_first_block_is_handed_out_again(void)
{
    buf_pool pool = {0};
    buf b = {0};
    CHECK_INT(buf_append(&b, &pool, "a", 1), 0);
    const char *block = b.data;
    buf_consume(&b, &pool, 1);
    if (pool.count == 0) return;
    CHECK_INT(pool.count, 1);
    CHECK_INT(buf_append(&b, &pool, "b", 1), 0);
    CHECK(b.data == block);
    CHECK_INT(pool.count, 0);
    /* Growth gives it back, too. */
    CHECK_INT(buf_append(&b, &pool, letters, BLOCK), 0);
    CHECK(b.data != block);
    CHECK_INT(pool.count, 1);
    buf_clear(&b, &pool);
    CHECK_INT(pool.count, 1); /* larger blocks go back to malloc */
    buf_pool_clear(&pool);
    CHECK_INT(pool.count, 0);
    CHECK(pool.spare == NULL);
}

static void test_the_pool_keeps_no_more_than_its_limit(void)
{
    enum { COUNT = 200 };
    static buf bufs[COUNT];
    buf_pool pool = {0};
    for (int i = 0; i < COUNT; i++)
        CHECK_INT(buf_append(&bufs[i], &pool, letters, (size_t)i + 1), 0);
    for (int i = 0; i < COUNT; i++) check_holds(&bufs[i], letters, (size_t)i + 1);
    for (int i = 0; i < COUNT; i++) buf_clear(&bufs[i], &pool);
    CHECK(pool.count <= 64);
    unsigned kept = pool.count;
    for (unsigned i = 0; i < kept; i++)
        CHECK_INT(buf_append(&bufs[i], &pool, letters, 1), 0);
    CHECK_INT(pool.count, 0);
    for (unsigned i = 0; i < kept; i++) buf_clear(&bufs[i], &pool);
    CHECK_INT(pool.count, kept);
    buf_pool_clear(&pool);
    buf_pool_clear(&pool);
    CHECK(pool.spare == NULL);
}

/* ---- against plain arrays ---- */

enum { MODEL_BUFS = 4, MODEL_SIZE = 256 * 1024 };

typedef struct model {
    buf b;
    char bytes[MODEL_SIZE];
    size_t start, end;
} model;

static uint64_t seed = 4711;

static size_t below(size_t bound)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (size_t)(seed >> 33) % bound;
}

static size_t random_length(void)
{
    static const size_t bounds[] = {8, 200, 4200, 20000};
    return below(bounds[below(4)]);
}

static void model_put(model *m, buf_pool *pool)
{
    size_t length = random_length(), from = below(1000);
    if (m->end + length > MODEL_SIZE) return;
    memcpy(m->bytes + m->end, letters + from, length);
    m->end += length;
    if (below(2) == 0) {
        CHECK_INT(buf_append(&m->b, pool, letters + from, length), 0);
        return;
    }
    /* More room than is used in the end, as for a read. */
    char *room = buf_reserve(&m->b, pool, length + below(100));
    if (!CHECK(room != NULL)) return;
    memcpy(room, letters + from, length);
    buf_commit(&m->b, length);
}

static void model_step(model *m, buf_pool *pool)
{
    size_t held = m->end - m->start;
    switch (below(5)) {
    case 0:
    case 1: model_put(m, pool); break;
    case 2:
    case 3: {
        size_t length = below(3) == 0 ? held : random_length();
        if (length > held) length = held;
        buf_consume(&m->b, pool, length);
        m->start += length;
        break;
    }
    default:
        if (below(20) != 0) break;
        buf_clear(&m->b, pool);
        m->start = m->end;
    }
    check_holds(&m->b, m->bytes + m->start, m->end - m->start);
    if (m->start == m->end) m->start = m->end = 0;
}

static void test_random_use_holds_what_an_array_holds(void)
{
    static model models[MODEL_BUFS];
    buf_pool pool = {0};
    printf("seed %llu\n", (unsigned long long)seed);
    for (int i = 0; i < 20000 && test_failures == 0; i++)
        model_step(&models[below(MODEL_BUFS)], &pool);
    for (int i = 0; i < MODEL_BUFS; i++) buf_clear(&models[i].b, &pool);
    buf_pool_clear(&pool);
}

int main(void)
{
    fill_letters();
    RUN(test_bytes_leave_in_the_order_they_came);
    RUN(test_an_empty_buffer_owns_no_memory);
    RUN(test_reserved_room_counts_once_it_is_committed);
    RUN(test_growth_keeps_what_is_there);
    RUN(test_a_full_block_is_not_grown_before_it_must);
    RUN(test_consumed_room_is_used_again);
    RUN(test_more_than_all_memory_is_refused_and_changes_nothing);
    RUN(test_a_first_block_is_handed_out_again);
    RUN(test_the_pool_keeps_no_more_than_its_limit);
    RUN(test_random_use_holds_what_an_array_holds);
    return test_report();
}
