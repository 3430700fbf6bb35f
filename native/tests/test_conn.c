/* SPDX-License-Identifier: MIT */
/* test_conn.c - one connection over a socket pair, with system calls that fail when a
 * test wants them to. */
#include "conn.h"

#include "client.h"

/* What a test wants of the transport: errors to give before it works again. */
static struct {
    int read_error;
    int write_error;
    int failures; /* how often */
    int shutdown_error;
    size_t longest_write; /* 0: no limit */
} faults;

static ssize_t faulty_read(int fd, char *into, size_t length)
{
    if (faults.read_error != 0 && faults.failures-- > 0) return faults.read_error;
    return transport_plain.read(fd, into, length);
}

static ssize_t faulty_write(int fd, const char *data, size_t length)
{
    if (faults.write_error != 0 && faults.failures-- > 0) return faults.write_error;
    if (faults.longest_write > 0 && length > faults.longest_write)
        length = faults.longest_write;
    return transport_plain.write(fd, data, length);
}

static int faulty_shutdown(int fd)
{
    if (faults.shutdown_error != 0) return faults.shutdown_error;
    return transport_plain.shutdown(fd);
}

static void counted_close(int fd);

static const transport transport_faulty = {
    .read = faulty_read,
    .write = faulty_write,
    .shutdown = faulty_shutdown,
    .close = counted_close,
};

static size_t inputs, drained, closed, descriptors_closed;
static char received[65536];
static size_t received_length;
static void (*also_on_input)(void);

static void counted_close(int fd)
{
    descriptors_closed++;
    transport_plain.close(fd);
}

static void on_input(conn *c)
{
    inputs++;
    if (also_on_input != NULL) also_on_input();
    if (c->is_closed || c->is_finishing) return;
    ssize_t count = conn_read(c, received + received_length,
                              sizeof received - received_length);
    if (count == 0) conn_finish(c);
    if (count < 0 && count != -EAGAIN) conn_close(c);
    if (count > 0) received_length += (size_t)count;
}

static void on_drained(conn *c)
{
    (void)c;
    drained++;
}

static void on_closed(conn *c)
{
    (void)c;
    closed++;
}

static const conn_protocol protocol = {
    .on_input = on_input, .on_drained = on_drained, .on_closed = on_closed};

typedef struct line {
    smw_loop *loop;
    conn *c;
    client peer;
} line;

