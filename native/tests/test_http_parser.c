/* SPDX-License-Identifier: MIT */
/* What the parser takes and refuses; test_http_head.c checks what it found. */
#include "http_run.h"

/* As a result: all bytes of the input are used. */
enum { ALL = 1000000 };

typedef struct row {
    const char *sentence;
    const char *source; /* RFC and section */
    ssize_t wanted;     /* bytes used, 0 for more, or a negative status */
    smw_str input;
} row;

#define ROW(sentence, source, wanted, text) \
    {sentence, source, wanted, {(text), sizeof(text) - 1}}

#define LINE "GET / HTTP/1.1\r\n"
#define HOST "Host: a\r\n"
#define FIELD(text) LINE HOST text "\r\n\r\n"
#define TARGET(text) "GET " text " HTTP/1.1\r\n" HOST "\r\n"
#define VERSION(text) "GET / " text "\r\n" HOST "\r\n"
#define CONNECT(text) "CONNECT " text " HTTP/1.1\r\n" HOST "\r\n"
#define HOST_IS(text) LINE "Host:" text "\r\n\r\n"
#define POST(fields) "POST / HTTP/1.1\r\n" HOST fields "\r\n\r\n"

static const row lines[] = {
    ROW("a request line and a Host", "9112 3", ALL, LINE HOST "\r\n"),
    ROW("bytes behind the head are not touched", "9112 9.3.2", 27, LINE HOST "\r\nGET"),
    ROW("a method nobody knows", "9110 9.1", ALL, "BREW / HTTP/1.1\r\n" HOST "\r\n"),
    ROW("methods have case, and any case", "9110 9.1", ALL, "gEt / HTTP/1.0\r\n\r\n"),
    ROW("all marks of a token in a method", "9110 5.6.2", ALL,
        "!#$%&'*+-.^_`|~09 / HTTP/1.1\r\n" HOST "\r\n"),
    ROW("no method", "9112 3.1", -400, " / HTTP/1.1\r\n" HOST "\r\n"),
    ROW("a delimiter in the method", "9110 5.6.2", -400, "G(T) / HTTP/1.1\r\n\r\n"),
    ROW("a NUL in the method", "9110 5.6.2", -400, "GE\0T / HTTP/1.1\r\n\r\n"),
    ROW("obs-text in the method", "9110 5.6.2", -400, "G\xc3\x89T / HTTP/1.1\r\n\r\n"),
    ROW("a method and nothing else", "9112 3", -400, "GET\r\n\r\n"),
    ROW("two spaces before the target", "9112 3", -400, TARGET(" /")),
    ROW("two spaces before the version", "9112 3", -400, TARGET("/ ")),
    ROW("a tab in place of a space", "9112 3", -400, "GET\t/ HTTP/1.1\r\n" HOST "\r\n"),
    ROW("a form feed in place of a space", "9112 3", -400, "GET /\fHTTP/1.1\r\n\r\n"),
    ROW("a bare CR in place of a space", "9112 2.2", -400, "GET /\rHTTP/1.1\r\n\r\n"),
    ROW("a space behind the version", "9112 3", -400, VERSION("HTTP/1.1 ")),
    ROW("a fourth word", "9112 3", -400, VERSION("extra HTTP/1.1")),
    ROW("no target", "9112 3", -400, "GET HTTP/1.1\r\n" HOST "\r\n"),
    ROW("no version, as in HTTP/0.9", "9112 3", -400, "GET /\r\n" HOST "\r\n"),
    ROW("another protocol's greeting", "9112 3", -400, "SSH-2.0-OpenSSH_9.2\r\n"),
    ROW("a TLS greeting", "9112 3", -400, "\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\n"),
    ROW("a response", "9112 3", -400, "HTTP/1.1 204 No Content\r\n\r\n"),

    ROW("HTTP/1.0 needs nothing but a line", "9112 3.2", ALL, "GET / HTTP/1.0\r\n\r\n"),
    ROW("a later minor version", "9110 2.5", ALL, VERSION("HTTP/1.9")),
    ROW("a later major version", "9110 15.6.6", -505, VERSION("HTTP/2.0")),
    ROW("the preface of HTTP/2", "9113 3.4", -505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ROW("an earlier major version", "9110 15.6.6", -505, VERSION("HTTP/0.9")),
    ROW("the version has case", "9112 2.3", -400, VERSION("http/1.1")),
    ROW("two digits of minor version", "9112 2.3", -400, VERSION("HTTP/1.10")),
    ROW("no dot in the version", "9112 2.3", -400, VERSION("HTTP/1-1")),
    ROW("no minor version", "9112 2.3", -400, VERSION("HTTP/1.")),
    ROW("a letter in the version", "9112 2.3", -400, VERSION("HTTP/x.1")),
    ROW("another protocol's name", "9112 2.3", -400, VERSION("RTSP/1.0")),

    ROW("an empty line in front", "9112 2.2", ALL, "\r\n" LINE HOST "\r\n"),
    ROW("three empty lines in front", "9112 2.2", ALL, "\r\n\r\n\r\n" LINE HOST "\r\n"),
    ROW("a bare LF in front", "9112 2.2", -400, "\n" LINE HOST "\r\n"),
    ROW("a bare CR in front", "9112 2.2", -400, "\r" LINE HOST "\r\n"),
    ROW("a space on the line in front", "9112 2.2", -400, " \r\n" LINE HOST "\r\n"),

    ROW("nothing but an empty line is no request yet", "9112 2.2", 0, "\r\n"),
    ROW("half of an empty line", "9112 2.2", 0, "\r\n\r"),
    ROW("part of a method", "9112 2", 0, "PO"),
    ROW("a line that has not ended", "9112 2", 0, "GET / HTTP/1.1"),
    ROW("an incomplete line is not judged", "9112 2", 0, "GET ( HTTP/7.7"),
    ROW("a CR that waits for its LF", "9112 2", 0, "GET / HTTP/1.1\r"),
    ROW("a request line alone", "9112 2", 0, LINE),
    ROW("part of a field name", "9112 2", 0, LINE "Hos"),
    ROW("a field that has not ended", "9112 2", 0, LINE HOST "X: 1"),
    ROW("fields without their empty line", "9112 2", 0, LINE HOST),
    ROW("half of the last line", "9112 2", 0, LINE HOST "\r"),
};

static const row targets[] = {
    ROW("a query", "9112 3.2.1", ALL, TARGET("/a/b?c=d&e")),
    ROW("an empty query", "3986 3.4", ALL, TARGET("/?")),
    ROW("two question marks", "3986 3.4", ALL, TARGET("/?a?b")),
    ROW("two slashes", "3986 3.3", ALL, TARGET("//a//")),
    ROW("dots are left to the application", "3986 5.2.4", ALL, TARGET("/../a")),
    ROW("percent signs are left to the application", "3986 2.1", ALL, TARGET("/%zz%")),
    ROW("a fragment", "9112 3.2", -400, TARGET("/a#b")),
    ROW("a NUL in the target", "9112 3.2", -400, TARGET("/a\0b")),
    ROW("a tab in the target", "9112 3.2", -400, TARGET("/a\tb")),
    ROW("DEL in the target", "9112 3.2", -400, TARGET("/a\177b")),
    ROW("obs-text in the target", "3986 2", -400, TARGET("/caf\xc3\xa9")),
    ROW("a relative path", "9112 3.2", -400, TARGET("index.html")),
    ROW("a query without a path", "9112 3.2", -400, TARGET("?a=b")),

    ROW("the absolute form", "9112 3.2.2", ALL, TARGET("http://example.com/a?b")),
    ROW("schemes have no case", "3986 3.1", ALL, TARGET("hTTpS://example.com/")),
    ROW("the absolute form without a path", "9112 3.2.1", ALL, TARGET("http://a")),
    ROW("a query right behind the host", "3986 3", ALL, TARGET("http://a?b")),
    ROW("a port in the absolute form", "3986 3.2.3", ALL, TARGET("http://a:81/")),
    ROW("an address in brackets", "3986 3.2.2", ALL, TARGET("http://[2001:db8::1]:81/")),
    ROW("the absolute form with no host", "9110 4.2.1", -400, TARGET("http:///a")),
    ROW("the absolute form with only a port", "9110 4.2.1", -400, TARGET("http://:81/")),
    ROW("user information", "9110 4.2.4", -400, TARGET("http://me:you@a/")),
    ROW("a port of letters", "3986 3.2.3", -400, TARGET("http://a:http/")),
    ROW("a bracket that stays open", "3986 3.2.2", -400, TARGET("http://[::1/")),
    ROW("one slash behind the scheme", "9110 4.2.1", -400, TARGET("http:/a")),
    ROW("a scheme that is not ours", "9112 3.2.2", -400, TARGET("ftp://a/")),
    ROW("a scheme alone", "9112 3.2.2", -400, TARGET("http://")),
    ROW("the absolute form still needs a Host", "9112 3.2", -400,
        "GET http://a/ HTTP/1.1\r\n\r\n"),

    ROW("the asterisk form", "9112 3.2.4", ALL, "OPTIONS * HTTP/1.1\r\n" HOST "\r\n"),
    ROW("two asterisks", "9112 3.2.4", -400, "OPTIONS ** HTTP/1.1\r\n" HOST "\r\n"),
    ROW("an asterisk without OPTIONS", "9112 3.2.4", -400, TARGET("*")),

    ROW("the authority form", "9112 3.2.3", ALL, CONNECT("a.example:443")),
    ROW("the authority form of an address", "9112 3.2.3", ALL, CONNECT("[::1]:443")),
    ROW("CONNECT without a port", "9110 9.3.6", -400, CONNECT("a.example")),
    ROW("CONNECT to an address without a port", "9110 9.3.6", -400, CONNECT("[::1]")),
    ROW("CONNECT with an empty port", "9110 9.3.6", -400, CONNECT("a.example:")),
    ROW("CONNECT without a host", "9110 9.3.6", -400, CONNECT(":443")),
    ROW("CONNECT to a path", "9112 3.2.3", -400, CONNECT("/a:1")),
    ROW("the authority form without CONNECT", "9112 3.2.3", -400, TARGET("a:443")),
};

static const row fields[] = {
    ROW("a field with no value", "9110 5.5", ALL, FIELD("X:")),
    ROW("no space behind the colon", "9112 5", ALL, FIELD("X:1")),
    ROW("tabs around the value", "9112 5", ALL, FIELD("X:\t 1 \t")),
    ROW("a tab within the value", "9110 5.5", ALL, FIELD("X: a\tb")),
    ROW("a colon in the value", "9110 5.5", ALL, FIELD("X: :a:")),
    ROW("obs-text in the value", "9110 5.5", ALL, FIELD("X: \x80\xff")),
    ROW("the same field twice", "9110 5.3", ALL, FIELD("X: a\r\nX: b")),
    ROW("all marks of a token in a name", "9110 5.6.2", ALL, FIELD("!#$%&'*+-.^_`|~9: 1")),
    ROW("no colon", "9112 5", -400, FIELD("Broken")),
    ROW("no name", "9110 5.1", -400, FIELD(": 1")),
    ROW("a space before the colon", "9112 5.1", -400, FIELD("X : 1")),
    ROW("a tab before the colon", "9112 5.1", -400, FIELD("X\t: 1")),
    ROW("a space within the name", "9110 5.1", -400, FIELD("X Y: 1")),
    ROW("a delimiter in the name", "9110 5.6.2", -400, FIELD("X[0]: 1")),
    ROW("a NUL in the name", "9110 5.1", -400, FIELD("X\0: 1")),
    ROW("obs-text in the name", "9110 5.1", -400, FIELD("\xe9: 1")),
    ROW("a folded value", "9112 5.2", -400, FIELD("X: a\r\n b")),
    ROW("a value folded by a tab", "9112 5.2", -400, FIELD("X: a\r\n\tb")),
    ROW("a space before the first field", "9112 2.2", -400, LINE " " HOST "\r\n"),
    ROW("a line of one space", "9112 5.2", -400, FIELD("X: a\r\n ")),
    ROW("a NUL in the value", "9110 5.5", -400, FIELD("X: a\0b")),
    ROW("a bell in the value", "9110 5.5", -400, FIELD("X: a\ab")),
    ROW("DEL in the value", "9110 5.5", -400, FIELD("X: a\177")),
    ROW("a bare CR in the value", "9112 2.2", -400, FIELD("X: a\rY: b")),
    ROW("a CR too many", "9112 2.2", -400, FIELD("X: a\r")),
    ROW("a bare LF behind the request line", "9112 2.2", -400, "GET / HTTP/1.1\n" HOST),
    ROW("a bare LF behind a field", "9112 2.2", -400, LINE HOST "X: a\nY: b\r\n\r\n"),
    ROW("a bare LF as the last line", "9112 2.2", -400, LINE HOST "\n"),
    ROW("a bare CR as the last line", "9112 2.2", -400, LINE HOST "\r" LINE),

    ROW("no Host", "9112 3.2", -400, LINE "\r\n"),
    ROW("two Hosts, though equal", "9112 3.2", -400, FIELD("Host: a")),
    ROW("two Hosts in HTTP/1.0", "9112 3.2", -400, "GET / HTTP/1.0\r\n" HOST HOST "\r\n"),
    ROW("an empty Host", "9110 7.2", ALL, HOST_IS("")),
    ROW("a Host with a port", "9110 7.2", ALL, HOST_IS(" a.example:8080")),
    ROW("a Host with an empty port", "3986 3.2.3", ALL, HOST_IS(" a:")),
    ROW("an address as Host", "3986 3.2.2", ALL, HOST_IS(" [fe80::1]:80")),
    ROW("an address of the future", "3986 3.2.2", ALL, HOST_IS(" [v7.a~b:c]")),
    ROW("marks in the Host", "3986 3.2.2", ALL, HOST_IS(" a_b-c.d~(e)")),
    ROW("an escape in the Host", "3986 3.2.2", ALL, HOST_IS(" a%2Eb")),
    ROW("half an escape in the Host", "3986 3.2.2", -400, HOST_IS(" a%2")),
    ROW("a wrong escape in the Host", "3986 3.2.2", -400, HOST_IS(" a%2g")),
    ROW("a list of Hosts", "9112 3.2", -400, HOST_IS(" a, b")),
    ROW("a slash in the Host", "9110 7.2", -400, HOST_IS(" a/b")),
    ROW("a user in the Host", "9110 7.2", -400, HOST_IS(" me@a")),
    ROW("two ports in the Host", "9110 7.2", -400, HOST_IS(" a:1:2")),
    ROW("obs-text in the Host", "3986 3.2.2", -400, HOST_IS(" \xe4")),
    ROW("empty brackets", "3986 3.2.2", -400, HOST_IS(" []")),
    ROW("an open bracket", "3986 3.2.2", -400, HOST_IS(" [::1")),
    ROW("text behind the bracket", "3986 3.2.2", -400, HOST_IS(" [::1]a")),
    ROW("letters in the address", "3986 3.2.2", -400, HOST_IS(" [::g]")),
};

static const row framing[] = {
    ROW("a length", "9110 8.6", ALL, POST("Content-Length: 5")),
    ROW("a length with leading zeros", "9110 8.6", ALL, POST("Content-Length: 000005")),
    ROW("an empty length", "9112 6.3", -400, POST("Content-Length:")),
    ROW("a signed length", "9112 6.3", -400, POST("Content-Length: +5")),
    ROW("a negative length", "9112 6.3", -400, POST("Content-Length: -5")),
    ROW("a hexadecimal length", "9112 6.3", -400, POST("Content-Length: 0x5")),
    ROW("a fraction as length", "9112 6.3", -400, POST("Content-Length: 5.0")),
    ROW("two numbers in a length", "9112 6.3", -400, POST("Content-Length: 5 5")),
    ROW("a list of equal lengths", "9112 6.3", -400, POST("Content-Length: 5, 5")),
    ROW("two lengths", "9112 6.3", -400, POST("Content-Length: 5\r\nContent-Length: 6")),
    ROW("two equal lengths", "9112 6.3", -400,
        POST("Content-Length: 5\r\nContent-Length: 5")),
    ROW("a length past all memory", "9110 15.5.14", -413,
        POST("Content-Length: 99999999999999999999999999")),
    ROW("2 to the power of 64", "9110 8.6", -413,
        POST("Content-Length: 18446744073709551616")),
    ROW("a malformed length, however large", "9112 6.3", -400,
        POST("Content-Length: 99999999999999999999999999x")),

    ROW("chunked", "9112 6.1", ALL, POST("Transfer-Encoding: chunked")),
    ROW("codings have no case", "9112 7", ALL, POST("Transfer-Encoding: cHuNKeD")),
    ROW("a coding under chunked", "9112 6.1", -501,
        POST("Transfer-Encoding: gzip, chunked")),
    ROW("a list without spaces", "9112 6.1", -501, POST("Transfer-Encoding: gzip,chunked")),
    ROW("empty elements count for nothing", "9110 5.6.1", ALL,
        POST("Transfer-Encoding: , chunked ,,")),
    ROW("chunked twice", "9112 6.1", -400, POST("Transfer-Encoding: chunked, chunked")),
    ROW("a coding without chunked", "9112 6.3", -400, POST("Transfer-Encoding: gzip")),
    ROW("chunked is not last", "9112 6.3", -400, POST("Transfer-Encoding: chunked, gzip")),
    ROW("identity is gone", "9112 7.2", -400, POST("Transfer-Encoding: identity")),
    ROW("no coding", "9112 6.3", -400, POST("Transfer-Encoding:")),
    ROW("a name that ends in chunked", "9112 6.3", -400,
        POST("Transfer-Encoding: xchunked")),
    ROW("chunked in quotes", "9112 6.3", -400, POST("Transfer-Encoding: \"chunked\"")),
    ROW("chunked with a parameter", "9112 6.3", -400,
        POST("Transfer-Encoding: chunked;q=1")),
    ROW("two lines of codings", "9112 6.3", -400,
        POST("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked")),
    ROW("a length before chunked", "9112 6.1", -400,
        POST("Content-Length: 5\r\nTransfer-Encoding: chunked")),
    ROW("a length behind chunked", "9112 6.1", -400,
        POST("Transfer-Encoding: chunked\r\nContent-Length: 0")),
    ROW("chunked in HTTP/1.0", "9112 6.1", -400,
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),

    ROW("an expectation", "9110 10.1.1", ALL, POST("Expect: 100-continue")),
    ROW("expectations have no case", "9110 10.1.1", ALL, POST("Expect: 100-CONTINUE")),
    ROW("an unknown expectation", "9110 10.1.1", -417, POST("Expect: applause")),
    ROW("any options of a connection", "9110 7.6.1", ALL, FIELD("Connection: ,TE ,, x-y")),
    ROW("a mistake behind the head is not this one's", "9112 9.3.2", 27,
        LINE HOST "\r\n\n\n\n"),
};

static void run_rows(const row *rows, size_t count)
{
    char sentence[128];
    for (size_t i = 0; i < count; i++) {
        const row *it = &rows[i];
        ssize_t wanted = it->wanted == ALL ? (ssize_t)it->input.length : it->wanted;
        snprintf(sentence, sizeof sentence, "%s (RFC %s)", it->sentence, it->source);
        run_everywhere(sentence, it->input, &run_limits, wanted);
    }
}

#define RUN_ROWS(rows) run_rows((rows), sizeof(rows) / sizeof *(rows))

static void test_request_lines(void)
{
    RUN_ROWS(lines);
}

static void test_the_four_forms_of_a_target(void)
{
    RUN_ROWS(targets);
}

static void test_field_lines_and_hosts(void)
{
    RUN_ROWS(fields);
}

static void test_fields_that_decide_where_a_message_ends(void)
{
    RUN_ROWS(framing);
}

/* Small limits, so that every split of an input at the limit stays cheap. */
static const http_limits small = {.max_head = 160, .max_line = 60, .max_fields = 5};

/* `before`, `fill` times "a", `after`. */
static smw_str filled(const char *before, size_t fill, const char *after)
{
    static char text[1024];
    char *end = text + strlen(before);
    memcpy(text, before, strlen(before));
    memset(end, 'a', fill);
    memcpy(end + fill, after, strlen(after));
    return (smw_str){text, strlen(before) + fill + strlen(after)};
}

static void test_a_request_line_may_be_as_long_as_its_limit(void)
{
    /* "GET /" and " HTTP/1.1" are 14 of the 60 bytes (RFC 9112 3). */
    smw_str input = filled("GET /", 46, " HTTP/1.1\r\n" HOST "\r\n");
    run_everywhere("a line of 60", input, &small, (ssize_t)input.length);
    input = filled("GET /", 47, " HTTP/1.1\r\n" HOST "\r\n");
    run_everywhere("a line of 61", input, &small, -414);
    run_everywhere("61 bytes without an end", filled("GET /", 56, ""), &small, 0);
    run_everywhere("62 bytes without an end", filled("GET /", 57, ""), &small, -414);
}

static void test_a_head_may_be_as_long_as_its_limit(void)
{
    /* 16 + 9 + 3 + fill + 4 of 160 bytes (RFC 6585 5). */
    smw_str input = filled(LINE HOST "X: ", 128, "\r\n\r\n");
    CHECK_INT(input.length, 160);
    run_everywhere("a head of 160", input, &small, 160);
    input = filled(LINE HOST "X: ", 129, "\r\n\r\n");
    run_everywhere("a head of 161", input, &small, -431);
    run_everywhere("159 bytes of field", filled(LINE HOST "X: ", 131, ""), &small, 0);
    run_everywhere("160 bytes of field", filled(LINE HOST "X: ", 132, ""), &small, -431);
    /* A mistake in a line that lies before the limit comes first. */
    run_everywhere("a bare LF before the limit",
                   filled(LINE HOST "X: ", 100, "\nY: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
                   &small, -400);
}

/* RFC 9112 2.2 skips empty lines; without a bound a peer could send them for ever. */
static void test_empty_lines_in_front_count_against_the_head(void)
{
    char text[256];
    for (size_t i = 0; i < sizeof text; i += 2) memcpy(text + i, "\r\n", 2);
    run_everywhere("158 bytes of empty lines", (smw_str){text, 158}, &small, 0);
    run_everywhere("160 bytes of empty lines", (smw_str){text, 160}, &small, -431);
    run_everywhere("256 bytes of empty lines", (smw_str){text, 256}, &small, -431);
    memcpy(text + 132, LINE HOST "\r\n", 27);
    run_everywhere("empty lines and a head of 159", (smw_str){text, 159}, &small, 159);
    memcpy(text + 134, LINE HOST "\r\n", 27);
    run_everywhere("empty lines and a head of 161", (smw_str){text, 161}, &small, -431);
}

static void test_the_head_limit_holds_below_the_line_limit(void)
{
    http_limits odd = {.max_head = 40, .max_line = 60, .max_fields = 5};
    run_everywhere("39 bytes", filled("GET /", 34, ""), &odd, 0);
    run_everywhere("40 bytes", filled("GET /", 35, ""), &odd, -431);
    run_everywhere("a line of 50", filled("GET /", 36, " HTTP/1.0\r\n\r\n"), &odd, -431);
}

static void test_a_head_may_have_as_many_fields_as_its_limit(void)
{
    run_everywhere("5 of 5 fields", STR(LINE HOST "1:\r\n2:\r\n3:\r\n4:\r\n\r\n"), &small,
                   43);
    run_everywhere("6 of 5 fields", STR(LINE HOST "1:\r\n2:\r\n3:\r\n4:\r\n5:\r\n\r\n"),
                   &small, -431);
    char text[1024] = LINE HOST;
    size_t length = strlen(text);
    for (int i = 1; i < HTTP_MAX_FIELDS; i++, length += 4)
        memcpy(text + length, "x:\r\n", 4);
    memcpy(text + length, "\r\n", 2);
    run_everywhere("100 fields", (smw_str){text, length + 2}, &run_limits,
                   (ssize_t)length + 2);
    memcpy(text + length, "x:\r\n\r\n", 6);
    run_everywhere("101 fields", (smw_str){text, length + 6}, &run_limits, -431);
}

int main(void)
{
    RUN(test_request_lines);
    RUN(test_the_four_forms_of_a_target);
    RUN(test_field_lines_and_hosts);
    RUN(test_fields_that_decide_where_a_message_ends);
    RUN(test_a_request_line_may_be_as_long_as_its_limit);
    RUN(test_a_head_may_be_as_long_as_its_limit);
    RUN(test_empty_lines_in_front_count_against_the_head);
    RUN(test_the_head_limit_holds_below_the_line_limit);
    RUN(test_a_head_may_have_as_many_fields_as_its_limit);
    return test_report();
}
