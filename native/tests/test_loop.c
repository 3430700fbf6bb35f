/* SPDX-License-Identifier: MIT */
#include "client.h"

#include <pthread.h>
#include <signal.h>
#include <sys/time.h>

static smw_loop *loop;
static size_t fired;
static uint64_t ids[8];

/* ---- timers ---- */

static void count(smw_loop *from, uint64_t timer, uint64_t user)
{
    CHECK(from == loop);
    CHECK(timer == ids[user]);
    fired++;
}

static void begin(void)
{
    fired = 0;
    loop = smw_loop_new();
}

static void test_a_loop_with_nothing_to_wait_for_returns_at_once(void)
{
    begin();
    CHECK_INT(smw_loop_run(loop, SMW_RUN_DEFAULT), 0);
    CHECK_INT(smw_loop_run(loop, SMW_RUN_ONCE), 0);
    CHECK_INT(smw_loop_run(loop, SMW_RUN_NOWAIT), 0);
    CHECK_INT(smw_loop_stats(loop)->waits, 0);
    smw_loop_free(loop);
    smw_loop_free(NULL);
}

static void test_a_timer_fires_once_and_its_id_is_gone(void)
{
    begin();
    int64_t before = clock_ms();
    CHECK_INT(smw_timer_start(loop, 10, 0, count, 0, &ids[0]), 0);
    CHECK_INT(smw_loop_run(loop, SMW_RUN_NOWAIT), 1);
    CHECK_INT(fired, 0);
    CHECK_INT(smw_loop_run(loop, SMW_RUN_DEFAULT), 0);
    CHECK_INT(fired, 1);
    CHECK(clock_ms() - before >= 10);
    CHECK_INT(smw_timer_stop(loop, ids[0]), SMW_EGONE);
    smw_loop_free(loop);
}

static void stop_at_third(smw_loop *from, uint64_t timer, uint64_t user)
{
    count(from, timer, user);
    if (fired < 3) return;
    CHECK_INT(smw_timer_stop(loop, timer), 0);
    CHECK_INT(smw_timer_stop(loop, timer), SMW_EGONE);
}

static void test_a_repeating_timer_may_stop_itself(void)
{
    begin();
    int64_t before = clock_ms();
    CHECK_INT(smw_timer_start(loop, 2, 3, stop_at_third, 0, &ids[0]), 0);
    CHECK_INT(smw_loop_run(loop, SMW_RUN_DEFAULT), 0);
    CHECK_INT(fired, 3);
    CHECK(clock_ms() - before >= 8);
    smw_loop_free(loop);
}

static void stop_the_others(smw_loop *from, uint64_t timer, uint64_t user)
{
    count(from, timer, user);
    for (size_t i = 0; i < 4; i++)
        if (i != user) CHECK_INT(smw_timer_stop(loop, ids[i]), 0);
}

static void test_a_timer_may_stop_others_that_are_due_with_it(void)
{
    begin();
    for (uint64_t i = 0; i < 4; i++)
        CHECK_INT(smw_timer_start(loop, 1, 0, stop_the_others, i, &ids[i]), 0);
    CHECK_INT(smw_loop_run(loop, SMW_RUN_DEFAULT), 0);
    CHECK_INT(fired, 1);
    smw_loop_free(loop);
}

static void start_again(smw_loop *from, uint64_t timer, uint64_t user)
{
    count(from, timer, user);
    /* Gone where it fires, so that its slot may serve the next one. */
    CHECK_INT(smw_timer_stop(loop, timer), SMW_EGONE);
    if (fired < 100) CHECK_INT(smw_timer_start(loop, 0, 0, start_again, 0, &ids[0]), 0);
    CHECK(ids[0] != timer || fired == 100);
}

static void test_a_timer_may_start_the_next_without_delay(void)
{
    begin();
    CHECK_INT(smw_timer_start(loop, 0, 0, start_again, 0, &ids[0]), 0);
    CHECK_INT(smw_loop_run(loop, SMW_RUN_DEFAULT), 0);
    CHECK_INT(fired, 100);
    smw_loop_free(loop);
}

