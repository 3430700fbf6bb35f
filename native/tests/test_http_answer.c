/* SPDX-License-Identifier: MIT */
#include "http_answer.h"

#include "http_status.h"

#include "test.h"

static const char date[] = "Sun, 06 Nov 1994 08:49:37 GMT"; /* RFC 9110 5.6.7 */
#define DATE "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"

/* ---- framing ---- */

#define NO_END {0}
#define LENGTH(n) {.length = (n), .has_length = true, .has_content = (n) > 0}
#define LENGTH_ALONE(n) {.length = (n), .has_length = true}
#define CHUNKED {.is_chunked = true, .has_content = true}
#define RAW {.has_content = true, .must_close = true}
#define TUNNEL {.must_close = true}
#define GET {0}
#define HEAD {.is_head = true}
#define CONNECT {.is_connect = true}
#define OLD {.is_old = true}
#define OLD_HEAD {.is_head = true, .is_old = true}
#define OLD_CONNECT {.is_connect = true, .is_old = true}

static void test_the_end_of_an_answer_is_told_as_the_request_and_status_demand(void)
{
    static const struct {
        const char *sentence;
        http_asked asked;
        int status;
        unsigned flags;
        uint64_t length;
        http_framing wanted;
    } cases[] = {
        {"a body has its length", GET, 200, 0, 5, LENGTH(5)},
        {"an empty one too", GET, 200, 0, 0, LENGTH(0)},
        {"a length may be huge", GET, 200, 0, UINT64_MAX, LENGTH(UINT64_MAX)},
        {"what comes later has its length", GET, 200, SMW_OUT_MORE, 70000, LENGTH(70000)},
        {"any status", GET, 299, 0, 5, LENGTH(5)},
        {"an error", GET, 500, 0, 5, LENGTH(5)},
        {"the last status", GET, 999, 0, 5, LENGTH(5)},
        {"HTTP/1.0", OLD, 200, 0, 5, LENGTH(5)},
        {"a stream is chunked", GET, 200, SMW_OUT_STREAM, 0, CHUNKED},
        {"one that has begun", GET, 200, SMW_OUT_STREAM, 5, CHUNKED},
        {"one that is complete", GET, 200, SMW_OUT_STREAM | SMW_OUT_LAST, 5, CHUNKED},
        {"one that fails", GET, 500, SMW_OUT_STREAM, 0, CHUNKED},
        {"HTTP/1.0 knows no chunks", OLD, 200, SMW_OUT_STREAM, 0, RAW},
        {"nor in what is complete", OLD, 200, SMW_OUT_STREAM | SMW_OUT_LAST, 5, RAW},
        {"HEAD: the length alone", HEAD, 200, 0, 5, LENGTH_ALONE(5)},
        {"HEAD: and later", HEAD, 200, SMW_OUT_MORE, 70000, LENGTH_ALONE(70000)},
        {"HEAD: of nothing", HEAD, 200, 0, 0, LENGTH_ALONE(0)},
        {"HEAD: a stream has none", HEAD, 200, SMW_OUT_STREAM, 5, NO_END},
        {"HEAD: nor a reason to close", OLD_HEAD, 200, SMW_OUT_STREAM, 5, NO_END},
        {"HEAD: HTTP/1.0", OLD_HEAD, 200, 0, 5, LENGTH_ALONE(5)},
        {"204 has no content", GET, 204, 0, 5, NO_END},
        {"204 says no length", GET, 204, 0, 0, NO_END},
        {"204 is no stream", GET, 204, SMW_OUT_STREAM, 5, NO_END},
        {"204 to HTTP/1.0", OLD, 204, SMW_OUT_STREAM, 5, NO_END},
        {"204 to HEAD", HEAD, 204, 0, 5, NO_END},
        {"304 has no content", GET, 304, 0, 5, NO_END},
        {"304 is no stream", GET, 304, SMW_OUT_STREAM, 5, NO_END},
        {"304 to HTTP/1.0", OLD, 304, SMW_OUT_STREAM, 5, NO_END},
        {"304 to HEAD", HEAD, 304, 0, 5, NO_END},
        {"205 says that it is empty", GET, 205, 0, 5, LENGTH(0)},
        {"205 is no stream", GET, 205, SMW_OUT_STREAM, 5, LENGTH(0)},
        {"205 to HTTP/1.0", OLD, 205, SMW_OUT_STREAM, 5, LENGTH(0)},
        {"205 to HEAD", HEAD, 205, 0, 5, LENGTH(0)},
        {"200 to CONNECT", CONNECT, 200, 0, 5, TUNNEL},
        {"204 to CONNECT", CONNECT, 204, 0, 0, TUNNEL},
        {"205 to CONNECT", CONNECT, 205, 0, 0, TUNNEL},
        {"299 to CONNECT", CONNECT, 299, SMW_OUT_STREAM, 5, TUNNEL},
        {"200 to HTTP/1.0's CONNECT", OLD_CONNECT, 200, 0, 5, TUNNEL},
        {"300 to CONNECT", CONNECT, 300, 0, 5, LENGTH(5)},
        {"304 to CONNECT", CONNECT, 304, 0, 5, NO_END},
        {"501 to CONNECT", CONNECT, 501, 0, 5, LENGTH(5)},
        {"a stream refuses CONNECT", CONNECT, 501, SMW_OUT_STREAM, 5, CHUNKED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        smw_answer answer = {.status = cases[i].status,
                             .flags = cases[i].flags,
                             .body_length = cases[i].length};
        http_framing found = http_answer_framing(&answer, cases[i].asked);
        const http_framing *wanted = &cases[i].wanted;
        const char *says = cases[i].sentence;
        test_say(found.length == wanted->length, says, 0, "length",
                 (long long)found.length, (long long)wanted->length);
        check_int(says, 0, "has_length", found.has_length, wanted->has_length);
        check_int(says, 0, "is_chunked", found.is_chunked, wanted->is_chunked);
        check_int(says, 0, "has_content", found.has_content, wanted->has_content);
        check_int(says, 0, "must_close", found.must_close, wanted->must_close);
    }
}

/* ---- heads ---- */

/* The head, written into a block of exactly the room that the header asks for. */
static void check_head(int line, const smw_answer *answer, const http_framing *framing,
                       const char *persistence, const char *wanted)
{
    char *room = malloc(answer->head.length + HTTP_ANSWER_HEAD_ROOM);
    const char *end = http_answer_head(room, answer, framing, date, persistence);
    test_say_bytes(__FILE__, line, "head", room, (size_t)(end - room), wanted,
                   strlen(wanted));
    free(room);
}

#define CHECK_HEAD(status_, flags_, head_, framing_, persistence, wanted)               \
    check_head(__LINE__,                                                                \
               &(smw_answer){                                                           \
                   .status = (status_), .flags = (flags_), .head = STR(head_)},         \
               &(http_framing)framing_, (persistence), (wanted))

static void test_heads_are_right_to_the_byte(void)
{
    CHECK_HEAD(200, 0, "", LENGTH(0), NULL,
               "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" DATE "\r\n");
    CHECK_HEAD(200, 0, "A: b\r\nC: d\r\n", LENGTH(10), NULL,
               "HTTP/1.1 200 OK\r\nA: b\r\nC: d\r\nContent-Length: 10\r\n" DATE "\r\n");
    CHECK_HEAD(404, SMW_OUT_TEXT, "", LENGTH(9), "close",
               "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain; charset=utf-8\r\n"
               "Content-Length: 9\r\n" DATE "Connection: close\r\n\r\n");
    CHECK_HEAD(200, SMW_OUT_TEXT, "A: b\r\n", LENGTH(9), "keep-alive",
               "HTTP/1.1 200 OK\r\nA: b\r\nContent-Type: text/plain; charset=utf-8\r\n"
               "Content-Length: 9\r\n" DATE "Connection: keep-alive\r\n\r\n");
    CHECK_HEAD(200, SMW_OUT_STREAM, "", CHUNKED, NULL,
               "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" DATE "\r\n");
    CHECK_HEAD(200, SMW_OUT_STREAM, "", RAW, "close",
               "HTTP/1.1 200 OK\r\n" DATE "Connection: close\r\n\r\n");
    CHECK_HEAD(204, 0, "", NO_END, NULL, "HTTP/1.1 204 No Content\r\n" DATE "\r\n");
    CHECK_HEAD(304, SMW_OUT_NO_DATE, "ETag: \"x\"\r\n", NO_END, NULL,
               "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n");
    CHECK_HEAD(200, SMW_OUT_NO_DATE, "Date: mine\r\n", LENGTH(1), NULL,
               "HTTP/1.1 200 OK\r\nDate: mine\r\nContent-Length: 1\r\n\r\n");
    CHECK_HEAD(200, SMW_OUT_NO_DATE, "", LENGTH_ALONE(UINT64_MAX), NULL,
               "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\n");
}

static void test_a_reason_of_ones_own_stands_where_the_usual_one_would(void)
{
    CHECK_HEAD(299, SMW_OUT_REASON | SMW_OUT_NO_DATE, "Fine By Me\r\nA: b\r\n", LENGTH(0),
               NULL, "HTTP/1.1 299 Fine By Me\r\nA: b\r\nContent-Length: 0\r\n\r\n");
    CHECK_HEAD(200, SMW_OUT_REASON | SMW_OUT_NO_DATE, "\r\n", LENGTH(0), NULL,
               "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n");
    /* RFC 9112 4: the space stays when there is no phrase. */
    CHECK_HEAD(299, SMW_OUT_NO_DATE, "", LENGTH(0), NULL,
               "HTTP/1.1 299 \r\nContent-Length: 0\r\n\r\n");
}

static void test_every_status_fits_into_the_room_for_a_head(void)
{
    for (int status = 200; status <= 999; status++) {
        smw_answer answer = {.status = status, .flags = SMW_OUT_TEXT};
        http_framing framing = {
            .length = UINT64_MAX, .has_length = true, .is_chunked = true};
        char wanted[512];
        smw_str reason = http_reason(status);
        snprintf(wanted, sizeof wanted,
                 "HTTP/1.1 %d %.*s\r\nContent-Type: text/plain; charset=utf-8\r\n"
                 "Content-Length: 18446744073709551615\r\n"
                 "Transfer-Encoding: chunked\r\n" DATE "Connection: keep-alive\r\n\r\n",
                 status, (int)reason.length, reason.data);
        check_head(__LINE__, &answer, &framing, "keep-alive", wanted);
    }
}

/* ---- chunks ---- */

static void check_chunk(size_t length, bool is_last)
{
    char *data = malloc(length + 1), *wanted = malloc(length + 64);
    for (size_t i = 0; i < length; i++) data[i] = (char)(i * 31 + i / 251);
    size_t size = 0;
    if (length > 0) {
        size = (size_t)sprintf(wanted, "%zx\r\n", length);
        memcpy(wanted + size, data, length);
        size += length;
        size += (size_t)sprintf(wanted + size, "\r\n");
    }
    if (is_last) size += (size_t)sprintf(wanted + size, "0\r\n\r\n");
    char *room = malloc(length + HTTP_ANSWER_CHUNK_ROOM);
    char *end = http_answer_chunk(room, (smw_str){data, length}, is_last);
    if (CHECK_INT(end - room, size)) CHECK(memcmp(room, wanted, size) == 0);
    free(room);
    free(wanted);
    free(data);
}

static void test_data_becomes_one_chunk_of_its_size(void)
{
    static const size_t sizes[] = {1,   9,   10,   15,   16,    17,    255,    256,
                                   257, 4095, 4096, 65535, 65536, 65537, 1048576};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        check_chunk(sizes[i], false);
        check_chunk(sizes[i], true);
    }
}

static void test_an_empty_piece_is_no_chunk_because_that_would_be_the_last(void)
{
    check_chunk(0, false);
    check_chunk(0, true);
    char room[HTTP_ANSWER_CHUNK_ROOM];
    CHECK(http_answer_chunk(room, (smw_str){NULL, 0}, false) == room);
    CHECK(http_answer_chunk(room, (smw_str){NULL, 0}, true) == room + 5);
    CHECK(memcmp(room, "0\r\n\r\n", 5) == 0);
}

int main(void)
{
    RUN(test_the_end_of_an_answer_is_told_as_the_request_and_status_demand);
    RUN(test_heads_are_right_to_the_byte);
    RUN(test_a_reason_of_ones_own_stands_where_the_usual_one_would);
    RUN(test_every_status_fits_into_the_room_for_a_head);
    RUN(test_data_becomes_one_chunk_of_its_size);
    RUN(test_an_empty_piece_is_no_chunk_because_that_would_be_the_last);
    return test_report();
}
