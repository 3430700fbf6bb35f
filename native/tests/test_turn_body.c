/* SPDX-License-Identifier: MIT */
/* test_turn_body.c - bodies in the batch: pieces of requests', streams of answers'. */
#include "desk.h"

/* Tells each byte from its neighbours, and each body (`seed`) from the next. */
static char byte_at(size_t i, size_t seed)
{
    return (char)(i * 31 + i / 251 + i / 64256 * 7 + seed * 89);
}

typedef struct message {
    char *data;
    size_t length;
    size_t head; /* so much of it */
} message;

/* A POST whose parameters are `name` and x, with `length` bytes of body: by length, or in
 * chunks of up to `chunk` bytes. `fields`: more lines. */
static message post_with(const char *fields, size_t name, size_t length, size_t chunk)
{
    message m;
    char *body = malloc(length + 1);
    for (size_t i = 0; i < length; i++) body[i] = byte_at(i, name);
    FILE *out = open_memstream(&m.data, &m.length);
    fprintf(out, "POST /%zu/b/x HTTP/1.1\r\nHost: a\r\n%s", name, fields);
    if (chunk == 0)
        fprintf(out, "Content-Length: %zu\r\n\r\n", length);
    else
        fprintf(out, "Transfer-Encoding: chunked\r\n\r\n");
    fflush(out);
    m.head = m.length;
    if (chunk == 0) fwrite(body, 1, length, out);
    for (size_t i = 0; chunk > 0 && i < length; i += chunk) {
        size_t size = length - i < chunk ? length - i : chunk;
        fprintf(out, "%zx\r\n", size);
        fwrite(body + i, 1, size, out);
        fprintf(out, "\r\n");
    }
    if (chunk > 0) fprintf(out, "0\r\n\r\n");
    fclose(out);
    free(body);
    return m;
}

static message post(size_t name, size_t length, size_t chunk)
{
    return post_with("", name, length, chunk);
}

/* What came of one body. */
typedef struct upload {
    size_t name;
    size_t length;
    size_t wrong; /* bytes that are not its own */
    size_t pieces;
    size_t ends;
} upload;

/* Look at a piece while it lasts; its length. */
static size_t take(const desk *d, upload *u, uint64_t piece)
{
    uint64_t start = piece >> 32, end = piece & (SMW_PIECE_LAST - 1);
    bool is_inside = start <= end && end <= d->memory.arena_size;
    if (!CHECK((int64_t)piece >= 0) || !CHECK(is_inside)) return 0;
    CHECK_INT(u->ends, 0);
    for (uint64_t i = start; i < end; i++)
        u->wrong += d->memory.arena[i] != byte_at(u->length++, u->name);
    u->pieces++;
    if (piece & SMW_PIECE_LAST) u->ends++;
    return (size_t)(end - start);
}

static uint64_t desk_base(const desk *d, size_t i)
{
    return d->memory.records[3 * i + 2];
}

static int64_t read_body(desk *d, uint64_t exchange)
{
    return smw_exchange_read(d->batch, exchange, true);
}

/* The next batch has `count` records, the first of `token`. */
static bool expect_records(desk *d, int line, size_t count, uint64_t token)
{
    desk_turn(d, PATIENCE_MS, 64);
    return check_int(__FILE__, line, "records", (long long)desk_count(d),
                     (long long)count) &&
           check_int(__FILE__, line, "token", (long long)desk_token(d, 0),
                     (long long)token);
}

#define EXPECT_RECORDS(d, count, token) expect_records((d), __LINE__, (count), (token))

/* Take DATA records of one exchange, and nothing else, until the last piece. */
static void take_the_rest(desk *d, upload *u, uint64_t exchange, client *c,
                          const char *data, size_t length)
{
    int64_t deadline = clock_ms() + PATIENCE_MS;
    size_t sent = 0;
    while (u->ends == 0 && CHECK(clock_ms() < deadline)) {
        sent += client_offer(c, data + sent, length - sent);
        desk_turn(d, 10, 64);
        for (size_t i = 0; i < desk_count(d); i++) {
            CHECK(desk_id(d, i) == exchange);
            if (!CHECK_INT(desk_token(d, i), SMW_EVENT_DATA)) continue;
            size_t size = take(d, u, desk_base(d, i));
            CHECK(size > 0 || u->ends > 0); /* no news make no record */
        }
    }
    CHECK_INT(sent, length);
    CHECK_INT(u->wrong, 0);
}

static void answer_ok(desk *d, uint64_t exchange)
{
    desk_answer(d, exchange, 0, (smw_str){"ok", 2});
}

#define OK ECHO("ok", "2")

static void expect_nothing(desk *d, client *c)
{
    for (int i = 0; i < 3; i++) CHECK_INT(desk_turn(d, 2, 64), 0);
    client_receive(c);
    CHECK_INT(c->length, 0);
    CHECK(!c->is_ended && c->error == 0);
}

/* ---- the inline piece ---- */

