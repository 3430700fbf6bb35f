/* SPDX-License-Identifier: MIT */
#include "desk.h"

#define GET4 GET("/1") GET("/2") GET("/3") GET("/4")
#define GET16 GET4 GET4 GET4 GET4
#define ECHO4 ECHO("/1", "2") ECHO("/2", "2") ECHO("/3", "2") ECHO("/4", "2")
#define ECHO16 ECHO4 ECHO4 ECHO4 ECHO4

static void test_a_burst_of_requests_costs_one_read_and_one_send(void)
{
    desk d;
    desk_open(&d);
    client c = client_open(d.port);
    client_say(&c, GET16);
    CHECK_INT(desk_turn(&d, PATIENCE_MS, 64), 16);
    CHECK_INT(smw_loop_stats(d.loop)->recvs, 1);
    CHECK_INT(smw_loop_stats(d.loop)->sends, 0);
    desk_echo_all(&d);
    CHECK_INT(desk_turn(&d, 0, 64), 0);
    CHECK_INT(smw_loop_stats(d.loop)->recvs, 1);
    CHECK_INT(smw_loop_stats(d.loop)->sends, 1);
    DESK_EXPECT(&d, &c, ECHO16);
    client_close(&c);
    desk_close(&d);
}

static void test_a_limit_hands_requests_out_in_portions_without_reading_on(void)
{
    desk d;
    desk_open(&d);
    client c = client_open(d.port);
    client_say(&c, GET16);
    for (int i = 0; i < 16; i++) {
        CHECK_INT(desk_turn(&d, PATIENCE_MS, 1), 1);
        char path[3] = {'/', (char)('1' + i % 4), 0};
        CHECK_STR(desk_path(&d, 0), path);
        CHECK_INT(smw_loop_stats(d.loop)->recvs, 1);
        desk_echo(&d, 0);
    }
    DESK_EXPECT(&d, &c, ECHO16);
    client_close(&c);
    desk_close(&d);
}

static void test_requests_share_a_batch_fairly_when_it_is_small(void)
{
    /* The connection that waited is first in line in the next turn. */
    desk d;
    desk_open(&d);
    client one = client_open(d.port), two = client_open(d.port);
    while (smw_server_connections(d.server) < 2) desk_turn(&d, 10, 64);
    client_say(&one, GET4);
    client_say(&two, GET4);
    size_t of_first = 0;
    uint64_t first_slot = 0;
    for (int i = 0; i < 4; i++) {
        CHECK_INT(desk_turn(&d, PATIENCE_MS, 1), 1);
        if (i == 0) first_slot = desk_id(&d, 0) & 0xFFFFFF;
        of_first += (desk_id(&d, 0) & 0xFFFFFF) == first_slot;
        desk_echo_all(&d);
    }
    CHECK_INT(of_first, 2);
    DESK_EXPECT(&d, &one, ECHO4);
    DESK_EXPECT(&d, &two, ECHO4);
    client_close(&one);
    client_close(&two);
    desk_close(&d);
}

static void test_a_batch_holds_no_more_requests_than_it_has_words_for(void)
{
    desk d;
    desk_open_with(&d, 3);
    client c = client_open(d.port);
    client_say(&c, GET16);
    int wanted[] = {3, 3, 3, 3, 3, 1};
    for (size_t i = 0; i < 6; i++) {
        CHECK_INT(desk_turn(&d, PATIENCE_MS, 64), wanted[i]);
        desk_echo_all(&d);
    }
    DESK_EXPECT(&d, &c, ECHO16);
    client_close(&c);
    desk_close(&d);
}

/* ---- requests behind an open one ---- */

