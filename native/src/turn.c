/* SPDX-License-Identifier: MIT */
/* turn.c - callbacks gathered into one batch a turn, answers scattered from one
 * outbox: all that a plain request costs in calls is one a turn, shared. */
#include "turn.h"

#include "http.h"
#include "loop.h"
#include "net.h"

#include <errno.h>
#include <stdlib.h>

/* Events need room beside the requests: of one wait, each of at most POLL_BATCH
 * descriptors can owe two. Requests leave it free. */
#define EVENT_ROOM (2 * POLL_BATCH)
#define LEAST_ARENA (128 * 1024)
#define MOST_ARENA (1024 * 1024 * 1024) /* so that SMW_PIECE_LAST is no place */
#define LEAST_RECORDS 1024

struct smw_batch {
    dependent dependent;
    smw_loop *loop;
    smw_batch_memory memory;
    size_t requests;   /* in this turn */
    size_t limit;      /* on them */
    size_t words_used;
};

static void add_record(smw_batch *batch, uint64_t id, uint64_t token, uint64_t base)
{
    smw_shared *shared = batch->memory.shared;
    if (shared->count == batch->memory.record_count) return; /* see EVENT_ROOM */
    uint64_t *record = batch->memory.records + shared->count * 3;
    record[0] = id;
    record[1] = token;
    record[2] = base;
    shared->count++;
}

/* ---- gathering ---- */

static void put_pair(uint32_t *words, const char *memory, smw_str slice)
{
    words[0] = (uint32_t)(slice.data - memory);
    words[1] = words[0] + (uint32_t)slice.length;
}

static void put_fields(uint32_t *known, const char *memory, const smw_request *request)
{
    for (size_t i = 0; i < request->field_count; i++) {
        const smw_field *field = &request->fields[i];
        if (field->known < 0) continue;
        uint32_t *pair = known + 2 * field->known;
        bool is_odd = pair[0] != 0 || !field->is_ascii;
        put_pair(pair, memory, field->value);
        if (is_odd) pair[0] = SMW_W_ODD;
    }
}

static void put_words(uint32_t *words, const char *memory, const smw_request *request)
{
    uint32_t head = (uint32_t)(request->head.data - memory);
    words[SMW_W_HEAD] = head;
    words[SMW_W_HEAD_END] = head + (uint32_t)request->head.length;
    words[SMW_W_METHOD] = (uint32_t)request->method;
    words[SMW_W_METHOD_END] = head + (uint32_t)request->method_name.length;
    put_pair(words + SMW_W_PATH, memory, request->path);
    words[SMW_W_QUERY] = words[SMW_W_QUERY_END] = 0;
    if (request->query.data != NULL) put_pair(words + SMW_W_QUERY, memory, request->query);
    words[SMW_W_TARGET_END] =
        (uint32_t)(request->target.data + request->target.length - memory);
    words[SMW_W_FIELDS] = (uint32_t)(request->field_lines - memory);
    words[SMW_W_MINOR] = (uint32_t)request->minor;
    words[SMW_W_ALLOW] = request->allow;
    words[SMW_W_PARAMS] = (uint32_t)request->param_count;
    /* Parameters and numbered fields, which stand behind them. */
    memset(words + SMW_W_PARAM, 0, (SMW_W_COUNT - SMW_W_PARAM) * sizeof *words);
    for (size_t i = 0; i < request->param_count; i++)
        put_pair(words + SMW_W_PARAM + 2 * i, memory, request->params[i]);
    put_fields(words + SMW_W_KNOWN, memory, request);
}

/* Say so when the next request would find no room. */
static void note_room(smw_batch *batch)
{
    const smw_batch_memory *memory = &batch->memory;
    if (batch->requests >= batch->limit ||
        memory->word_count - batch->words_used < SMW_W_COUNT ||
        memory->shared->count + EVENT_ROOM >= memory->record_count)
        batch->loop->is_full = true;
}

