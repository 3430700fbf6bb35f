/* SPDX-License-Identifier: MIT */
/* http_scan.h - what a request head is searched for, sixteen bytes at once where the
 * processor can: with SSE2, or NEON on 64-bit ARM. SMW_NO_SIMD chooses to do without.
 *
 * Pure; nothing but [p, end) is touched. Inline, because most of what is scanned is so
 * short that a call would cost what the blocks save. */
#ifndef SMW_HTTP_SCAN_H
#define SMW_HTTP_SCAN_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#if defined(SMW_NO_SIMD)
#define SCAN_BLOCKS 0
#elif defined(__SSE2__)
#define SCAN_BLOCKS 1
#include <emmintrin.h>
#elif defined(__ARM_NEON) && defined(__aarch64__) && !defined(__AARCH64EB__)
#define SCAN_BLOCKS 1
#include <arm_neon.h>
#else
#define SCAN_BLOCKS 0
#endif

/* The first control character but HTAB (RFC 9110 5.5), or `end`. `*has_high` becomes
 * true when a byte before that is outside ASCII. */
static inline const char *http_scan_value(const char *p, const char *end, bool *has_high);

/* The first byte that may not stand in a request target, or `end`: what is no visible
 * ASCII, and "#", since a fragment is not sent (RFC 9112 3.2). */
static inline const char *http_scan_target(const char *p, const char *end);

/* A head start into a field name: put its first letters, digits and "-" into lower case,
 * as many as are found quickly, and return the byte behind them. That may be `p`. What
 * stands there is not judged, and nothing there is written. */
static inline char *http_scan_name(char *p, const char *end);

/* The same as those without the suffix, byte by byte. */
static inline const char *http_scan_value_portable(const char *p, const char *end,
                                                   bool *has_high);
static inline const char *http_scan_target_portable(const char *p, const char *end);

/* Each judges an unsigned number, or all bytes of a block: hence no && and no ||. */
#define SCAN_IS_CONTROL(c) ((((c) < ' ') & ((c) != '\t')) | ((c) == 0x7f))
#define SCAN_ENDS_TARGET(c) (((c) <= ' ') | ((c) > '~') | ((c) == '#'))

static inline const char *http_scan_value_portable(const char *p, const char *end,
                                                   bool *has_high)
{
    for (; p < end; p++) {
        unsigned c = (unsigned char)*p;
        if (SCAN_IS_CONTROL(c)) return p;
        if (c > 0x7f) *has_high = true;
    }
    return end;
}

static inline const char *http_scan_target_portable(const char *p, const char *end)
{
    for (; p < end; p++) {
        unsigned c = (unsigned char)*p;
        if (SCAN_ENDS_TARGET(c)) return p;
    }
    return end;
}

#if SCAN_BLOCKS

typedef unsigned char scan_block __attribute__((vector_size(16)));
typedef uint64_t scan_halves __attribute__((vector_size(16)));

/* The same number of bits for each byte of a block, those of the first byte lowest. */
typedef uint64_t scan_mask;

#if defined(__SSE2__)
enum { SCAN_BITS = 1 };

static inline scan_mask scan_mask_of(scan_block truths)
{
    return (unsigned)_mm_movemask_epi8((__m128i)truths);
}
#else
enum { SCAN_BITS = 4 };

static inline scan_mask scan_mask_of(scan_block truths)
{
    uint8x8_t nibbles = vshrn_n_u16((uint16x8_t)truths, 4);
    return vget_lane_u64(vreinterpret_u64_u8(nibbles), 0);
}
#endif

/* The place of the first byte in `found`, which is not 0. */
static inline int scan_first(scan_mask found)
{
    return __builtin_ctzll(found) / SCAN_BITS;
}

static inline scan_block scan_load(const char *p)
{
    scan_block block;
    memcpy(&block, p, 16);
    return block;
}

