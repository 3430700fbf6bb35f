/* SPDX-License-Identifier: MIT */
/* What a parsed head holds, and the tables it is looked up in. */
#include "http_fields.h"
#include "http_run.h"
#include "http_status.h"

/* The head borrows from the input, so both stay together. */
typedef struct parsed {
    char text[2048];
    size_t length;
    ssize_t result;
    http_head head;
} parsed;

static const http_head *parse(parsed *p, const char *text)
{
    size_t scanned = 0;
    p->length = strlen(text);
    memcpy(p->text, text, p->length);
    p->result = http_parse_head(p->text, p->length, &scanned, &run_limits, &p->head);
    CHECK_INT(p->result, (long long)p->length);
    return &p->head;
}

static void test_the_line_is_taken_apart(void)
{
    parsed p;
    const http_head *head = parse(&p, "PATCH /a/b?c=d?e HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK_STR(head->method_name, "PATCH");
    CHECK_INT(head->method, SMW_PATCH);
    CHECK_STR(head->target, "/a/b?c=d?e");
    CHECK_STR(head->path, "/a/b");
    CHECK_STR(head->query, "c=d?e");
    CHECK_INT(head->minor, 1);
    CHECK(head->text.data == p.text && head->text.length == p.length);
    CHECK(head->field_lines == p.text + 27);
}

static void test_an_empty_query_is_not_an_absent_one(void)
{
    parsed p;
    const http_head *head = parse(&p, "GET /a? HTTP/1.0\r\n\r\n");
    CHECK(head->query.data != NULL);
    CHECK_INT(head->query.length, 0);
    head = parse(&p, "GET /a HTTP/1.0\r\n\r\n");
    CHECK(head->query.data == NULL);
    CHECK_INT(head->query.length, 0);
}

static void test_every_form_of_a_target_gives_its_path(void)
{
    static const struct {
        const char *text, *path, *query;
    } rows[] = {
        {"GET http://a:1/b?c HTTP/1.0\r\n\r\n", "/b", "c"},
        {"GET HTTPS://[::1]/b HTTP/1.0\r\n\r\n", "/b", NULL},
        {"GET http://a HTTP/1.0\r\n\r\n", "", NULL}, /* RFC 9112 3.2.1: means "/" */
        {"GET http://a?b/c HTTP/1.0\r\n\r\n", "", "b/c"},
        {"OPTIONS * HTTP/1.0\r\n\r\n", "*", NULL},
        {"OPTIONS /*?* HTTP/1.0\r\n\r\n", "/*", "*"},
        {"CONNECT a:80 HTTP/1.0\r\n\r\n", "a:80", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        parsed p;
        const http_head *head = parse(&p, rows[i].text);
        CHECK_STR(head->path, rows[i].path);
        CHECK((head->query.data != NULL) == (rows[i].query != NULL));
        CHECK_STR(head->query, rows[i].query != NULL ? rows[i].query : "");
    }
}

static void test_empty_lines_in_front_are_not_part_of_the_text(void)
{
    parsed p;
    const http_head *head = parse(&p, "\r\n\r\nGET / HTTP/1.0\r\nA: b\r\n\r\n");
    CHECK(head->text.data == p.text + 4);
    CHECK_INT(head->text.length, (long long)p.length - 4);
    CHECK_STR(head->method_name, "GET");
}

static void test_fields_come_trimmed_numbered_and_in_lower_case(void)
{
    parsed p;
    const http_head *head = parse(&p, "GET / HTTP/1.1\r\nHOST:\t Example.COM \t\r\n"
                                      "X-Some_Name: A  B\r\nEMPTY:   \r\nCookie:Q=1\r\n"
                                      "ACCEPT: \xc3\xa9\r\n\r\n");
    CHECK_INT(head->field_count, 5);
    CHECK_STR(head->fields[0].name, "host");
    CHECK_STR(head->fields[0].value, "Example.COM");
    CHECK_INT(head->fields[0].known, FIELD_HOST);
    CHECK_STR(head->fields[1].name, "x-some_name");
    CHECK_STR(head->fields[1].value, "A  B");
    CHECK_INT(head->fields[1].known, -1);
    CHECK_STR(head->fields[2].name, "empty");
    CHECK_INT(head->fields[2].value.length, 0);
    CHECK(strcmp(smw_header_name(head->fields[3].known), "cookie") == 0);
    CHECK_STR(head->fields[3].value, "Q=1");
    CHECK_STR(head->fields[4].value, "\xc3\xa9");
    CHECK(head->fields[0].is_ascii && !head->fields[4].is_ascii);
}

static void test_nothing_but_names_is_changed_in_place(void)
{
    static const char text[] =
        "GET /UP?Q HTTP/1.1\r\nHost: UP\r\nX-UP: UP:UP\r\n\r\nX-UP: 1";
    static const char after[] =
        "GET /UP?Q HTTP/1.1\r\nhost: UP\r\nx-up: UP:UP\r\n\r\nX-UP: 1";
    char *copy = run_copy(text, sizeof text - 1);
    http_head head;
    size_t scanned = 0;
    CHECK_INT(http_parse_head(copy, sizeof text - 1, &scanned, &run_limits, &head), 45);
    CHECK(memcmp(copy, after, sizeof text - 1) == 0);
    free(copy);
}

/* RFC 9112 9.3: 1.1 stays open unless told, 1.0 closes unless told; 9110 7.6.1: the
 * options are a list without case. A later minor version counts as 1 (9110 2.5). */
static void test_who_keeps_the_connection(void)
{
    static const struct {
        char minor;
        const char *options;
        bool is_keep_alive;
    } rows[] = {
        {'1', "te", true},
        {'1', "close", false},
        {'1', "CLOSE", false},
        {'1', "te , close\t,x", false},
        {'1', ",,close", false},
        {'1', "closed", true},
        {'1', "close-not", true},
        {'1', "clos e", true},
        {'1', "keep-alive, close", false},
        {'1', "te\r\nConnection: close", false},
        {'1', "keep-alive", true},
        {'7', "te", true},
        {'7', "close", false},
        {'0', "te", false},
        {'0', "keep-alive", true},
        {'0', "Keep-Alive", true},
        {'0', "te,keep-alive", true},
        {'0', "keep-alive\r\nConnection: te", true},
        {'0', "keep-alives", false},
        {'0', "close, keep-alive", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        parsed p;
        char text[128];
        snprintf(text, sizeof text, "GET / HTTP/1.%c\r\nHost: a\r\nConnection: %s\r\n\r\n",
                 rows[i].minor, rows[i].options);
        test_say(parse(&p, text)->is_keep_alive == rows[i].is_keep_alive, rows[i].options,
                 rows[i].minor, "is_keep_alive", p.head.is_keep_alive,
                 rows[i].is_keep_alive);
        CHECK_INT(p.head.minor, rows[i].minor - '0');
    }
}

static void test_lengths_are_read_to_the_digit(void)
{
    static const struct {
        const char *digits;
        uint64_t length;
    } rows[] = {
        {"0", 0},
        {"010", 10}, /* never octal */
        {"5", 5},
        {"65536", 65536},
        {"4294967296", 4294967296},
        {"72057594037927", 72057594037927},
        {"00000000000000000000000000000000000000000000000000000000000000001", 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        parsed p;
        char text[256];
        snprintf(text, sizeof text,
                 "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:%s\r\n\r\n", rows[i].digits);
        const http_head *head = parse(&p, text);
        CHECK(head->has_length && !head->is_chunked);
        CHECK(head->content_length == rows[i].length);
    }
}

static void test_framing_starts_from_nothing_each_time(void)
{
    parsed p;
    const http_head *head = parse(&p, "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
                                      "Transfer-Encoding: chunked\r\n\r\n");
    CHECK(head->is_chunked && !head->has_length && head->expects_continue);
    head = parse(&p, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK(!head->is_chunked && !head->has_length && !head->expects_continue);
    CHECK_INT(head->content_length, 0);
    CHECK_INT(head->field_count, 1);
}

/* RFC 9110 10.1.1: a 100-continue expectation in HTTP/1.0 must be ignored. */
static void test_expectations_of_old_clients_are_ignored(void)
{
    parsed p;
    CHECK(!parse(&p, "PUT / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n")->expects_continue);
}

static void test_methods_are_found_by_their_exact_name(void)
{
    static const struct {
        const char *name;
        int number;
    } methods[SMW_METHODS] = {
        {"GET", SMW_GET},         {"POST", SMW_POST},       {"PUT", SMW_PUT},
        {"DELETE", SMW_DELETE},   {"PATCH", SMW_PATCH},     {"HEAD", SMW_HEAD},
        {"OPTIONS", SMW_OPTIONS}, {"CONNECT", SMW_CONNECT}, {"TRACE", SMW_TRACE},
    };
    for (int i = 0; i < SMW_METHODS; i++)
        CHECK_INT(http_method((smw_str){methods[i].name, strlen(methods[i].name)}),
                  methods[i].number);
    CHECK_INT(http_method(STR("get")), SMW_OTHER);
    CHECK_INT(http_method(STR("GE")), SMW_OTHER);
    CHECK_INT(http_method(STR("GETS")), SMW_OTHER);
    CHECK_INT(http_method(STR("BREW")), SMW_OTHER);
}

static void test_every_numbered_field_is_found_and_its_neighbours_are_not(void)
{
    for (int i = 0; i < SMW_KNOWN_FIELDS; i++) {
        const char *name = smw_header_name(i);
        size_t length = strlen(name);
        char near[64];
        memcpy(near, name, length + 1);
        CHECK_INT(http_field_number((smw_str){near, length}), i);
        near[length] = 's';
        CHECK_INT(http_field_number((smw_str){near, length + 1}), -1);
        CHECK_INT(http_field_number((smw_str){near, length - 1}), -1);
        for (size_t at = 0; at < length; at++) {
            char kept = near[at];
            near[at] = '_';
            CHECK_INT(http_field_number((smw_str){near, length}), -1);
            near[at] = kept;
        }
    }
    CHECK(smw_header_name(-1) == NULL);
    CHECK(smw_header_name(SMW_KNOWN_FIELDS) == NULL);
    CHECK_INT(http_field_number((smw_str){"x", 0}), -1);
}

static void test_no_unknown_name_of_any_length_has_a_number(void)
{
    char name[100];
    memset(name, 'q', sizeof name);
    for (size_t length = 1; length <= sizeof name; length++)
        CHECK_INT(http_field_number((smw_str){name, length}), -1);
}

static void test_the_numbers_the_core_uses_are_those_of_the_table(void)
{
    CHECK(strcmp(smw_header_name(FIELD_HOST), "host") == 0);
    CHECK(strcmp(smw_header_name(FIELD_EXPECT), "expect") == 0);
    CHECK(strcmp(smw_header_name(FIELD_CONNECTION), "connection") == 0);
    CHECK(strcmp(smw_header_name(FIELD_CONTENT_LENGTH), "content-length") == 0);
    CHECK(strcmp(smw_header_name(FIELD_TRANSFER_ENCODING), "transfer-encoding") == 0);
}

/* ---- the scan for control characters, 16 bytes at a time or one by one ---- */

enum { LONGEST_VALUE = 70 };

/* Parse a value of `length` bytes that begins `shift` bytes off alignment, with
 * `byte` at `at`. The end of the input is the end of its block. */
static ssize_t scan(size_t shift, size_t length, size_t at, char byte, bool *is_ascii)
{
    static const char before[] = "GET / HTTP/1.0\r\nx:"; /* 18 bytes: (18 + 14) % 16 is 0 */
    size_t skip = 14 + shift, head = skip + sizeof before - 1, size = head + length + 4;
    char *block = malloc(size);
    http_head parsed_head;
    size_t scanned = 0;
    if (block == NULL) abort();
    memcpy(block + skip, before, sizeof before - 1);
    memset(block + head, '~', length);
    if (at < length) block[head + at] = byte;
    memcpy(block + head + length, "\r\n\r\n", 4);
    ssize_t result =
        http_parse_head(block + skip, size - skip, &scanned, &run_limits, &parsed_head);
    if (result > 0 && result != (ssize_t)(size - skip)) result = 0;
    *is_ascii = result > 0 && parsed_head.fields[0].is_ascii;
    free(block);
    return result;
}

/* RFC 9110 5.5: all of 0x00-0x1f but HTAB, and DEL. */
static void test_a_control_character_is_found_at_every_place(void)
{
    static const char bad[] = {'\0', '\x1f', '\x7f', '\x01', '\r'};
    bool is_ascii;
    for (size_t shift = 0; shift < 16; shift++)
        for (size_t length = 0; length <= LONGEST_VALUE; length++) {
            if (!CHECK(scan(shift, length, length, 0, &is_ascii) > 0 && is_ascii)) return;
            for (size_t at = 0; at < length; at++) {
                char byte = bad[(at + length + shift) % sizeof bad];
                if (!CHECK_INT(scan(shift, length, at, byte, &is_ascii), -400)) return;
            }
        }
}

static void test_a_byte_past_ascii_is_seen_at_every_place(void)
{
    bool is_ascii;
    for (size_t shift = 0; shift < 16; shift += 5)
        for (size_t length = 1; length <= LONGEST_VALUE; length++)
            for (size_t at = 0; at < length; at++) {
                char byte = at % 2 ? '\x80' : '\xff';
                bool is_taken = scan(shift, length, at, byte, &is_ascii) > 0;
                if (!CHECK(is_taken && !is_ascii)) return;
            }
}

static void test_each_byte_of_a_value_is_judged_alike_in_both_scans(void)
{
    for (int byte = 0; byte < 256; byte++) {
        bool is_bad = (byte < 0x20 && byte != '\t') || byte == 0x7f, is_ascii;
        /* At 5 of 40 it is in a block of 16, at 35 in the rest behind the blocks. */
        CHECK((scan(0, 40, 5, (char)byte, &is_ascii) == -400) == is_bad);
        CHECK((scan(0, 40, 35, (char)byte, &is_ascii) == -400) == is_bad);
    }
}

/* ---- reason phrases ---- */

static void test_every_status_of_the_registry_has_its_reason(void)
{
    static const int all[] = {
        200, 201, 202, 203, 204, 205, 206, 207, 208, 226, 300, 301, 302, 303, 304,
        305, 307, 308, 400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411,
        412, 413, 414, 415, 416, 417, 421, 422, 423, 424, 425, 426, 428, 429, 431,
        451, 500, 501, 502, 503, 504, 505, 506, 507, 508, 511,
    };
    size_t next = 0;
    for (int status = 0; status < 1000; status++) {
        bool is_known = next < sizeof all / sizeof *all && all[next] == status;
        if (is_known) next++;
        test_say((http_reason(status).length > 0) == is_known, "reason of", status,
                 "is known", http_reason(status).length > 0, is_known);
    }
    /* What the core itself answers with. */
    CHECK_STR(http_reason(400), "Bad Request");
    CHECK_STR(http_reason(413), "Content Too Large");
    CHECK_STR(http_reason(414), "URI Too Long");
    CHECK_STR(http_reason(417), "Expectation Failed");
    CHECK_STR(http_reason(431), "Request Header Fields Too Large");
    CHECK_STR(http_reason(501), "Not Implemented");
    CHECK_STR(http_reason(503), "Service Unavailable");
    CHECK_STR(http_reason(505), "HTTP Version Not Supported");
}

/* RFC 9110 6.4.1 and 15.4.5. */
static void test_some_answers_have_no_content(void)
{
    CHECK(http_status_has_body(200) && http_status_has_body(404));
    CHECK(!http_status_has_body(204) && !http_status_has_body(304));
    CHECK(!http_status_has_body(100) && !http_status_has_body(199));
}

int main(void)
{
    RUN(test_the_line_is_taken_apart);
    RUN(test_an_empty_query_is_not_an_absent_one);
    RUN(test_every_form_of_a_target_gives_its_path);
    RUN(test_empty_lines_in_front_are_not_part_of_the_text);
    RUN(test_fields_come_trimmed_numbered_and_in_lower_case);
    RUN(test_nothing_but_names_is_changed_in_place);
    RUN(test_who_keeps_the_connection);
    RUN(test_lengths_are_read_to_the_digit);
    RUN(test_framing_starts_from_nothing_each_time);
    RUN(test_expectations_of_old_clients_are_ignored);
    RUN(test_methods_are_found_by_their_exact_name);
    RUN(test_every_numbered_field_is_found_and_its_neighbours_are_not);
    RUN(test_no_unknown_name_of_any_length_has_a_number);
    RUN(test_the_numbers_the_core_uses_are_those_of_the_table);
    RUN(test_a_control_character_is_found_at_every_place);
    RUN(test_a_byte_past_ascii_is_seen_at_every_place);
    RUN(test_each_byte_of_a_value_is_judged_alike_in_both_scans);
    RUN(test_every_status_of_the_registry_has_its_reason);
    RUN(test_some_answers_have_no_content);
    return test_report();
}
