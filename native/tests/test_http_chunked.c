/* SPDX-License-Identifier: MIT */
/* What the chunked coding's decoder takes and refuses, in whatever pieces. */
#include "naive_chunked.h"

#include "test.h"

/* As a result: the body is complete and all bytes are used, or is not complete. */
enum { ALL = 1000000, MORE = 0 };

typedef struct row {
    const char *sentence;
    const char *source; /* RFC and section */
    ssize_t wanted;     /* bytes used, MORE, or a negative status */
    smw_str input;
    smw_str body; /* also what came before the fault */
} row;

#define ROW(sentence, source, wanted, text, body)                \
    {sentence, source, wanted, {(text), sizeof(text) - 1},       \
     {(body), sizeof(body) - 1}}

#define END "0\r\n\r\n"
#define SIZE(text) text "\r\nx\r\n" END
#define EXT(text) "1" text "\r\nx\r\n" END
#define TRAILER(text) "1\r\nx\r\n0\r\n" text "\r\n\r\n"

static const row bodies[] = {
    ROW("an empty body", "9112 7.1", ALL, END, ""),
    ROW("one chunk", "9112 7.1", ALL, "5\r\nhello\r\n" END, "hello"),
    ROW("two chunks", "9112 7.1", ALL, "5\r\nhello\r\n7\r\n, world\r\n" END,
        "hello, world"),
    ROW("many small chunks", "9112 7.1", ALL,
        "1\r\na\r\n1\r\nb\r\n2\r\ncd\r\n1\r\ne\r\n3\r\nfgh\r\n" END, "abcdefgh"),
    ROW("a size in hexadecimal", "9112 7.1", ALL,
        "1a\r\nabcdefghijklmnopqrstuvwxyz\r\n" END, "abcdefghijklmnopqrstuvwxyz"),
    ROW("a size in upper case", "9112 7.1", ALL,
        "1A\r\nabcdefghijklmnopqrstuvwxyz\r\n" END, "abcdefghijklmnopqrstuvwxyz"),
    ROW("data that look like framing", "9112 7.1", ALL, "a\r\n\r\n0\r\n\r\n5\r\n\r\n" END,
        "\r\n0\r\n\r\n5\r\n"),
    ROW("any bytes as data", "9112 7.1", ALL, "6\r\n\0\xff\r\n\n\r\r\n" END,
        "\0\xff\r\n\n\r"),
    ROW("a last chunk of several zeros", "9112 7.1", ALL, "1\r\nx\r\n0000\r\n\r\n", "x"),
    ROW("the next request is left alone", "9112 9.3.2", 11, "1\r\nx\r\n" END "GET / HT",
        "x"),
    ROW("another chunked body behind this one", "9112 9.3.2", 11,
        "1\r\nx\r\n" END "1\r\ny\r\n" END, "x"),
    ROW("a CRLF too many is not this body's", "9112 2.2", 5, END "\r\n", ""),
    ROW("a mistake behind the body is not this one's", "9112 9.3.2", 11,
        "1\r\nx\r\n" END "\n\0\r", "x"),
};

static const row incomplete[] = {
    ROW("a digit", "9112 7.1", MORE, "1", ""),
    ROW("a zero that may be the first of several digits", "9112 7.1", MORE, "0", ""),
    ROW("a size that waits for its LF", "9112 7.1", MORE, "5\r", ""),
    ROW("a size without data", "9112 7.1", MORE, "5\r\n", ""),
    ROW("half of a chunk", "9112 7.1", MORE, "5\r\nhel", "hel"),
    ROW("a little of the largest chunk", "9112 7.1", MORE,
        "7fffffffffffffff\r\nhello\r\n" END, "hello\r\n" END),
    ROW("data without CRLF", "9112 7.1", MORE, "5\r\nhello", "hello"),
    ROW("data and a CR", "9112 7.1", MORE, "5\r\nhello\r", "hello"),
    ROW("a chunk without another behind it", "9112 7.1", MORE, "5\r\nhello\r\n", "hello"),
    ROW("an extension that has not ended", "9112 7.1.1", MORE, "5;a=b", ""),
    ROW("white space that may come before an equals sign", "9112 7.1.1", MORE, "5;a ",
        ""),
    ROW("a quote that has not ended", "9110 5.6.4", MORE, "5;a=\"b\\", ""),
    ROW("the last chunk's line", "9112 7.1", MORE, "1\r\nx\r\n0\r\n", "x"),
    ROW("half of the last line", "9112 7.1", MORE, "1\r\nx\r\n0\r\n\r", "x"),
    ROW("a trailer that has not ended", "9112 7.1.2", MORE, "0\r\nX: 1", ""),
    ROW("a trailer without the empty line", "9112 7.1.2", MORE, "0\r\nX: 1\r\n", ""),
};

