/* SPDX-License-Identifier: MIT */
/* test_http_body.c - bodies of requests: in pieces, late, unread, too large, broken off;
 * and clients that end their side early. */
#include "site.h"

/* Tells each byte from its neighbours, and each body (`seed`) from the next. */
static char byte_at(size_t i, size_t seed)
{
    return (char)(i * 31 + i / 251 + i / 64256 * 7 + seed * 89);
}

typedef struct message {
    char *data; /* all of it */
    size_t length;
    size_t head; /* so much of that */
    char *body;  /* without chunks */
    size_t size;
} message;

static void write_chunks(FILE *out, const char *body, size_t size, size_t chunk)
{
    for (size_t i = 0; i < size; i += chunk) {
        size_t next = size - i < chunk ? size - i : chunk;
        fprintf(out, "%zx\r\n", next);
        fwrite(body + i, 1, next, out);
        fprintf(out, "\r\n");
    }
    fprintf(out, "0\r\n\r\n");
}

/* With `size` bytes of body, by length (`chunk` 0) or in chunks of up to so many.
 * `line`: the request line, and fields. */
static message post_with(const char *line, size_t size, size_t seed, size_t chunk)
{
    message m = {.body = malloc(size + 1), .size = size};
    for (size_t i = 0; i < size; i++) m.body[i] = byte_at(i, seed);
    FILE *out = open_memstream(&m.data, &m.length);
    fprintf(out, "%s\r\nHost: a\r\n", line);
    if (chunk == 0)
        fprintf(out, "Content-Length: %zu\r\n\r\n", size);
    else
        fprintf(out, "Transfer-Encoding: chunked\r\n\r\n");
    fflush(out);
    m.head = m.length;
    if (chunk == 0)
        fwrite(m.body, 1, size, out);
    else
        write_chunks(out, m.body, size, chunk);
    fclose(out);
    return m;
}

static message post(size_t size, size_t seed, size_t chunk)
{
    return post_with("POST /up HTTP/1.1", size, seed, chunk);
}

static void message_free(message *m)
{
    free(m->data);
    free(m->body);
}

/* Send pieces of that size, each by itself, while the loop runs. */
static void say_in_pieces(site *s, client *c, const char *data, size_t length,
                          size_t piece)
{
    int64_t deadline = clock_ms() + PATIENCE_MS;
    for (size_t sent = 0; sent < length;) {
        size_t next = length - sent < piece ? length - sent : piece;
        sent += client_offer(c, data + sent, next);
        smw_loop_run(s->loop, SMW_RUN_NOWAIT);
        if (!CHECK(clock_ms() < deadline)) return;
    }
}

static void say_all(site *s, client *c, const char *data, size_t length)
{
    say_in_pieces(s, c, data, length, SIZE_MAX);
}

#define OK "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
#define HEAD_OF "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n"

/* The body has come back, and nothing else. */
static bool expect_back(site *s, client *c, const message *m)
{
    char head[64];
    size_t size = (size_t)snprintf(head, sizeof head, HEAD_OF, m->size);
    run_until(s->loop, c, size + m->size);
    bool is_right = CHECK(client_starts_with(c, head)) &&
                    CHECK_INT(c->length, size + m->size) &&
                    CHECK(memcmp(c->data + size, m->body, m->size) == 0) &&
                    CHECK_INT(s->upload->ends, 1);
    client_forget(c);
    return is_right;
}

/* The core answered in place of the handler, and closes. */
static void expect_refusal(site *s, client *c, const char *refusal)
{
    run_until(s->loop, c, TO_THE_END);
    CHECK(client_starts_with(c, refusal));
    CHECK(c->is_ended && c->error == 0);
    client_forget(c);
}

#define REFUSAL_400 REFUSAL("400", "Bad Request", "11")
#define REFUSAL_413 REFUSAL("413", "Content Too Large", "17")

static void expect_silence(site *s, client *c)
{
    run_a_while(s->loop);
    client_receive(c);
    CHECK_INT(c->length, 0);
    CHECK(!c->is_ended && c->error == 0);
}

static void read_posts(smw_server *server, const smw_request *request, void *user)
{
    if (request->method == SMW_POST)
        site_read(server, request, user);
    else
        site_echo(server, request, user);
}

