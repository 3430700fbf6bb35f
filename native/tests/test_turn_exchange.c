/* SPDX-License-Identifier: MIT */
/* test_turn_exchange.c - what may be said of one exchange between two turns: its end, and
 * what waits of its answer; and what becomes of that when its peer sends no more.
 *
 * As in test_http_time.c, no time is bounded from above. */
#include "desk.h"

#include "http.h"
#include "loop.h"

enum { LARGE = 8 * 1024 * 1024 }; /* more than two sockets hold */

#define LARGE_HEAD "HTTP/1.1 200 OK\r\nContent-Length: 8388608\r\n\r\n"

/* ---- helpers ---- */

static void announce(desk *d, uint64_t exchange, uint64_t length)
{
    desk_record(d, exchange, 200, SMW_OUT_MORE | SMW_OUT_NO_DATE, 0, length);
    desk_flush(d);
}

/* Take turns, in which nothing may be told, until the client has `length` bytes. */
static void take(desk *d, client *c, size_t length)
{
    int64_t deadline = clock_ms() + PATIENCE_MS;
    for (;;) {
        client_receive(c);
        if (c->length >= length || c->is_ended || c->error != 0) return;
        if (!CHECK(clock_ms() <= deadline)) return;
        if (!CHECK_INT(desk_turn(d, 0, 64), 0)) return;
        await_event(d->loop, c->fd);
    }
}

static char byte_at(size_t i)
{
    return (char)(i * 31 + i / 251 + i / 64256 * 7);
}

static const char *large_body(void)
{
    static char body[LARGE];
    for (size_t i = 0; i < LARGE; i++) body[i] = byte_at(i);
    return body;
}

/* So much of it after `head`, and not a byte more. */
static void check_body(const client *c, const char *head, size_t length)
{
    CHECK_INT(c->length, strlen(head) + length);
    if (!CHECK(client_starts_with(c, head))) return;
    size_t right = 0;
    for (size_t i = 0; strlen(head) + i < c->length; i++)
        right += c->data[strlen(head) + i] == byte_at(i);
    CHECK_INT(right, length);
}

/* So that the kernel does not take it off our hands before the client does. */
static void narrow(desk *d, uint64_t exchange)
{
    int room = 65536, fd = http_conn_of(d->loop, exchange)->watch.fd;
    CHECK(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room) == 0);
}

/* ---- close ---- */

static void test_closing_an_open_exchange_is_told_as_its_abort(void)
{
    desk d;
    desk_open(&d);
    client c = client_open(d.port);
    uint64_t id = desk_ask(&d, &c, GET("/a"));
    CHECK_INT(smw_exchange_close(d.batch, id), 0);
    CHECK_INT(desk_count(&d), 1); /* no call but the turn makes records */
    CHECK_INT(smw_exchange_close(d.batch, id), SMW_EGONE);
    desk_echo(&d, 0); /* too late */
    desk_expect_aborted(&d, id, 0);
    CHECK_INT(smw_server_connections(d.server), 0);
    take(&d, &c, TO_THE_END);
    CHECK(c.is_ended);
    CHECK_INT(c.length, 0);
    client_close(&c);
    desk_close(&d);
}

static void test_closing_in_the_middle_of_an_answer_cuts_it_short(void)
{
    enum { ANNOUNCED, STREAM, WAYS };
    static const char *said[WAYS] = {
        [ANNOUNCED] = "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\npart",
        [STREAM] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n",
    };
    for (int way = 0; way < WAYS; way++) {
        desk d;
        desk_open(&d);
        client c = client_open(d.port);
        uint64_t id = desk_ask(&d, &c, GET("/a"));
        if (way == ANNOUNCED) {
            announce(&d, id, 100000);
            CHECK_INT(smw_exchange_send(d.batch, id, "part", 4, 100000), 99996);
        } else {
            desk_answer(&d, id, SMW_OUT_STREAM, (smw_str){"part", 4});
            desk_flush(&d);
        }
        CHECK_INT(smw_exchange_close(d.batch, id), 0);
        CHECK_INT(smw_exchange_send(d.batch, id, "more", 4, 99996), SMW_EGONE);
        desk_expect_aborted(&d, id, 0);
        take(&d, &c, TO_THE_END);
        CHECK(c.is_ended);
        CHECK_STR(c, said[way]);
        client_close(&c);
        desk_close(&d);
    }
}