static const row sizes[] = {
    ROW("leading zeros", "9112 7.1", ALL, SIZE("0001"), "x"),
    ROW("a size of 32 digits", "9112 7.1", ALL, SIZE("00000000000000000000000000000001"),
        "x"),
    ROW("a size of 33 digits", "9112 7.1", -400,
        SIZE("000000000000000000000000000000001"),
        ""),
    ROW("a last chunk of 32 zeros", "9112 7.1", ALL,
        "00000000000000000000000000000000\r\n\r\n", ""),
    ROW("a last chunk of 33 zeros", "9112 7.1", -400,
        "000000000000000000000000000000000\r\n\r\n", ""),
    ROW("each size has digits of its own", "9112 7.1", ALL,
        "00000000000000000000000000000001\r\nx\r\n"
        "00000000000000000000000000000001\r\ny\r\n" END, "xy"),
    ROW("2 to the power of 63, less 1", "9112 7.1", MORE, "7fffFFFFffffffff\r\nx", "x"),
    ROW("the same behind zeros", "9112 7.1", MORE, "00007fffffffffffffff\r\nx", "x"),
    ROW("2 to the power of 63", "9112 7.1", -400, SIZE("8000000000000000"), ""),
    ROW("2 to the power of 64, less 1", "9112 7.1", -400, SIZE("ffffffffffffffff"), ""),
    ROW("2 to the power of 64 does not become 0", "9112 7.1", -400,
        SIZE("10000000000000000"), ""),
    ROW("2 to the power of 64, and 1, does not become 1", "9112 7.1", -400,
        SIZE("10000000000000001"), ""),
    ROW("2 to the power of 32, and 1, does not become 1", "9112 7.1", MORE,
        "100000001\r\nx\r\n", "x\r\n"),
    ROW("no size", "9112 7.1", -400, SIZE(""), ""),
    ROW("no size behind a chunk", "9112 7.1", -400, "1\r\nx\r\n\r\n" END, "x"),
    ROW("an extension without a size", "9112 7.1", -400, SIZE(";a"), ""),
    ROW("no size in place of the last chunk", "9112 7.1", -400, "\r\n\r\n", ""),
    ROW("an extension in place of the last chunk", "9112 7.1", -400, ";a\r\n\r\n", ""),
    ROW("a prefix of C", "9112 7.1", -400, SIZE("0x1"), ""),
    ROW("a plus sign", "9112 7.1", -400, SIZE("+1"), ""),
    ROW("a minus sign", "9112 7.1", -400, SIZE("-1"), ""),
    ROW("a letter behind F", "9112 7.1", -400, SIZE("1g"), ""),
    ROW("a letter behind F in upper case", "9112 7.1", -400, SIZE("G"), ""),
    ROW("the mark before the letters", "9112 7.1", -400, SIZE("1@"), ""),
    ROW("the mark behind the digits", "9112 7.1", -400, SIZE("1:"), ""),
    ROW("the mark before the digits", "9112 7.1", -400, SIZE("1/"), ""),
    ROW("an underscore in the size", "9112 7.1", -400, SIZE("0_1"), ""),
    ROW("a comma in the size", "9112 7.1", -400, SIZE("0,1"), ""),
    ROW("a full-width digit", "9112 7.1", -400, SIZE("\xef\xbc\x91"), ""),
    ROW("a NUL behind the size", "9112 7.1", -400, SIZE("1\0"), ""),
    ROW("a space before the size", "9112 7.1", -400, SIZE(" 1"), ""),
    ROW("a tab before the size", "9112 7.1", -400, SIZE("\t1"), ""),
    ROW("a space behind the size", "9112 7.1.1", -400, SIZE("1 "), ""),
    ROW("a tab behind the size", "9112 7.1.1", -400, SIZE("1\t"), ""),
    ROW("a space within the size", "9112 7.1", -400, SIZE("1 1"), ""),
    ROW("a space behind the last chunk's size", "9112 7.1.1", -400, "0 \r\n\r\n", ""),
};

