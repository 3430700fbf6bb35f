/* SPDX-License-Identifier: MIT */
/* naive_chunked.h - the chunked coding rule by rule of RFC 9112 7.1, with the whole
 * input in sight.
 *
 * Slow and plain, to compare the real decoder with. A rule is a function that moves
 * `p` over what it matches, and gives false at the first byte that does not fit or
 * where the input ends; `is_bad` tells the two apart. */
#ifndef SMW_NAIVE_CHUNKED_H
#define SMW_NAIVE_CHUNKED_H

#include "chunked_run.h"

typedef struct naive_text {
    const char *p;
    const char *end;
    bool is_bad; /* the byte at `p` does not fit */
} naive_text;

static inline bool naive_is_one_of(char c, const char *set)
{
    return c != 0 && strchr(set, c) != NULL;
}

static inline bool naive_is_hex(char c)
{
    return naive_is_one_of(c, "0123456789abcdefABCDEF");
}

static inline bool naive_is_tchar(char c)
{
    return naive_is_one_of(c, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
                              "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
}

static inline bool naive_is_white(char c)
{
    return naive_is_one_of(c, " \t");
}

static inline bool naive_is_visible(char c)
{
    int code = (unsigned char)c;
    return naive_is_white(c) || (code >= 0x21 && code <= 0x7e) || code >= 0x80;
}

/* *( one of a kind ) */
static inline void naive_skip(naive_text *text, bool (*is)(char))
{
    while (text->p < text->end && is(*text->p)) text->p++;
}

/* One byte of a kind. */
static inline bool naive_one(naive_text *text, bool (*is)(char))
{
    if (text->p == text->end) return false;
    text->is_bad = !is(*text->p);
    if (!text->is_bad) text->p++;
    return !text->is_bad;
}

static inline bool naive_literal(naive_text *text, const char *wanted)
{
    for (; *wanted != 0; wanted++) {
        if (text->p == text->end) return false;
        text->is_bad = *text->p != *wanted;
        if (text->is_bad) return false;
        text->p++;
    }
    return true;
}

static inline bool naive_sees(const naive_text *text, char c)
{
    return text->p < text->end && *text->p == c;
}

static inline bool naive_token(naive_text *text)
{
    if (!naive_one(text, naive_is_tchar)) return false;
    naive_skip(text, naive_is_tchar);
    return true;
}

static inline bool naive_quoted_string(naive_text *text)
{
    if (!naive_literal(text, "\"")) return false;
    while (!naive_sees(text, '"')) {
        if (naive_sees(text, '\\')) text->p++;
        if (!naive_one(text, naive_is_visible)) return false;
    }
    return naive_literal(text, "\"");
}

/* BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] */
static inline bool naive_extension(naive_text *text)
{
    naive_skip(text, naive_is_white);
    if (!naive_literal(text, ";")) return false;
    naive_skip(text, naive_is_white);
    if (!naive_token(text)) return false;
    const char *name_end = text->p;
    naive_skip(text, naive_is_white);
    if (!naive_sees(text, '=')) {
        text->p = name_end; /* it belongs to the next extension */
        return true;
    }
    text->p++;
    naive_skip(text, naive_is_white);
    return naive_sees(text, '"') ? naive_quoted_string(text) : naive_token(text);
}

/* chunk-size, whose value is right when the digits behind leading zeros are at most
 * 15, or 16 of which the first is at most 7. */
static inline bool naive_size(naive_text *text, uint64_t *size)
{
    const char *hex_digits = "0123456789abcdef";
    const char *start = text->p;
    if (!naive_one(text, naive_is_hex)) return false;
    naive_skip(text, naive_is_hex);
    const char *first = start;
    while (first < text->p && *first == '0') first++;
    long digits = text->p - first;
    *size = 0;
    for (const char *c = first; c < text->p; c++)
        *size = *size * 16 + (uint64_t)(strchr(hex_digits, lower(*c)) - hex_digits);
    text->is_bad = text->p - start > HTTP_CHUNKED_MAX_DIGITS || digits > 16 ||
                   (digits == 16 && *first > '7');
    return !text->is_bad;
}

/* chunk-size [ chunk-ext ] CRLF; `*extensions` counts for the whole body. */
static inline bool naive_size_line(naive_text *text, uint64_t *size, size_t *extensions)
{
    if (!naive_size(text, size)) return false;
    const char *start = text->p;
    bool is_whole = true;
    while (is_whole && text->p < text->end && !naive_sees(text, '\r'))
        is_whole = naive_extension(text);
    *extensions += (size_t)(text->p - start);
    if (*extensions > HTTP_CHUNKED_MAX_EXTENSIONS) text->is_bad = true;
    return is_whole && !text->is_bad && naive_literal(text, "\r\n");
}

static inline bool naive_field_line(naive_text *text)
{
    if (!naive_token(text) || !naive_literal(text, ":")) return false;
    naive_skip(text, naive_is_visible);
    return naive_literal(text, "\r\n");
}

/* trailer-section CRLF; `*status` becomes -431 when a limit is met before a byte that
 * does not fit, or with it. */
static inline bool naive_trailers(naive_text *text, int *status)
{
    const char *start = text->p;
    bool is_whole = true;
    int lines = 0;
    while (is_whole && text->p < text->end && !naive_sees(text, '\r')) {
        if (lines++ == HTTP_CHUNKED_MAX_TRAILER_LINES) {
            *status = -431;
            return false;
        }
        is_whole = naive_field_line(text);
        if (text->p + text->is_bad - start > HTTP_CHUNKED_MAX_TRAILERS) {
            *status = -431;
            return false;
        }
    }
    return is_whole && naive_literal(text, "\r\n");
}

/* Gives false where the body does not go on: at its end, or where `text` does. */
static inline bool naive_chunk(naive_text *text, size_t *extensions, chunked_outcome *out)
{
    uint64_t size;
    if (!naive_size_line(text, &size, extensions)) return false;
    if (size == 0) {
        out->is_complete = naive_trailers(text, &out->status);
        return false;
    }
    size_t here = (size_t)(text->end - text->p);
    if (size < here) here = (size_t)size;
    memcpy(out->body + out->length, text->p, here);
    out->length += here;
    text->p += here;
    return here == size && naive_literal(text, "\r\n");
}

static inline chunked_outcome naive_decode(smw_str input)
{
    naive_text text = {input.data, input.data + input.length, false};
    chunked_outcome out = {.is_sound = true, .body = chunked_block(input.length)};
    size_t extensions = 0;
    while (naive_chunk(&text, &extensions, &out)) continue;
    if (out.status == 0 && text.is_bad) out.status = -400;
    out.used = (size_t)(text.p - input.data);
    return out;
}

#endif
