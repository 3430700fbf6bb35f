/* SPDX-License-Identifier: MIT */
/* test_http_body_late.c - bodies of requests that are asked for late, or paused. */
#include "site_body.h"

static void read_in_a_while(smw_server *server, const smw_request *request, void *user)
{
    (void)server, (void)request;
    late_site = user;
    uint64_t delay = late_site->requests / 3 % 3 * 2; /* in the same step, or later */
    CHECK_INT(smw_timer_start(late_site->loop, delay, 0, read_now, 0, NULL), 0);
    memset(late_site->upload, 0, sizeof *late_site->upload);
}

static void test_a_body_that_is_asked_for_late_has_lost_nothing(void)
{
    static const size_t sizes[] = {0, 1, 100, 5000, 16000, 16384, 100000};
    site s;
    client c = open_site(&s, read_in_a_while);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (size_t chunk = 0; chunk <= 10000; chunk += 5000)
            for (int when = 0; when < 9; when++) {
                message m = post(sizes[i], i + chunk, chunk);
                /* Head and body together, apart, or with a cut in the body. */
                size_t cut = when % 3 == 0   ? m.length
                             : when % 3 == 1 ? m.head
                                             : (m.head + m.length) / 2;
                say_all(&s, &c, m.data, cut);
                smw_loop_run(s.loop, SMW_RUN_NOWAIT);
                say_all(&s, &c, m.data + cut, m.length - cut);
                expect_back(&s, &c, &m);
                message_free(&m);
            }
    CHECK_INT(s.aborted, 0);
    finish(&s, &c);
}

static void test_a_body_may_be_asked_for_between_two_runs(void)
{
    for (size_t chunk = 0; chunk <= 5000; chunk += 5000) {
        site s;
        client c = open_site(&s, leave_open);
        message m = post(12000, chunk, chunk);
        client_say_bytes(&c, m.data, m.length);
        run_until_equal(s.loop, &s.requests, 1);
        CHECK_INT(smw_read(s.loop, s.exchange, true), 0);
        CHECK_INT(s.upload->pieces, 0); /* never from inside of the call */
        expect_back(&s, &c, &m);
        CHECK_INT(smw_read(s.loop, s.exchange, true), SMW_EGONE);
        message_free(&m);
        finish(&s, &c);
    }
}

/* Offer until nothing more is taken: how much was. */
static size_t offer_all_that_fits(site *s, client *c, const char *data, size_t length)
{
    size_t sent = 0;
    for (int idle = 0; idle < 20 && sent < length;) {
        size_t count = client_offer(c, data + sent, length - sent);
        sent += count;
        idle = count > 0 ? 0 : idle + 1;
        smw_loop_run(s->loop, SMW_RUN_NOWAIT);
        await_event(s->loop, -1);
    }
    return sent;
}

static void test_a_body_that_nobody_asks_for_stays_with_the_client(void)
{
    enum { LENGTH = 8 * 1024 * 1024 };
    for (size_t chunk = 0; chunk <= 100000; chunk += 100000) {
        site s;
        client c = open_site(&s, leave_open);
        hear(&s, measure);
        int small = 65536; /* or the kernel alone might take megabytes */
        CHECK(setsockopt(c.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small) == 0);
        message m = post(LENGTH, 0, chunk);
        size_t sent = offer_all_that_fits(&s, &c, m.data, m.length);
        CHECK(sent > 65536 && sent < 2 * 1024 * 1024);
        CHECK_INT(s.requests, 1);
        CHECK(smw_loop_stats(s.loop)->recvs <= 2); /* of 16 KiB each */
        CHECK_INT(meter.pieces, 0);
        CHECK_INT(smw_read(s.loop, s.exchange, true), 0);
        say_all(&s, &c, m.data + sent, m.length - sent);
        EXPECT(s.loop, &c, OK);
        CHECK_INT(meter.length, LENGTH);
        CHECK_INT(meter.wrong, 0);
        CHECK_INT(meter.ends, 1);
        CHECK(meter.largest <= 65536);
        message_free(&m);
        finish(&s, &c);
    }
}