static const row line_ends[] = {
    ROW("a bare LF behind a size", "9112 2.2", -400, "1\nx\r\n" END, ""),
    ROW("a bare CR behind a size", "9112 2.2", -400, "1\rx\r\n" END, ""),
    ROW("two CRs behind a size", "9112 2.2", -400, "1\r\r\nx\r\n" END, ""),
    ROW("LF and CR behind a size", "9112 2.2", -400, "1\n\rx\r\n" END, ""),
    ROW("a bare LF behind an extension", "9112 2.2", -400, EXT(";a\n"), ""),
    ROW("a bare CR in an extension", "9112 2.2", -400, EXT(";a\rb"), ""),
    ROW("a bare LF in an extension", "9112 2.2", -400, EXT(";a\n5;b"), ""),
    ROW("a bare LF behind data", "9112 7.1", -400, "1\r\nx\n" END, "x"),
    ROW("a bare CR behind data", "9112 7.1", -400, "1\r\nx\r" END, "x"),
    ROW("nothing behind data", "9112 7.1", -400, "1\r\nx" END, "x"),
    ROW("more data than the size says", "9112 7.1", -400, "1\r\nxy\r\n" END, "x"),
    ROW("less data than the size says", "9112 7.1", -400, "3\r\nx\r\n" END, "x\r\n"),
    ROW("two bytes that are no CRLF", "9112 7.1", -400, "1\r\nxXX" END, "x"),
    ROW("a bare LF behind the last chunk", "9112 2.2", -400, "0\n\r\n", ""),
    ROW("a bare LF as the last line", "9112 2.2", -400, "0\r\n\n", ""),
    ROW("a bare CR as the last line", "9112 2.2", -400, "0\r\n\rG", ""),
    ROW("two CRs in the last line", "9112 2.2", -400, "0\r\n\r\r\n", ""),
    ROW("a bare LF behind a trailer", "9112 2.2", -400, "0\r\nX: 1\n\r\n", ""),
    ROW("a bare CR in a trailer", "9112 2.2", -400, "0\r\nX: 1\rY: 2\r\n\r\n", ""),
};

