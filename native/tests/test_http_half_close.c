/* SPDX-License-Identifier: MIT */
/* test_http_half_close.c - clients that end their side early. */
#include "site_body.h"

static void test_a_client_that_ends_behind_its_request_is_answered_at_once(void)
{
    static const char *const requests[] = {GET("/a"), POST_OF("/a", "5") "hello"};
    for (size_t i = 0; i < 2; i++)
        for (int is_late = 0; is_late < 2; is_late++) {
            site s;
            client c = open_site(&s, site_echo);
            client_say(&c, requests[i]);
            if (is_late) run_until_equal(s.loop, &s.requests, 1);
            CHECK(shutdown(c.fd, SHUT_WR) == 0);
            EXPECT(s.loop, &c, ECHO("/a", "2"));
            EXPECT_END(s.loop, &c);
            CHECK_INT(s.aborted, 0);
            finish(&s, &c);
        }
}

/* Ways in which a client ends its side while its request waits for an answer. */
enum { WITH_IT, LATER, WITH_IT_AND_MORE, LATER_AND_MORE, WITH_IT_AND_MUCH_MORE, WAYS };

static void say_and_end(site *s, client *c, const char *request, int way)
{
    client_say(c, request);
    bool is_later = way == LATER || way == LATER_AND_MORE;
    if (is_later) run_until_equal(s->loop, &s->requests, 1);
    if (is_later) run_a_while(s->loop);
    int more = way == WITH_IT_AND_MUCH_MORE                      ? 2000
               : way == WITH_IT_AND_MORE || way == LATER_AND_MORE ? 1
                                                                  : 0;
    for (int i = 0; i < more; i++) client_say(c, GET("/b"));
    CHECK(shutdown(c->fd, SHUT_WR) == 0);
}

static void test_a_client_that_ends_while_its_answer_is_prepared_has_left(void)
{
    static const char *const requests[] = {GET("/a"), POST_OF("/a", "5") "hello",
                                           POST_OF("/a", "5") "hell"};
    for (size_t i = 0; i < 3; i++)
        for (int way = 0; way < WAYS; way++) {
            site s;
            client c = open_site(&s, leave_open);
            say_and_end(&s, &c, requests[i], way);
            check_aborted(&s, 0);
            site_waits_for(&s, 0);
            run_until(s.loop, &c, TO_THE_END); /* or a reset, for what was not read */
            CHECK_INT(c.length, 0);
            CHECK_INT(s.requests, 1);
            CHECK_INT(s.aborted, 1);
            finish(&s, &c);
        }
}

static void answer_the_first_at_length(smw_server *server, const smw_request *request,
                                       void *user)
{
    (void)server;
    site *s = user;
    if (s->requests > 1) return;
    message m = post(8 * 1024 * 1024, 0, 0);
    smw_answer answer = {.status = 200,
                         .flags = SMW_OUT_NO_DATE,
                         .body = {m.body, m.size},
                         .body_length = m.size};
    CHECK_INT(smw_respond(s->loop, request->exchange, &answer), 0);
    message_free(&m);
}

static void test_an_answer_on_its_way_arrives_though_nobody_waits_for_the_next(void)
{
    site s;
    client c = open_site(&s, answer_the_first_at_length);
    client_say(&c, GET("/a") GET("/b"));
    CHECK(shutdown(c.fd, SHUT_WR) == 0);
    check_aborted(&s, 0);
    const char head[] = "HTTP/1.1 200 OK\r\nContent-Length: 8388608\r\n\r\n";
    size_t length = strlen(head) + 8388608, wrong = 0;
    run_until(s.loop, &c, length);
    CHECK(client_starts_with(&c, head));
    if (CHECK_INT(c.length, length))
        for (size_t i = strlen(head); i < length; i++)
            wrong += c.data[i] != byte_at(i - strlen(head), 0);
    CHECK_INT(wrong, 0);
    client_forget(&c);
    EXPECT_END(s.loop, &c);
    CHECK_INT(c.error, 0);
    CHECK_INT(s.aborted, 1);
    finish(&s, &c);
}

