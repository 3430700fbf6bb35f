/* SPDX-License-Identifier: MIT */
/* desk.h - what Python does with a batch, without Python: take records, look at their
 * words, leave answers in an outbox. All memory is in blocks of exact size, so that a
 * sanitizer sees every step over an end. */
#ifndef SMW_TEST_DESK_H
#define SMW_TEST_DESK_H

#include "client.h"

enum { ROUTE = SMW_FIRST_TOKEN, ROUTE_WITH_PARAMETERS, MISS };

typedef struct desk {
    smw_loop *loop;
    smw_batch *batch;
    smw_server *server;
    int port;
    smw_batch_memory memory;
    char *outbox;
    size_t outbox_length;
} desk;

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"
#define ECHO(path, length) "HTTP/1.1 200 OK\r\nContent-Length: " length "\r\n\r\n" path

static inline smw_batch_memory memory_of(size_t arena, size_t requests, size_t records)
{
    smw_batch_memory memory = {
        .arena = malloc(arena),
        .arena_size = arena,
        .words = malloc(requests * SMW_W_COUNT * sizeof(uint32_t)),
        .word_count = requests * SMW_W_COUNT,
        .records = malloc(records * 3 * sizeof(uint64_t)),
        .record_count = records,
        .shared = calloc(1, sizeof(smw_shared)),
    };
    return memory;
}

static inline void memory_free(smw_batch_memory *memory)
{
    free(memory->arena);
    free(memory->words);
    free(memory->records);
    free(memory->shared);
}

static inline void desk_open_for(desk *d, size_t requests,
                                 const smw_server_options *options)
{
    *d = (desk){.memory = memory_of(128 * 1024, requests, 1024)};
    d->loop = smw_loop_new();
    d->batch = smw_batch_new(d->loop, &d->memory);
    CHECK(d->batch != NULL);
    d->server = smw_server_new(d->loop, options);
    CHECK_INT(smw_server_route(d->server, SMW_GET, "/*", 2, ROUTE), 0);
    CHECK_INT(smw_server_route(d->server, SMW_POST, "/:a/b/:c", 8, ROUTE_WITH_PARAMETERS),
              0);
    smw_server_miss(d->server, MISS);
    smw_listen_options where = {.host = "127.0.0.1"};
    d->port = smw_server_listen(d->server, &where);
    CHECK(d->port > 0);
}

static inline void desk_open_with(desk *d, size_t requests)
{
    desk_open_for(d, requests, NULL);
}

static inline void desk_open(desk *d)
{
    desk_open_with(d, 512);
}

static inline void desk_close(desk *d)
{
    smw_loop_free(d->loop);
    memory_free(&d->memory); /* only after the loop, which it must outlive */
    free(d->outbox);
}

static inline size_t desk_count(const desk *d)
{
    return (size_t)d->memory.shared->count;
}

static inline uint64_t desk_id(const desk *d, size_t i)
{
    return d->memory.records[3 * i];
}

static inline uint64_t desk_token(const desk *d, size_t i)
{
    return d->memory.records[3 * i + 1];
}

static inline const uint32_t *desk_words(const desk *d, size_t i)
{
    return d->memory.words + d->memory.records[3 * i + 2];
}

/* The slice that a pair of words names. */
static inline smw_str desk_slice(const desk *d, size_t i, int word)
{
    const uint32_t *words = desk_words(d, i);
    return (smw_str){d->memory.arena + words[word], words[word + 1] - words[word]};
}

static inline smw_str desk_path(const desk *d, size_t i)
{
    return desk_slice(d, i, SMW_W_PATH);
}

static inline void desk_append(desk *d, const void *data, size_t length)
{
    if (length == 0) return;
    d->outbox = realloc(d->outbox, d->outbox_length + length);
    memcpy(d->outbox + d->outbox_length, data, length);
    d->outbox_length += length;
}