static const row extensions[] = {
    ROW("a name alone", "9112 7.1.1", ALL, EXT(";a"), "x"),
    ROW("a name and a value", "9112 7.1.1", ALL, EXT(";a=b"), "x"),
    ROW("several", "9112 7.1.1", ALL, EXT(";a;b=c;d=\"e\";f"), "x"),
    ROW("all marks of a token", "9110 5.6.2", ALL, EXT(";!#$%&'*+-.^_`|~09=~|`_^.-+*"),
        "x"),
    ROW("an extension of the last chunk", "9112 7.1.1", ALL, "0;a=b\r\n\r\n", ""),
    ROW("white space wherever it may be", "9112 7.1.1", ALL,
        EXT(" ; a = b\t;\tc\t=\t\"d\"  ;\t e"), "x"),
    ROW("a quote of nothing", "9110 5.6.4", ALL, EXT(";a=\"\""), "x"),
    ROW("marks in a quote", "9110 5.6.4", ALL, EXT(";a=\"; b=[c], 5\t!~\""), "x"),
    ROW("obs-text in a quote", "9110 5.6.4", ALL, EXT(";a=\"\x80\xff\""), "x"),
    ROW("a quote within a quote", "9110 5.6.4", ALL, EXT(";a=\"\\\"\\\\\""), "x"),
    ROW("obs-text and a tab behind backslashes", "9110 5.6.4", ALL,
        EXT(";a=\"\\\xff\\\t\""),
        "x"),
    ROW("no name", "9112 7.1.1", -400, EXT(";"), ""),
    ROW("no name but white space", "9112 7.1.1", -400, EXT("; "), ""),
    ROW("no name between two", "9112 7.1.1", -400, EXT(";a;;b"), ""),
    ROW("a value without a name", "9112 7.1.1", -400, EXT(";=b"), ""),
    ROW("no value", "9112 7.1.1", -400, EXT(";a="), ""),
    ROW("no value, and another", "9112 7.1.1", -400, EXT(";a=;b"), ""),
    ROW("white space in place of a value", "9112 7.1.1", -400, EXT(";a= "), ""),
    ROW("two equals signs", "9112 7.1.1", -400, EXT(";a==b"), ""),
    ROW("two values", "9112 7.1.1", -400, EXT(";a=b=c"), ""),
    ROW("an equals sign without a semicolon", "9112 7.1.1", -400, EXT("=b"), ""),
    ROW("the same behind white space", "9112 7.1.1", -400, EXT(" =b"), ""),
    ROW("the same behind more white space", "9112 7.1.1", -400, EXT(" \t=b"), ""),
    ROW("a name without a semicolon", "9112 7.1.1", -400, EXT(" a"), ""),
    ROW("two names", "9112 7.1.1", -400, EXT(";a b"), ""),
    ROW("two words as value", "9112 7.1.1", -400, EXT(";a=b c"), ""),
    ROW("two values with white space between", "9112 7.1.1", -400, EXT(";a=b =c"), ""),
    ROW("a comma in place of a semicolon", "9112 7.1.1", -400, EXT(";a,b"), ""),
    ROW("a space behind a name", "9112 7.1.1", -400, EXT(";a "), ""),
    ROW("a space behind a value", "9112 7.1.1", -400, EXT(";a=b "), ""),
    ROW("a tab behind a quote", "9112 7.1.1", -400, EXT(";a=\"b\"\t"), ""),
    ROW("a name in quotes", "9112 7.1.1", -400, EXT(";\"a\""), ""),
    ROW("text behind a quote", "9110 5.6.4", -400, EXT(";a=\"b\"c"), ""),
    ROW("a quote behind a token", "9110 5.6.4", -400, EXT(";a=b\"c\""), ""),
    ROW("a quote that the line ends", "9110 5.6.4", -400, EXT(";a=\"b"), ""),
    ROW("a quote that a backslash keeps open", "9110 5.6.4", -400, EXT(";a=\"b\\\""), ""),
    ROW("CRLF within a quote", "9110 5.6.4", -400, EXT(";a=\"b\r\nc\""), ""),
    ROW("a bare LF within a quote", "9110 5.6.4", -400, EXT(";a=\"b\nc\""), ""),
    ROW("a CR behind a backslash", "9110 5.6.4", -400, EXT(";a=\"\\\r\n\""), ""),
    ROW("a NUL within a quote", "9110 5.6.4", -400, EXT(";a=\"\0\""), ""),
    ROW("DEL within a quote", "9110 5.6.4", -400, EXT(";a=\"\177\""), ""),
    ROW("a bell behind a backslash", "9110 5.6.4", -400, EXT(";a=\"\\\a\""), ""),
    ROW("a line that ends behind such a bell", "9110 5.6.4", -400, EXT(";a=\"\\\a"), ""),
    ROW("DEL behind a backslash", "9110 5.6.4", -400, EXT(";a=\"\\\177\""), ""),
    ROW("a NUL in a name", "9110 5.6.2", -400, EXT(";a\0"), ""),
    ROW("obs-text in a name", "9110 5.6.2", -400, EXT(";\xe9"), ""),
    ROW("obs-text in a token as value", "9110 5.6.2", -400, EXT(";a=\xe9"), ""),
    ROW("a form feed as white space", "9110 5.6.3", -400, EXT(";\fa"), ""),
};