static void test_reading_can_be_paused_after_every_piece(void)
{
    enum { LENGTH = 300000 };
    for (size_t chunk = 0; chunk <= 100000; chunk += 100000) {
        site s;
        client c = open_site(&s, leave_open);
        hear(&s, measure);
        meter.pauses = true;
        message m = post(LENGTH, 0, chunk);
        size_t sent = 0, rounds = 0;
        while (meter.ends == 0 && CHECK(rounds++ < 1000)) {
            sent += client_offer(&c, m.data + sent, m.length - sent);
            smw_loop_run(s.loop, SMW_RUN_NOWAIT);
            if (s.requests == 0) continue;
            size_t pieces = meter.pieces;
            CHECK_INT(smw_read(s.loop, s.exchange, true), 0);
            for (int i = 0; i < 20 && meter.pieces == pieces; i++) {
                smw_loop_run(s.loop, SMW_RUN_NOWAIT);
                await_event(s.loop, -1);
            }
            sent += client_offer(&c, m.data + sent, m.length - sent);
            uint64_t recvs = smw_loop_stats(s.loop)->recvs;
            if (meter.ends > 0 || meter.pieces == pieces) continue;
            run_a_while(s.loop);
            CHECK_INT(meter.pieces, pieces + 1);
            CHECK_INT(smw_loop_stats(s.loop)->recvs, recvs);
        }
        EXPECT(s.loop, &c, OK);
        CHECK_INT(meter.length, LENGTH);
        CHECK_INT(meter.wrong, 0);
        CHECK_INT(meter.ends, 1);
        CHECK(meter.pieces > 3);
        message_free(&m);
        finish(&s, &c);
    }
}

static void test_no_piece_is_empty_but_the_last(void)
{
    site s;
    client c = open_site(&s, read_posts_of_the_meter);
    hear(&s, measure);
    message m = post(50, 0, 10);
    say_in_pieces(&s, &c, m.data, m.length, 1);
    EXPECT(s.loop, &c, OK);
    CHECK(meter.pieces > 40);
    CHECK_INT(meter.wrong, 0);
    message_free(&m);
    finish(&s, &c);
}

static void read_and_pause(smw_server *server, const smw_request *request, void *user)
{
    site_read(server, request, user);
    CHECK_INT(smw_read(((site *)user)->loop, request->exchange, false), 0);
}

static void test_reading_can_be_paused_before_the_first_piece(void)
{
    for (size_t chunk = 0; chunk <= 100; chunk += 100) {
        site s;
        client c = open_site(&s, read_and_pause);
        message m = post(1000, chunk, chunk);
        client_say_bytes(&c, m.data, m.length);
        run_until_equal(s.loop, &s.requests, 1);
        expect_silence(&s, &c);
        CHECK_INT(s.upload->pieces, 0);
        for (int i = 0; i < 3; i++) {
            CHECK_INT(smw_read(s.loop, s.exchange, true), 0);
            CHECK_INT(smw_read(s.loop, s.exchange, false), 0);
            expect_silence(&s, &c);
        }
        CHECK_INT(s.upload->pieces, 0);
        CHECK_INT(smw_read(s.loop, s.exchange, true), 0);
        CHECK_INT(smw_read(s.loop, s.exchange, true), 0); /* again changes nothing */
        expect_back(&s, &c, &m);
        message_free(&m);
        finish(&s, &c);
    }
}

static void count_ends(smw_server *server, uint64_t exchange, smw_str piece, bool is_last,
                       void *user)
{
    (void)server, (void)piece;
    meter.pieces++;
    meter.ends += is_last;
    CHECK_INT(smw_read(((site *)user)->loop, exchange, true), 0);
}

static void test_behind_the_end_there_is_nothing_to_read(void)
{
    for (size_t chunk = 0; chunk <= 10; chunk += 10) {
        site s;
        client c = open_site(&s, leave_open);
        hear(&s, count_ends);
        message m = post(10, 0, chunk);
        client_say_bytes(&c, m.data, m.length);
        run_until_equal(s.loop, &s.requests, 1);
        CHECK_INT(smw_read(s.loop, s.exchange, true), 0);
        run_until_equal(s.loop, &meter.ends, 1);
        for (int i = 0; i < 3; i++) {
            CHECK_INT(smw_read(s.loop, s.exchange, i != 1), 0);
            expect_silence(&s, &c);
        }
        CHECK_INT(meter.ends, 1);
        CHECK_INT(meter.pieces, 1);
        CHECK_INT(site_answer(&s, s.exchange, 200, 0, "", ""), 0);
        EXPECT(s.loop, &c, OK);
        message_free(&m);
        finish(&s, &c);
    }
}

int main(void)
{
    RUN(test_a_body_that_is_asked_for_late_has_lost_nothing);
    RUN(test_a_body_may_be_asked_for_between_two_runs);
    RUN(test_a_body_that_nobody_asks_for_stays_with_the_client);
    RUN(test_reading_can_be_paused_after_every_piece);
    RUN(test_no_piece_is_empty_but_the_last);
    RUN(test_reading_can_be_paused_before_the_first_piece);
    RUN(test_behind_the_end_there_is_nothing_to_read);
    return test_report();
}