static void test_requests_behind_an_open_one_come_again_after_it(void)
{
    desk d;
    desk_open(&d);
    client c = client_open(d.port);
    client_say(&c, GET("/a") GET("/b") GET("/c") "GET /d HTTP/1.1\r\nHo");
    CHECK_INT(desk_turn(&d, PATIENCE_MS, 64), 3);
    uint64_t a = desk_id(&d, 0), b = desk_id(&d, 1), c_id = desk_id(&d, 2);
    CHECK(a != b && b != c_id && a != c_id);
    CHECK_INT(desk_turn(&d, 0, 64), 0); /* nothing is answered: they are taken back */
    client_say(&c, "st: a\r\n\r\n");
    CHECK_INT(desk_turn(&d, 10, 64), 0);
    CHECK_INT(smw_loop_stats(d.loop)->recvs, 1);
    memset(d.memory.arena, 'x', d.memory.arena_size); /* nothing lives there now */
    desk_answer(&d, a, 0, (smw_str){"/a", 2});
    CHECK_INT(desk_turn(&d, 0, 64), 2);
    CHECK(desk_id(&d, 0) == b && desk_id(&d, 1) == c_id);
    CHECK_STR(desk_path(&d, 0), "/b");
    CHECK_STR(desk_path(&d, 1), "/c");
    /* Its bytes, with the names in lower case as the parser leaves them. */
    CHECK_STR(desk_slice(&d, 1, SMW_W_HEAD), "GET /c HTTP/1.1\r\nhost: a\r\n\r\n");
    desk_echo_all(&d);
    DESK_EXPECT(&d, &c, ECHO("/a", "2") ECHO("/b", "2") ECHO("/c", "2") ECHO("/d", "2"));
    client_close(&c);
    desk_close(&d);
}

static void test_any_of_a_burst_may_stay_open(void)
{
    for (size_t open = 0; open < 16; open++) {
        desk d;
        desk_open(&d);
        client c = client_open(d.port);
        client_say(&c, GET16);
        CHECK_INT(desk_turn(&d, PATIENCE_MS, 64), 16);
        uint64_t waiting = desk_id(&d, open);
        for (size_t i = 0; i < open; i++) desk_echo(&d, i);
        CHECK_INT(desk_turn(&d, 0, 64), 0);
        char path[3] = {'/', (char)('1' + open % 4), 0};
        desk_answer(&d, waiting, 0, (smw_str){path, 2});
        CHECK_INT(desk_turn(&d, 0, 64), 15 - (int)open);
        DESK_EXPECT(&d, &c, ECHO16);
        client_close(&c);
        desk_close(&d);
    }
}

static void test_answers_between_turns_may_come_in_portions(void)
{
    /* The open one and one behind it are answered while the turn lasts, so only the
     * rest is taken back. */
    desk d;
    desk_open(&d);
    client c = client_open(d.port);
    client_say(&c, GET4);
    CHECK_INT(desk_turn(&d, PATIENCE_MS, 64), 4);
    desk_echo(&d, 0);
    CHECK_INT(smw_flush(d.batch, d.outbox, d.outbox_length), 0);
    CHECK_INT(d.memory.shared->scattered, 1);
    desk_forget_outbox(&d);
    desk_echo(&d, 1);
    CHECK_INT(desk_turn(&d, 0, 64), 0);
    desk_answer(&d, desk_id(&d, 2), 0, (smw_str){"/3", 2});
    CHECK_INT(desk_turn(&d, 0, 64), 1);
    DESK_EXPECT(&d, &c, ECHO4);
    client_close(&c);
    desk_close(&d);
}

static void test_a_large_body_behind_a_request_does_not_close_before_its_own_answer(void)
{
    /* More of it is to come than is worth reading: its own answer closes. With a body
     * it is handed out alone. */
    desk d;
    desk_open(&d);
    client c = client_open(d.port);
    client_say(&c, GET("/a") "GET /b HTTP/1.1\r\nHost: a\r\nContent-Length: 70000\r\n\r\n");
    CHECK_INT(desk_turn(&d, PATIENCE_MS, 64), 1);
    desk_echo_all(&d);
    CHECK_INT(desk_turn(&d, 0, 64), 1);
    DESK_EXPECT(&d, &c,
                ECHO("/a", "2") "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"
                                "Connection: close\r\n\r\n/b");
    desk_serve(&d, &c, TO_THE_END, 64);
    CHECK(c.is_ended && c.length == 0);
    client_close(&c);
    desk_close(&d);
}