static const row trailers[] = {
    ROW("a trailer", "9112 7.1.2", ALL, TRAILER("X: 1"), "x"),
    ROW("two trailers", "9112 7.1.2", ALL, TRAILER("X: 1\r\nY: 2"), "x"),
    ROW("a trailer, and the next request", "9112 7.1.2", 17, TRAILER("X: 1") "GET", "x"),
    ROW("a trailer with no value", "9110 5.5", ALL, TRAILER("X:"), "x"),
    ROW("tabs and spaces in a value", "9110 5.5", ALL, TRAILER("X:\t a \t b\t"), "x"),
    ROW("obs-text in a value", "9110 5.5", ALL, TRAILER("X: \x80\xff"), "x"),
    ROW("all marks of a token in a name", "9110 5.6.2", ALL, TRAILER("!#$%&'*+-.^_`|~9:"),
        "x"),
    ROW("framing in a trailer is dropped", "9110 6.5.1", ALL,
        TRAILER("Content-Length: 5\r\nTransfer-Encoding: chunked\r\nHost: a"), "x"),
    ROW("no colon", "9112 5", -400, TRAILER("Broken"), "x"),
    ROW("no name", "9110 5.1", -400, TRAILER(": 1"), "x"),
    ROW("a space before the colon", "9112 5.1", -400, TRAILER("X : 1"), "x"),
    ROW("a tab before the colon", "9112 5.1", -400, TRAILER("X\t: 1"), "x"),
    ROW("a delimiter in the name", "9110 5.6.2", -400, TRAILER("X[0]: 1"), "x"),
    ROW("a NUL in the name", "9110 5.1", -400, TRAILER("X\0: 1"), "x"),
    ROW("obs-text in the name", "9110 5.1", -400, TRAILER("\xe9: 1"), "x"),
    ROW("a folded value", "9112 5.2", -400, TRAILER("X: a\r\n b"), "x"),
    ROW("a value folded by a tab", "9112 5.2", -400, TRAILER("X: a\r\n\tb"), "x"),
    ROW("a space before the first trailer", "9112 5.2", -400, TRAILER(" X: a"), "x"),
    ROW("a NUL in the value", "9110 5.5", -400, TRAILER("X: a\0b"), "x"),
    ROW("a bell in the value", "9110 5.5", -400, TRAILER("X: a\a"), "x"),
    ROW("DEL in the value", "9110 5.5", -400, TRAILER("X: \177"), "x"),
    ROW("a CR too many", "9112 2.2", -400, TRAILER("X: a\r"), "x"),
    ROW("a chunk behind the last one", "9112 7.1", -400, "0\r\n1\r\nx\r\n" END, ""),
    ROW("a request without the empty line", "9112 7.1.2", -400, "0\r\nGET / HTTP/1.1\r\n",
        ""),
};

static bool check_outcome(chunked_outcome found, const row *it, const char *how,
                          size_t split)
{
    int line = (int)split;
    size_t used = found.is_complete ? found.used : MORE;
    ssize_t verdict = found.status != 0 ? found.status : (ssize_t)used;
    ssize_t wanted = it->wanted == ALL ? (ssize_t)it->input.length : it->wanted;
    bool ok = test_say(found.is_sound, it->sentence, line, "keeps its contract", 0, 1) &&
              test_say(verdict == wanted, it->sentence, line, how, verdict, wanted) &&
              test_say_bytes(it->sentence, line, how, found.body, found.length,
                             it->body.data, it->body.length);
    free(found.body);
    return ok;
}

/* Every split; of a long input those around its ends and a sample between. */
static void check_splits(const row *it)
{
    size_t length = it->input.length;
    for (size_t split = 1; split < length; split++) {
        bool is_sampled = length < 512 || split < 64 || length - split < 64 ||
                          split % 509 == 0;
        if (is_sampled && !check_outcome(chunked_run(it->input, split, length), it,
                                         "split there", split))
            return;
    }
}

static void run_row(const row *it)
{
    check_outcome(chunked_run(it->input, it->input.length, 1), it, "whole", 0);
    check_outcome(chunked_run(it->input, 1, 1), it, "byte by byte", 0);
    check_outcome(naive_decode(it->input), it, "the naive decoder", 0);
    check_splits(it);
}

static void run_rows(const row *rows, size_t count)
{
    char sentence[128];
    for (size_t i = 0; i < count; i++) {
        row it = rows[i];
        snprintf(sentence, sizeof sentence, "%s (RFC %s)", it.sentence, it.source);
        it.sentence = sentence;
        run_row(&it);
    }
}

#define RUN_ROWS(rows) run_rows((rows), sizeof(rows) / sizeof *(rows))

static void test_bodies_and_what_follows_them(void)
{
    RUN_ROWS(bodies);
}

static void test_a_body_that_is_not_complete_waits_for_more(void)
{
    RUN_ROWS(incomplete);
}

static void test_sizes(void)
{
    RUN_ROWS(sizes);
}

static void test_every_line_ends_with_crlf(void)
{
    RUN_ROWS(line_ends);
}

static void test_extensions_are_checked_and_dropped(void)
{
    RUN_ROWS(extensions);
}

static void test_trailers_are_checked_and_dropped(void)
{
    RUN_ROWS(trailers);
}

