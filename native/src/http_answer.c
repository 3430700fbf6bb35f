/* SPDX-License-Identifier: MIT */
#include "http_answer.h"

#include "http_status.h"

http_framing http_answer_framing(const smw_answer *answer, http_asked asked)
{
    int status = answer->status;
    /* RFC 9110 9.3.6: behind it is a tunnel, which this server does not open. */
    if (asked.is_connect && status >= 200 && status < 300)
        return (http_framing){.must_close = true};
    if (!http_status_has_body(status)) return (http_framing){0};
    /* RFC 9110 15.3.6: no content, but its length is to be said. */
    if (status == 205) return (http_framing){.has_length = true};
    bool has_content = !asked.is_head;
    if (answer->flags & SMW_OUT_STREAM)
        return (http_framing){.has_content = has_content,
                              .is_chunked = has_content && !asked.is_old,
                              .must_close = has_content && asked.is_old};
    return (http_framing){.length = answer->body_length,
                          .has_length = true,
                          .has_content = has_content && answer->body_length > 0};
}

static char *put(char *p, const char *data, size_t length)
{
    if (length > 0) memcpy(p, data, length); /* an absent head is {NULL, 0} */
    return p + length;
}

#define PUT(p, literal) put((p), (literal), sizeof(literal) - 1)

static char *put_number(char *p, uint64_t number)
{
    char digits[20];
    char *start = digits + sizeof digits;
    do *--start = (char)('0' + number % 10);
    while ((number /= 10) != 0);
    return put(p, start, (size_t)(digits + sizeof digits - start));
}

static char *put_hex(char *p, uint64_t number)
{
    char digits[16];
    char *start = digits + sizeof digits;
    do *--start = "0123456789abcdef"[number & 15];
    while ((number >>= 4) != 0);
    return put(p, start, (size_t)(digits + sizeof digits - start));
}

char *http_answer_head(char *p, const smw_answer *answer, const http_framing *framing,
                       const char *date, const char *persistence)
{
    p = PUT(p, "HTTP/1.1 ");
    p = put_number(p, (unsigned)answer->status);
    *p++ = ' ';
    if (!(answer->flags & SMW_OUT_REASON)) {
        smw_str reason = http_reason(answer->status);
        p = put(p, reason.data, reason.length);
        p = PUT(p, "\r\n");
    }
    p = put(p, answer->head.data, answer->head.length);
    if (answer->flags & SMW_OUT_TEXT)
        p = PUT(p, "Content-Type: text/plain; charset=utf-8\r\n");
    if (framing->has_length) {
        p = PUT(p, "Content-Length: ");
        p = put_number(p, framing->length);
        p = PUT(p, "\r\n");
    }
    if (framing->is_chunked) p = PUT(p, "Transfer-Encoding: chunked\r\n");
    if (!(answer->flags & SMW_OUT_NO_DATE)) {
        p = PUT(p, "Date: ");
        p = put(p, date, 29);
        p = PUT(p, "\r\n");
    }
    if (persistence != NULL) {
        p = PUT(p, "Connection: ");
        p = put(p, persistence, strlen(persistence));
        p = PUT(p, "\r\n");
    }
    return PUT(p, "\r\n");
}

char *http_answer_chunk(char *p, smw_str data, bool is_last)
{
    if (data.length > 0) { /* an empty chunk would be the last one */
        p = put_hex(p, data.length);
        p = PUT(p, "\r\n");
        p = put(p, data.data, data.length);
        p = PUT(p, "\r\n");
    }
    return is_last ? PUT(p, "0\r\n\r\n") : p;
}
