/* SPDX-License-Identifier: MIT */
/* test_http_expect.c - clients that wait to be told to send their body. */
#include "site_body.h"

#define CONTINUE "HTTP/1.1 100 Continue\r\n\r\n"
#define EXPECTS "Expect: 100-continue"

static void test_one_100_is_sent_when_the_body_is_asked_for(void)
{
    for (size_t chunk = 0; chunk <= 3; chunk += 3) {
        site s;
        client c = open_site(&s, leave_open);
        message m = post_with("POST /up HTTP/1.1\r\n" EXPECTS, 10, chunk, chunk);
        for (size_t i = 1; i <= 3; i++) { /* and again for the next one */
            client_say_bytes(&c, m.data, m.head);
            run_until_equal(s.loop, &s.requests, i);
            expect_silence(&s, &c);
            memset(s.upload, 0, sizeof *s.upload);
            CHECK_INT(smw_read(s.loop, s.exchange, false), 0);
            expect_silence(&s, &c);
            CHECK_INT(smw_read(s.loop, s.exchange, true), 0);
            EXPECT(s.loop, &c, CONTINUE);
            CHECK_INT(smw_read(s.loop, s.exchange, false), 0);
            CHECK_INT(smw_read(s.loop, s.exchange, true), 0);
            expect_silence(&s, &c);
            client_say_bytes(&c, m.data + m.head, m.length - m.head);
            expect_back(&s, &c, &m);
        }
        message_free(&m);
        finish(&s, &c);
    }
}

static void test_no_100_is_sent_when_the_body_has_begun_to_come(void)
{
    for (size_t chunk = 0; chunk <= 3; chunk += 3) {
        site s;
        client c = open_site(&s, site_read);
        message m = post_with("POST /up HTTP/1.1\r\n" EXPECTS, 10, chunk, chunk);
        client_say_bytes(&c, m.data, m.head + 1);
        run_until_equal(s.loop, &s.requests, 1);
        expect_silence(&s, &c);
        client_say_bytes(&c, m.data + m.head + 1, m.length - m.head - 1);
        expect_back(&s, &c, &m);
        message_free(&m);
        finish(&s, &c);
    }
}

static void test_HTTP_1_0_knows_no_100(void)
{
    site s;
    client c = open_site(&s, site_read);
    client_say(&c, "POST /up HTTP/1.0\r\n" EXPECTS "\r\nContent-Length: 5\r\n\r\n");
    run_until_equal(s.loop, &s.requests, 1);
    expect_silence(&s, &c);
    client_say(&c, "hello");
    EXPECT(s.loop, &c, CLOSING("hello", "5"));
    EXPECT_END(s.loop, &c);
    finish(&s, &c);
}

static void test_an_answer_in_place_of_a_100_closes(void)
{
    /* RFC 9110 10.1.1: whether the body follows cannot be known. */
    for (size_t chunk = 0; chunk <= 3; chunk += 3) {
        site s;
        client c = open_site(&s, site_echo);
        message m = post_with("POST /up HTTP/1.1\r\n" EXPECTS, 5, 0, chunk);
        client_say_bytes(&c, m.data, m.head);
        EXPECT(s.loop, &c, CLOSING("/up", "3"));
        EXPECT_END(s.loop, &c);
        message_free(&m);
        finish(&s, &c);
    }
}

static void test_an_expectation_without_a_body_is_ignored(void)
{
    static const char *const requests[] = {
        "GET /a HTTP/1.1\r\nHost: a\r\n" EXPECTS "\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: a\r\n" EXPECTS "\r\nContent-Length: 0\r\n\r\n",
    };
    site s;
    client c = open_site(&s, leave_open);
    for (size_t i = 0; i < 2; i++) {
        client_say(&c, requests[i]);
        run_until_equal(s.loop, &s.requests, i + 1);
        expect_silence(&s, &c);
        CHECK_INT(site_answer(&s, s.exchange, 200, 0, "", "/a"), 0);
        EXPECT(s.loop, &c, ECHO("/a", "2"));
    }
    finish(&s, &c);
}

int main(void)
{
    RUN(test_one_100_is_sent_when_the_body_is_asked_for);
    RUN(test_no_100_is_sent_when_the_body_has_begun_to_come);
    RUN(test_HTTP_1_0_knows_no_100);
    RUN(test_an_answer_in_place_of_a_100_closes);
    RUN(test_an_expectation_without_a_body_is_ignored);
    return test_report();
}