static void check_as_naive(const char *how, smw_str input, size_t place)
{
    chunked_outcome wanted = naive_decode(input);
    chunked_outcome found = chunked_run(input, input.length, 1);
    bool ok = chunked_agree(&wanted, &found);
    test_say(ok, how, (int)place, "verdict", found.status, wanted.status);
    free(wanted.body);
    free(found.body);
}

static void test_each_byte_in_each_place_is_judged_as_the_naive_decoder_does(void)
{
    static const char good[] =
        "1 ; a = \"b\\\"c\" ;d\t;e=f;g\r\nx\r\n03;h=\"i\"\r\nxyz\r\n"
        "0;j\r\nX: 1\r\nY:\t\r\n\r\nGET";
    enum { LENGTH = sizeof good - 1 };
    char text[LENGTH + 1];
    for (size_t place = 0; place < LENGTH; place++) {
        memcpy(text, good, LENGTH);
        for (int c = 0; c < 256; c++) {
            text[place] = (char)c;
            check_as_naive("replaced", (smw_str){text, LENGTH}, place);
        }
        memcpy(text + place + 1, good + place, LENGTH - place);
        for (int c = 0; c < 256; c++) {
            text[place] = (char)c;
            check_as_naive("inserted", (smw_str){text, LENGTH + 1}, place);
        }
        memcpy(text + place, good + place + 1, LENGTH - place - 1);
        check_as_naive("removed", (smw_str){text, LENGTH - 1}, place);
    }
}

/* `before`, `fill` times "a", `after`. */
static void run_filled(const char *sentence, const char *before, size_t fill,
                       const char *after, ssize_t wanted, const char *body)
{
    size_t front = strlen(before), back = strlen(after);
    char *text = chunked_block(front + fill + back);
    memcpy(text, before, front);
    memset(text + front, 'a', fill);
    memcpy(text + front + fill, after, back);
    row it = {.sentence = sentence, .wanted = wanted, .body = {body, strlen(body)},
              .input = {text, front + fill + back}};
    run_row(&it);
    free(text);
}

static void test_extensions_have_one_limit_in_a_body(void)
{
    enum { MOST = HTTP_CHUNKED_MAX_EXTENSIONS };
    run_filled("all that is allowed, at once", "1;", MOST - 1, "\r\nx\r\n" END, ALL, "x");
    run_filled("one more", "1;", MOST, "\r\nx\r\n" END, -400, "");
    run_filled("all that is allowed, and no end", "1;", MOST - 1, "", MORE, "");
    run_filled("one more, and no end", "1;", MOST, "", -400, "");
    run_filled("all that is allowed, in two chunks", "1 ;b\r\nx\r\n0;", MOST - 4,
               "\r\n\r\n", ALL, "x");
    run_filled("one more, in two chunks", "1 ;b\r\nx\r\n0;", MOST - 3, "\r\n\r\n", -400,
               "x");
    run_filled("all that is allowed, in a quote", "1;b=\"", MOST - 7,
               "\\\"\"\r\nx\r\n" END, ALL, "x");
    run_filled("one more, in a quote", "1;b=\"", MOST - 6,
               "\\\"\"\r\nx\r\n" END, -400, "");
}

static void test_trailers_have_a_limit_of_bytes(void)
{
    enum { MOST = HTTP_CHUNKED_MAX_TRAILERS };
    run_filled("all that is allowed", "0\r\nX:", MOST - 4, "\r\n\r\n", ALL, "");
    run_filled("one more", "0\r\nX:", MOST - 3, "\r\n\r\n", -431, "");
    run_filled("all that is allowed, in two lines", "0\r\nY: 1\r\nX:", MOST - 10,
               "\r\n\r\n", ALL, "");
    run_filled("one more, in two lines", "0\r\nY: 1\r\nX:", MOST - 9, "\r\n\r\n", -431,
               "");
    run_filled("all that is allowed, and no end", "0\r\nX:", MOST - 2, "", MORE, "");
    run_filled("one more, and no end", "0\r\nX:", MOST - 1, "", -431, "");
    run_filled("a name as long as all", "0\r\n", MOST, "", MORE, "");
    run_filled("a name longer than all", "0\r\n", MOST + 1, "", -431, "");
    run_filled("a fault on the last byte", "0\r\nX:", MOST - 3, "\a", -400, "");
    run_filled("a fault behind the last byte", "0\r\nX:", MOST - 2, "\a", -431, "");
}