static inline void desk_record(desk *d, uint64_t exchange, int status, unsigned flags,
                               uint32_t head_length, uint64_t body_length)
{
    uint16_t small[2] = {(uint16_t)status, (uint16_t)flags};
    desk_append(d, &exchange, sizeof exchange);
    desk_append(d, small, sizeof small);
    desk_append(d, &head_length, sizeof head_length);
    desk_append(d, &body_length, sizeof body_length);
}

static inline void desk_answer(desk *d, uint64_t exchange, unsigned flags, smw_str body)
{
    desk_record(d, exchange, 200, flags | SMW_OUT_NO_DATE, 0, body.length);
    desk_append(d, body.data, body.length);
}

/* Answer request `i` with its own path. */
static inline void desk_echo(desk *d, size_t i)
{
    desk_answer(d, desk_id(d, i), 0, desk_path(d, i));
}

static inline void desk_echo_all(desk *d)
{
    for (size_t i = 0; i < desk_count(d); i++)
        if (desk_token(d, i) >= SMW_FIRST_TOKEN) desk_echo(d, i);
}

static inline void desk_forget_outbox(desk *d)
{
    free(d->outbox);
    d->outbox = NULL;
    d->outbox_length = 0;
}

/* Hand in the outbox and take the next batch; the last one is over with this. */
static inline int desk_turn(desk *d, int64_t timeout_ms, uint32_t limit)
{
    d->memory.shared->count = 0;
    int result = smw_turn(d->batch, timeout_ms, limit, d->outbox, d->outbox_length);
    desk_forget_outbox(d);
    if (result >= 0) CHECK_INT(result, desk_count(d));
    return result;
}

/* Scatter the outbox without a turn. */
static inline void desk_flush(desk *d)
{
    CHECK_INT(smw_flush(d->batch, d->outbox, d->outbox_length), 0);
    desk_forget_outbox(d);
}

/* Say the one request in `text` and run until it was handed out: its exchange. */
static inline uint64_t desk_ask(desk *d, client *c, const char *text)
{
    client_say(c, text);
    if (!CHECK_INT(desk_turn(d, PATIENCE_MS, 64), 1)) return 0;
    CHECK(desk_token(d, 0) >= SMW_FIRST_TOKEN);
    return desk_id(d, 0);
}

static inline void desk_expect_aborted(desk *d, uint64_t exchange, int status)
{
    if (!CHECK_INT(desk_turn(d, PATIENCE_MS, 64), 1)) return;
    CHECK_INT(desk_token(d, 0), SMW_EVENT_ABORTED);
    CHECK(desk_id(d, 0) == exchange);
    CHECK_INT(d->memory.records[2], status);
}

/* A few turns, so that what should not happen has had its chance. */
static inline void desk_expect_silence(desk *d)
{
    for (int i = 0; i < 5; i++) CHECK_INT(desk_turn(d, 2, 64), 0);
}

static inline void desk_await_connections(desk *d, size_t wanted)
{
    int64_t deadline = clock_ms() + PATIENCE_MS;
    while (smw_server_connections(d->server) != wanted && CHECK(clock_ms() <= deadline))
        CHECK_INT(desk_turn(d, 1, 64), 0);
}

/* Take turns, echoing, until the client has `length` bytes. */
static inline void desk_serve(desk *d, client *c, size_t length, uint32_t limit)
{
    int64_t deadline = clock_ms() + PATIENCE_MS;
    for (;;) {
        client_receive(c);
        if (c->length >= length || c->is_ended || c->error != 0) return;
        if (clock_ms() > deadline) {
            CHECK_INT(c->length, length);
            return;
        }
        desk_echo_all(d);
        desk_turn(d, 0, limit);
        if (desk_count(d) == 0) await_event(d->loop, c->fd);
    }
}

#define DESK_EXPECT(d, c, wanted)                                                            \
    (desk_serve((d), (c), strlen(wanted), 256),                                         \
     test_say_bytes(__FILE__, __LINE__, #c, (c)->data, (c)->length, (wanted),           \
                    strlen(wanted)),                                                    \
     client_forget(c))

#endif
