/* SPDX-License-Identifier: MIT */
/* test_http_body_broken.c - bodies of requests that are malformed, or broken off. */
#include "site_body.h"

#define REFUSAL_400 REFUSAL("400", "Bad Request", "11")

static void test_a_malformed_chunk_beside_its_head_never_sees_a_handler(void)
{
    site s;
    client c = open_site(&s, site_read);
    client_say(&c, POST_CHUNKED "5\r\nhello\r\nZ\r\n");
    expect_refusal(&s, &c, REFUSAL_400);
    CHECK_INT(s.requests, 0);
    CHECK_INT(s.aborted, 0);
    finish(&s, &c);
}

static void test_a_malformed_chunk_later_ends_the_exchange(void)
{
    for (int is_asked_late = 0; is_asked_late < 2; is_asked_late++) {
        site s;
        client c = open_site(&s, is_asked_late ? leave_open : site_read);
        client_say(&c, POST_CHUNKED "5\r\nhello\r\n");
        run_until_equal(s.loop, &s.requests, 1);
        client_say(&c, "5\r\nhelloZZ" GET("/b"));
        if (is_asked_late) {
            expect_silence(&s, &c);
            CHECK_INT(smw_read(s.loop, s.exchange, true), 0);
        }
        check_aborted(&s, 400);
        expect_refusal(&s, &c, REFUSAL_400);
        CHECK_INT(s.requests, 1);
        CHECK_INT(s.upload->ends, 0);
        finish(&s, &c);
    }
}

static void test_a_client_that_ends_in_the_middle_of_its_body_is_told_so(void)
{
    static const char *const starts[] = {
        POST_OF("/up", "10"),
        POST_OF("/up", "10") "123456789",
        POST_CHUNKED,
        POST_CHUNKED "5\r\nhello",
        POST_CHUNKED "5\r\nhello\r\n0\r\n",
    };
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++)
        for (int is_late = 0; is_late < 2; is_late++) {
            site s;
            client c = open_site(&s, site_read);
            client_say(&c, starts[i]);
            if (is_late) run_until_equal(s.loop, &s.requests, 1);
            CHECK(shutdown(c.fd, SHUT_WR) == 0);
            check_aborted(&s, 400);
            expect_refusal(&s, &c, REFUSAL_400);
            CHECK_INT(s.upload->ends, 0);
            finish(&s, &c);
        }
}

static void test_a_client_that_ends_in_the_middle_of_an_unread_body_is_let_go(void)
{
    for (int is_answered = 0; is_answered < 2; is_answered++) {
        site s;
        client c = open_site(&s, is_answered ? site_echo : leave_open);
        client_say(&c, POST_OF("/up", "10") "12345");
        if (is_answered) EXPECT(s.loop, &c, ECHO("/up", "3"));
        run_until_equal(s.loop, &s.requests, 1);
        CHECK(shutdown(c.fd, SHUT_WR) == 0);
        if (!is_answered) check_aborted(&s, 0);
        EXPECT_END(s.loop, &c);
        CHECK_INT(s.aborted, !is_answered);
        finish(&s, &c);
    }
}

static void test_a_reset_in_the_middle_of_a_body_ends_the_exchange(void)
{
    for (int is_read = 0; is_read < 2; is_read++) {
        site s;
        client c = open_site(&s, is_read ? site_read : leave_open);
        client_say(&c, POST_OF("/up", "10") "12345");
        run_until_equal(s.loop, &s.requests, 1);
        client_abort(&c);
        check_aborted(&s, 0);
        CHECK_INT(s.upload->ends, 0);
        finish(&s, &c);
    }
}

int main(void)
{
    RUN(test_a_malformed_chunk_beside_its_head_never_sees_a_handler);
    RUN(test_a_malformed_chunk_later_ends_the_exchange);
    RUN(test_a_client_that_ends_in_the_middle_of_its_body_is_told_so);
    RUN(test_a_client_that_ends_in_the_middle_of_an_unread_body_is_let_go);
    RUN(test_a_reset_in_the_middle_of_a_body_ends_the_exchange);
    return test_report();
}