static void test_closing_the_second_of_two_leaves_the_answer_of_the_first(void)
{
    desk d;
    desk_open(&d);
    client c = client_open(d.port);
    client_say(&c, GET("/a") GET("/b"));
    CHECK_INT(desk_turn(&d, PATIENCE_MS, 64), 2);
    uint64_t second = desk_id(&d, 1);
    desk_echo(&d, 0);
    desk_flush(&d);
    CHECK_INT(smw_exchange_close(d.batch, second), 0);
    desk_expect_aborted(&d, second, 0);
    take(&d, &c, TO_THE_END);
    CHECK(c.is_ended);
    CHECK_STR(c, ECHO("/a", "2"));
    client_close(&c);
    desk_close(&d);
}

static void test_closing_behind_an_answer_sends_it_whole_and_serves_nothing_more(void)
{
    enum { BEFORE, AFTER, MOMENTS };
    for (int i = 0; i < 2 * MOMENTS; i++) {
        bool is_large = i >= MOMENTS;
        int moment = i % MOMENTS;
        desk d;
        desk_open(&d);
        client c = client_open(d.port);
        uint64_t id = desk_ask(&d, &c, GET("/a"));
        narrow(&d, id);
        if (is_large)
            desk_answer(&d, id, 0, (smw_str){large_body(), LARGE});
        else
            desk_echo(&d, 0);
        desk_flush(&d);
        if (moment == BEFORE) client_say(&c, GET("/behind"));
        CHECK_INT(smw_exchange_close(d.batch, id), 0);
        CHECK_INT(smw_exchange_close(d.batch, id), 0); /* it is still closing */
        CHECK_INT(smw_exchange_peer(d.batch, id, &(smw_peer){0}), SMW_EGONE);
        CHECK_INT(desk_turn(&d, 0, 64), 0);
        if (moment == AFTER) client_say(&c, GET("/behind"));
        take(&d, &c, TO_THE_END);
        CHECK(c.is_ended);
        CHECK_INT(c.error, 0);
        if (is_large)
            check_body(&c, LARGE_HEAD, LARGE);
        else
            CHECK_STR(c, ECHO("/a", "2"));
        desk_expect_silence(&d); /* while it lingers, what came is not looked at */
        client_close(&c);
        desk_await_connections(&d, 0);
        CHECK_INT(smw_exchange_close(d.batch, id), SMW_EGONE);
        desk_close(&d);
    }
}

static void test_closing_an_answered_exchange_leaves_the_next_one_alone(void)
{
    /* The next one was handed out with it; or taken back since; or came later. */
    enum { TOGETHER, TAKEN_BACK, LATER, WAYS };
    for (int way = 0; way < WAYS; way++) {
        desk d;
        desk_open(&d);
        client c = client_open(d.port);
        client_say(&c, way == LATER ? GET("/a") : GET("/a") GET("/b"));
        CHECK_INT(desk_turn(&d, PATIENCE_MS, 64), way == LATER ? 1 : 2);
        uint64_t first = desk_id(&d, 0);
        if (way == TAKEN_BACK) CHECK_INT(desk_turn(&d, 0, 64), 0);
        desk_answer(&d, first, 0, (smw_str){"/a", 2});
        if (way == LATER) {
            CHECK_INT(desk_turn(&d, 0, 64), 0);
            desk_ask(&d, &c, GET("/b"));
        }
        desk_flush(&d);
        CHECK_INT(smw_exchange_close(d.batch, first), SMW_EGONE);
        DESK_EXPECT(&d, &c, ECHO("/a", "2") ECHO("/b", "2"));
        client_say(&c, GET("/c"));
        DESK_EXPECT(&d, &c, ECHO("/c", "2"));
        client_close(&c);
        desk_close(&d);
    }
}