static void test_timers_out_of_range_are_refused(void)
{
    begin();
    CHECK_INT(smw_timer_start(loop, UINT64_MAX, 0, count, 0, NULL), -EINVAL);
    CHECK_INT(smw_timer_start(loop, 0, UINT64_MAX, count, 0, NULL), -EINVAL);
    CHECK_INT(smw_timer_start(loop, 0, 0, NULL, 0, NULL), -EINVAL);
    CHECK_INT(smw_timer_stop(loop, 0), SMW_EGONE);
    CHECK_INT(smw_timer_stop(loop, UINT64_MAX), SMW_EGONE);
    CHECK_INT(smw_loop_run(loop, SMW_RUN_DEFAULT), 0);
    smw_loop_free(loop);
}

/* ---- watched descriptors ---- */

static int near_end, far_end; /* a socket pair: both directions can be watched */
static unsigned seen;

static void open_pair(void)
{
    int ends[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    near_end = ends[0];
    far_end = ends[1];
    seen = 0;
}

static void close_pair(void)
{
    close(near_end);
    close(far_end);
}

static void note(smw_loop *from, int fd, unsigned events, uint64_t user)
{
    CHECK(from == loop && user == 7 && fd == near_end);
    seen = events;
    fired++;
}

static void test_readiness_is_reported_until_it_is_used_or_forgotten(void)
{
    begin();
    open_pair();
    CHECK_INT(smw_watch_set(loop, near_end, SMW_READABLE, note, 7), 0);
    CHECK_INT(smw_loop_run(loop, SMW_RUN_NOWAIT), 1);
    CHECK_INT(fired, 0);
    CHECK(write(far_end, "x", 1) == 1);
    CHECK_INT(smw_loop_run(loop, SMW_RUN_ONCE), 1);
    CHECK_INT(smw_loop_run(loop, SMW_RUN_ONCE), 1);
    CHECK_INT(fired, 2);
    CHECK_INT(seen, SMW_READABLE);
    CHECK_INT(smw_watch_set(loop, near_end, SMW_READABLE | SMW_WRITABLE, note, 7), 0);
    CHECK_INT(smw_loop_run(loop, SMW_RUN_ONCE), 1);
    CHECK_INT(seen, SMW_READABLE | SMW_WRITABLE);
    CHECK_INT(smw_watch_set(loop, near_end, SMW_WRITABLE, note, 7), 0);
    CHECK_INT(smw_loop_run(loop, SMW_RUN_ONCE), 1);
    CHECK_INT(seen, SMW_WRITABLE);
    CHECK_INT(smw_watch_set(loop, near_end, 0, NULL, 0), 0);
    CHECK_INT(smw_watch_set(loop, near_end, 0, NULL, 0), 0);
    CHECK_INT(smw_loop_run(loop, SMW_RUN_DEFAULT), 0);
    CHECK_INT(fired, 4);
    close_pair();
    smw_loop_free(loop);
}

static void test_a_hangup_is_readable(void)
{
    begin();
    open_pair();
    CHECK_INT(smw_watch_set(loop, near_end, SMW_READABLE, note, 7), 0);
    shutdown(far_end, SHUT_RDWR);
    CHECK_INT(smw_loop_run(loop, SMW_RUN_ONCE), 1);
    CHECK_INT(seen, SMW_READABLE);
    smw_loop_free(loop);
    close_pair();
}

static void test_what_cannot_be_watched_is_refused(void)
{
    begin();
    open_pair();
    close_pair();
    CHECK_INT(smw_watch_set(loop, near_end, SMW_READABLE, note, 7), -EBADF);
    CHECK_INT(smw_watch_set(loop, -1, SMW_READABLE, note, 7), -EINVAL);
    CHECK_INT(smw_watch_set(loop, 0, 4, note, 7), -EINVAL);
    CHECK_INT(smw_watch_set(loop, 0, 8, note, 7), -EINVAL);
    CHECK_INT(smw_watch_set(loop, 0, SMW_READABLE, NULL, 7), -EINVAL);
    CHECK_INT(smw_watch_set(loop, INT32_MAX, SMW_READABLE, note, 7), -EBADF);
    CHECK_INT(smw_watch_set(loop, INT32_MAX, 0, NULL, 0), 0);
    CHECK_INT(smw_loop_run(loop, SMW_RUN_DEFAULT), 0);
    smw_loop_free(loop);
}

static int pairs[2][2];

static void forget_and_close_all(smw_loop *from, int fd, unsigned events, uint64_t user)
{
    (void)from, (void)fd, (void)events, (void)user;
    fired++;
    for (int i = 0; i < 2; i++) {
        CHECK_INT(smw_watch_set(loop, pairs[i][0], 0, NULL, 0), 0);
        close(pairs[i][0]);
        close(pairs[i][1]);
    }
    /* The numbers are free again, and may be taken again at once. */
    open_pair();
    CHECK_INT(smw_watch_set(loop, near_end, SMW_READABLE, note, 7), 0);
}

static void test_a_descriptor_forgotten_and_closed_in_a_callback_is_not_reported(void)
{
    begin();
    for (int i = 0; i < 2; i++) {
        CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pairs[i]) == 0);
        CHECK(write(pairs[i][1], "x", 1) == 1);
        CHECK_INT(smw_watch_set(loop, pairs[i][0], SMW_READABLE, forget_and_close_all, 0),
                  0);
    }
    CHECK_INT(smw_loop_run(loop, SMW_RUN_ONCE), 1); /* both are ready in this wait */
    CHECK_INT(fired, 1);
    CHECK_INT(smw_loop_run(loop, SMW_RUN_NOWAIT), 1);
    CHECK_INT(fired, 1);
    CHECK(write(far_end, "x", 1) == 1);
    CHECK_INT(smw_loop_run(loop, SMW_RUN_ONCE), 1);
    CHECK_INT(fired, 2);
    smw_loop_free(loop);
    close_pair();
}

