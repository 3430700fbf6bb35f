/* SPDX-License-Identifier: MIT */
/* test_http_body.c - bodies of requests come whole, in whatever pieces. */
#include "site_body.h"

static void read_posts(smw_server *server, const smw_request *request, void *user)
{
    if (request->method == SMW_POST)
        site_read(server, request, user);
    else
        site_echo(server, request, user);
}

/* Only posts: what else comes is answered. */
static void leave_posts_open(smw_server *server, const smw_request *request, void *user)
{
    if (request->method != SMW_POST) site_echo(server, request, user);
}

static void test_bodies_come_whole_whatever_their_size_framing_and_pieces(void)
{
    static const size_t sizes[] = {0,     1,     300,   4095,  4096,  4097,  16383,
                                   16384, 16385, 65535, 65536, 65537, 200000};
    static const size_t chunks[] = {0, 1, 100, 5000, 70000};
    static const struct {
        size_t length;
        size_t most; /* for larger bodies it takes too long */
    } pieces[] = {{1, 300}, {7, 16385}, {1000, SIZE_MAX}, {SIZE_MAX, SIZE_MAX}};
    site s;
    client c = open_site(&s, read_posts);
    size_t seed = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (size_t j = 0; j < sizeof chunks / sizeof *chunks; j++)
            for (size_t k = 0; k < sizeof pieces / sizeof *pieces; k++) {
                if (sizes[i] > pieces[k].most) continue;
                if (chunks[j] == 1 && sizes[i] > 4097) continue;
                message m = post(sizes[i], ++seed, chunks[j]);
                say_in_pieces(&s, &c, m.data, m.length, pieces[k].length);
                bool is_right = expect_back(&s, &c, &m);
                message_free(&m);
                if (is_right) continue;
                fprintf(stderr, "%zu bytes, chunks of %zu, pieces of %zu\n", sizes[i],
                        chunks[j], pieces[k].length);
                goto out;
            }
    CHECK_INT(s.requests, seed);
    CHECK_INT(s.aborted, 0);
out:
    finish(&s, &c);
}

static void test_a_message_may_be_cut_at_every_place(void)
{
    site s;
    client c = open_site(&s, read_posts);
    for (size_t chunk = 0; chunk <= 16; chunk += 8) {
        message m = post(40, chunk, chunk);
        for (size_t cut = 1; cut < m.length; cut++) {
            say_all(&s, &c, m.data, cut);
            smw_loop_run(s.loop, SMW_RUN_NOWAIT);
            say_all(&s, &c, m.data + cut, m.length - cut);
            if (!expect_back(&s, &c, &m)) break;
        }
        message_free(&m);
    }
    finish(&s, &c);
}

static void test_a_body_in_the_segment_of_its_head_is_one_piece(void)
{
    for (size_t chunk = 0; chunk <= 10; chunk += 10) {
        site s;
        client c = open_site(&s, read_posts);
        message m = post(1000, chunk, chunk);
        client_say_bytes(&c, m.data, m.length);
        expect_back(&s, &c, &m);
        CHECK_INT(s.upload->pieces, 1);
        CHECK_INT(smw_loop_stats(s.loop)->recvs, 1);
        client_say_bytes(&c, m.data, m.head);
        run_until_equal(s.loop, &s.requests, 2);
        CHECK_INT(s.upload->pieces, 0); /* nothing is no piece */
        client_say_bytes(&c, m.data + m.head, m.length - m.head);
        expect_back(&s, &c, &m);
        CHECK_INT(s.upload->pieces, 1);
        message_free(&m);
        finish(&s, &c);
    }
}

static void test_a_request_without_a_body_has_an_empty_one_to_read(void)
{
    static const char *const requests[] = {
        "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: a\r\n\r\n",
    };
    for (size_t i = 0; i < 2; i++) {
        site s;
        client c = open_site(&s, read_posts);
        client_say(&c, requests[i]);
        EXPECT(s.loop, &c, OK);
        CHECK_INT(s.upload->pieces, 1);
        finish(&s, &c);
    }
}

static void test_pipelined_requests_with_and_without_bodies_are_answered_in_order(void)
{
    static const size_t sizes[] = {1, 500, 7000, 30000, 100000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        message one = post(sizes[i], 1, 0), two = post(sizes[i], 2, 999);
        char *all, *wanted;
        size_t length, wanted_length;
        FILE *out = open_memstream(&all, &length);
        fprintf(out, GET("/a"));
        fwrite(one.data, 1, one.length, out);
        fprintf(out, GET("/b"));
        fwrite(two.data, 1, two.length, out);
        fprintf(out, GET("/c"));
        fclose(out);
        out = open_memstream(&wanted, &wanted_length);
        fprintf(out, ECHO("/a", "2") HEAD_OF, sizes[i]);
        fwrite(one.body, 1, sizes[i], out);
        fprintf(out, ECHO("/b", "2") HEAD_OF, sizes[i]);
        fwrite(two.body, 1, sizes[i], out);
        fprintf(out, ECHO("/c", "2"));
        fclose(out);
        site s;
        client c = open_site(&s, read_posts);
        say_all(&s, &c, all, length);
        run_until(s.loop, &c, wanted_length);
        CHECK_INT(s.requests, 5);
        if (CHECK_INT(c.length, wanted_length))
            CHECK(memcmp(c.data, wanted, wanted_length) == 0);
        message_free(&one);
        message_free(&two);
        free(all);
        free(wanted);
        finish(&s, &c);
    }
}

static void test_nothing_behind_a_body_is_served_before_its_answer(void)
{
    for (size_t chunk = 0; chunk <= 10; chunk += 10) {
        site s;
        client c = open_site(&s, leave_posts_open);
        message m = post(100, chunk, chunk);
        client_say(&c, GET("/a"));
        client_say_bytes(&c, m.data, m.length);
        client_say(&c, GET("/b"));
        EXPECT(s.loop, &c, ECHO("/a", "2"));
        run_until_equal(s.loop, &s.requests, 2);
        expect_silence(&s, &c);
        CHECK_INT(s.requests, 2);
        CHECK_INT(smw_read(s.loop, s.exchange, true), 0);
        const char head[] = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n";
        size_t size = strlen(head) + 100 + strlen(ECHO("/b", "2"));
        run_until(s.loop, &c, size);
        CHECK_INT(c.length, size);
        CHECK(client_starts_with(&c, head) && client_ends_with(&c, ECHO("/b", "2")));
        CHECK(memcmp(c.data + strlen(head), m.body, 100) == 0);
        message_free(&m);
        finish(&s, &c);
    }
}

int main(void)
{
    RUN(test_bodies_come_whole_whatever_their_size_framing_and_pieces);
    RUN(test_a_message_may_be_cut_at_every_place);
    RUN(test_a_body_in_the_segment_of_its_head_is_one_piece);
    RUN(test_a_request_without_a_body_has_an_empty_one_to_read);
    RUN(test_pipelined_requests_with_and_without_bodies_are_answered_in_order);
    RUN(test_nothing_behind_a_body_is_served_before_its_answer);
    return test_report();
}