/* ---- backlog ---- */

static uint64_t open_backlog(desk *d, client *c)
{
    desk_open(d);
    *c = client_open(d->port);
    uint64_t id = desk_ask(d, c, GET("/a"));
    narrow(d, id);
    CHECK_INT(smw_exchange_backlog(d->batch, id), 0); /* nothing was said */
    desk_record(d, id, 200, SMW_OUT_STREAM | SMW_OUT_NO_DATE, 0, 0);
    desk_flush(d);
    CHECK_INT(smw_exchange_backlog(d->batch, id), 0); /* the kernel has it all */
    desk_record(d, id, 0, 0, 0, LARGE);
    desk_append(d, large_body(), LARGE);
    desk_flush(d);
    return id;
}

#define STREAM_HEAD "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
#define LARGE_CHUNK "800000\r\n"
#define END "\r\n0\r\n\r\n"

static void test_a_backlog_is_told_when_it_has_left(void)
{
    desk d;
    client c;
    uint64_t id = open_backlog(&d, &c);
    int64_t waiting = smw_exchange_backlog(d.batch, id);
    CHECK(waiting > 0);
    CHECK(waiting < LARGE); /* the kernel took some */
    desk_expect_silence(&d);
    CHECK(smw_exchange_backlog(d.batch, id) > 0); /* asking twice tells once */
    size_t told = 0;
    size_t wanted = strlen(STREAM_HEAD LARGE_CHUNK) + LARGE + 2;
    int64_t deadline = clock_ms() + PATIENCE_MS;
    while (c.length < wanted && CHECK(clock_ms() <= deadline)) {
        client_receive(&c);
        told += (size_t)desk_turn(&d, 0, 64);
        if (desk_count(&d) == 0) await_event(d.loop, c.fd);
        if (desk_count(&d) == 0) continue;
        CHECK_INT(desk_token(&d, 0), SMW_EVENT_WRITABLE);
        CHECK(desk_id(&d, 0) == id);
        CHECK_INT(smw_exchange_backlog(d.batch, id), 0);
    }
    CHECK_INT(told, 1);
    desk_expect_silence(&d);
    desk_record(&d, id, 0, SMW_OUT_LAST, 0, 0);
    CHECK_INT(desk_turn(&d, 0, 64), 0);
    CHECK_INT(smw_exchange_backlog(d.batch, id), SMW_EGONE);
    take(&d, &c, wanted + 5);
    CHECK(client_starts_with(&c, STREAM_HEAD LARGE_CHUNK));
    CHECK(client_ends_with(&c, END));
    client_close(&c);
    desk_close(&d);
}

static void test_a_backlog_that_its_answer_outlives_is_told_to_nobody(void)
{
    desk d;
    client c;
    uint64_t id = open_backlog(&d, &c);
    CHECK(smw_exchange_backlog(d.batch, id) > 0);
    desk_record(&d, id, 0, SMW_OUT_LAST, 0, 0);
    /* The next request has to wait until this has left: then it must be seen. */
    client_say(&c, GET("/b"));
    desk_expect_silence(&d);
    size_t wanted = strlen(STREAM_HEAD LARGE_CHUNK END ECHO("/b", "2")) + LARGE;
    int64_t deadline = clock_ms() + PATIENCE_MS;
    while (c.length < wanted && CHECK(clock_ms() <= deadline)) {
        client_receive(&c);
        desk_turn(&d, 0, 64);
        for (size_t i = 0; i < desk_count(&d); i++) CHECK_INT(desk_token(&d, i), ROUTE);
        desk_echo_all(&d);
        if (desk_count(&d) == 0) await_event(d.loop, c.fd);
    }
    CHECK_INT(c.length, wanted);
    CHECK(client_ends_with(&c, END ECHO("/b", "2")));
    client_close(&c);
    desk_close(&d);
}

/* ---- a peer that sends no more in the middle of an answer ---- */

/* As in test_http_time.c: a step's clock is behind. */
#define EARLY_MS 12

