/* SPDX-License-Identifier: MIT */
/* message.h - requests whose bodies show what was lost, doubled or mixed up. */
#ifndef SMW_TEST_MESSAGE_H
#define SMW_TEST_MESSAGE_H

#include <stdio.h>
#include <stdlib.h>

/* Tells each byte from its neighbours, and each body (`seed`) from the next. */
static inline char byte_at(size_t i, size_t seed)
{
    return (char)(i * 31 + i / 251 + i / 64256 * 7 + seed * 89);
}

typedef struct message {
    char *data; /* all of it */
    size_t length;
    size_t head; /* so much of that */
    char *body;  /* without chunks */
    size_t size;
} message;

static inline void write_chunks(FILE *out, const char *body, size_t size, size_t chunk)
{
    for (size_t i = 0; i < size; i += chunk) {
        size_t next = size - i < chunk ? size - i : chunk;
        fprintf(out, "%zx\r\n", next);
        fwrite(body + i, 1, next, out);
        fprintf(out, "\r\n");
    }
    fprintf(out, "0\r\n\r\n");
}

/* Behind `head`, which lacks its last field: `size` bytes of body, by length (`chunk` 0)
 * or in chunks of up to so many. */
static inline message message_of(const char *head, size_t size, size_t seed, size_t chunk)
{
    message m = {.body = malloc(size + 1), .size = size};
    for (size_t i = 0; i < size; i++) m.body[i] = byte_at(i, seed);
    FILE *out = open_memstream(&m.data, &m.length);
    fputs(head, out);
    if (chunk == 0)
        fprintf(out, "Content-Length: %zu\r\n\r\n", size);
    else
        fprintf(out, "Transfer-Encoding: chunked\r\n\r\n");
    fflush(out);
    m.head = m.length;
    if (chunk == 0)
        fwrite(m.body, 1, size, out);
    else
        write_chunks(out, m.body, size, chunk);
    fclose(out);
    return m;
}

static inline void message_free(message *m)
{
    free(m->data);
    free(m->body);
}

#endif
