/* SPDX-License-Identifier: MIT */
#include "http_chunked.h"

#include "http_token.h"

#include <string.h>

/* What the next byte belongs to. */
enum {
    SIZE_START = 0,
    COMPLETE = HTTP_CHUNKED_COMPLETE,
    SIZE,
    /* From the first to the last EXT_: bytes that lead here are an extension's. */
    EXT_GAP,         /* white space that must be followed by ";" */
    EXT_NAME_START,  /* behind ";" */
    EXT_NAME,
    EXT_NAME_GAP,    /* white space that must be followed by "=" or ";" */
    EXT_VALUE_START, /* behind "=" */
    EXT_VALUE,
    EXT_QUOTED,
    EXT_ESCAPED,     /* behind a backslash */
    EXT_QUOTED_END,
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    FIELD_START,
    FIELD_NAME,
    FIELD_VALUE,
    FIELD_LF,
    LAST_LF,
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* HTAB / SP / VCHAR / obs-text: inside a field's value (RFC 9110 5.5) and, but for its
 * two marks, inside a quoted-string (5.6.4). */
static bool is_text(char c)
{
    return c == '\t' || ((unsigned char)c >= ' ' && c != 0x7f);
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* ---- steps: the phase that a byte leads to, or the status that refuses it ---- */

static int expect(char c, char wanted, int next)
{
    return c == wanted ? next : -400;
}

/* RFC 9112 7.1: large sizes must be expected, and must not overflow. */
static int add_digit(http_chunked *state, int digit)
{
    if (state->digits++ == HTTP_CHUNKED_MAX_DIGITS) return -400;
    if (state->left > INT64_MAX >> 4) return -400;
    state->left = state->left << 4 | (uint64_t)digit;
    return SIZE;
}

static int begin_data(http_chunked *state)
{
    state->digits = 0;
    return state->left > 0 ? DATA : FIELD_START;
}

/* Where a size, a name or a value may have ended. */
static int behind_word(char c)
{
    if (c == '\r') return SIZE_LF;
    if (c == ';') return EXT_NAME_START;
    return is_blank(c) ? EXT_GAP : -400;
}

static int in_size(http_chunked *state, char c)
{
    int digit = hex_value(c);
    if (digit >= 0) return add_digit(state, digit);
    return state->phase == SIZE ? behind_word(c) : -400;
}

static int in_name(char c)
{
    if (is_token_char(c)) return EXT_NAME;
    if (c == '=') return EXT_VALUE_START;
    return is_blank(c) ? EXT_NAME_GAP : behind_word(c);
}

static int in_name_gap(char c)
{
    if (is_blank(c)) return EXT_NAME_GAP;
    return c == '=' ? EXT_VALUE_START : expect(c, ';', EXT_NAME_START);
}

static int in_value_start(char c)
{
    if (is_blank(c)) return EXT_VALUE_START;
    return is_token_char(c) ? EXT_VALUE : expect(c, '"', EXT_QUOTED);
}

static int in_quoted(char c)
{
    if (c == '"') return EXT_QUOTED_END;
    if (c == '\\') return EXT_ESCAPED;
    return is_text(c) ? EXT_QUOTED : -400;
}

/* chunk-ext of RFC 9112 7.1.1. White space stands before or behind a mark: none may
 * end the line. */
static int in_extension(int phase, char c)
{
    switch (phase) {
    case EXT_GAP: return is_blank(c) ? EXT_GAP : expect(c, ';', EXT_NAME_START);
    case EXT_NAME_START:
        if (is_blank(c)) return EXT_NAME_START;
        return is_token_char(c) ? EXT_NAME : -400;
    case EXT_NAME: return in_name(c);
    case EXT_NAME_GAP: return in_name_gap(c);
    case EXT_VALUE_START: return in_value_start(c);
    case EXT_VALUE: return is_token_char(c) ? EXT_VALUE : behind_word(c);
    case EXT_QUOTED: return in_quoted(c);
    case EXT_ESCAPED: return is_text(c) ? EXT_QUOTED : -400;
    default: return behind_word(c); /* EXT_QUOTED_END */
    }
}

/* trailer-section of RFC 9112 7.1.2, as strict as a head's fields. */
static int in_trailers(http_chunked *state, char c)
{
    if (state->phase == FIELD_START) {
        if (c == '\r') return LAST_LF;
        if (state->trailer_lines++ == HTTP_CHUNKED_MAX_TRAILER_LINES) return -431;
    }
    if (state->trailer_bytes++ == HTTP_CHUNKED_MAX_TRAILERS) return -431;
    switch (state->phase) {
    case FIELD_START: return is_token_char(c) ? FIELD_NAME : -400;
    case FIELD_NAME: return is_token_char(c) ? FIELD_NAME : expect(c, ':', FIELD_VALUE);
    case FIELD_VALUE: return is_text(c) ? FIELD_VALUE : expect(c, '\r', FIELD_LF);
    default: return expect(c, '\n', FIELD_START); /* FIELD_LF */
    }
}

static int step(http_chunked *state, char c)
{
    switch (state->phase) {
    case SIZE_START:
    case SIZE: return in_size(state, c);
    case SIZE_LF: return c == '\n' ? begin_data(state) : -400;
    case DATA_CR: return expect(c, '\r', DATA_LF);
    case DATA_LF: return expect(c, '\n', SIZE_START);
    case FIELD_START:
    case FIELD_NAME:
    case FIELD_VALUE:
    case FIELD_LF: return in_trailers(state, c);
    case LAST_LF: return expect(c, '\n', COMPLETE);
    default: return in_extension(state->phase, c);
    }
}

static int take_byte(http_chunked *state, char c)
{
    int next = step(state, c);
    if (next < 0) return next;
    if (next >= EXT_GAP && next <= EXT_QUOTED_END &&
        state->extension_bytes++ == HTTP_CHUNKED_MAX_EXTENSIONS)
        return -400;
    state->phase = (uint8_t)next;
    return 0;
}

/* ---- data ---- */

/* Returns how many of the `length` bytes at `from` are the chunk's. */
static size_t take_data(http_chunked *state, char *to, const char *from, size_t length)
{
    size_t count = state->left < length ? (size_t)state->left : length;
    if (to != from) memmove(to, from, count);
    state->left -= count;
    if (state->left == 0) state->phase = DATA_CR;
    return count;
}

ssize_t http_chunked_decode(http_chunked *state, char *data, size_t length,
                            size_t *decoded)
{
    size_t used = 0;
    *decoded = 0;
    while (used < length && !http_chunked_is_complete(state)) {
        if (state->phase == DATA) {
            size_t count =
                take_data(state, data + *decoded, data + used, length - used);
            *decoded += count;
            used += count;
            continue;
        }
        int result = take_byte(state, data[used++]);
        if (result < 0) return result;
    }
    return (ssize_t)used;
}
