/* SPDX-License-Identifier: MIT */
/* test_turn_body_broken.c - bodies in the batch that go wrong; clients that end early. */
#include "desk_body.h"

/* The exchange has ended with `status`; it is reported once, and gone. */
static void expect_aborted(desk *d, int line, uint64_t id, uint64_t status)
{
    expect_records(d, line, 1, SMW_EVENT_ABORTED);
    CHECK(desk_id(d, 0) == id);
    check_int(__FILE__, line, "status", (long long)desk_base(d, 0), (long long)status);
    CHECK_INT(read_body(d, id), SMW_EGONE);
    answer_ok(d, id); /* for nobody */
    CHECK_INT(desk_turn(d, 2, 64), 0);
}

static void expect_refusal(desk *d, client *c, const char *status_line)
{
    desk_serve(d, c, TO_THE_END, 64);
    CHECK(client_starts_with(c, status_line));
    CHECK(c->is_ended && c->error == 0);
}

#define POST "POST /1/b/x HTTP/1.1\r\nHost: a\r\n"
#define CHUNKED_POST POST "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
#define SHORT_POST POST "Content-Length: 10\r\n\r\n12345"
#define SAYS_400 "HTTP/1.1 400 Bad Request\r\n"
#define SAYS_413 "HTTP/1.1 413 Content Too Large\r\n"

static void test_what_goes_wrong_in_a_body_is_reported_with_its_status(void)
{
    enum { NOTHING, ENDS, RESETS };
    static const struct {
        const char *start;
        const char *rest;
        int then;
        bool is_read;
        uint64_t status;
        const char *answer;
    } cases[] = {
        {CHUNKED_POST, "8\r\nabcdefgh\r\n", NOTHING, true, 413, SAYS_413},
        {CHUNKED_POST, "Z\r\n", NOTHING, true, 400, SAYS_400},
        {CHUNKED_POST, "", ENDS, true, 400, SAYS_400},
        {SHORT_POST, "6", ENDS, true, 400, SAYS_400},
        {SHORT_POST, "6", RESETS, true, 0, NULL},
        {SHORT_POST, "6", ENDS, false, 0, NULL},
        {SHORT_POST, "6", RESETS, false, 0, NULL},
        {GET("/a"), "", ENDS, false, 0, NULL},
        {GET("/a"), "", RESETS, false, 0, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        desk d;
        desk_open(&d);
        CHECK_INT(smw_server_max_body(d.server, ROUTE_WITH_PARAMETERS, 10), 0);
        client c = client_open(d.port);
        client_say(&c, cases[i].start);
        desk_turn(&d, PATIENCE_MS, 64);
        CHECK_INT(desk_count(&d), 1);
        uint64_t id = desk_id(&d, 0);
        if (cases[i].is_read) CHECK((read_body(&d, id) & SMW_PIECE_LAST) == 0);
        CHECK_INT(desk_turn(&d, 2, 64), 0);
        client_say(&c, cases[i].rest);
        if (cases[i].is_read && cases[i].then != NOTHING && cases[i].rest[0] != 0)
            EXPECT_RECORDS(&d, 1, SMW_EVENT_DATA);
        if (cases[i].then == ENDS) CHECK(shutdown(c.fd, SHUT_WR) == 0);
        if (cases[i].then == RESETS) client_abort(&c);
        expect_aborted(&d, __LINE__, id, cases[i].status);
        if (cases[i].answer != NULL) expect_refusal(&d, &c, cases[i].answer);
        client_close(&c);
        desk_close(&d);
    }
}

static void test_a_client_that_ends_behind_its_body_is_answered(void)
{
    static const size_t sizes[] = {10, 150000};
    for (size_t i = 0; i < 2; i++)
        for (size_t chunk = 0; chunk <= 5000; chunk += 5000) {
            desk d;
            desk_open(&d);
            client c = client_open(d.port);
            message m = post(3, sizes[i], chunk);
            size_t sent = 0;
            bool has_ended = false;
            upload u = {.name = 3};
            int64_t deadline = clock_ms() + PATIENCE_MS;
            while (u.ends == 0 && CHECK(clock_ms() < deadline)) {
                sent += client_offer(&c, m.data + sent, m.length - sent);
                if (sent == m.length && !has_ended)
                    has_ended = CHECK(shutdown(c.fd, SHUT_WR) == 0);
                desk_turn(&d, 10, 64);
                for (size_t k = 0; k < desk_count(&d); k++) {
                    uint64_t id = desk_id(&d, k);
                    bool is_data = desk_token(&d, k) == SMW_EVENT_DATA;
                    CHECK(is_data || desk_token(&d, k) == ROUTE_WITH_PARAMETERS);
                    uint64_t piece =
                        is_data ? desk_base(&d, k) : (uint64_t)read_body(&d, id);
                    take(&d, &u, piece);
                    if (u.ends > 0) answer_ok(&d, id);
                }
            }
            CHECK_INT(u.length, sizes[i]);
            CHECK_INT(u.wrong, 0);
            CHECK_INT(desk_turn(&d, 2, 64), 0); /* nothing was aborted */
            DESK_EXPECT(&d, &c, OK);
            desk_serve(&d, &c, TO_THE_END, 64);
            CHECK(c.is_ended && c.length == 0);
            free(m.data);
            client_close(&c);
            desk_close(&d);
        }
}

static void test_a_client_that_ends_gets_the_rest_of_a_known_answer(void)
{
    enum { LENGTH = 8 * 1024 * 1024 };
    desk d;
    desk_open(&d);
    client c = client_open(d.port);
    client_say(&c, GET("/a"));
    EXPECT_RECORDS(&d, 1, ROUTE);
    uint64_t id = desk_id(&d, 0);
    char *body = malloc(LENGTH);
    for (size_t i = 0; i < LENGTH; i++) body[i] = byte_at(i, 0);
    desk_record(&d, id, 200, SMW_OUT_MORE | SMW_OUT_NO_DATE, 0, LENGTH);
    CHECK_INT(desk_turn(&d, 0, 64), 0);
    int64_t left = smw_exchange_send(d.batch, id, body, LENGTH, LENGTH);
    CHECK(left > 0);
    CHECK(shutdown(c.fd, SHUT_WR) == 0);
    for (int i = 0; i < 3; i++) CHECK_INT(desk_turn(&d, 2, 64), 0);
    int64_t deadline = clock_ms() + PATIENCE_MS;
    while (left > 0 && CHECK(clock_ms() < deadline)) {
        client_receive(&c);
        if (desk_turn(&d, 10, 64) == 0) continue;
        if (!CHECK_INT(desk_token(&d, 0), SMW_EVENT_WRITABLE)) break;
        left = smw_exchange_send(d.batch, id, body, LENGTH, LENGTH);
    }
    CHECK_INT(left, 0);
    desk_turn(&d, 0, 64);
    const char head[] = "HTTP/1.1 200 OK\r\nContent-Length: 8388608\r\n\r\n";
    desk_serve(&d, &c, TO_THE_END, 64);
    CHECK(client_starts_with(&c, head));
    if (CHECK_INT(c.length, strlen(head) + LENGTH))
        CHECK(memcmp(c.data + strlen(head), body, LENGTH) == 0);
    free(body);
    client_close(&c);
    desk_close(&d);
}

int main(void)
{
    RUN(test_what_goes_wrong_in_a_body_is_reported_with_its_status);
    RUN(test_a_client_that_ends_behind_its_body_is_answered);
    RUN(test_a_client_that_ends_gets_the_rest_of_a_known_answer);
    return test_report();
}