/* ---- wake-up, stop, signals ---- */

static void test_a_duplicate_of_what_was_closed_before_it_was_forgotten_is_harmless(void)
{
    int ends[2];
    begin();
    CHECK(pipe(ends) == 0);
    int copy = dup(ends[0]);
    CHECK_INT(smw_watch_set(loop, ends[0], SMW_READABLE, note, 0), 0);
    close(ends[0]); /* too early: the kernel's entry stays, as long as the copy */
    (void)smw_watch_set(loop, ends[0], 0, NULL, 0);
    uint64_t timer;
    for (int i = 0; i < 2; i++) {
        CHECK_INT(smw_timer_start(loop, 0, 0, count, (uint64_t)i, &ids[i]), 0);
        smw_loop_run(loop, SMW_RUN_NOWAIT);
    }
    CHECK_INT(smw_timer_start(loop, 60000, 0, count, 0, &timer), 0);
    CHECK(write(ends[1], "x", 1) == 1);
    for (int i = 0; i < 3; i++) CHECK_INT(smw_loop_run(loop, SMW_RUN_NOWAIT), 1);
    close(copy);
    close(ends[1]);
    smw_loop_free(loop);
}

static void run_again(smw_loop *from, uint64_t timer, uint64_t user)
{
    count(from, timer, user);
    CHECK_INT(smw_loop_run(loop, SMW_RUN_NOWAIT), SMW_EBUSY);
}

static void test_a_callback_cannot_run_its_loop(void)
{
    begin();
    CHECK_INT(smw_timer_start(loop, 0, 0, run_again, 0, &ids[0]), 0);
    CHECK_INT(smw_loop_run(loop, SMW_RUN_DEFAULT), 0);
    CHECK_INT(fired, 1);
    smw_loop_free(loop);
}

static void *wake(void *from_thread)
{
    smw_loop_wake(from_thread);
    return NULL;
}

static void test_a_wake_up_from_a_thread_ends_the_wait(void)
{
    begin();
    open_pair();
    CHECK_INT(smw_watch_set(loop, near_end, SMW_READABLE, note, 7), 0);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, wake, loop) == 0);
    CHECK_INT(smw_loop_run(loop, SMW_RUN_ONCE), 1);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK_INT(fired, 0);
    smw_loop_free(loop);
    close_pair();
}

static void test_many_wake_ups_before_a_wait_end_one_wait(void)
{
    begin();
    open_pair();
    CHECK_INT(smw_watch_set(loop, near_end, SMW_READABLE, note, 7), 0);
    errno = 77;
    for (int i = 0; i < 100000; i++) smw_loop_wake(loop);
    CHECK_INT(errno, 77); /* as a signal handler wants it */
    CHECK_INT(smw_loop_run(loop, SMW_RUN_ONCE), 1);
    struct pollfd ready = {.fd = smw_loop_descriptor(loop), .events = POLLIN};
    CHECK_INT(poll(&ready, 1, 0), 0);
    smw_loop_free(loop);
    close_pair();
}