/* Of 8 to 16 bytes the first eight and the last eight. */
static inline scan_block scan_load_ends(const char *p, const char *end)
{
    uint64_t first, last;
    memcpy(&first, p, 8);
    memcpy(&last, end - 8, 8);
    return (scan_block)(scan_halves){first, last};
}

/* What a mask of such a block says: the first byte in it, or `end`. */
static inline const char *scan_find_in_ends(const char *p, const char *end,
                                            scan_mask found)
{
    if (found == 0) return end;
    int place = scan_first(found);
    return place < 8 ? p + place : end - 16 + place;
}

static inline scan_mask scan_judge_value(scan_block block, bool *has_high)
{
    scan_mask controls = scan_mask_of((scan_block)SCAN_IS_CONTROL(block));
    scan_mask high = scan_mask_of((scan_block)(block > 0x7f));
    scan_mask before = (controls & -controls) - 1; /* all, when there is no control */
    *has_high |= (high & before) != 0;
    return controls;
}

static inline scan_mask scan_judge_target(scan_block block)
{
    return scan_mask_of((scan_block)SCAN_ENDS_TARGET(block));
}

/* The last block overlaps the one before it, in which nothing was found. */
static inline const char *scan_next_block(const char *p, const char *last)
{
    return last - p < 16 ? last : p + 16;
}

static inline const char *http_scan_value(const char *p, const char *end, bool *has_high)
{
    if (end - p < 8) return http_scan_value_portable(p, end, has_high);
    if (end - p < 16) {
        scan_mask found = scan_judge_value(scan_load_ends(p, end), has_high);
        return scan_find_in_ends(p, end, found);
    }
    for (const char *last = end - 16;; p = scan_next_block(p, last)) {
        scan_mask found = scan_judge_value(scan_load(p), has_high);
        if (found != 0) return p + scan_first(found);
        if (p == last) return end;
    }
}

static inline const char *http_scan_target(const char *p, const char *end)
{
    if (end - p < 8) return http_scan_target_portable(p, end);
    if (end - p < 16)
        return scan_find_in_ends(p, end, scan_judge_target(scan_load_ends(p, end)));
    for (const char *last = end - 16;; p = scan_next_block(p, last)) {
        scan_mask found = scan_judge_target(scan_load(p));
        if (found != 0) return p + scan_first(found);
        if (p == last) return end;
    }
}

/* How many letters, digits and "-" a block begins with. */
static inline int scan_count_usual(scan_block block)
{
    scan_block letters = (scan_block)((block | 0x20) - 'a' < 26);
    scan_block digits = (scan_block)(block - '0' < 10);
    scan_mask other = ~scan_mask_of(letters | digits | (scan_block)(block == '-'));
    return other != 0 ? scan_first(other) : 16;
}

/* Of letters, digits and "-", up to eight: letters alone have the bit 0x40. */
static inline uint64_t scan_lower(uint64_t bytes)
{
    return bytes | (bytes & 0x4040404040404040u) >> 1;
}

/* The stores end with the name. One that reached into the value would hold up the
 * value's scan, which loads from there next. */
static inline char *http_scan_name(char *p, const char *end)
{
    int count = end - p < 16 ? 0 : scan_count_usual(scan_load(p));
    if (count >= 8) {
        uint64_t first, last;
        memcpy(&first, p, 8);
        memcpy(&last, p + count - 8, 8);
        first = scan_lower(first);
        last = scan_lower(last);
        memcpy(p, &first, 8);
        memcpy(p + count - 8, &last, 8);
    } else {
        for (int i = 0; i < count; i++) p[i] = (char)scan_lower((unsigned char)p[i]);
    }
    return p + count;
}

#else

static inline const char *http_scan_value(const char *p, const char *end, bool *has_high)
{
    return http_scan_value_portable(p, end, has_high);
}

static inline const char *http_scan_target(const char *p, const char *end)
{
    return http_scan_target_portable(p, end);
}

static inline char *http_scan_name(char *p, const char *end)
{
    (void)end;
    return p;
}

#endif

#endif
