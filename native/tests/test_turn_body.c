/* SPDX-License-Identifier: MIT */
/* test_turn_body.c - bodies of requests in the batch: with them, later, beside others. */
#include "desk_body.h"

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

/* ---- Expect: 100-continue ---- */

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
    return test_report();
}
