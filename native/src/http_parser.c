/* SPDX-License-Identifier: MIT */
#include "http_parser.h"

#include "http_fields.h"
#include "http_scan.h"
#include "http_token.h"

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_alpha(char c)
{
    return lower(c) >= 'a' && lower(c) <= 'z';
}

static bool is_hex(char c)
{
    return is_digit(c) || (lower(c) >= 'a' && lower(c) <= 'f');
}

/* ---- the authority ---- */

/* unreserved / pct-encoded / sub-delims of RFC 3986 3.2.2 */
static bool is_reg_name(const char *p, const char *end)
{
    for (; p < end; p++) {
        if (*p == '%') {
            if (end - p < 3 || !is_hex(p[1]) || !is_hex(p[2])) return false;
            p += 2;
        } else if (!is_alpha(*p) && !is_digit(*p) &&
                   (*p == 0 || strchr("-._~!$&'()*+,;=", *p) == NULL)) {
            return false;
        }
    }
    return true;
}

/* Between the brackets: an IPv6 or a future address, by its characters. */
static bool is_ip_literal(const char *p, const char *end)
{
    if (p == end) return false;
    bool is_future = lower(*p) == 'v';
    for (; p < end; p++)
        if (!is_hex(*p) && *p != ':' && *p != '.' && !(is_future && is_reg_name(p, p + 1)))
            return false;
    return true;
}

/* uri-host [ ":" port ] of RFC 9110 7.2; user information has no place here. */
static bool is_authority(smw_str text)
{
    const char *p = text.data, *end = p + text.length;
    const char *host_end;
    if (p < end && *p == '[') {
        host_end = memchr(p, ']', text.length);
        if (host_end == NULL || !is_ip_literal(p + 1, host_end)) return false;
        host_end++;
    } else {
        host_end = text.length ? memchr(p, ':', text.length) : NULL;
        if (host_end == NULL) host_end = end;
        if (!is_reg_name(p, host_end)) return false;
    }
    if (host_end == end) return true;
    if (*host_end != ':') return false;
    for (p = host_end + 1; p < end; p++)
        if (!is_digit(*p)) return false;
    return true;
}

/* ---- the request line ---- */

static void split_target(http_head *head, const char *p, const char *end)
{
    const char *mark = p < end ? memchr(p, '?', (size_t)(end - p)) : NULL;
    head->path = str_range(p, mark != NULL ? mark : end);
    head->query = mark != NULL ? str_range(mark + 1, end) : (smw_str){NULL, 0};
}

static size_t scheme_length(smw_str target)
{
    if (target.length >= 7 && str_equal_nocase((smw_str){target.data, 7}, STR("http://")))
        return 7;
    if (target.length >= 8 && str_equal_nocase((smw_str){target.data, 8}, STR("https://")))
        return 8;
    return 0;
}

static int parse_absolute_form(http_head *head)
{
    size_t scheme = scheme_length(head->target);
    if (scheme == 0) return -400;
    const char *start = head->target.data + scheme;
    const char *end = head->target.data + head->target.length;
    const char *p = start;
    while (p < end && *p != '/' && *p != '?') p++;
    /* RFC 9110 4.2.1: an empty host must be rejected. */
    if (p == start || *start == ':' || !is_authority(str_range(start, p))) return -400;
    split_target(head, p, end);
    return 0;
}

/* RFC 9110 9.3.6: a host and a port, of which neither may be left out. A bracket at
 * the end means that all colons are those of an IPv6 address. */
static bool is_connect_target(smw_str target)
{
    const char *colon = memchr(target.data, ':', target.length);
    char last = target.data[target.length - 1];
    return colon != NULL && colon > target.data && last != ':' && last != ']' &&
           is_authority(target);
}

/* The four forms of RFC 9112 3.2. */
static int parse_target(http_head *head)
{
    const char *p = head->target.data, *end = p + head->target.length;
    if (http_scan_target(p, end) != end) return -400;
    head->path = head->target;
    head->query = (smw_str){NULL, 0};
    if (head->method == SMW_CONNECT) return is_connect_target(head->target) ? 0 : -400;
    if (*p == '/') {
        split_target(head, p, end);
        return 0;
    }
    if (head->method == SMW_OPTIONS && str_equal(head->target, STR("*"))) return 0;
    return parse_absolute_form(head);
}