static void leave_open(smw_server *server, const smw_request *request, void *user)
{
    (void)server, (void)request, (void)user;
}

/* Only posts: what else comes is answered. */
static void leave_posts_open(smw_server *server, const smw_request *request, void *user)
{
    if (request->method != SMW_POST) site_echo(server, request, user);
}

static client open_with(site *s, request_fn on_request, const smw_server_options *options)
{
    site_open_with(s, on_request, options);
    s->upload = calloc(1, sizeof *s->upload);
    return client_open(s->port);
}

static client open_site(site *s, request_fn on_request)
{
    return open_with(s, on_request, NULL);
}

static void finish(site *s, client *c)
{
    client_close(c);
    site_waits_for(s, 0);
    site_close(s);
}

/* ---- whole and in pieces ---- */

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

/* ---- asked for late, and paused ---- */

static site *late_site;

static void read_now(smw_loop *loop, uint64_t timer, uint64_t user)
{
    (void)timer, (void)user;
    CHECK_INT(smw_read(loop, late_site->exchange, true), 0);
}

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

/* What came of a body too large to keep. */
static struct {
    size_t length;
    size_t wrong; /* bytes that are not those of byte_at(i, 0) */
    size_t pieces;
    size_t largest;
    size_t ends;
    bool pauses; /* after every piece */
} meter;

static void measure(smw_server *server, uint64_t exchange, smw_str piece, bool is_last,
                    void *user)
{
    (void)server;
    CHECK(piece.length > 0 || is_last);
    for (size_t i = 0; i < piece.length; i++)
        meter.wrong += piece.data[i] != byte_at(meter.length + i, 0);
    meter.length += piece.length;
    meter.pieces++;
    if (piece.length > meter.largest) meter.largest = piece.length;
    if (is_last) {
        meter.ends++;
        CHECK_INT(site_answer(user, exchange, 200, 0, "", ""), 0);
    } else if (meter.pauses) {
        CHECK_INT(smw_read(((site *)user)->loop, exchange, false), 0);
    }
}

