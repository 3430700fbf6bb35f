/* SPDX-License-Identifier: MIT */
/* test_poll.c - the contract of poll.h, for whichever back end is compiled in. */
#include "poll.h"

#include "client.h"

#include <sys/wait.h>

enum { ALL = POLL_READ | POLL_WRITE | POLL_HANGUP };

#if defined(SMW_POLL_POLL) && !defined(POLLRDHUP)
enum { TOLD = POLL_READ | POLL_WRITE }; /* of what is of interest */
#else
enum { TOLD = ALL };
#endif

static poller p;
static int near_end, far_end;
static unsigned interest; /* in the near end */
static char mark;         /* its data */

static void begin(void)
{
    int ends[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    near_end = ends[0];
    far_end = ends[1];
    interest = 0;
    set_nonblocking(near_end);
    CHECK_INT(poll_open(&p), 0);
}

static void end(void)
{
    poll_close(&p);
    close(near_end);
    if (far_end >= 0) close(far_end);
}

static void want(unsigned events)
{
    CHECK_INT(poll_set(&p, near_end, interest, events, &mark), 0);
    interest = events;
}

/* What is told of the near end, when nothing else is watched. */
static unsigned seen_within(int timeout_ms)
{
    poll_event events[8];
    int count = poll_wait(&p, events, 8, timeout_ms);
    if (count == 0) return 0;
    CHECK(count == 1 && events[0].data == &mark);
    return events[0].events;
}

static unsigned seen(void)
{
    int64_t deadline = clock_ms() + PATIENCE_MS;
    unsigned events = 0;
    while (events == 0 && CHECK(clock_ms() < deadline)) events = seen_within(PATIENCE_MS);
    return events;
}

static void say(const char *text)
{
    CHECK(write(far_end, text, strlen(text)) == (ssize_t)strlen(text));
}

static void hang_up(void)
{
    CHECK(shutdown(far_end, SHUT_WR) == 0);
}

static void hang_up_for_good(void)
{
    close(far_end);
    far_end = -1;
}

/* ---- one event at a time ---- */

static void test_input_is_told_at_each_wait_until_it_is_read(void)
{
    char byte;
    begin();
    want(POLL_READ);
    CHECK_INT(seen_within(0), 0);
    say("x");
    for (int i = 0; i < 3; i++) CHECK_INT(seen(), POLL_READ);
    CHECK(read(near_end, &byte, 1) == 1);
    CHECK_INT(seen_within(0), 0);
    end();
}

static void test_room_for_output_is_told_until_there_is_none(void)
{
    static char piece[65536];
    begin();
    want(POLL_WRITE);
    for (int i = 0; i < 3; i++) CHECK_INT(seen(), POLL_WRITE);
    while (write(near_end, piece, sizeof piece) > 0) continue;
    CHECK_INT(seen_within(0), 0);
    client peer = client_of(far_end);
    client_receive(&peer);
    CHECK_INT(seen(), POLL_WRITE);
    client_forget(&peer);
    end();
}

static void test_without_events_a_wait_lasts_as_long_as_it_was_told(void)
{
    begin();
    want(ALL & ~POLL_WRITE);
    int64_t before = clock_ms();
    CHECK_INT(seen_within(30), 0);
    CHECK(clock_ms() - before >= 25);
    end();
}

static void test_nobody_is_told_of_a_hang_up_that_is_not_of_interest(void)
{
    begin();
    want(POLL_READ | POLL_WRITE);
    say("x");
    hang_up();
    CHECK_INT(seen(), POLL_READ | POLL_WRITE);
    want(POLL_READ);
    CHECK_INT(seen(), POLL_READ); /* which finds the end behind the input */
    want(POLL_WRITE);
    CHECK_INT(seen(), POLL_WRITE);
    end();
}

static void test_input_is_no_hang_up(void)
{
    begin();
    want(POLL_HANGUP);
    say("x");
    CHECK_INT(seen_within(0), 0);
    say("y");
    CHECK_INT(seen_within(0), 0);
    if (TOLD & POLL_HANGUP) {
        hang_up();
        CHECK_INT(seen(), POLL_HANGUP);
    }
    end();
}

static void test_a_hang_up_shuts_nothing_but_the_peers_output(void)
{
    begin();
    want(ALL);
    CHECK_INT(seen(), POLL_WRITE);
    hang_up();
    CHECK_INT(seen(), ALL & TOLD);
    CHECK(write(near_end, "still", 5) == 5);
    end();
}

/* ---- interest ---- */

static void check_change(unsigned old, unsigned events)
{
    begin();
    say("x");
    hang_up(); /* so everything that can be told is there to be told */
    if (old != 0) want(old);
    want(events);
    unsigned told = events & TOLD;
    CHECK_INT(told == 0 ? seen_within(0) : seen(), told);
#if defined(SMW_POLL_KQUEUE)
    if ((events & POLL_READ) == 0) told &= ~(unsigned)POLL_HANGUP; /* told already */
#endif
    CHECK_INT(told == 0 ? seen_within(0) : seen(), told);
    end();
}

static void test_what_is_told_is_what_is_of_interest_after_any_change(void)
{
    for (unsigned old = 0; old <= ALL; old++)
        for (unsigned events = 0; events <= ALL; events++)
            if (old != events) check_change(old, events);
}

static void test_a_descriptor_without_interest_is_not_watched(void)
{
    begin();
    want(ALL);
    want(0);
    hang_up_for_good();
    CHECK_INT(seen_within(0), 0);
    want(POLL_READ);
    CHECK(seen() & POLL_READ);
    end();
}

/* ---- the end of both directions ---- */

static void test_a_peer_that_is_gone_is_told_as_all_that_is_of_interest(void)
{
    for (unsigned events = 1; events <= ALL; events++) {
        begin();
        want(events);
        hang_up_for_good();
        CHECK_INT(seen() & events, events);
        end();
    }
}

static void test_a_reset_is_told_as_everything(void)
{
    smw_listen_options options = {.host = "127.0.0.1"};
    int listener = net_listen(&options);
    for (unsigned events = 1; events <= ALL; events++) {
        CHECK_INT(poll_open(&p), 0);
        client c = client_open(net_port(listener));
        struct pollfd ready = {.fd = listener, .events = POLLIN};
        CHECK(poll(&ready, 1, PATIENCE_MS) == 1);
        near_end = net_accept(listener);
        interest = 0;
        want(events);
        client_say(&c, "unread");
        client_abort(&c);
        /* Room for output is told at once, the reset a little later. */
        int64_t deadline = clock_ms() + PATIENCE_MS;
        unsigned told = 0;
        while (told != ALL && clock_ms() < deadline) told = seen_within(PATIENCE_MS);
        CHECK_INT(told, ALL);
        poll_close(&p);
        close(near_end);
    }
    close(listener);
}

/* ---- many ---- */

enum { MANY = 5 };

static int pairs[MANY][2];
static char marks[MANY];

static void begin_many(void)
{
    CHECK_INT(poll_open(&p), 0);
    for (int i = 0; i < MANY; i++) {
        CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pairs[i]) == 0);
        CHECK_INT(poll_set(&p, pairs[i][0], 0, POLL_READ, &marks[i]), 0);
        CHECK(write(pairs[i][1], "x", 1) == 1);
    }
}