/* "HTTP/" DIGIT "." DIGIT */
static int parse_version(http_head *head, const char *p, const char *end)
{
    if (end - p != 8 || memcmp(p, "HTTP/", 5) != 0) return -400;
    if (!is_digit(p[5]) || p[6] != '.' || !is_digit(p[7])) return -400;
    if (p[5] != '1') return -505;
    head->minor = p[7] - '0';
    return 0;
}

static int parse_request_line(http_head *head, const char *p, const char *end)
{
    const char *start = p;
    while (p < end && is_token_char(*p)) p++;
    if (p == start || p == end || *p != ' ') return -400;
    head->method_name = str_range(start, p);
    head->method = http_method(head->method_name);
    start = ++p;
    p = memchr(p, ' ', (size_t)(end - p));
    if (p == NULL || p == start) return -400;
    head->target = str_range(start, p);
    int result = parse_version(head, p + 1, end);
    return result != 0 ? result : parse_target(head);
}

/* ---- fields that the core looks at ---- */

/* What counts while the fields go by. */
typedef struct framing {
    int hosts;
    int encodings;
    bool says_close;
    bool says_keep_alive;
} framing;

static int parse_content_length(http_head *head, smw_str value)
{
    /* RFC 9112 6.3: a repeated or malformed length is a smuggling attempt. */
    if (head->has_length || value.length == 0) return -400;
    uint64_t length = 0;
    bool is_huge = false;
    for (size_t i = 0; i < value.length; i++) {
        if (!is_digit(value.data[i])) return -400;
        is_huge = is_huge || length > (UINT64_MAX >> 8) / 10;
        if (!is_huge) length = length * 10 + (uint64_t)(value.data[i] - '0');
    }
    if (is_huge) return -413;
    head->has_length = true;
    head->content_length = length;
    return 0;
}

static smw_str trim(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t')) p++;
    while (p < end && (end[-1] == ' ' || end[-1] == '\t')) end--;
    return str_range(p, end);
}

/* The next element of a list, which may be empty (RFC 9110 5.6.1). False at the end. */
static bool next_element(smw_str *list, smw_str *element)
{
    if (list->length == 0) return false;
    const char *p = list->data, *end = p + list->length;
    const char *comma = memchr(p, ',', list->length);
    *element = trim(p, comma != NULL ? comma : end);
    *list = str_range(comma != NULL ? comma + 1 : end, end);
    return true;
}

static int parse_transfer_encoding(http_head *head, framing *seen, smw_str list)
{
    if (seen->encodings++ > 0) return -400;
    bool has_others = false;
    smw_str coding;
    while (next_element(&list, &coding)) {
        if (coding.length == 0) continue;
        /* RFC 9112 6.1: chunked is the last coding, and once. */
        if (head->is_chunked) return -400;
        head->is_chunked = str_equal_nocase(coding, STR("chunked"));
        if (!head->is_chunked) has_others = true;
    }
    /* 6.3: without it the end of the message cannot be told. */
    if (!head->is_chunked) return -400;
    return has_others ? -501 : 0;
}

/* RFC 9110 7.6.1: a list of options, in any case. */
static void parse_connection(framing *seen, smw_str list)
{
    smw_str option;
    while (next_element(&list, &option)) {
        if (str_equal_nocase(option, STR("close"))) seen->says_close = true;
        if (str_equal_nocase(option, STR("keep-alive"))) seen->says_keep_alive = true;
    }
}

static int note_field(http_head *head, framing *seen, const smw_field *field)
{
    switch (field->known) {
    case FIELD_HOST:
        seen->hosts++;
        return is_authority(field->value) ? 0 : -400;
    case FIELD_CONTENT_LENGTH: return parse_content_length(head, field->value);
    case FIELD_TRANSFER_ENCODING:
        return parse_transfer_encoding(head, seen, field->value);
    case FIELD_CONNECTION: parse_connection(seen, field->value); return 0;
    case FIELD_EXPECT:
        if (!str_equal_nocase(field->value, STR("100-continue"))) return -417;
        head->expects_continue = true;
        return 0;
    default: return 0;
    }
}