static void test_an_answer_ahead_of_its_turn_costs_its_connection_alone(void)
{
    desk d;
    desk_open(&d);
    client wrong = client_open(d.port), right = client_open(d.port);
    client_say(&right, GET4);
    CHECK_INT(desk_turn(&d, PATIENCE_MS, 64), 4);
    uint64_t rights_first = desk_id(&d, 0);
    client_say(&wrong, GET4);
    CHECK_INT(desk_turn(&d, PATIENCE_MS, 64), 4);
    uint64_t wrongs_first = desk_id(&d, 0);
    desk_echo(&d, 1);
    desk_answer(&d, rights_first, 0, (smw_str){"/1", 2});
    CHECK_INT(desk_turn(&d, 0, 64), 4);
    CHECK_INT(desk_token(&d, 0), SMW_EVENT_ABORTED);
    CHECK(desk_id(&d, 0) == wrongs_first);
    DESK_EXPECT(&d, &right, ECHO4);
    desk_serve(&d, &wrong, TO_THE_END, 64);
    CHECK(wrong.is_ended && wrong.length == 0);
    client_close(&wrong);
    client_close(&right);
    desk_close(&d);
}

static void test_an_id_that_was_handed_out_never_names_another_connections_request(void)
{
    desk d;
    desk_open(&d);
    client c = client_open(d.port);
    client_say(&c, GET4);
    CHECK_INT(desk_turn(&d, PATIENCE_MS, 64), 4);
    uint64_t first = desk_id(&d, 0), last = desk_id(&d, 3);
    CHECK_INT(desk_turn(&d, 0, 64), 0); /* three are taken back */
    desk_answer(&d, first, 0, (smw_str){"", 0});
    CHECK_INT(desk_turn(&d, 0, 1), 1); /* one comes again, and is the last to */
    desk_answer(&d, desk_id(&d, 0), SMW_OUT_CLOSE, (smw_str){"", 0});
    CHECK_INT(desk_turn(&d, 0, 64), 0);
    client_close(&c); /* which the server's lingering close waits for */
    for (int i = 0; i < 100 && smw_server_connections(d.server) > 0; i++)
        CHECK_INT(desk_turn(&d, 20, 64), 0);
    CHECK_INT(smw_server_connections(d.server), 0);
    c = client_open(d.port);
    client_say(&c, GET4);
    CHECK_INT(desk_turn(&d, PATIENCE_MS, 64), 4);
    CHECK((desk_id(&d, 0) & 0xFFFFFF) == (last & 0xFFFFFF)); /* the same slot */
    for (size_t i = 0; i < 4; i++) CHECK(desk_id(&d, i) > last);
    desk_answer(&d, last, 0, (smw_str){"stale", 5});
    desk_echo_all(&d);
    DESK_EXPECT(&d, &c, ECHO4);
    client_close(&c);
    desk_close(&d);
}

/* ---- the words of a request ---- */

