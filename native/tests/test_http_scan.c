/* SPDX-License-Identifier: MIT */
/* The chosen form of each scan, the portable form and a plain loop find the same. */
#include "http_scan.h"

#include "test.h"

#include <stddef.h>

enum { LONGEST = 80, ALIGNMENTS = 16, RANDOM_BLOCKS = 20000, RANDOM_LONGEST = 3000 };

/* Some bytes, [text, end), that end where their heap block ends: AddressSanitizer sees
 * what is touched behind them. */
typedef struct block {
    char *memory;
    char *text;
    const char *end;
} block;

static block block_new(size_t alignment, size_t length)
{
    char *memory = malloc(alignment + length);
    if (memory == NULL && alignment + length > 0) abort();
    return (block){memory, memory + alignment, memory + alignment + length};
}

/* ---- the plain loops ---- */

static const char *find_in_value(const char *p, const char *end, bool *has_high)
{
    while (p < end) {
        int c = (unsigned char)*p;
        if (c == 127 || (c <= 31 && c != 9)) return p;
        if (c >= 128) *has_high = true;
        p++;
    }
    return end;
}

static const char *find_in_target(const char *p, const char *end)
{
    while (p < end) {
        int c = (unsigned char)*p;
        if (c <= 32 || c >= 127 || c == '#') return p;
        p++;
    }
    return end;
}

static bool is_usual_in_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           c == '-';
}

/* ---- the comparisons ---- */

static bool check_value(const char *p, const char *end)
{
    bool high = false, portable_high = false, wanted_high = false;
    ptrdiff_t wanted = find_in_value(p, end, &wanted_high) - p;
    return CHECK_INT(http_scan_value(p, end, &high) - p, wanted) &&
           CHECK_INT(high, wanted_high) &&
           CHECK_INT(http_scan_value_portable(p, end, &portable_high) - p, wanted) &&
           CHECK_INT(portable_high, wanted_high);
}

static bool check_target(const char *p, const char *end)
{
    ptrdiff_t wanted = find_in_target(p, end) - p;
    return CHECK_INT(http_scan_target(p, end) - p, wanted) &&
           CHECK_INT(http_scan_target_portable(p, end) - p, wanted);
}

/* How far a head start goes is not promised, but that the bytes up to there are in lower
 * case and those behind are as they were. The block is left in that state. */
static bool check_name(char *p, const char *end)
{
    char before[RANDOM_LONGEST];
    size_t length = (size_t)(end - p), run = 0;
    memcpy(before, p, length);
    while (run < length && is_usual_in_name(before[run])) run++;
    size_t done = (size_t)(http_scan_name(p, end) - p);
    if (!CHECK(done <= run)) return false;
    for (size_t i = 0; i < done; i++)
        if (before[i] >= 'A' && before[i] <= 'Z') before[i] = (char)(before[i] + 32);
    return CHECK(memcmp(before, p, length) == 0);
}

typedef bool (*check_fn)(block b);

static bool check_value_and_target(block b)
{
    return check_value(b.text, b.end) && check_target(b.text, b.end);
}

static bool check_name_of(block b)
{
    return check_name(b.text, b.end);
}

/* ---- every byte at every place ---- */

/* In a block of `filler`, each place in turn holds each byte. */
static bool check_every_byte(block b, char filler, check_fn check)
{
    size_t length = (size_t)(b.end - b.text);
    for (size_t place = 0; place < length; place++)
        for (int c = 0; c < 256; c++) {
            memset(b.text, filler, length);
            b.text[place] = (char)c;
            if (check(b)) continue;
            fprintf(stderr, "length %zu, place %zu, byte %d\n", length, place, c);
            return false;
        }
    return true;
}

static void check_every_block(char filler, check_fn check)
{
    for (size_t alignment = 0; alignment < ALIGNMENTS; alignment++)
        for (size_t length = 0; length <= LONGEST; length++) {
            block b = block_new(alignment, length);
            bool holds = check_every_byte(b, filler, check);
            free(b.memory);
            if (!holds) return;
        }
}

static void test_every_byte_is_found_at_every_place_of_values_and_targets(void)
{
    check_every_block('v', check_value_and_target);
}

static void test_every_byte_ends_or_joins_a_name_at_every_place(void)
{
    check_every_block('N', check_name_of);
}

static void test_nothing_is_found_in_no_bytes(void)
{
    block b = block_new(0, 0);
    CHECK(check_value_and_target(b));
    CHECK(check_name_of(b));
    free(b.memory);
}

/* ---- bytes at random ---- */

static uint64_t seed = 90125;

static size_t below(size_t bound)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (size_t)(seed >> 33) % bound;
}

/* Edges of what the scans judge, and any byte. */
static char special(void)
{
    static const char edges[] = "\0\x08\t\n\r\x1f !\"#~\x7f\x80\xff-/09:@AZ[`az{_";
    size_t kind = below(sizeof edges + 3);
    return kind < sizeof edges - 1 ? edges[kind] : (char)below(256);
}

/* Letters, with one other byte in about `distance`. */
static void fill(block b, size_t distance)
{
    for (char *p = b.text; p < b.end; p++)
        *p = below(distance) == 0 ? special() : (char)("aA"[below(2)] + (int)below(26));
}

static void test_random_blocks_give_the_same_in_all_forms(void)
{
    printf("seed %llu\n", (unsigned long long)seed);
    for (int i = 0; i < RANDOM_BLOCKS; i++) {
        size_t longest = below(4) == 0 ? RANDOM_LONGEST : 100;
        block b = block_new(below(ALIGNMENTS), below(longest));
        fill(b, (size_t)1 << below(12));
        bool holds = check_value_and_target(b) && check_name_of(b);
        free(b.memory);
        if (!holds) return;
    }
}

/* Bytes outside ASCII behind the control character are none of the value's. */
static void test_high_bytes_count_only_before_the_control_character(void)
{
    for (size_t length = 1; length <= LONGEST; length++)
        for (size_t control = 0; control < length; control++)
            for (size_t high = 0; high < length; high++) {
                block b = block_new(0, length);
                memset(b.text, 'v', length);
                b.text[high] = '\x80';
                b.text[control] = '\r';
                CHECK(check_value(b.text, b.end));
                free(b.memory);
            }
}

int main(void)
{
    RUN(test_every_byte_is_found_at_every_place_of_values_and_targets);
    RUN(test_every_byte_ends_or_joins_a_name_at_every_place);
    RUN(test_nothing_is_found_in_no_bytes);
    RUN(test_random_blocks_give_the_same_in_all_forms);
    RUN(test_high_bytes_count_only_before_the_control_character);
    return test_report();
}