static void test_a_server_may_be_told_that_clients_end_early(void)
{
    for (int way = 0; way <= LATER_AND_MORE; way++) {
        site s;
        client c = open_with(&s, leave_open, &(smw_server_options){.half_close = true});
        say_and_end(&s, &c, GET("/a"), way);
        run_until_equal(s.loop, &s.requests, 1);
        expect_silence(&s, &c);
        CHECK_INT(site_answer(&s, s.exchange, 200, 0, "", "/a"), 0);
        EXPECT(s.loop, &c, ECHO("/a", "2"));
        if (way >= WITH_IT_AND_MORE) {
            run_until_equal(s.loop, &s.requests, 2);
            expect_silence(&s, &c);
            CHECK_INT(site_answer(&s, s.exchange, 200, 0, "", "/b"), 0);
            EXPECT(s.loop, &c, ECHO("/b", "2"));
        }
        EXPECT_END(s.loop, &c);
        CHECK_INT(s.aborted, 0);
        finish(&s, &c);
    }
}

static void test_half_a_connection_waits_without_spinning(void)
{
    site s;
    client c = open_with(&s, leave_open, &(smw_server_options){.half_close = true});
    say_and_end(&s, &c, GET("/a"), LATER);
    run_a_while(s.loop);
    uint64_t waits = smw_loop_stats(s.loop)->waits;
    late_site = &s;
    CHECK_INT(smw_timer_start(s.loop, 30, 0, read_now, 0, NULL), 0);
    for (int64_t end = clock_ms() + 30; clock_ms() < end;)
        smw_loop_run(s.loop, SMW_RUN_ONCE);
    CHECK(smw_loop_stats(s.loop)->waits - waits < 10);
    CHECK_INT(site_answer(&s, s.exchange, 200, 0, "", "/a"), 0);
    EXPECT(s.loop, &c, ECHO("/a", "2"));
    EXPECT_END(s.loop, &c);
    finish(&s, &c);
}

static void test_a_reset_while_an_answer_is_prepared_ends_the_exchange(void)
{
    for (int way = 0; way < 2; way++) {
        site s;
        client c = open_site(&s, leave_open);
        client_say(&c, GET("/a"));
        run_until_equal(s.loop, &s.requests, 1);
        if (way == 1) client_say(&c, GET("/b"));
        run_a_while(s.loop);
        client_abort(&c);
        check_aborted(&s, 0);
        finish(&s, &c);
    }
}

static void test_a_client_that_ends_behind_its_body_is_answered(void)
{
    static const size_t sizes[] = {1, 1000, 150000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (size_t chunk = 0; chunk <= 5000; chunk += 5000)
            for (int is_apart = 0; is_apart < 2; is_apart++) {
                site s;
                client c = open_site(&s, site_read);
                message m = post(sizes[i], i, chunk);
                size_t cut = is_apart ? m.head : 0;
                say_all(&s, &c, m.data, cut);
                if (is_apart) run_until_equal(s.loop, &s.requests, 1);
                say_all(&s, &c, m.data + cut, m.length - cut);
                CHECK(shutdown(c.fd, SHUT_WR) == 0);
                expect_back(&s, &c, &m);
                EXPECT_END(s.loop, &c);
                CHECK_INT(s.aborted, 0);
                message_free(&m);
                finish(&s, &c);
            }
}

int main(void)
{
    RUN(test_a_client_that_ends_behind_its_request_is_answered_at_once);
    RUN(test_a_client_that_ends_while_its_answer_is_prepared_has_left);
    RUN(test_an_answer_on_its_way_arrives_though_nobody_waits_for_the_next);
    RUN(test_a_server_may_be_told_that_clients_end_early);
    RUN(test_half_a_connection_waits_without_spinning);
    RUN(test_a_reset_while_an_answer_is_prepared_ends_the_exchange);
    RUN(test_a_client_that_ends_behind_its_body_is_answered);
    return test_report();
}