static conn *add_conn(smw_loop *loop, client *peer)
{
    int ends[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    set_nonblocking(ends[0]);
    CHECK_INT(net_forbid_signals(ends[0]), 0);
    *peer = client_of(ends[1]);
    conn *c = conn_new(loop, ends[0], sizeof(conn), &protocol);
    c->transport = &transport_faulty;
    return c;
}

static void line_open(line *l)
{
    memset(&faults, 0, sizeof faults);
    inputs = drained = closed = descriptors_closed = received_length = 0;
    also_on_input = NULL;
    l->loop = smw_loop_new();
    l->c = add_conn(l->loop, &l->peer);
}

/* A conn without an owner is not closed by the loop. */
static void line_close(line *l)
{
    if (closed == 0) conn_close(l->c);
    CHECK_INT(closed, 1);
    CHECK_INT(descriptors_closed, 1);
    client_close(&l->peer);
    smw_loop_free(l->loop);
}

static uint64_t sends(const line *l)
{
    return smw_loop_stats(l->loop)->sends;
}

static char *pattern(size_t length)
{
    char *data = malloc(length);
    for (size_t i = 0; i < length; i++) data[i] = (char)(i * 7 + i / 1000);
    return data;
}

static void check_pattern(const client *peer, size_t length)
{
    char *wanted = pattern(length);
    if (CHECK_INT(peer->length, length)) CHECK(memcmp(peer->data, wanted, length) == 0);
    free(wanted);
}

/* ---- corks ---- */

static void test_corked_writes_leave_as_one_send(void)
{
    line l;
    line_open(&l);
    conn_cork(l.c);
    for (int i = 0; i < 3; i++) CHECK_INT(conn_write(l.c, "abc", 3), 0);
    CHECK_INT(sends(&l), 0);
    conn_uncork(l.c);
    CHECK_INT(sends(&l), 1);
    EXPECT(l.loop, &l.peer, "abcabcabc");
    line_close(&l);
}

static void test_corks_nest(void)
{
    line l;
    line_open(&l);
    conn_cork(l.c);
    conn_cork(l.c);
    conn_write(l.c, "a", 1);
    conn_uncork(l.c);
    conn_write(l.c, "b", 1);
    CHECK_INT(sends(&l), 0);
    conn_uncork(l.c);
    CHECK_INT(sends(&l), 1);
    conn_uncork(l.c); /* one too many means nothing */
    conn_write(l.c, "c", 1);
    CHECK_INT(sends(&l), 2);
    EXPECT(l.loop, &l.peer, "abc");
    line_close(&l);
}

static void test_the_cork_of_a_scatter_adds_to_the_applications_own(void)
{
    line l;
    line_open(&l);
    conn_cork_for_turn(l.c);
    conn_cork_for_turn(l.c);
    conn_cork(l.c);
    conn_write(l.c, "a", 1);
    conn_uncork_all(l.loop);
    CHECK_INT(sends(&l), 0);
    conn_uncork(l.c);
    CHECK_INT(sends(&l), 1);
    conn_cork_for_turn(l.c);
    conn_close(l.c); /* a closed connection owes no send */
    conn_uncork_all(l.loop);
    CHECK_INT(sends(&l), 1);
    line_close(&l);
}

/* ---- output ---- */

static void test_output_over_the_sockets_buffer_arrives_whole_and_in_order(void)
{
    enum { LENGTH = 3000000, PIECE = 30000 };
    char *data = pattern(LENGTH);
    line l;
    line_open(&l);
    for (size_t i = 0; i < LENGTH; i += PIECE)
        CHECK_INT(conn_write(l.c, data + i, PIECE), 0);
    CHECK(sends(&l) < LENGTH / PIECE); /* no attempt while the socket is full */
    run_until(l.loop, &l.peer, LENGTH);
    check_pattern(&l.peer, LENGTH);
    run_until_equal(l.loop, &drained, 1);
    free(data);
    line_close(&l);
}

static void test_a_kernel_that_takes_a_byte_at_a_time_gets_them_all(void)
{
    line l;
    line_open(&l);
    faults.longest_write = 1;
    char *data = pattern(500);
    CHECK_INT(conn_write(l.c, data, 250), 0);
    CHECK_INT(conn_write(l.c, data + 250, 250), 0);
    run_until(l.loop, &l.peer, 500);
    check_pattern(&l.peer, 500);
    CHECK_INT(sends(&l), 500);
    free(data);
    line_close(&l);
}

static void test_interrupted_and_refused_writes_are_tried_again(void)
{
    static const int errors[] = {-EAGAIN, -EINTR};
    for (size_t i = 0; i < 2; i++) {
        line l;
        line_open(&l);
        faults.write_error = errors[i];
        faults.failures = 3;
        CHECK_INT(conn_write(l.c, "hello", 5), 0);
        EXPECT(l.loop, &l.peer, "hello");
        CHECK_INT(sends(&l), 4);
        CHECK_INT(closed, 0);
        line_close(&l);
    }
}

static void test_a_failed_write_closes_the_connection_once(void)
{
    static const int errors[] = {-ECONNRESET, -EPIPE, -ENOBUFS};
    for (size_t i = 0; i < 3; i++) {
        line l;
        line_open(&l);
        faults.write_error = errors[i];
        faults.failures = 1;
        conn_cork(l.c);
        conn_write(l.c, "hello", 5);
        conn_uncork(l.c);
        CHECK_INT(closed, 0); /* nothing is called back from inside a call */
        CHECK_INT(conn_write(l.c, "more", 4), -ENOMEM);
        conn_finish(l.c);
        CHECK(smw_loop_run(l.loop, SMW_RUN_NOWAIT) >= 0);
        CHECK_INT(closed, 1);
        EXPECT_END(l.loop, &l.peer);
        line_close(&l);
    }
}

static void test_writing_to_a_peer_that_left_is_no_signal(void)
{
    line l;
    line_open(&l);
    client_close(&l.peer);
    conn_write(l.c, "hello", 5); /* SIGPIPE would end the program */
    CHECK(smw_loop_run(l.loop, SMW_RUN_NOWAIT) >= 0);
    CHECK_INT(closed, 1);
    line_close(&l);
}

static void test_write_some_takes_up_to_its_high_water_mark(void)
{
    enum { LENGTH = 3000000, HIGH = 100000 };
    char *data = pattern(LENGTH);
    line l;
    line_open(&l);
    conn_cork(l.c); /* does not hold back a large body, nor what is before it */
    conn_write(l.c, data, 10);
    size_t taken = 10 + conn_write_some(l.c, data + 10, LENGTH - 10, HIGH);
    CHECK(taken > HIGH && taken < LENGTH);
    CHECK_INT(buf_length(&l.c->out), HIGH);
    CHECK_INT(conn_write_some(l.c, data + taken, LENGTH - taken, HIGH), 0);
    CHECK_INT(l.c->corks, 1);
    conn_uncork(l.c);
    int64_t deadline = clock_ms() + PATIENCE_MS;
    while (taken < LENGTH && clock_ms() < deadline) {
        client_receive(&l.peer);
        smw_loop_run(l.loop, SMW_RUN_NOWAIT);
        taken += conn_write_some(l.c, data + taken, LENGTH - taken, HIGH);
    }
    run_until(l.loop, &l.peer, LENGTH);
    check_pattern(&l.peer, LENGTH);
    free(data);
    line_close(&l);
}

/* ---- input ---- */

static void test_interrupted_and_empty_reads_are_tried_again(void)
{
    static const int errors[] = {-EAGAIN, -EINTR};
    for (size_t i = 0; i < 2; i++) {
        line l;
        line_open(&l);
        faults.read_error = errors[i];
        faults.failures = 3;
        client_say(&l.peer, "hello");
        run_until_equal(l.loop, &received_length, 5);
        CHECK_INT(inputs, 4);
        line_close(&l);
    }
}

static void test_a_failed_read_closes_the_connection(void)
{
    line l;
    line_open(&l);
    faults.read_error = -ECONNRESET;
    faults.failures = 1;
    client_say(&l.peer, "hello");
    run_until_equal(l.loop, &closed, 1);
    line_close(&l);
}

static void end_of_wait(smw_loop *loop, uint64_t id, uint64_t user)
{
    (void)loop, (void)id, (void)user;
}

static void test_a_paused_connection_is_left_alone_until_it_is_resumed(void)
{
    line l;
    line_open(&l);
    conn_pause(l.c);
    client_say(&l.peer, "hello");
    run_a_while(l.loop);
    CHECK_INT(inputs, 0);
    CHECK(smw_loop_stats(l.loop)->waits <= 5);
    uint64_t waits = smw_loop_stats(l.loop)->waits;
    /* Readiness is level-triggered, and yet this wait lasts until the timer. */
    int64_t before = clock_ms();
    CHECK_INT(smw_timer_start(l.loop, 20, 0, end_of_wait, 0, NULL), 0);
    smw_loop_run(l.loop, SMW_RUN_ONCE);
    CHECK(clock_ms() - before >= 15);
    CHECK_INT(smw_loop_stats(l.loop)->waits, waits + 1);
    conn_resume(l.c);
    run_until_equal(l.loop, &received_length, 5);
    line_close(&l);
}

/* ---- the end ---- */

static void test_finish_waits_for_the_output(void)
{
    enum { LENGTH = 2000000 };
    char *data = pattern(LENGTH);
    line l;
    line_open(&l);
    conn_write(l.c, data, LENGTH);
    conn_finish(l.c);
    CHECK_INT(closed, 0);
    run_until(l.loop, &l.peer, TO_THE_END);
    check_pattern(&l.peer, LENGTH);
    CHECK_INT(closed, 1);
    free(data);
    line_close(&l);
}

static void test_finish_waits_for_the_uncork(void)
{
    line l;
    line_open(&l);
    conn_cork(l.c);
    conn_write(l.c, "bye", 3);
    conn_finish(l.c);
    run_a_while(l.loop);
    CHECK_INT(closed, 0);
    conn_uncork(l.c);
    CHECK_INT(closed, 1);
    EXPECT(l.loop, &l.peer, "bye");
    EXPECT_END(l.loop, &l.peer);
    line_close(&l);
}

static line *finished_by_another;
static char *its_output;
enum { ITS_LENGTH = 2000000 };

static void finish_the_other(void)
{
    also_on_input = NULL;
    conn_write(finished_by_another->c, its_output, ITS_LENGTH);
    conn_finish(finished_by_another->c);
}

static void test_finish_waits_though_the_peers_end_waits_to_be_read(void)
{
    /* The peer sends no more, but reads: its FIN must not cut off what it is owed. It
     * is noted in the same wait that lets another connection finish this one. */
    line l;
    line_open(&l);
    its_output = pattern(ITS_LENGTH);
    finished_by_another = &l;
    also_on_input = finish_the_other;
    client first;
    conn *other = add_conn(l.loop, &first);
    client_say(&first, "x");
    CHECK(shutdown(l.peer.fd, SHUT_WR) == 0);
    run_until(l.loop, &l.peer, TO_THE_END);
    check_pattern(&l.peer, ITS_LENGTH);
    CHECK_INT(closed, 1);
    free(its_output);
    conn_close(other);
    closed = descriptors_closed = 1; /* the line's own */
    client_close(&first);
    line_close(&l);
}

static void test_lingering_reads_away_what_still_comes(void)
{
    line l;
    line_open(&l);
    l.c->must_linger = true;
    conn_write(l.c, "no", 2);
    conn_finish(l.c);
    EXPECT(l.loop, &l.peer, "no");
    EXPECT_END(l.loop, &l.peer); /* half a close: the peer knows, and may go on */
    CHECK_INT(closed, 0);
    client_say(&l.peer, "more and more");
    run_a_while(l.loop);
    CHECK_INT(closed, 0);
    CHECK_INT(received_length, 0);
    CHECK(shutdown(l.peer.fd, SHUT_WR) == 0);
    run_until_equal(l.loop, &closed, 1);
    line_close(&l);
}

static void test_without_a_half_close_there_is_no_lingering(void)
{
    line l;
    line_open(&l);
    faults.shutdown_error = -ENOTCONN;
    l.c->must_linger = true;
    conn_finish(l.c);
    CHECK_INT(closed, 1);
    line_close(&l);
}

int main(void)
{
    RUN(test_corked_writes_leave_as_one_send);
    RUN(test_corks_nest);
    RUN(test_the_cork_of_a_scatter_adds_to_the_applications_own);
    RUN(test_output_over_the_sockets_buffer_arrives_whole_and_in_order);
    RUN(test_a_kernel_that_takes_a_byte_at_a_time_gets_them_all);
    RUN(test_interrupted_and_refused_writes_are_tried_again);
    RUN(test_a_failed_write_closes_the_connection_once);
    RUN(test_writing_to_a_peer_that_left_is_no_signal);
    RUN(test_write_some_takes_up_to_its_high_water_mark);
    RUN(test_interrupted_and_empty_reads_are_tried_again);
    RUN(test_a_failed_read_closes_the_connection);
    RUN(test_a_paused_connection_is_left_alone_until_it_is_resumed);
    RUN(test_finish_waits_for_the_output);
    RUN(test_finish_waits_for_the_uncork);
    RUN(test_finish_waits_though_the_peers_end_waits_to_be_read);
    RUN(test_lingering_reads_away_what_still_comes);
    RUN(test_without_a_half_close_there_is_no_lingering);
    return test_report();
}
