/* SPDX-License-Identifier: MIT */
/* http_fields.c - the names that have a number: methods and common header fields.
 *
 * A numbered field is found by its number, without comparing names again. */
#include "http_fields.h"

#define NAME(text) {text, sizeof(text) - 1}

static const smw_str method_names[SMW_METHODS] = {
    [SMW_GET] = NAME("GET"),         [SMW_POST] = NAME("POST"),
    [SMW_PUT] = NAME("PUT"),         [SMW_DELETE] = NAME("DELETE"),
    [SMW_PATCH] = NAME("PATCH"),     [SMW_HEAD] = NAME("HEAD"),
    [SMW_OPTIONS] = NAME("OPTIONS"), [SMW_CONNECT] = NAME("CONNECT"),
    [SMW_TRACE] = NAME("TRACE"),
};

int http_method(smw_str name)
{
    for (int i = 0; i < SMW_METHODS; i++)
        if (str_equal(name, method_names[i])) return i;
    return SMW_OTHER;
}

/* What browsers, common clients and proxies send, and what the core looks at itself:
 * in order of length, so that a look-up compares with the few of its own length. */
static const smw_str field_names[SMW_KNOWN_FIELDS] = {
    NAME("host"),
    NAME("range"),
    NAME("accept"),
    NAME("cookie"),
    NAME("expect"),
    NAME("origin"),
    NAME("referer"),
    NAME("upgrade"),
    NAME("if-match"),
    NAME("forwarded"),
    NAME("connection"),
    NAME("user-agent"),
    NAME("traceparent"),
    NAME("content-type"),
    NAME("x-csrf-token"),
    NAME("x-request-id"),
    NAME("authorization"),
    NAME("cache-control"),
    NAME("if-none-match"),
    NAME("content-length"),
    NAME("sec-fetch-dest"),
    NAME("sec-fetch-mode"),
    NAME("sec-fetch-site"),
    NAME("accept-encoding"),
    NAME("accept-language"),
    NAME("x-forwarded-for"),
    NAME("content-encoding"),
    NAME("x-forwarded-host"),
    NAME("x-requested-with"),
    NAME("if-modified-since"),
    NAME("sec-websocket-key"),
    NAME("transfer-encoding"),
    NAME("x-forwarded-proto"),
    NAME("sec-websocket-version"),
    NAME("sec-websocket-protocol"),
    NAME("sec-websocket-extensions"),
};

/* Where the names of each length begin, from 0 to 25. test_http_parser checks it. */
enum { LONGEST = 24 };
static const unsigned char first_of_length[LONGEST + 2] = {
    0, 0, 0, 0, 0, 1, 2, 6, 8, 9, 10, 12, 13, 16, 19, 23, 26, 29, 33, 33, 33, 33, 34,
    35, 35, 36,
};

const char *smw_header_name(int number)
{
    if (number < 0 || number >= SMW_KNOWN_FIELDS) return NULL;
    return field_names[number].data;
}

int http_field_number(smw_str name)
{
    if (name.length > LONGEST) return -1;
    int end = first_of_length[name.length + 1];
    for (int i = first_of_length[name.length]; i < end; i++)
        if (memcmp(name.data, field_names[i].data, name.length) == 0) return i;
    return -1;
}