static void test_what_came_with_a_request_is_had_without_waiting(void)
{
    static const size_t sizes[] = {0, 1, 1000, 16000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (size_t chunk = 0; chunk <= 500; chunk += 500) {
            desk d;
            desk_open(&d);
            client c = client_open(d.port);
            message m = post(i + 1, sizes[i], chunk);
            client_say_bytes(&c, m.data, m.length);
            EXPECT_RECORDS(&d, 1, ROUTE_WITH_PARAMETERS);
            uint64_t id = desk_id(&d, 0);
            upload u = {.name = i + 1};
            CHECK_INT(take(&d, &u, (uint64_t)read_body(&d, id)), sizes[i]);
            CHECK_INT(u.wrong, 0);
            CHECK_INT(u.ends, 1);
            /* Again: it is over, and nothing comes twice. */
            CHECK_INT(read_body(&d, id), SMW_PIECE_LAST);
            expect_nothing(&d, &c);
            CHECK_INT(read_body(&d, id), SMW_PIECE_LAST);
            expect_nothing(&d, &c);
            CHECK_INT(smw_loop_stats(d.loop)->recvs, 1);
            answer_ok(&d, id);
            DESK_EXPECT(&d, &c, OK);
            CHECK_INT(read_body(&d, id), SMW_EGONE);
            free(m.data);
            client_close(&c);
            desk_close(&d);
        }
}

static void test_a_request_without_a_body_has_an_empty_last_piece(void)
{
    desk d;
    desk_open(&d);
    client c = client_open(d.port);
    client_say(&c, GET("/a") GET("/b"));
    EXPECT_RECORDS(&d, 2, ROUTE);
    for (size_t i = 0; i < 2; i++) {
        CHECK_INT(read_body(&d, desk_id(&d, i)), SMW_PIECE_LAST);
        CHECK_INT(smw_exchange_read(d.batch, desk_id(&d, i), false), SMW_PIECE_LAST);
        CHECK_INT(read_body(&d, desk_id(&d, i)), SMW_PIECE_LAST);
    }
    desk_echo_all(&d);
    CHECK_INT(desk_turn(&d, 0, 64), 0);
    DESK_EXPECT(&d, &c, ECHO("/a", "2") ECHO("/b", "2"));
    client_close(&c);
    desk_close(&d);
}

static void test_a_body_of_nobody_is_gone(void)
{
    desk d;
    desk_open(&d);
    client c = client_open(d.port);
    message m = post(1, 10, 0);
    client_say_bytes(&c, m.data, m.length);
    EXPECT_RECORDS(&d, 1, ROUTE_WITH_PARAMETERS);
    uint64_t id = desk_id(&d, 0), one = SMW_SLOT_MASK + 1;
    uint64_t ids[] = {0,        1,        id + 1,        id - 1,
                      id + one, id - one, SMW_SLOT_MASK, UINT64_MAX};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        CHECK_INT(read_body(&d, ids[i]), SMW_EGONE);
        CHECK_INT(smw_exchange_read(d.batch, ids[i], false), SMW_EGONE);
    }
    upload u = {.name = 1};
    CHECK_INT(take(&d, &u, (uint64_t)read_body(&d, id)), 10);
    free(m.data);
    client_close(&c);
    desk_close(&d);
}

/* ---- later pieces ---- */

