/* SPDX-License-Identifier: MIT */
/* test_http_body_unread.c - bodies of requests that are not read to the end. */
#include "site_body.h"

/* The server has ended its side, and takes what is still on its way: to a closed one it
 * would be answered by a reset, which can cost the client its answer. */
static void expect_lingering(site *s, client *c)
{
    EXPECT_END(s->loop, c);
    message m = post(100000, 0, 0);
    say_all(s, c, m.data, m.length);
    message_free(&m);
    CHECK_INT(smw_server_connections(s->server), 1);
    int error = 0;
    socklen_t size = sizeof error;
    CHECK(getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0);
    CHECK_INT(error, 0);
}

static void test_a_body_of_64_KiB_is_skipped_to_keep_the_connection(void)
{
    static const size_t sizes[] = {1, 100, 20000, 65536};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (size_t chunk = 0; chunk <= 1000; chunk += 1000)
            for (int is_apart = 0; is_apart < 2; is_apart++) {
                site s;
                client c = open_site(&s, site_echo);
                message m = post(sizes[i], i, chunk);
                size_t cut = is_apart ? m.head : m.length;
                say_all(&s, &c, m.data, cut);
                EXPECT(s.loop, &c, ECHO("/up", "3"));
                say_all(&s, &c, m.data + cut, m.length - cut);
                client_say(&c, GET("/b"));
                EXPECT(s.loop, &c, ECHO("/b", "2"));
                CHECK_INT(s.requests, 2);
                message_free(&m);
                finish(&s, &c);
            }
}

static void test_the_answer_says_that_a_longer_body_will_not_be_skipped(void)
{
    site s;
    client c = open_site(&s, site_echo);
    message m = post(65537, 0, 0);
    client_say_bytes(&c, m.data, m.head);
    EXPECT(s.loop, &c, CLOSING("/up", "3"));
    say_all(&s, &c, m.data + m.head, m.length - m.head);
    expect_lingering(&s, &c);
    CHECK_INT(s.requests, 1);
    message_free(&m);
    finish(&s, &c);
}

static void test_an_unread_body_in_chunks_is_skipped_up_to_a_limit(void)
{
    site s;
    client c = open_site(&s, site_echo);
    message m = post(65537, 0, 1000);
    client_say_bytes(&c, m.data, m.head);
    EXPECT(s.loop, &c, ECHO("/up", "3"));
    say_all(&s, &c, m.data + m.head, m.length - m.head);
    client_say(&c, GET("/b"));
    expect_lingering(&s, &c);
    CHECK_INT(s.requests, 1);
    message_free(&m);
    finish(&s, &c);
}

static void test_a_malformed_rest_of_an_unread_body_closes_without_a_word(void)
{
    site s;
    client c = open_site(&s, site_echo);
    client_say(&c, "POST /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    EXPECT(s.loop, &c, ECHO("/up", "3"));
    client_say(&c, "3\r\nabcXX" GET("/b"));
    expect_lingering(&s, &c);
    CHECK_INT(s.requests, 1);
    CHECK_INT(s.aborted, 0);
    finish(&s, &c);
}

static void answer_at_once(smw_server *server, uint64_t exchange, smw_str piece,
                           bool is_last, void *user)
{
    (void)server;
    meter.pieces++;
    CHECK(piece.length > 0 && !is_last);
    CHECK_INT(site_answer(user, exchange, 200, 0, "", "early"), 0);
    CHECK_INT(smw_read(((site *)user)->loop, exchange, true), SMW_EGONE);
}

static void test_an_answer_in_the_middle_of_a_body_ends_its_reading(void)
{
    for (size_t chunk = 0; chunk <= 1000; chunk += 1000)
        for (int is_apart = 0; is_apart < 2; is_apart++) {
            site s;
            client c = open_site(&s, read_posts_of_the_meter);
            hear(&s, answer_at_once);
            message m = post(60000, 0, chunk);
            size_t cut = m.head + (is_apart ? 0 : 2000);
            say_all(&s, &c, m.data, cut);
            run_until_equal(s.loop, &s.requests, 1);
            say_all(&s, &c, m.data + cut, 2000);
            EXPECT(s.loop, &c, ECHO("early", "5"));
            say_all(&s, &c, m.data + cut + 2000, m.length - cut - 2000);
            client_say(&c, GET("/b"));
            EXPECT(s.loop, &c, ECHO("/b", "2"));
            CHECK_INT(meter.pieces, 1);
            message_free(&m);
            finish(&s, &c);
        }
}

static void test_an_answer_early_in_a_long_body_closes_and_says_so(void)
{
    site s;
    client c = open_site(&s, read_posts_of_the_meter);
    hear(&s, answer_at_once);
    message m = post(200000, 0, 0);
    say_all(&s, &c, m.data, 2000);
    EXPECT(s.loop, &c, CLOSING("early", "5"));
    say_all(&s, &c, m.data + 2000, m.length - 2000);
    expect_lingering(&s, &c);
    CHECK_INT(meter.pieces, 1);
    message_free(&m);
    finish(&s, &c);
}

int main(void)
{
    RUN(test_a_body_of_64_KiB_is_skipped_to_keep_the_connection);
    RUN(test_the_answer_says_that_a_longer_body_will_not_be_skipped);
    RUN(test_an_unread_body_in_chunks_is_skipped_up_to_a_limit);
    RUN(test_a_malformed_rest_of_an_unread_body_closes_without_a_word);
    RUN(test_an_answer_in_the_middle_of_a_body_ends_its_reading);
    RUN(test_an_answer_early_in_a_long_body_closes_and_says_so);
    return test_report();
}