static void on_request(smw_server *server, const smw_request *request, void *user)
{
    (void)server;
    smw_batch *batch = user;
    put_words(batch->memory.words + batch->words_used, batch->memory.arena, request);
    add_record(batch, request->exchange, request->token, batch->words_used);
    batch->words_used += SMW_W_COUNT;
    batch->requests++;
    note_room(batch);
}

static uint64_t pack_piece(const smw_batch *batch, smw_str piece, bool is_last)
{
    uint64_t start = 0, end = 0;
    if (piece.length > 0) {
        start = (uint64_t)(piece.data - batch->memory.arena);
        end = start + piece.length;
    }
    return start << 32 | (is_last ? SMW_PIECE_LAST : 0) | end;
}

static void on_data(smw_server *server, uint64_t exchange, smw_str piece, bool is_last,
                    void *user)
{
    (void)server;
    smw_batch *batch = user;
    add_record(batch, exchange, SMW_EVENT_DATA, pack_piece(batch, piece, is_last));
    batch->requests++; /* it is as much work */
    note_room(batch);
}

static void on_writable(smw_server *server, uint64_t exchange, void *user)
{
    (void)server;
    add_record(user, exchange, SMW_EVENT_WRITABLE, 0);
}

static void on_aborted(smw_server *server, uint64_t exchange, int status, void *user)
{
    (void)server;
    add_record(user, exchange, SMW_EVENT_ABORTED, (uint64_t)status);
    note_room(user); /* any number of broken connections may be closed in one step */
}

void turn_adopt(smw_batch *batch, smw_server *server)
{
    smw_server_callbacks callbacks = {
        .on_request = on_request,
        .on_data = on_data,
        .on_writable = on_writable,
        .on_aborted = on_aborted,
        .user = batch,
    };
    smw_server_on(server, &callbacks);
}

static void on_ready(smw_loop *loop, int fd, unsigned events, uint64_t user)
{
    (void)user;
    add_record(loop->batch, (uint64_t)fd, SMW_EVENT_READY, events);
}

int smw_batch_watch(smw_batch *batch, int fd, unsigned events)
{
    return smw_watch_set(batch->loop, fd, events, on_ready, 0);
}

/* ---- scattering ---- */

typedef struct out_record {
    uint64_t exchange;
    uint16_t status;
    uint16_t flags;
    uint32_t head_length;
    uint64_t body_length;
} out_record;

_Static_assert(sizeof(out_record) == SMW_OUT_RECORD, "no padding");

static int scatter(smw_loop *loop, const char *outbox, size_t length)
{
    int result = 0;
    loop_read_clock(loop);
    while (length >= SMW_OUT_RECORD && result == 0) {
        out_record record;
        memcpy(&record, outbox, sizeof record);
        outbox += sizeof record;
        length -= sizeof record;
        smw_answer answer = {
            .status = record.status,
            .flags = record.flags,
            .head = {outbox, record.head_length},
            .body_length = record.body_length,
        };
        size_t body = record.flags & SMW_OUT_MORE ? 0 : (size_t)record.body_length;
        if (length < answer.head.length || length - answer.head.length < body) {
            result = SMW_ERECORD;
            break;
        }
        answer.body = (smw_str){outbox + record.head_length, body};
        conn *c = http_conn_of(loop, record.exchange);
        /* An answer whose peer has gone is dropped. */
        if (c != NULL) {
            conn_cork_for_turn(c);
            result = http_answer(loop, record.exchange, &answer);
            /* Out of memory, or an answer out of turn (a mistake of Python's side):
             * that connection alone pays for it. */
            if (result == SMW_EORDER) conn_break(c);
            if (result == SMW_EORDER || result == -ENOMEM) result = 0;
        }
        outbox += record.head_length + body;
        length -= record.head_length + body;
    }
    conn_uncork_all(loop);
    return result != 0 || length == 0 ? result : SMW_ERECORD;
}