static void test_trailers_have_a_limit_of_lines(void)
{
    char text[1024] = "0\r\n";
    size_t length = 3;
    row it = {.sentence = "100 lines", .wanted = ALL};
    for (int i = 0; i < HTTP_CHUNKED_MAX_TRAILER_LINES; i++, length += 4)
        memcpy(text + length, "x:\r\n", 4);
    memcpy(text + length, "\r\n", 2);
    it.input = (smw_str){text, length + 2};
    run_row(&it);
    it.sentence = "101 lines";
    it.wanted = -431;
    memcpy(text + length, "x:\r\n\r\n", 6);
    it.input.length = length + 6;
    run_row(&it);
    it.sentence = "the first byte of line 101";
    it.input.length = length + 1;
    run_row(&it);
}

static void test_extensions_and_trailers_do_not_share_a_limit(void)
{
    run_filled("an extension and all trailers", "0;b=\"c\"\r\nX:",
               HTTP_CHUNKED_MAX_TRAILERS - 4, "\r\n\r\n", ALL, "");
}

static void test_a_large_body_comes_whole_in_any_pieces(void)
{
    static char text[70000], wanted[65536 + 4096];
    size_t length = 0, body = 0;
    for (size_t size = 1; size <= 32768; size *= 2) {
        length += (size_t)sprintf(text + length, "%zx\r\n", size);
        for (size_t i = 0; i < size; i++)
            text[length++] = wanted[body++] = (char)(i * 31 + size);
        length += (size_t)sprintf(text + length, "\r\n");
    }
    length += (size_t)sprintf(text + length, END);
    row it = {.sentence = "chunks up to 32 KiB", .wanted = ALL, .input = {text, length},
              .body = {wanted, body}};
    static const size_t steps[] = {1, 7, 100, 4096, 16383, 65536, sizeof text};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        check_outcome(chunked_run(it.input, steps[i], steps[i]), &it, "in steps",
                      steps[i]);
}

static void test_nothing_is_used_once_the_body_is_complete(void)
{
    http_chunked state = {0};
    char body[] = END, next[] = "GET /";
    size_t decoded = 9;
    CHECK(!http_chunked_is_complete(&state));
    CHECK_INT(http_chunked_decode(&state, body, 5, &decoded), 5);
    CHECK(http_chunked_is_complete(&state));
    CHECK_INT(http_chunked_decode(&state, next, 5, &decoded), 0);
    CHECK_INT(decoded, 0);
    CHECK(http_chunked_is_complete(&state) && strcmp(next, "GET /") == 0);
}

static void test_no_bytes_change_nothing(void)
{
    http_chunked state = {0};
    size_t decoded = 9;
    CHECK_INT(http_chunked_decode(&state, NULL, 0, &decoded), 0);
    CHECK_INT(decoded, 0);
    CHECK(!http_chunked_is_complete(&state));
}

static void test_the_state_tells_how_much_of_a_chunk_is_to_come(void)
{
    http_chunked state = {0};
    char text[] = "ff\r\nabc";
    size_t decoded;
    CHECK_INT(http_chunked_decode(&state, text, 7, &decoded), 7);
    CHECK_INT(decoded, 3);
    CHECK_INT(state.left, 252);
}

/* Each idle connection owns one. */
static void test_the_state_is_small(void)
{
    CHECK(sizeof(http_chunked) <= 24);
}

int main(void)
{
    RUN(test_bodies_and_what_follows_them);
    RUN(test_a_body_that_is_not_complete_waits_for_more);
    RUN(test_sizes);
    RUN(test_every_line_ends_with_crlf);
    RUN(test_extensions_are_checked_and_dropped);
    RUN(test_trailers_are_checked_and_dropped);
    RUN(test_each_byte_in_each_place_is_judged_as_the_naive_decoder_does);
    RUN(test_extensions_have_one_limit_in_a_body);
    RUN(test_trailers_have_a_limit_of_bytes);
    RUN(test_trailers_have_a_limit_of_lines);
    RUN(test_extensions_and_trailers_do_not_share_a_limit);
    RUN(test_a_large_body_comes_whole_in_any_pieces);
    RUN(test_nothing_is_used_once_the_body_is_complete);
    RUN(test_no_bytes_change_nothing);
    RUN(test_the_state_tells_how_much_of_a_chunk_is_to_come);
    RUN(test_the_state_is_small);
    return test_report();
}