enum { SHORT_MS = 40, PAST_MS = 60, LENGTH = 100000, PART = 4000 };

/* Let the peer rest while the loop does not run. */
static void rest(int64_t ms)
{
    struct timespec left = {.tv_nsec = ms * 1000000};
    while (nanosleep(&left, &left) != 0) continue;
}

/* An exchange with `part` bytes of its answer out. */
static uint64_t open_part(desk *d, client *c, const smw_server_options *options,
                          size_t part)
{
    desk_open_for(d, 512, options);
    *c = client_open(d->port);
    uint64_t id = desk_ask(d, c, GET("/a"));
    announce(d, id, LENGTH);
    int64_t left = LENGTH - (int64_t)part;
    if (part > 0)
        CHECK_INT(smw_exchange_send(d->batch, id, large_body(), part, LENGTH), left);
    return id;
}

static void end_sending(desk *d, client *c, uint64_t exchange)
{
    CHECK(shutdown(c->fd, SHUT_WR) == 0);
    const conn *it = http_conn_of(d->loop, exchange);
    int64_t deadline = clock_ms() + PATIENCE_MS;
    while (!it->is_hung_up && CHECK(clock_ms() <= deadline))
        if (!CHECK_INT(desk_turn(d, 1, 64), 0)) return;
}

#define PART_HEAD "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"

static void test_who_ends_in_the_middle_of_an_answer_has_the_time_for_sending(void)
{
    /* Nothing but the time tells whether it has gone, or waits for the rest. */
    for (int i = 0; i < 4; i++) {
        size_t part = i % 2 ? PART : 0;
        smw_server_options options = {.send_timeout = SHORT_MS, .half_close = i / 2};
        desk d;
        client c;
        uint64_t id = open_part(&d, &c, &options, part);
        int64_t start = clock_ms();
        CHECK(shutdown(c.fd, SHUT_WR) == 0);
        desk_expect_aborted(&d, id, 0);
        CHECK(clock_ms() - start >= SHORT_MS - EARLY_MS);
        int64_t result = smw_exchange_send(d.batch, id, large_body(), LENGTH, LENGTH);
        CHECK_INT(result, SMW_EGONE);
        take(&d, &c, TO_THE_END);
        CHECK(c.is_ended);
        CHECK_INT(c.length, strlen(PART_HEAD) + part); /* cut short, but that is there */
        CHECK(client_starts_with(&c, PART_HEAD));
        desk_await_connections(&d, 0);
        client_close(&c);
        desk_close(&d);
    }
}

static void test_who_neither_sends_nor_reads_in_the_middle_of_an_answer_is_given_up(void)
{
    desk d;
    desk_open_for(&d, 512, &(smw_server_options){.send_timeout = SHORT_MS});
    client c = client_open(d.port);
    uint64_t id = desk_ask(&d, &c, GET("/a"));
    narrow(&d, id);
    announce(&d, id, LARGE);
    const char *body = large_body();
    CHECK(shutdown(c.fd, SHUT_WR) == 0);
    /* The kernel may take a little more now and then; not all of it. */
    while (smw_exchange_send(d.batch, id, body, LARGE, LARGE) > 0) {
        if (!CHECK_INT(desk_turn(&d, PATIENCE_MS, 64), 1)) break;
        if (desk_token(&d, 0) != SMW_EVENT_WRITABLE) break;
    }
    CHECK_INT(desk_token(&d, 0), SMW_EVENT_ABORTED);
    CHECK(desk_id(&d, 0) == id);
    CHECK_INT(smw_server_connections(d.server), 0);
    client_close(&c);
    desk_close(&d);
}

static void test_no_time_for_sending_runs_before_the_peer_has_ended(void)
{
    /* Nor does it for an application that takes its time over the rest. */
    smw_server_options options = {.send_timeout = SHORT_MS};
    desk d;
    client c;
    uint64_t id = open_part(&d, &c, &options, PART);
    CHECK_INT(desk_turn(&d, 2 * PAST_MS, 64), 0);
    CHECK_INT(smw_exchange_send(d.batch, id, large_body(), LENGTH, LENGTH), 0);
    take(&d, &c, strlen(PART_HEAD) + LENGTH);
    client_forget(&c);
    client_say(&c, GET("/b"));
    DESK_EXPECT(&d, &c, ECHO("/b", "2"));
    client_close(&c);
    desk_close(&d);
}