static void stop(smw_loop *from, uint64_t timer, uint64_t user)
{
    (void)timer;
    fired++;
    if (fired == user) smw_loop_stop(from);
}

static void test_stop_ends_a_run_after_the_round(void)
{
    begin();
    uint64_t timer;
    CHECK_INT(smw_timer_start(loop, 0, 1, stop, 3, &timer), 0);
    CHECK_INT(smw_loop_run(loop, SMW_RUN_DEFAULT), 1);
    CHECK_INT(fired, 3);
    CHECK_INT(smw_loop_run(loop, SMW_RUN_ONCE), 1); /* and it may go on */
    CHECK(fired >= 4);
    CHECK_INT(smw_timer_stop(loop, timer), 0);
    CHECK_INT(smw_loop_run(loop, SMW_RUN_DEFAULT), 0);
    smw_loop_free(loop);
}

static void on_alarm(int signal_number)
{
    (void)signal_number;
}

static void test_a_signal_ends_a_run_with_eintr(void)
{
    begin();
    open_pair();
    CHECK_INT(smw_watch_set(loop, near_end, SMW_READABLE, note, 7), 0);
    struct sigaction action = {.sa_handler = on_alarm}, before;
    CHECK(sigaction(SIGALRM, &action, &before) == 0);
    /* It repeats, in case the first one comes before the wait. */
    struct itimerval soon = {{0, 5000}, {0, 5000}}, never = {{0, 0}, {0, 0}};
    CHECK(setitimer(ITIMER_REAL, &soon, NULL) == 0);
    CHECK_INT(smw_loop_run(loop, SMW_RUN_DEFAULT), -EINTR);
    CHECK(setitimer(ITIMER_REAL, &never, NULL) == 0);
    CHECK(sigaction(SIGALRM, &before, NULL) == 0);
    CHECK(write(far_end, "x", 1) == 1);
    CHECK_INT(smw_loop_run(loop, SMW_RUN_ONCE), 1);
    CHECK_INT(fired, 1);
    smw_loop_free(loop);
    close_pair();
}

/* ---- the end ---- */

static void test_free_closes_what_is_still_open(void)
{
    begin();
    open_pair();
    CHECK_INT(smw_watch_set(loop, near_end, SMW_READABLE | SMW_WRITABLE, note, 7), 0);
    CHECK_INT(smw_timer_start(loop, 1000, 0, count, 0, NULL), 0);
    CHECK_INT(smw_timer_start(loop, 1000, 1000, count, 0, NULL), 0);
    smw_listen_options options = {.host = "127.0.0.1"};
    smw_server *server = smw_server_new(loop, NULL);
    int port = smw_server_listen(server, &options);
    CHECK(smw_stream_listen(loop, &options, NULL, NULL, NULL, 0) > 0);
    CHECK(smw_server_listen(smw_server_new(loop, NULL), &options) > 0);
    client c = client_open(port);
    client_say(&c, "GET / HT");
    while (smw_loop_stats(loop)->recvs == 0) smw_loop_run(loop, SMW_RUN_ONCE);
    smw_loop_free(loop);
    client_receive(&c);
    CHECK(c.is_ended);
    client_close(&c);
    close_pair();
}

int main(void)
{
    RUN(test_a_loop_with_nothing_to_wait_for_returns_at_once);
    RUN(test_a_timer_fires_once_and_its_id_is_gone);
    RUN(test_a_repeating_timer_may_stop_itself);
    RUN(test_a_timer_may_stop_others_that_are_due_with_it);
    RUN(test_a_timer_may_start_the_next_without_delay);
    RUN(test_timers_out_of_range_are_refused);
    RUN(test_readiness_is_reported_until_it_is_used_or_forgotten);
    RUN(test_a_hangup_is_readable);
    RUN(test_what_cannot_be_watched_is_refused);
    RUN(test_a_descriptor_forgotten_and_closed_in_a_callback_is_not_reported);
    RUN(test_a_duplicate_of_what_was_closed_before_it_was_forgotten_is_harmless);
    RUN(test_a_callback_cannot_run_its_loop);
    RUN(test_a_wake_up_from_a_thread_ends_the_wait);
    RUN(test_many_wake_ups_before_a_wait_end_one_wait);
    RUN(test_stop_ends_a_run_after_the_round);
    RUN(test_a_signal_ends_a_run_with_eintr);
    RUN(test_free_closes_what_is_still_open);
    return test_report();
}
