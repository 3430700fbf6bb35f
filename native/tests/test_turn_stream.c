/* SPDX-License-Identifier: MIT */
/* test_turn_stream.c - streams of answers, by way of the outbox. */
#include "desk_body.h"

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
