/* SPDX-License-Identifier: MIT */
/* test.h - checks that say where, what was found and what was wanted. */
#ifndef SMW_TEST_H
#define SMW_TEST_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int test_checks;
static int test_failures;
static const char *test_name = "";

static inline bool test_say(bool ok, const char *file, int line, const char *what,
                            long long found, long long wanted)
{
    test_checks++;
    if (ok) return true;
    test_failures++;
    fprintf(stderr, "%s:%d: %s: %s: found %lld, wanted %lld\n", file, line, test_name,
            what, found, wanted);
    return false;
}

static inline bool test_say_bytes(const char *file, int line, const char *what,
                                  const char *found, size_t found_length,
                                  const char *wanted, size_t wanted_length)
{
    test_checks++;
    if (found_length == wanted_length &&
        (found_length == 0 || memcmp(found, wanted, found_length) == 0))
        return true;
    test_failures++;
    fprintf(stderr, "%s:%d: %s: %s:\n  found  %.*s\n  wanted %.*s\n", file, line,
            test_name, what, (int)found_length, found, (int)wanted_length, wanted);
    return false;
}

/* Each gives whether it held, so that a test can stop where going on is useless. */
#define CHECK(claim) check_claim(__FILE__, __LINE__, #claim, !!(claim))

static inline bool check_claim(const char *file, int line, const char *what, bool holds)
{
    return test_say(holds, file, line, what, holds, 1);
}

#define CHECK_INT(found, wanted) \
    check_int(__FILE__, __LINE__, #found, (long long)(found), (long long)(wanted))

static inline bool check_int(const char *file, int line, const char *what,
                             long long found, long long wanted)
{
    return test_say(found == wanted, file, line, what, found, wanted);
}

#define CHECK_STR(found, wanted) \
    test_say_bytes(__FILE__, __LINE__, #found, (found).data, (found).length, (wanted), \
                   strlen(wanted))

/* Run one test function and keep its name for the messages. */
#define RUN(test) (test_name = #test, test())

static inline int test_report(void)
{
    printf("%d checks, %d failures\n", test_checks, test_failures);
    return test_failures != 0;
}

#endif