/* field-name ":" OWS field-value OWS, without the CRLF (RFC 9112 5). */
static int parse_field_line(char *p, const char *end, smw_field *field)
{
    char *start = p;
    unsigned char c;
    p = http_scan_name(p, end);
    while (p < end && (c = http_token_lower[(unsigned char)*p]) != 0) *p++ = (char)c;
    /* RFC 9112 5.1: no white space before the colon; 5.2: no folding. */
    if (p == start || p == end || *p != ':') return -400;
    field->name = str_range(start, p);
    bool has_high = false;
    if (http_scan_value(p + 1, end, &has_high) != end) return -400;
    field->is_ascii = !has_high;
    field->value = trim(p + 1, end);
    field->known = http_field_number(field->name);
    return 0;
}

/* The rules that only the whole head can break. */
static int finish(http_head *head, const framing *seen)
{
    /* RFC 9112 3.2: exactly one Host, except that HTTP/1.0 may have none. */
    if (seen->hosts > 1 || (seen->hosts == 0 && head->minor > 0)) return -400;
    /* RFC 9112 6.1: both lengths, or chunked in HTTP/1.0, is a smuggling attempt. */
    if (head->is_chunked && (head->has_length || head->minor == 0)) return -400;
    head->is_keep_alive =
        !seen->says_close && (head->minor > 0 || seen->says_keep_alive);
    if (head->minor == 0) head->expects_continue = false; /* RFC 9110 10.1.1 */
    return 0;
}

/* ---- lines ---- */

/* RFC 9112 2.2: empty lines before a request line are skipped. */
static char *skip_empty_lines(char *p, const char *end)
{
    while (end - p >= 2 && p[0] == '\r' && p[1] == '\n') p += 2;
    return p;
}

/* The LF that ends a line; NULL while it is missing or past the limit, with the
 * verdict so far in `*result`. */
static char *find_line_end(char *p, const char *end, size_t max, int over, int *result)
{
    size_t length = (size_t)(end - p);
    char *lf = length > 0 ? memchr(p, '\n', length < max ? length : max) : NULL;
    if (lf != NULL && (lf == p || lf[-1] != '\r')) *result = -400; /* bare LF */
    if (lf == NULL && length >= max) *result = over;
    return *result == 0 ? lf : NULL;
}

static ssize_t parse_lines(char *input, char *start, const char *end,
                           const http_limits *limits, http_head *head)
{
    int result = 0;
    framing seen = {0};
    const char *head_limit = input + limits->max_head;
    size_t max_line = (size_t)limits->max_line + 2; /* with its CRLF */
    size_t room = head_limit > start ? (size_t)(head_limit - start) : 0;
    char *lf = room < max_line ? find_line_end(start, end, room, -431, &result)
                               : find_line_end(start, end, max_line, -414, &result);
    if (lf == NULL) return result;
    result = parse_request_line(head, start, lf - 1);
    if (result != 0) return result;
    head->field_lines = lf + 1;
    for (;;) {
        char *line = lf + 1;
        room = head_limit > line ? (size_t)(head_limit - line) : 0;
        lf = find_line_end(line, end, room, -431, &result);
        if (lf == NULL) return result;
        if (lf - line == 1) break;
        if (head->field_count == limits->max_fields) return -431;
        smw_field *field = &head->fields[head->field_count++];
        result = parse_field_line(line, lf - 1, field);
        if (result == 0) result = note_field(head, &seen, field);
        if (result != 0) return result;
    }
    head->text = str_range(start, lf + 1);
    result = finish(head, &seen);
    return result != 0 ? result : lf + 1 - input;
}

ssize_t http_parse_head(char *input, size_t length, size_t *scanned,
                        const http_limits *limits, http_head *head)
{
    const char *end = input + length;
    size_t from = *scanned;
    *scanned = length;
    char *start = skip_empty_lines(input, end);
    /* Without a new line there is nothing new to judge, but that it is too long. */
    if (from > 0 && from < length && memchr(input + from, '\n', length - from) == NULL &&
        length < limits->max_line && length < limits->max_head)
        return 0;
    memset(head, 0, offsetof(http_head, fields));
    return parse_lines(input, start, end, limits, head);
}