static void end_many(void)
{
    poll_close(&p);
    for (int i = 0; i < MANY; i++) {
        close(pairs[i][0]);
        close(pairs[i][1]);
    }
}

/* Count whom a wait tells of. */
static int wait_for_some(int capacity, int *counts)
{
    poll_event events[MANY];
    int found = poll_wait(&p, events, capacity, PATIENCE_MS);
    for (int i = 0; i < found; i++) {
        CHECK_INT(events[i].events, POLL_READ);
        counts[(char *)events[i].data - marks]++;
    }
    return found;
}

static void test_each_descriptor_comes_once_a_wait_with_its_own_data(void)
{
    int counts[MANY] = {0};
    begin_many();
    CHECK_INT(wait_for_some(MANY, counts), MANY);
    for (int i = 0; i < MANY; i++) CHECK_INT(counts[i], 1);
    end_many();
}

static void test_more_than_a_wait_can_tell_takes_turns(void)
{
    int counts[MANY] = {0};
    begin_many();
    for (int i = 0; i < MANY; i++) CHECK_INT(wait_for_some(2, counts), 2);
    for (int i = 0; i < MANY; i++) CHECK(counts[i] > 0);
    end_many();
}

static void test_the_others_are_still_watched_when_one_is_forgotten(void)
{
    int counts[MANY] = {0};
    begin_many();
    CHECK_INT(poll_set(&p, pairs[1][0], POLL_READ, 0, &marks[1]), 0);
    CHECK_INT(poll_set(&p, pairs[4][0], POLL_READ, 0, &marks[4]), 0);
    CHECK_INT(wait_for_some(MANY, counts), 3);
    CHECK_INT(counts[1] + counts[4], 0);
    CHECK_INT(poll_set(&p, pairs[1][0], 0, POLL_READ, &marks[1]), 0);
    CHECK_INT(wait_for_some(MANY, counts), 4);
    CHECK_INT(counts[1], 1);
    end_many();
}