int smw_flush(smw_batch *batch, const char *outbox, size_t length)
{
    int result = scatter(batch->loop, outbox, length);
    batch->memory.shared->scattered = 1;
    return result;
}

int64_t smw_exchange_read(smw_batch *batch, uint64_t exchange, bool wants)
{
    smw_str piece;
    bool is_last;
    loop_read_clock(batch->loop); /* the application may have taken its time */
    int result = http_read_piece(batch->loop, exchange, wants, &piece, &is_last);
    return result != 0 ? result : (int64_t)pack_piece(batch, piece, is_last);
}

int smw_exchange_peer(smw_batch *batch, uint64_t exchange, smw_peer *peer)
{
    conn *c = http_conn_of(batch->loop, exchange);
    return c == NULL ? SMW_EGONE : net_peer(c->watch.fd, peer);
}

int smw_exchange_take_back(smw_batch *batch, uint64_t exchange)
{
    return http_take_back(batch->loop, exchange);
}

int64_t smw_exchange_backlog(smw_batch *batch, uint64_t exchange)
{
    return http_backlog(batch->loop, exchange);
}

int smw_exchange_close(smw_batch *batch, uint64_t exchange)
{
    return http_close(batch->loop, exchange);
}

int64_t smw_exchange_send(smw_batch *batch, uint64_t exchange, const char *data,
                          size_t length, uint64_t left)
{
    loop_read_clock(batch->loop);
    return http_send(batch->loop, exchange, data, length, left);
}

/* ---- the turn ---- */

static void begin(smw_batch *batch)
{
    loop_begin_turn(batch->loop);
    batch->requests = 0;
    batch->words_used = 0;
    note_room(batch);
}

int smw_turn(smw_batch *batch, int64_t timeout_ms, uint32_t limit, const char *outbox,
             size_t length)
{
    smw_shared *shared = batch->memory.shared;
    smw_loop *loop = batch->loop;
    if (shared->count != 0) return SMW_EBUSY;
    int result = smw_flush(batch, outbox, length);
    if (result != 0) return result;
    batch->limit = limit == 0 ? 1 : limit;
    int64_t deadline = timeout_ms > 0 ? loop_deadline(timeout_ms) : 0;
    /* What needs nothing from Python (a new connection, half a request, a finished
     * send) does not end the turn. */
    for (;;) {
        begin(batch);
        result = loop_step(loop, timeout_ms);
        if (result < 0 || shared->count != 0 || loop->was_woken || timeout_ms == 0) break;
        if (timeout_ms > 0) {
            timeout_ms = deadline - loop_clock();
            if (timeout_ms <= 0) break;
        }
    }
    if (result < 0 && result != -EINTR && shared->count == 0) return result;
    return (int)shared->count;
}

/* ---- life ---- */

static void batch_free(dependent *d)
{
    smw_batch *batch = list_entry(d, smw_batch, dependent);
    batch->loop->batch = NULL;
    batch->loop->arena = (arena){0};
    list_remove(&d->link);
    free(batch);
}

smw_batch *smw_batch_new(smw_loop *loop, const smw_batch_memory *memory)
{
    errno = EINVAL;
    if (loop->batch != NULL || memory->arena_size < LEAST_ARENA ||
        memory->arena_size > MOST_ARENA || memory->word_count < SMW_W_COUNT ||
        memory->record_count < LEAST_RECORDS)
        return NULL;
    smw_batch *batch = calloc(1, sizeof *batch);
    if (batch == NULL) return NULL;
    batch->loop = loop;
    batch->memory = *memory;
    if (loop->arena.is_ours) free(loop->arena.data);
    loop->arena = (arena){.data = memory->arena, .size = memory->arena_size};
    loop->batch = batch;
    /* Freed after the servers made later, which report their closing to it. */
    dependent_init(loop, &batch->dependent, batch_free);
    return batch;
}