static void test_what_comes_later_is_told_as_data(void)
{
    static const size_t sizes[] = {10, 5000, 100000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (size_t chunk = 0; chunk <= 4000; chunk += 4000)
            for (size_t early = 0; early < 3; early++) {
                desk d;
                desk_open(&d);
                client c = client_open(d.port);
                message m = post(i + 1, sizes[i], chunk);
                size_t cut = early == 2 ? (m.head + m.length) / 2 : m.head + early;
                client_say_bytes(&c, m.data, cut);
                EXPECT_RECORDS(&d, 1, ROUTE_WITH_PARAMETERS);
                uint64_t id = desk_id(&d, 0);
                upload u = {.name = i + 1};
                take(&d, &u, (uint64_t)read_body(&d, id));
                CHECK_INT(u.ends, 0);
                CHECK(early > 0 || u.length == 0);
                take_the_rest(&d, &u, id, &c, m.data + cut, m.length - cut);
                CHECK_INT(u.length, sizes[i]);
                expect_nothing(&d, &c);
                answer_ok(&d, id);
                DESK_EXPECT(&d, &c, OK);
                free(m.data);
                client_close(&c);
                desk_close(&d);
            }
}

static void test_a_body_asked_for_in_a_later_turn_comes_as_data_alone(void)
{
    static const size_t sizes[] = {0, 10, 5000, 16000, 100000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (size_t chunk = 0; chunk <= 4000; chunk += 4000)
            for (int cut_at = 0; cut_at < 3; cut_at++) {
                if (sizes[i] == 0 && chunk == 0) continue;
                desk d;
                desk_open(&d);
                client c = client_open(d.port);
                message m = post(i + 1, sizes[i], chunk);
                size_t cut = cut_at == 0 ? m.head : cut_at == 1 ? m.head + 3 : m.length;
                cut = client_offer(&c, m.data, cut);
                EXPECT_RECORDS(&d, 1, ROUTE_WITH_PARAMETERS);
                uint64_t id = desk_id(&d, 0);
                expect_nothing(&d, &c);
                memset(d.memory.arena, 'x', d.memory.arena_size); /* it is not there */
                uint64_t recvs = smw_loop_stats(d.loop)->recvs;
                CHECK(recvs <= 2);
                CHECK_INT(smw_exchange_read(d.batch, id, false), 0);
                upload u = {.name = i + 1};
                take(&d, &u, (uint64_t)read_body(&d, id));
                CHECK_INT(u.length, 0);
                /* Of an empty body that is here, the end may be told. */
                CHECK_INT(u.ends, sizes[i] == 0 && cut_at == 2);
                take_the_rest(&d, &u, id, &c, m.data + cut, m.length - cut);
                CHECK_INT(u.length, sizes[i]);
                expect_nothing(&d, &c);
                answer_ok(&d, id);
                DESK_EXPECT(&d, &c, OK);
                free(m.data);
                client_close(&c);
                desk_close(&d);
            }
}

static void test_reading_can_be_paused_for_any_number_of_turns(void)
{
    enum { LENGTH = 300000 };
    desk d;
    desk_open(&d);
    client c = client_open(d.port);
    message m = post(7, LENGTH, 0);
    size_t sent = client_offer(&c, m.data, m.length);
    EXPECT_RECORDS(&d, 1, ROUTE_WITH_PARAMETERS);
    uint64_t id = desk_id(&d, 0);
    upload u = {.name = 7};
    take(&d, &u, (uint64_t)read_body(&d, id));
    int64_t deadline = clock_ms() + PATIENCE_MS;
    while (u.ends == 0 && CHECK(clock_ms() < deadline)) {
        sent += client_offer(&c, m.data + sent, m.length - sent);
        desk_turn(&d, 10, 64);
        CHECK(desk_count(&d) <= 1);
        if (desk_count(&d) == 0) continue;
        CHECK_INT(desk_token(&d, 0), SMW_EVENT_DATA);
        take(&d, &u, desk_base(&d, 0));
        if (u.ends > 0) break;
        CHECK_INT(smw_exchange_read(d.batch, id, false), 0);
        sent += client_offer(&c, m.data + sent, m.length - sent);
        for (int i = 0; i < 3; i++) CHECK_INT(desk_turn(&d, 1, 64), 0);
        CHECK_INT(read_body(&d, id), 0);
    }
    CHECK_INT(u.length, LENGTH);
    CHECK_INT(u.wrong, 0);
    CHECK(u.pieces > 4);
    answer_ok(&d, id);
    DESK_EXPECT(&d, &c, OK);
    free(m.data);
    client_close(&c);
    desk_close(&d);
}

static void test_a_body_that_nobody_asks_for_stays_with_the_client(void)
{
    desk d;
    desk_open(&d);
    client c = client_open(d.port);
    message m = post(1, 200000, 0);
    client_say_bytes(&c, m.data, m.head);
    EXPECT_RECORDS(&d, 1, ROUTE_WITH_PARAMETERS);
    uint64_t recvs = smw_loop_stats(d.loop)->recvs;
    client_offer(&c, m.data + m.head, m.length - m.head);
    expect_nothing(&d, &c);
    CHECK_INT(smw_loop_stats(d.loop)->recvs, recvs);
    free(m.data);
    client_close(&c);
    desk_close(&d);
}

/* ---- beside others ---- */

static void test_a_request_with_a_body_is_handed_out_alone(void)
{
    for (size_t chunk = 0; chunk <= 3; chunk += 3) {
        desk d;
        desk_open(&d);
        client c = client_open(d.port);
        message m = post(1, 10, chunk);
        client_say(&c, GET("/a") GET("/b"));
        client_say_bytes(&c, m.data, m.length);
        client_say_bytes(&c, m.data, m.length);
        client_say(&c, GET("/c") GET("/d"));
        static const size_t wanted[] = {2, 1, 1, 2};
        static const char *const answers[] = {ECHO("/a", "2") ECHO("/b", "2"), OK, OK,
                                              ECHO("/c", "2") ECHO("/d", "2")};
        for (int i = 0; i < 4; i++) {
            bool has_body = i == 1 || i == 2;
            EXPECT_RECORDS(&d, wanted[i], has_body ? ROUTE_WITH_PARAMETERS : ROUTE);
            if (has_body) {
                uint64_t id = desk_id(&d, 0);
                upload u = {.name = 1};
                if (i == 1) take(&d, &u, (uint64_t)read_body(&d, id));
                if (i == 2) expect_nothing(&d, &c); /* and the third turn is no other */
                if (i == 1) CHECK_INT(u.length, 10);
                answer_ok(&d, id);
            } else {
                desk_echo_all(&d);
            }
            CHECK_INT(smw_flush(d.batch, d.outbox, d.outbox_length), 0);
            desk_forget_outbox(&d);
            client_receive(&c);
            test_say_bytes(__FILE__, __LINE__, "answer", c.data, c.length, answers[i],
                           strlen(answers[i]));
            client_forget(&c);
        }
        free(m.data);
        client_close(&c);
        desk_close(&d);
    }
}

static void test_forty_uploads_at_once_mix_nothing_up(void)
{
    enum { CLIENTS = 40, LENGTH = 100 * 1024, LIMIT = 4 };
    static client clients[CLIENTS];
    static message messages[CLIENTS];
    static upload uploads[CLIENTS];
    size_t sent[CLIENTS] = {0}, name_of[4 * CLIENTS] = {0};
    uint64_t late[CLIENTS]; /* asked for a turn later */
    size_t late_count = 0;
    desk d;
    desk_open(&d);
    for (size_t i = 0; i < CLIENTS; i++) {
        clients[i] = client_open(d.port);
        messages[i] = post(i, LENGTH, i % 2 ? 3000 + i * 500 : 0);
        uploads[i] = (upload){.name = i};
    }
    size_t done = 0;
    int64_t deadline = clock_ms() + PATIENCE_MS;
    while (done < CLIENTS && CHECK(clock_ms() < deadline)) {
        for (size_t i = 0; i < CLIENTS; i++) {
            const message *m = &messages[i];
            sent[i] += client_offer(&clients[i], m->data + sent[i], m->length - sent[i]);
        }
        desk_turn(&d, 10, LIMIT);
        CHECK(desk_count(&d) <= LIMIT);
        while (late_count > 0) CHECK_INT(read_body(&d, late[--late_count]), 0);
        for (size_t i = 0; i < desk_count(&d); i++) {
            uint64_t id = desk_id(&d, i), slot = id & SMW_SLOT_MASK;
            uint64_t piece = desk_base(&d, i);
            if (!CHECK(slot < 4 * CLIENTS)) continue;
            if (desk_token(&d, i) == ROUTE_WITH_PARAMETERS) {
                name_of[slot] = strtoul(desk_slice(&d, i, SMW_W_PARAM).data, NULL, 10);
                bool is_late = name_of[slot] % 3 == 0;
                if (is_late) late[late_count++] = id;
                if (is_late) continue;
                piece = (uint64_t)read_body(&d, id);
            } else {
                CHECK_INT(desk_token(&d, i), SMW_EVENT_DATA);
            }
            upload *u = &uploads[name_of[slot]];
            take(&d, u, piece);
            if (u->ends == 0) continue;
            done++;
            answer_ok(&d, id);
        }
    }
    for (size_t i = 0; i < CLIENTS; i++) {
        CHECK_INT(uploads[i].length, LENGTH);
        CHECK_INT(uploads[i].wrong, 0);
        CHECK_INT(uploads[i].ends, 1);
        DESK_EXPECT(&d, &clients[i], OK);
        free(messages[i].data);
        client_close(&clients[i]);
    }
    desk_close(&d);
}

static void test_late_pieces_of_several_connections_share_a_batch(void)
{
    enum { CLIENTS = 6, LENGTH = 10000 };
    client clients[CLIENTS];
    uint64_t ids[CLIENTS];
    size_t name_of[4 * CLIENTS] = {0};
    desk d;
    desk_open(&d);
    for (size_t i = 0; i < CLIENTS; i++) {
        clients[i] = client_open(d.port);
        message m = post(i, LENGTH, 0);
        client_say_bytes(&clients[i], m.data, m.length);
        free(m.data);
        EXPECT_RECORDS(&d, 1, ROUTE_WITH_PARAMETERS);
        ids[i] = desk_id(&d, 0);
        name_of[ids[i] & SMW_SLOT_MASK] = i;
    }
    CHECK_INT(desk_turn(&d, 0, 64), 0);
    for (size_t i = 0; i < CLIENTS; i++) CHECK_INT(read_body(&d, ids[i]), 0);
    EXPECT_RECORDS(&d, CLIENTS, SMW_EVENT_DATA);
    for (size_t i = 0; i < desk_count(&d); i++) {
        upload u = {.name = name_of[desk_id(&d, i) & SMW_SLOT_MASK]};
        CHECK_INT(take(&d, &u, desk_base(&d, i)), LENGTH);
        CHECK_INT(u.wrong, 0);
        CHECK_INT(u.ends, 1);
    }
    for (size_t i = 0; i < CLIENTS; i++) client_close(&clients[i]);
    desk_close(&d);
}

static void test_a_100_goes_before_the_answer_in_the_same_send(void)
{
    desk d;
    desk_open(&d);
    client c = client_open(d.port);
    message m = post_with("Expect: 100-continue\r\n", 1, 10, 0);
    client_say_bytes(&c, m.data, m.head);
    EXPECT_RECORDS(&d, 1, ROUTE_WITH_PARAMETERS);
    uint64_t id = desk_id(&d, 0);
    expect_nothing(&d, &c);
    CHECK_INT(read_body(&d, id), 0);
    CHECK_INT(read_body(&d, id), 0);
    CHECK_INT(smw_loop_stats(d.loop)->sends, 0); /* it goes with the outbox */
    answer_ok(&d, id);
    CHECK_INT(desk_turn(&d, 0, 64), 0);
    CHECK_INT(smw_loop_stats(d.loop)->sends, 1);
    client_say_bytes(&c, m.data + m.head, m.length - m.head);
    client_say(&c, GET("/b"));
    DESK_EXPECT(&d, &c, "HTTP/1.1 100 Continue\r\n\r\n" OK ECHO("/b", "2"));
    free(m.data);
    client_close(&c);
    desk_close(&d);
}

static void test_a_100_is_sent_by_the_next_turn(void)
{
    desk d;
    desk_open(&d);
    client c = client_open(d.port);
    message m = post_with("Expect: 100-continue\r\n", 1, 10, 5);
    client_say_bytes(&c, m.data, m.head);
    EXPECT_RECORDS(&d, 1, ROUTE_WITH_PARAMETERS);
    uint64_t id = desk_id(&d, 0);
    CHECK_INT(read_body(&d, id), 0);
    CHECK_INT(desk_turn(&d, 0, 64), 0);
    DESK_EXPECT(&d, &c, "HTTP/1.1 100 Continue\r\n\r\n");
    upload u = {.name = 1};
    take_the_rest(&d, &u, id, &c, m.data + m.head, m.length - m.head);
    CHECK_INT(u.length, 10);
    answer_ok(&d, id);
    DESK_EXPECT(&d, &c, OK);
    free(m.data);
    client_close(&c);
    desk_close(&d);
}

/* ---- bodies that go wrong ---- */

/* The exchange has ended with `status`; it is reported once, and gone. */
static void expect_aborted(desk *d, int line, uint64_t id, uint64_t status)
{
    expect_records(d, line, 1, SMW_EVENT_ABORTED);
    CHECK(desk_id(d, 0) == id);
    check_int(__FILE__, line, "status", (long long)desk_base(d, 0), (long long)status);
    CHECK_INT(read_body(d, id), SMW_EGONE);
    answer_ok(d, id); /* for nobody */
    CHECK_INT(desk_turn(d, 2, 64), 0);
}

static void expect_refusal(desk *d, client *c, const char *status_line)
{
    desk_serve(d, c, TO_THE_END, 64);
    CHECK(client_starts_with(c, status_line));
    CHECK(c->is_ended && c->error == 0);
}

#define POST "POST /1/b/x HTTP/1.1\r\nHost: a\r\n"
#define CHUNKED_POST POST "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
#define SHORT_POST POST "Content-Length: 10\r\n\r\n12345"
#define SAYS_400 "HTTP/1.1 400 Bad Request\r\n"
#define SAYS_413 "HTTP/1.1 413 Content Too Large\r\n"

static void test_what_goes_wrong_in_a_body_is_reported_with_its_status(void)
{
    enum { NOTHING, ENDS, RESETS };
    static const struct {
        const char *start;
        const char *rest;
        int then;
        bool is_read;
        uint64_t status;
        const char *answer;
    } cases[] = {
        {CHUNKED_POST, "8\r\nabcdefgh\r\n", NOTHING, true, 413, SAYS_413},
        {CHUNKED_POST, "Z\r\n", NOTHING, true, 400, SAYS_400},
        {CHUNKED_POST, "", ENDS, true, 400, SAYS_400},
        {SHORT_POST, "6", ENDS, true, 400, SAYS_400},
        {SHORT_POST, "6", RESETS, true, 0, NULL},
        {SHORT_POST, "6", ENDS, false, 0, NULL},
        {SHORT_POST, "6", RESETS, false, 0, NULL},
        {GET("/a"), "", ENDS, false, 0, NULL},
        {GET("/a"), "", RESETS, false, 0, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        desk d;
        desk_open(&d);
        CHECK_INT(smw_server_max_body(d.server, ROUTE_WITH_PARAMETERS, 10), 0);
        client c = client_open(d.port);
        client_say(&c, cases[i].start);
        desk_turn(&d, PATIENCE_MS, 64);
        CHECK_INT(desk_count(&d), 1);
        uint64_t id = desk_id(&d, 0);
        if (cases[i].is_read) CHECK((read_body(&d, id) & SMW_PIECE_LAST) == 0);
        CHECK_INT(desk_turn(&d, 2, 64), 0);
        client_say(&c, cases[i].rest);
        if (cases[i].is_read && cases[i].then != NOTHING && cases[i].rest[0] != 0)
            EXPECT_RECORDS(&d, 1, SMW_EVENT_DATA);
        if (cases[i].then == ENDS) CHECK(shutdown(c.fd, SHUT_WR) == 0);
        if (cases[i].then == RESETS) client_abort(&c);
        expect_aborted(&d, __LINE__, id, cases[i].status);
        if (cases[i].answer != NULL) expect_refusal(&d, &c, cases[i].answer);
        client_close(&c);
        desk_close(&d);
    }
}

static void test_a_client_that_ends_behind_its_body_is_answered(void)
{
    static const size_t sizes[] = {10, 150000};
    for (size_t i = 0; i < 2; i++)
        for (size_t chunk = 0; chunk <= 5000; chunk += 5000) {
            desk d;
            desk_open(&d);
            client c = client_open(d.port);
            message m = post(3, sizes[i], chunk);
            size_t sent = 0;
            bool has_ended = false;
            upload u = {.name = 3};
            int64_t deadline = clock_ms() + PATIENCE_MS;
            while (u.ends == 0 && CHECK(clock_ms() < deadline)) {
                sent += client_offer(&c, m.data + sent, m.length - sent);
                if (sent == m.length && !has_ended)
                    has_ended = CHECK(shutdown(c.fd, SHUT_WR) == 0);
                desk_turn(&d, 10, 64);
                for (size_t k = 0; k < desk_count(&d); k++) {
                    uint64_t id = desk_id(&d, k);
                    bool is_data = desk_token(&d, k) == SMW_EVENT_DATA;
                    CHECK(is_data || desk_token(&d, k) == ROUTE_WITH_PARAMETERS);
                    uint64_t piece =
                        is_data ? desk_base(&d, k) : (uint64_t)read_body(&d, id);
                    take(&d, &u, piece);
                    if (u.ends > 0) answer_ok(&d, id);
                }
            }
            CHECK_INT(u.length, sizes[i]);
            CHECK_INT(u.wrong, 0);
            CHECK_INT(desk_turn(&d, 2, 64), 0); /* nothing was aborted */
            DESK_EXPECT(&d, &c, OK);
            desk_serve(&d, &c, TO_THE_END, 64);
            CHECK(c.is_ended && c.length == 0);
            free(m.data);
            client_close(&c);
            desk_close(&d);
        }
}

static void test_a_client_that_ends_gets_the_rest_of_a_known_answer(void)
{
    enum { LENGTH = 8 * 1024 * 1024 };
    desk d;
    desk_open(&d);
    client c = client_open(d.port);
    client_say(&c, GET("/a"));
    EXPECT_RECORDS(&d, 1, ROUTE);
    uint64_t id = desk_id(&d, 0);
    char *body = malloc(LENGTH);
    for (size_t i = 0; i < LENGTH; i++) body[i] = byte_at(i, 0);
    desk_record(&d, id, 200, SMW_OUT_MORE | SMW_OUT_NO_DATE, 0, LENGTH);
    CHECK_INT(desk_turn(&d, 0, 64), 0);
    int64_t left = smw_exchange_send(d.batch, id, body, LENGTH, LENGTH);
    CHECK(left > 0);
    CHECK(shutdown(c.fd, SHUT_WR) == 0);
    for (int i = 0; i < 3; i++) CHECK_INT(desk_turn(&d, 2, 64), 0);
    int64_t deadline = clock_ms() + PATIENCE_MS;
    while (left > 0 && CHECK(clock_ms() < deadline)) {
        client_receive(&c);
        if (desk_turn(&d, 10, 64) == 0) continue;
        if (!CHECK_INT(desk_token(&d, 0), SMW_EVENT_WRITABLE)) break;
        left = smw_exchange_send(d.batch, id, body, LENGTH, LENGTH);
    }
    CHECK_INT(left, 0);
    desk_turn(&d, 0, 64);
    const char head[] = "HTTP/1.1 200 OK\r\nContent-Length: 8388608\r\n\r\n";
    desk_serve(&d, &c, TO_THE_END, 64);
    CHECK(client_starts_with(&c, head));
    if (CHECK_INT(c.length, strlen(head) + LENGTH))
        CHECK(memcmp(c.data + strlen(head), body, LENGTH) == 0);
    free(body);
    client_close(&c);
    desk_close(&d);
}

/* ---- streams of answers ---- */

#define CHUNKED "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
#define END "0\r\n\r\n"

static void begin(desk *d, uint64_t exchange, unsigned flags, const char *text)
{
    size_t length = strlen(text);
    desk_record(d, exchange, 200, SMW_OUT_STREAM | SMW_OUT_NO_DATE | flags, 0, length);
    desk_append(d, text, length);
}

static void add(desk *d, uint64_t exchange, unsigned flags, const char *text)
{
    desk_record(d, exchange, 0, flags, 0, strlen(text));
    desk_append(d, text, strlen(text));
}

/* One request, and the exchange it has. */
static uint64_t open_asked(desk *d, client *c, const char *request)
{
    desk_open(d);
    *c = client_open(d->port);
    client_say(c, request);
    CHECK(desk_turn(d, PATIENCE_MS, 64) > 0);
    return desk_id(d, 0);
}

static void test_a_stream_in_one_outbox_is_one_send(void)
{
    desk d;
    client c;
    uint64_t id = open_asked(&d, &c, GET("/a"));
    begin(&d, id, 0, "one");
    add(&d, id, 0, "");
    add(&d, id, 0, "two");
    add(&d, id, SMW_OUT_LAST, "three");
    CHECK_INT(desk_turn(&d, 0, 64), 0);
    CHECK_INT(smw_loop_stats(d.loop)->sends, 1);
    DESK_EXPECT(&d, &c, CHUNKED "3\r\none\r\n3\r\ntwo\r\n5\r\nthree\r\n" END);
    client_say(&c, GET("/b"));
    DESK_EXPECT(&d, &c, ECHO("/b", "2"));
    client_close(&c);
    desk_close(&d);
}

static void test_a_stream_may_take_several_turns(void)
{
    static const struct {
        const char *request;
        const char *wanted[4];
        bool closes;
    } cases[] = {
        {GET("/a"), {CHUNKED, "3\r\none\r\n", "3\r\ntwo\r\n1\r\n!\r\n", END}, false},
        {"GET /a HTTP/1.0\r\n\r\n",
         {"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", "one", "two!", ""}, true},
        {"HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n", {"HTTP/1.1 200 OK\r\n\r\n", "", "", ""},
         false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        desk d;
        client c;
        uint64_t id = open_asked(&d, &c, cases[i].request);
        CHECK_INT(desk_turn(&d, 2, 64), 0); /* it may also begin late */
        for (int turn = 0; turn < 4; turn++) {
            if (turn == 0) begin(&d, id, 0, "");
            if (turn == 1) add(&d, id, 0, "one");
            if (turn == 2) add(&d, id, 0, "two");
            if (turn == 2) add(&d, id, 0, "!");
            if (turn == 3) add(&d, id, SMW_OUT_LAST, "");
            CHECK_INT(desk_turn(&d, 2, 64), 0);
            DESK_EXPECT(&d, &c, cases[i].wanted[turn]);
        }
        if (cases[i].closes) {
            desk_serve(&d, &c, TO_THE_END, 64);
            CHECK(c.is_ended && c.length == 0);
        } else {
            client_say(&c, GET("/b"));
            DESK_EXPECT(&d, &c, ECHO("/b", "2"));
        }
        client_close(&c);
        desk_close(&d);
    }
}

static void test_requests_behind_a_stream_come_again_after_it(void)
{
    desk d;
    client c;
    uint64_t id = open_asked(&d, &c, GET("/a") GET("/b") GET("/c"));
    CHECK_INT(desk_count(&d), 3);
    uint64_t b = desk_id(&d, 1), c_id = desk_id(&d, 2);
    begin(&d, id, 0, "one");
    CHECK_INT(desk_turn(&d, 0, 64), 0);
    add(&d, id, 0, "two");
    CHECK_INT(desk_turn(&d, 2, 64), 0);
    memset(d.memory.arena, 'x', d.memory.arena_size); /* nothing lives there */
    add(&d, id, SMW_OUT_LAST, "");
    CHECK_INT(desk_turn(&d, 0, 64), 2);
    CHECK(desk_id(&d, 0) == b && desk_id(&d, 1) == c_id);
    begin(&d, b, SMW_OUT_LAST, "b"); /* one stream behind another */
    begin(&d, c_id, SMW_OUT_LAST, "");
    CHECK_INT(desk_turn(&d, 0, 64), 0);
    DESK_EXPECT(&d, &c,
                CHUNKED "3\r\none\r\n3\r\ntwo\r\n" END CHUNKED "1\r\nb\r\n" END
                CHUNKED END);
    client_close(&c);
    desk_close(&d);
}

static void test_streams_of_one_batch_may_end_in_it(void)
{
    desk d;
    client c;
    open_asked(&d, &c, GET("/a") GET("/b") GET("/c"));
    CHECK_INT(desk_count(&d), 3);
    for (size_t i = 0; i < 3; i++) {
        begin(&d, desk_id(&d, i), 0, "x");
        add(&d, desk_id(&d, i), SMW_OUT_LAST, "");
    }
    CHECK_INT(desk_turn(&d, 0, 64), 0);
#define ONE CHUNKED "1\r\nx\r\n" END
    DESK_EXPECT(&d, &c, ONE ONE ONE);
    client_close(&c);
    desk_close(&d);
}

static void test_pieces_in_the_wrong_order_cost_their_connection_alone(void)
{
    enum { NO_STREAM, SECOND_HEAD, PLAIN_HEAD, KNOWN_LENGTH, WAYS };
    for (int way = 0; way < WAYS; way++) {
        desk d;
        client wrong, right;
        uint64_t id = open_asked(&d, &wrong, GET("/a"));
        right = client_open(d.port);
        client_say(&right, GET("/b"));
        EXPECT_RECORDS(&d, 1, ROUTE);
        if (way == KNOWN_LENGTH)
            desk_record(&d, id, 200, SMW_OUT_MORE, 0, 1000);
        else if (way != NO_STREAM)
            begin(&d, id, 0, "one");
        if (way == SECOND_HEAD)
            begin(&d, id, SMW_OUT_LAST, "two");
        else if (way == PLAIN_HEAD)
            answer_ok(&d, id);
        else
            add(&d, id, SMW_OUT_LAST, "two");
        desk_echo(&d, 0);
        CHECK_INT(desk_turn(&d, 0, 64), 1);
        CHECK_INT(desk_token(&d, 0), SMW_EVENT_ABORTED);
        CHECK(desk_id(&d, 0) == id && desk_base(&d, 0) == 0);
        add(&d, id, SMW_OUT_LAST, "late"); /* for nobody */
        DESK_EXPECT(&d, &right, ECHO("/b", "2"));
        desk_serve(&d, &wrong, TO_THE_END, 64);
        CHECK(!client_ends_with(&wrong, END));
        client_close(&wrong);
        client_close(&right);
        desk_close(&d);
    }
}

static void test_a_stream_whose_peer_leaves_is_aborted_and_its_pieces_dropped(void)
{
    for (int resets = 0; resets < 2; resets++) {
        desk d;
        client c;
        uint64_t id = open_asked(&d, &c, GET("/a"));
        begin(&d, id, 0, "one");
        CHECK_INT(desk_turn(&d, 0, 64), 0);
        DESK_EXPECT(&d, &c, CHUNKED "3\r\none\r\n");
        if (resets)
            client_abort(&c);
        else
            client_close(&c);
        EXPECT_RECORDS(&d, 1, SMW_EVENT_ABORTED);
        CHECK(desk_id(&d, 0) == id);
        CHECK_INT(desk_base(&d, 0), 0);
        add(&d, id, 0, "two");
        add(&d, id, SMW_OUT_LAST, "three");
        CHECK_INT(desk_turn(&d, 2, 64), 0);
        CHECK_INT(smw_server_connections(d.server), 0);
        desk_close(&d);
    }
}

static void test_the_last_piece_may_close_the_connection(void)
{
    desk d;
    client c;
    uint64_t id = open_asked(&d, &c, GET("/a") GET("/b"));
    begin(&d, id, 0, "one");
    CHECK_INT(desk_turn(&d, 0, 64), 0);
    add(&d, id, SMW_OUT_LAST | SMW_OUT_CLOSE, "two");
    CHECK_INT(desk_turn(&d, 2, 64), 0); /* what is behind it goes unanswered */
    DESK_EXPECT(&d, &c, CHUNKED "3\r\none\r\n3\r\ntwo\r\n" END);
    desk_serve(&d, &c, TO_THE_END, 64);
    CHECK(c.is_ended && c.length == 0 && c.error == 0);
    client_close(&c);
    desk_close(&d);
}

static void test_a_body_streams_back_while_it_comes(void)
{
    enum { LENGTH = 200000 };
    desk d;
    desk_open(&d);
    client c = client_open(d.port);
    message m = post(5, LENGTH, 0);
    client_say_bytes(&c, m.data, m.head);
    EXPECT_RECORDS(&d, 1, ROUTE_WITH_PARAMETERS);
    uint64_t id = desk_id(&d, 0);
    CHECK_INT(read_body(&d, id), 0);
    begin(&d, id, 0, "");
    size_t sent = m.head;
    upload u = {.name = 5};
    int64_t deadline = clock_ms() + PATIENCE_MS;
    while (u.ends == 0 && CHECK(clock_ms() < deadline)) {
        sent += client_offer(&c, m.data + sent, m.length - sent);
        desk_turn(&d, 10, 64);
        client_receive(&c);
        for (size_t i = 0; i < desk_count(&d); i++) {
            if (!CHECK_INT(desk_token(&d, i), SMW_EVENT_DATA)) continue;
            uint64_t piece = desk_base(&d, i);
            size_t length = take(&d, &u, piece);
            desk_record(&d, id, 0, u.ends ? SMW_OUT_LAST : 0, 0, length);
            desk_append(&d, d.memory.arena + (piece >> 32), length);
        }
    }
    CHECK_INT(u.length, LENGTH);
    CHECK_INT(u.wrong, 0);
    while (!client_ends_with(&c, "\r\n" END) && CHECK(clock_ms() < deadline)) {
        desk_turn(&d, 1, 64);
        client_receive(&c);
    }
    /* The chunks, in order. */
    size_t i = 0;
    char *at = c.data + strlen(CHUNKED);
    if (CHECK(client_starts_with(&c, CHUNKED)))
        for (size_t size = 1; size > 0;) {
            size = strtoul(at, &at, 16);
            at += 2;
            size_t wrong = 0;
            if (!CHECK((size_t)(c.data + c.length - at) >= size + 2)) break;
            for (size_t k = 0; k < size; k++) wrong += at[k] != byte_at(i++, 5);
            CHECK_INT(wrong, 0);
            at += size + 2;
        }
    CHECK_INT(i, LENGTH);
    CHECK(at == c.data + c.length);
    free(m.data);
    client_close(&c);
    desk_close(&d);
}

int main(void)
{
    RUN(test_what_came_with_a_request_is_had_without_waiting);
    RUN(test_a_request_without_a_body_has_an_empty_last_piece);
    RUN(test_a_body_of_nobody_is_gone);
    RUN(test_what_comes_later_is_told_as_data);
    RUN(test_a_body_asked_for_in_a_later_turn_comes_as_data_alone);
    RUN(test_reading_can_be_paused_for_any_number_of_turns);
    RUN(test_a_body_that_nobody_asks_for_stays_with_the_client);
    RUN(test_a_request_with_a_body_is_handed_out_alone);
    RUN(test_forty_uploads_at_once_mix_nothing_up);
    RUN(test_late_pieces_of_several_connections_share_a_batch);
    RUN(test_a_100_goes_before_the_answer_in_the_same_send);
    RUN(test_a_100_is_sent_by_the_next_turn);
    RUN(test_what_goes_wrong_in_a_body_is_reported_with_its_status);
    RUN(test_a_client_that_ends_behind_its_body_is_answered);
    RUN(test_a_client_that_ends_gets_the_rest_of_a_known_answer);
    RUN(test_a_stream_in_one_outbox_is_one_send);
    RUN(test_a_stream_may_take_several_turns);
    RUN(test_requests_behind_a_stream_come_again_after_it);
    RUN(test_streams_of_one_batch_may_end_in_it);
    RUN(test_pieces_in_the_wrong_order_cost_their_connection_alone);
    RUN(test_a_stream_whose_peer_leaves_is_aborted_and_its_pieces_dropped);
    RUN(test_the_last_piece_may_close_the_connection);
    RUN(test_a_body_streams_back_while_it_comes);
    return test_report();
}