/* Have bodies handed to `on_data` instead of sent back. */
static void hear(site *s, void (*on_data)(smw_server *, uint64_t, smw_str, bool, void *))
{
    memset(&meter, 0, sizeof meter);
    smw_server_callbacks callbacks = {.on_request = site_on_request,
                                      .on_data = on_data,
                                      .on_aborted = site_on_aborted,
                                      .user = s};
    smw_server_on(s->server, &callbacks);
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

static void read_posts_of_the_meter(smw_server *server, const smw_request *request,
                                    void *user)
{
    if (request->method == SMW_POST)
        CHECK_INT(smw_read(((site *)user)->loop, request->exchange, true), 0);
    else
        site_echo(server, request, user);
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

/* ---- not read to the end ---- */

#define CLOSING(path, length)                                                           \
    "HTTP/1.1 200 OK\r\nContent-Length: " length "\r\nConnection: close\r\n\r\n" path

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

/* ---- too large ---- */

#define POST_OF(path, length) \
    "POST " path " HTTP/1.1\r\nHost: a\r\nContent-Length: " length "\r\n\r\n"
#define GET_OF(path, length) \
    "GET " path " HTTP/1.1\r\nHost: a\r\nContent-Length: " length "\r\n\r\n"
#define POST_CHUNKED "POST /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

static void test_a_body_whose_length_is_too_large_is_refused_at_its_head(void)
{
    static const struct {
        uint64_t of_server; /* 0: 16 MiB */
        bool has_own;
        uint64_t of_token;
        const char *request;
        bool is_refused;
    } cases[] = {
        {0, false, 0, POST_OF("/up", "16777216"), false},
        {0, false, 0, POST_OF("/up", "16777217"), true},
        {0, false, 0, POST_OF("/up", "9999999999999999999999999"), true},
        {1000, false, 0, POST_OF("/up", "1000"), false},
        {1000, false, 0, POST_OF("/up", "1001"), true},
        {1000, true, 2000, POST_OF("/up", "2000"), false},
        {1000, true, 2000, POST_OF("/up", "2001"), true},
        {1000, true, 10, POST_OF("/up", "10"), false},
        {1000, true, 10, POST_OF("/up", "11"), true},
        {1000, true, 0, POST_OF("/up", "0"), false},
        {1000, true, 0, POST_OF("/up", "1"), true},
        {1000, true, UINT64_MAX, POST_OF("/up", "1000000000000000"), false},
        {1000, true, UINT64_MAX - 1, POST_OF("/up", "1000000000000000"), false},
        /* Not the token that has a limit of its own. */
        {1000, true, 2000, GET_OF("/of/x", "1001"), true},
        {1000, true, 10, GET_OF("/of/x", "1000"), false},
        /* A 100 would be a lie. */
        {1000, false, 0,
         "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
         "Content-Length: 1001\r\n\r\n",
         true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        site s;
        smw_server_options options = {.max_body = cases[i].of_server};
        client c = open_with(&s, leave_open, &options);
        if (cases[i].has_own)
            CHECK_INT(smw_server_max_body(s.server, ROUTE, cases[i].of_token), 0);
        client_say(&c, cases[i].request);
        if (cases[i].is_refused) {
            expect_refusal(&s, &c, REFUSAL_413);
            CHECK_INT(s.requests, 0);
        } else {
            run_until_equal(s.loop, &s.requests, 1);
            expect_silence(&s, &c);
        }
        CHECK_INT(s.aborted, 0);
        finish(&s, &c);
    }
}

static void test_a_refusal_of_HEAD_has_no_content(void)
{
    site s;
    client c = open_with(&s, leave_open, &(smw_server_options){.max_body = 1000});
    client_say(&c, "HEAD /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n");
    run_until(s.loop, &c, TO_THE_END);
    CHECK(client_starts_with(&c, REFUSAL_413));
    CHECK(client_ends_with(&c, "\r\n\r\n")); /* RFC 9110 9.3.2 */
    finish(&s, &c);
}

static void test_requests_before_a_body_that_is_too_large_are_answered(void)
{
    site s;
    client c = open_with(&s, site_echo, &(smw_server_options){.max_body = 1000});
    client_say(&c, GET("/a") POST_OF("/up", "1001") GET("/b"));
    run_until(s.loop, &c, TO_THE_END);
    CHECK(client_starts_with(&c, ECHO("/a", "2") REFUSAL_413));
    CHECK(client_ends_with(&c, "\r\n\r\nContent Too Large"));
    CHECK_INT(s.requests, 1);
    finish(&s, &c);
}

/* The exchange ended with `status` and not by its handler. */
static void check_aborted(site *s, int status)
{
    run_until_equal(s->loop, &s->aborted, 1);
    CHECK_INT(s->abort_status, status);
    CHECK_INT(site_answer(s, s->exchange, 200, 0, "", "late"), SMW_EGONE);
    CHECK_INT(smw_read(s->loop, s->exchange, true), SMW_EGONE);
}

static void test_a_body_in_chunks_that_grows_too_large_is_refused_while_it_is_read(void)
{
    message m = post(600, 0, 600);
    size_t chunk = m.length - m.head - 5; /* without the last one */
    for (int is_exact = 0; is_exact < 2; is_exact++) {
        site s;
        smw_server_options options = {.max_body = is_exact ? 1200 : 1199};
        client c = open_with(&s, site_read, &options);
        client_say_bytes(&c, m.data, m.head + chunk);
        run_until_equal(s.loop, &s.upload->pieces, 1);
        client_say_bytes(&c, m.data + m.head, m.length - m.head);
        if (is_exact) {
            run_until_equal(s.loop, &s.upload->ends, 1);
            CHECK_INT(s.upload->length, 1200);
            CHECK_INT(s.aborted, 0);
        } else {
            check_aborted(&s, 413);
            expect_refusal(&s, &c, REFUSAL_413);
            CHECK_INT(s.upload->ends, 0);
            CHECK(s.upload->length <= 1199);
        }
        finish(&s, &c);
    }
    message_free(&m);
}

static void test_chunks_over_the_limit_beside_their_head_never_see_a_handler(void)
{
    site s;
    client c = open_with(&s, site_read, &(smw_server_options){.max_body = 10});
    client_say(&c, POST_CHUNKED "6\r\nabcdef\r\n5\r\nghijk\r\n0\r\n\r\n");
    expect_refusal(&s, &c, REFUSAL_413);
    CHECK_INT(s.requests, 0);
    CHECK_INT(s.aborted, 0);
    finish(&s, &c);
}

static void test_the_limit_of_a_route_holds_for_chunks_too(void)
{
    site s;
    client c = open_with(&s, site_read, &(smw_server_options){.max_body = 10});
    CHECK_INT(smw_server_max_body(s.server, ROUTE, UINT64_MAX), 0);
    message m = post(100000, 0, 9999);
    say_all(&s, &c, m.data, m.length);
    expect_back(&s, &c, &m);
    message_free(&m);
    finish(&s, &c);
}

/* ---- malformed, or broken off ---- */

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

/* ---- Expect: 100-continue ---- */

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

/* ---- half-close ---- */

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
    RUN(test_bodies_come_whole_whatever_their_size_framing_and_pieces);
    RUN(test_a_message_may_be_cut_at_every_place);
    RUN(test_a_body_in_the_segment_of_its_head_is_one_piece);
    RUN(test_a_request_without_a_body_has_an_empty_one_to_read);
    RUN(test_pipelined_requests_with_and_without_bodies_are_answered_in_order);
    RUN(test_nothing_behind_a_body_is_served_before_its_answer);
    RUN(test_a_body_that_is_asked_for_late_has_lost_nothing);
    RUN(test_a_body_may_be_asked_for_between_two_runs);
    RUN(test_a_body_that_nobody_asks_for_stays_with_the_client);
    RUN(test_reading_can_be_paused_after_every_piece);
    RUN(test_no_piece_is_empty_but_the_last);
    RUN(test_reading_can_be_paused_before_the_first_piece);
    RUN(test_behind_the_end_there_is_nothing_to_read);
    RUN(test_a_body_of_64_KiB_is_skipped_to_keep_the_connection);
    RUN(test_the_answer_says_that_a_longer_body_will_not_be_skipped);
    RUN(test_an_unread_body_in_chunks_is_skipped_up_to_a_limit);
    RUN(test_a_malformed_rest_of_an_unread_body_closes_without_a_word);
    RUN(test_an_answer_in_the_middle_of_a_body_ends_its_reading);
    RUN(test_an_answer_early_in_a_long_body_closes_and_says_so);
    RUN(test_a_body_whose_length_is_too_large_is_refused_at_its_head);
    RUN(test_a_refusal_of_HEAD_has_no_content);
    RUN(test_requests_before_a_body_that_is_too_large_are_answered);
    RUN(test_a_body_in_chunks_that_grows_too_large_is_refused_while_it_is_read);
    RUN(test_chunks_over_the_limit_beside_their_head_never_see_a_handler);
    RUN(test_the_limit_of_a_route_holds_for_chunks_too);
    RUN(test_a_malformed_chunk_beside_its_head_never_sees_a_handler);
    RUN(test_a_malformed_chunk_later_ends_the_exchange);
    RUN(test_a_client_that_ends_in_the_middle_of_its_body_is_told_so);
    RUN(test_a_client_that_ends_in_the_middle_of_an_unread_body_is_let_go);
    RUN(test_a_reset_in_the_middle_of_a_body_ends_the_exchange);
    RUN(test_one_100_is_sent_when_the_body_is_asked_for);
    RUN(test_no_100_is_sent_when_the_body_has_begun_to_come);
    RUN(test_HTTP_1_0_knows_no_100);
    RUN(test_an_answer_in_place_of_a_100_closes);
    RUN(test_an_expectation_without_a_body_is_ignored);
    RUN(test_a_client_that_ends_behind_its_request_is_answered_at_once);
    RUN(test_a_client_that_ends_while_its_answer_is_prepared_has_left);
    RUN(test_an_answer_on_its_way_arrives_though_nobody_waits_for_the_next);
    RUN(test_a_server_may_be_told_that_clients_end_early);
    RUN(test_half_a_connection_waits_without_spinning);
    RUN(test_a_reset_while_an_answer_is_prepared_ends_the_exchange);
    RUN(test_a_client_that_ends_behind_its_body_is_answered);
    return test_report();
}