static void test_who_ends_and_reads_on_gets_the_rest(void)
{
    for (int i = 0; i < 2; i++) {
        smw_server_options options = {.half_close = i};
        desk d;
        client c;
        const char *body = large_body();
        uint64_t id = open_part(&d, &c, &options, PART);
        end_sending(&d, &c, id);
        desk_expect_silence(&d);
        int64_t left = smw_exchange_send(d.batch, id, body, 2 * PART, LENGTH);
        CHECK_INT(left, LENGTH - 2 * PART);
        desk_expect_silence(&d);
        left = smw_exchange_send(d.batch, id, body + 2 * PART, LENGTH - 2 * PART,
                                 LENGTH - 2 * PART);
        CHECK_INT(left, 0);
        take(&d, &c, TO_THE_END);
        CHECK(c.is_ended);
        CHECK_INT(c.error, 0);
        check_body(&c, PART_HEAD, LENGTH);
        desk_await_connections(&d, 0);
        client_close(&c);
        desk_close(&d);
    }
}

static void test_the_time_for_a_body_begins_when_a_turn_asks_for_it(void)
{
    /* However long the application has rested before it; and though a timer runs out
     * meanwhile, that of the idle connection. */
    smw_server_options options = {.idle_timeout = SHORT_MS / 2,
                                  .body_timeout = SHORT_MS};
    desk d;
    desk_open_for(&d, 512, &options);
    client c = client_open(d.port);
    uint64_t id = desk_ask(&d, &c, "POST /a/b/c HTTP/1.1\r\nHost: a\r\n"
                                   "Content-Length: 5\r\n\r\n");
    rest(PAST_MS);
    int64_t start = clock_ms();
    CHECK_INT(smw_exchange_read(d.batch, id, true), 0);
    desk_expect_aborted(&d, id, 408);
    CHECK(clock_ms() - start >= SHORT_MS - EARLY_MS);
    client_close(&c);
    desk_close(&d);
}

static void test_what_is_sent_to_who_has_ended_renews_the_time(void)
{
    /* However long the application has rested before it. */
    smw_server_options options = {.send_timeout = SHORT_MS};
    desk d;
    client c;
    uint64_t id = open_part(&d, &c, &options, 0);
    end_sending(&d, &c, id);
    rest(PAST_MS);
    int64_t start = clock_ms();
    CHECK_INT(smw_exchange_send(d.batch, id, large_body(), PART, LENGTH), LENGTH - PART);
    desk_expect_aborted(&d, id, 0);
    CHECK(clock_ms() - start >= SHORT_MS - EARLY_MS);
    client_close(&c);
    desk_close(&d);
}

int main(void)
{
    RUN(test_closing_an_open_exchange_is_told_as_its_abort);
    RUN(test_closing_in_the_middle_of_an_answer_cuts_it_short);
    RUN(test_closing_the_second_of_two_leaves_the_answer_of_the_first);
    RUN(test_closing_behind_an_answer_sends_it_whole_and_serves_nothing_more);
    RUN(test_closing_an_answered_exchange_leaves_the_next_one_alone);
    RUN(test_a_backlog_is_told_when_it_has_left);
    RUN(test_a_backlog_that_its_answer_outlives_is_told_to_nobody);
    RUN(test_who_ends_in_the_middle_of_an_answer_has_the_time_for_sending);
    RUN(test_who_neither_sends_nor_reads_in_the_middle_of_an_answer_is_given_up);
    RUN(test_no_time_for_sending_runs_before_the_peer_has_ended);
    RUN(test_who_ends_and_reads_on_gets_the_rest);
    RUN(test_the_time_for_a_body_begins_when_a_turn_asks_for_it);
    RUN(test_what_is_sent_to_who_has_ended_renews_the_time);
    return test_report();
}