/* ---- the back end itself ---- */

static void test_its_descriptor_is_readable_while_events_wait(void)
{
    begin();
    want(POLL_READ);
    struct pollfd ready = {.fd = poll_descriptor(&p), .events = POLLIN};
    if (ready.fd >= 0) {
        CHECK_INT(poll(&ready, 1, 0), 0);
        say("x");
        CHECK_INT(poll(&ready, 1, PATIENCE_MS), 1);
    }
    end();
}

static void test_closing_it_in_a_child_touches_nothing_of_the_parents(void)
{
    begin();
    want(POLL_READ);
    pid_t child = fork();
    if (child == 0) {
        bool is_spared = true;
#if defined(SMW_POLL_KQUEUE)
        /* It was not inherited, and its number went to somebody else. */
        int number = p.fd;
        is_spared = fcntl(number, F_GETFD) < 0 && dup2(far_end, number) == number;
        poll_close(&p);
        is_spared = is_spared && fcntl(number, F_GETFD) >= 0;
#else
        poll_close(&p);
#endif
        _exit(is_spared ? 0 : 1);
    }
    int status = -1;
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    CHECK_INT(status, 0);
    CHECK_INT(seen_within(0), 0);
    say("x");
    CHECK_INT(seen(), POLL_READ);
    end();
}

int main(void)
{
    RUN(test_input_is_told_at_each_wait_until_it_is_read);
    RUN(test_room_for_output_is_told_until_there_is_none);
    RUN(test_without_events_a_wait_lasts_as_long_as_it_was_told);
    RUN(test_nobody_is_told_of_a_hang_up_that_is_not_of_interest);
    RUN(test_input_is_no_hang_up);
    RUN(test_a_hang_up_shuts_nothing_but_the_peers_output);
    RUN(test_what_is_told_is_what_is_of_interest_after_any_change);
    RUN(test_a_descriptor_without_interest_is_not_watched);
    RUN(test_a_peer_that_is_gone_is_told_as_all_that_is_of_interest);
    RUN(test_a_reset_is_told_as_everything);
    RUN(test_each_descriptor_comes_once_a_wait_with_its_own_data);
    RUN(test_more_than_a_wait_can_tell_takes_turns);
    RUN(test_the_others_are_still_watched_when_one_is_forgotten);
    RUN(test_its_descriptor_is_readable_while_events_wait);
    RUN(test_closing_it_in_a_child_touches_nothing_of_the_parents);
    return test_report();
}