static void test_the_words_of_a_request_read_back_right(void)
{
    desk d;
    desk_open(&d);
    client c = client_open(d.port);
    const char *head = "POST /one/b/three?x=1&y HTTP/1.1\r\nhOST: a.example\r\n"
                       "Cookie:  k=v \r\nX-Own: 1\r\nAccept: a\r\naccept: b\r\n"
                       "Referer: caf\xc3\xa9\r\nOrigin:\r\n\r\n";
    client_say(&c, "\r\n"); /* RFC 9112 2.2: an empty line in front is no part of it */
    client_say(&c, head);
    client_say(&c, "BREW http://a/pot HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    CHECK_INT(desk_turn(&d, PATIENCE_MS, 1), 1);
    const uint32_t *words = desk_words(&d, 0);
    uint32_t start = words[SMW_W_HEAD];
    CHECK_INT(desk_token(&d, 0), ROUTE_WITH_PARAMETERS);
    CHECK_INT(start, 2);
    CHECK_INT(words[SMW_W_HEAD_END] - start, strlen(head));
    CHECK_INT(words[SMW_W_METHOD], SMW_POST);
    CHECK_INT(words[SMW_W_METHOD_END] - start, 4);
    CHECK_INT(words[SMW_W_MINOR], 1);
    CHECK_STR(desk_path(&d, 0), "/one/b/three");
    CHECK_STR(desk_slice(&d, 0, SMW_W_QUERY), "x=1&y");
    CHECK_INT(words[SMW_W_TARGET_END] - start, strlen("POST /one/b/three?x=1&y"));
    CHECK_INT(words[SMW_W_FIELDS] - start, strlen("POST /one/b/three?x=1&y HTTP/1.1\r\n"));
    CHECK_INT(words[SMW_W_PARAMS], 2);
    CHECK_STR(desk_slice(&d, 0, SMW_W_PARAM), "one");
    CHECK_STR(desk_slice(&d, 0, SMW_W_PARAM + 2), "three");
    for (int i = 0; i < SMW_KNOWN_FIELDS; i++) {
        const char *name = smw_header_name(i);
        int pair = SMW_W_KNOWN + 2 * i;
        if (strcmp(name, "host") == 0)
            CHECK_STR(desk_slice(&d, 0, pair), "a.example");
        else if (strcmp(name, "cookie") == 0)
            CHECK_STR(desk_slice(&d, 0, pair), "k=v");
        else if (strcmp(name, "origin") == 0)
            CHECK(words[pair] != 0 && words[pair + 1] == words[pair]); /* there, empty */
        else if (strcmp(name, "accept") == 0 || strcmp(name, "referer") == 0)
            CHECK_INT(words[pair], SMW_W_ODD);
        else
            CHECK(words[pair] == 0 && words[pair + 1] == 0);
    }
    desk_echo(&d, 0);
    CHECK_INT(desk_turn(&d, PATIENCE_MS, 1), 1);
    words = desk_words(&d, 0);
    CHECK_INT(desk_token(&d, 0), MISS);
    CHECK_INT(words[SMW_W_METHOD], SMW_OTHER);
    CHECK_INT(words[SMW_W_METHOD_END] - words[SMW_W_HEAD], 4);
    CHECK_INT(words[SMW_W_MINOR], 0);
    CHECK_INT(words[SMW_W_ALLOW], 1 << SMW_GET);
    CHECK_INT(words[SMW_W_QUERY], 0);
    CHECK_INT(words[SMW_W_PARAMS], 0);
    CHECK_STR(desk_path(&d, 0), "/pot");
    client_close(&c);
    desk_close(&d);
}

/* ---- outboxes ---- */

static void test_a_batch_that_was_not_taken_is_not_overwritten(void)
{
    desk d;
    desk_open(&d);
    client c = client_open(d.port);
    client_say(&c, GET4);
    CHECK_INT(desk_turn(&d, PATIENCE_MS, 64), 4);
    desk_echo(&d, 0);
    CHECK_INT(smw_turn(d.batch, 0, 64, d.outbox, d.outbox_length), SMW_EBUSY);
    CHECK_INT(desk_count(&d), 4);
    CHECK_INT(d.memory.shared->scattered, 1); /* by the turn before */
    CHECK_INT(smw_loop_stats(d.loop)->sends, 0);
    CHECK_STR(desk_path(&d, 3), "/4");
    CHECK_INT(smw_loop_run(d.loop, SMW_RUN_NOWAIT), SMW_EBUSY);
    client_close(&c);
    desk_close(&d);
}

static void test_a_malformed_outbox_is_refused(void)
{
    static const struct {
        int status;
        uint32_t head_length;
        uint64_t body_length;
        size_t trailing; /* bytes behind the record */
    } cases[] = {
        {200, 1, 0, 0},          {200, UINT32_MAX, 0, 3},        {200, 0, 1, 0},
        {200, 2, 2, 3},          {200, 0, UINT64_MAX, 3},        {200, 2, UINT64_MAX - 1, 3},
        {200, 0, 0, 1},          {200, 0, 0, SMW_OUT_RECORD - 1}, {100, 0, 0, 0},
        {199, 0, 0, 0},          {1000, 0, 0, 0},                {65535, 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        desk d;
        desk_open(&d);
        client c = client_open(d.port);
        client_say(&c, GET("/a") GET("/b"));
        CHECK_INT(desk_turn(&d, PATIENCE_MS, 64), 2);
        desk_echo(&d, 0); /* what comes before it is good, and is sent */
        desk_record(&d, desk_id(&d, 1), cases[i].status, 0, cases[i].head_length,
                    cases[i].body_length);
        char junk[SMW_OUT_RECORD] = {0};
        desk_append(&d, junk, cases[i].trailing);
        CHECK_INT(desk_turn(&d, 0, 64), SMW_ERECORD);
        CHECK_INT(smw_loop_stats(d.loop)->sends, 1);
        CHECK_INT(desk_count(&d), 0);
        client_close(&c);
        desk_close(&d);
    }
}

static void test_every_cut_of_an_outbox_is_refused(void)
{
    desk d;
    desk_open(&d);
    char whole[SMW_OUT_RECORD + 12];
    desk_record(&d, 12345, 200, 0, 7, 5);
    memcpy(whole, d.outbox, SMW_OUT_RECORD);
    memcpy(whole + SMW_OUT_RECORD, "A: bc\r\nhello", 12);
    desk_forget_outbox(&d);
    for (size_t i = 1; i < sizeof whole; i++) {
        desk_append(&d, whole, i);
        CHECK_INT(desk_turn(&d, 0, 1), SMW_ERECORD);
    }
    desk_append(&d, whole, sizeof whole);
    CHECK_INT(desk_turn(&d, 0, 1), 0); /* for nobody, but well-formed */
    desk_close(&d);
}

static void test_answers_for_peers_that_have_gone_are_dropped(void)
{
    desk d;
    desk_open(&d);
    client gone = client_open(d.port), here = client_open(d.port);
    client_say(&gone, GET4);
    client_say(&here, GET4);
    size_t count = (size_t)desk_turn(&d, PATIENCE_MS, 64);
    while (count < 8) count += (size_t)desk_turn(&d, PATIENCE_MS, 64);
    /* They may have come in two turns, when all of the first are taken back. */
    client_abort(&gone);
    desk_echo_all(&d);
    DESK_EXPECT(&d, &here, ECHO4);
    int64_t deadline = clock_ms() + PATIENCE_MS;
    while (smw_server_connections(d.server) > 1 && clock_ms() < deadline) {
        desk_echo_all(&d);
        desk_turn(&d, 10, 64);
    }
    CHECK_INT(smw_server_connections(d.server), 1);
    client_close(&here);
    desk_close(&d);
}

static void test_a_batch_needs_enough_memory_and_a_loop_of_its_own(void)
{
    smw_loop *loop = smw_loop_new();
    smw_batch_memory memory = memory_of(128 * 1024, 1, 1024), small = memory;
    small.arena_size--;
    CHECK(smw_batch_new(loop, &small) == NULL && errno == EINVAL);
    small = memory;
    small.word_count--;
    CHECK(smw_batch_new(loop, &small) == NULL && errno == EINVAL);
    small = memory;
    small.record_count--;
    CHECK(smw_batch_new(loop, &small) == NULL && errno == EINVAL);
    CHECK(smw_batch_new(loop, &memory) != NULL);
    CHECK(smw_batch_new(loop, &memory) == NULL && errno == EINVAL);
    smw_loop_free(loop);
    memory_free(&memory);
}

int main(void)
{
    RUN(test_a_burst_of_requests_costs_one_read_and_one_send);
    RUN(test_a_limit_hands_requests_out_in_portions_without_reading_on);
    RUN(test_requests_share_a_batch_fairly_when_it_is_small);
    RUN(test_a_batch_holds_no_more_requests_than_it_has_words_for);
    RUN(test_requests_behind_an_open_one_come_again_after_it);
    RUN(test_any_of_a_burst_may_stay_open);
    RUN(test_answers_between_turns_may_come_in_portions);
    RUN(test_a_large_body_behind_a_request_does_not_close_before_its_own_answer);
    RUN(test_an_answer_ahead_of_its_turn_costs_its_connection_alone);
    RUN(test_an_id_that_was_handed_out_never_names_another_connections_request);
    RUN(test_the_words_of_a_request_read_back_right);
    RUN(test_a_batch_that_was_not_taken_is_not_overwritten);
    RUN(test_a_malformed_outbox_is_refused);
    RUN(test_every_cut_of_an_outbox_is_refused);
    RUN(test_answers_for_peers_that_have_gone_are_dropped);
    RUN(test_a_batch_needs_enough_memory_and_a_loop_of_its_own);
    return test_report();
}
