/* SPDX-License-Identifier: MIT */
/* test_stream.c - connections without a protocol, as C users see them. */
#include "client.h"

static smw_loop *loop;
static int port;
static uint64_t last_opened, last_data;
static size_t opened, closed, received;
static char input[256];

typedef void (*then_fn)(uint64_t conn);
static then_fn on_next_data, on_next_close;

static void on_open(smw_loop *from, uint64_t conn, uint64_t user)
{
    CHECK(from == loop && user == 42);
    last_opened = conn;
    opened++;
}

static void on_data(smw_loop *from, uint64_t conn, const char *data, size_t length,
                    uint64_t user)
{
    CHECK(from == loop && user == 42);
    last_data = conn;
    if (length < sizeof input) memcpy(input, data, length);
    received += length;
    then_fn then = on_next_data;
    on_next_data = NULL;
    if (then != NULL) then(conn);
}

static void on_close(smw_loop *from, uint64_t conn, uint64_t user)
{
    CHECK(from == loop && user == 42);
    closed++;
    then_fn then = on_next_close;
    on_next_close = NULL;
    if (then != NULL) then(conn);
}

static void begin(void)
{
    opened = closed = received = 0;
    on_next_data = on_next_close = NULL;
    loop = smw_loop_new();
    smw_listen_options options = {.host = "127.0.0.1"};
    port = smw_stream_listen(loop, &options, on_open, on_data, on_close, 42);
    CHECK(port > 0);
}

static client join(void)
{
    client c = client_open(port);
    run_until_equal(loop, &opened, opened + 1);
    return c;
}

static int say(uint64_t conn, const char *text)
{
    return smw_conn_write(loop, conn, text, strlen(text));
}

static void test_bytes_go_in_and_out(void)
{
    begin();
    client c = join();
    client_say(&c, "ping");
    run_until_equal(loop, &received, 4);
    CHECK_STR(((smw_str){input, 4}), "ping");
    CHECK(last_data == last_opened);
    CHECK_INT(say(last_opened, "pong"), 0);
    EXPECT(loop, &c, "pong");
    client_close(&c);
    run_until_equal(loop, &closed, 1);
    smw_loop_free(loop);
}

static void write_three_times(uint64_t conn)
{
    CHECK_INT(smw_conn_cork(loop, conn), 0);
    for (int i = 0; i < 3; i++) {
        CHECK_INT(smw_conn_cork(loop, conn), 0);
        CHECK_INT(say(conn, "abc"), 0);
        CHECK_INT(smw_conn_uncork(loop, conn), 0);
    }
    CHECK_INT(smw_loop_stats(loop)->sends, 0);
    CHECK_INT(smw_conn_uncork(loop, conn), 0);
}

static void test_three_corked_writes_are_one_send(void)
{
    begin();
    client c = join();
    on_next_data = write_three_times;
    client_say(&c, "x");
    EXPECT(loop, &c, "abcabcabc");
    CHECK_INT(smw_loop_stats(loop)->sends, 1);
    client_close(&c);
    smw_loop_free(loop);
}

static void check_gone(uint64_t conn)
{
    CHECK_INT(smw_conn_cork(loop, conn), SMW_EGONE);
    CHECK_INT(smw_conn_uncork(loop, conn), SMW_EGONE);
    CHECK_INT(say(conn, "x"), SMW_EGONE);
    CHECK_INT(smw_conn_close(loop, conn), SMW_EGONE);
}

static void say_bye_and_close(uint64_t conn)
{
    CHECK_INT(smw_conn_cork(loop, conn), 0);
    CHECK_INT(say(conn, "bye"), 0);
    CHECK_INT(smw_conn_close(loop, conn), 0);
    CHECK_INT(say(conn, "too late"), SMW_EGONE);
    CHECK_INT(closed, 0); /* the cork holds it */
    CHECK_INT(smw_conn_uncork(loop, conn), 0);
    CHECK_INT(closed, 1);
    check_gone(conn);
}

static void test_a_callback_may_close_its_own_connection(void)
{
    begin();
    client c = join();
    on_next_data = say_bye_and_close;
    client_say(&c, "x");
    EXPECT(loop, &c, "bye");
    EXPECT_END(loop, &c);
    CHECK_INT(closed, 1);
    client_close(&c);
    smw_loop_free(loop);
}

static uint64_t the_other;

static void close_the_other(uint64_t conn)
{
    (void)conn;
    CHECK_INT(smw_conn_close(loop, the_other), 0);
}

static void test_a_callback_may_close_another_connection(void)
{
    /* Both are ready in the same wait; whichever comes first closes the last one. */
    begin();
    client one = join();
    client two = join();
    the_other = last_opened;
    on_next_data = close_the_other;
    client_say(&one, "x");
    client_say(&two, "y");
    run_until(loop, &two, TO_THE_END);
    /* When its own "y" was not read, the end is a reset. */
    CHECK(two.is_ended || two.error == ECONNRESET);
    CHECK_INT(closed, 1);
    client_close(&one);
    client_close(&two);
    smw_loop_free(loop);
}

static void test_close_waits_for_output_that_the_peer_reads_slowly(void)
{
    enum { LENGTH = 8000000 };
    char *data = malloc(LENGTH);
    for (size_t i = 0; i < LENGTH; i++) data[i] = (char)(i * 7 + i / 1000);
    begin();
    client c = join();
    for (size_t i = 0; i < LENGTH; i += LENGTH / 8)
        CHECK_INT(smw_conn_write(loop, last_opened, data + i, LENGTH / 8), 0);
    CHECK_INT(smw_conn_close(loop, last_opened), 0);
    CHECK_INT(closed, 0);
    CHECK_INT(say(last_opened, "x"), SMW_EGONE);
    run_until(loop, &c, TO_THE_END);
    if (CHECK_INT(c.length, LENGTH)) CHECK(memcmp(c.data, data, LENGTH) == 0);
    run_until_equal(loop, &closed, 1);
    free(data);
    client_close(&c);
    smw_loop_free(loop);
}

static void test_writing_after_the_peer_has_left_ends_in_a_close(void)
{
    begin();
    client c = join();
    uint64_t conn = last_opened;
    client_abort(&c);
    int result = 0;
    for (int i = 0; i < 100 && result == 0; i++) result = say(conn, "x");
    CHECK_INT(result, SMW_EGONE);
    CHECK_INT(closed, 0); /* nothing is called back from inside a call */
    check_gone(conn);
    run_a_while(loop);
    CHECK_INT(closed, 1);
    smw_loop_free(loop);
}

static void test_ids_of_closed_connections_name_nothing_again(void)
{
    begin();
    client c = join();
    uint64_t old = last_opened;
    client_close(&c);
    run_until_equal(loop, &closed, 1);
    check_gone(old);
    c = join();
    CHECK((old & 0xFFFFFF) == (last_opened & 0xFFFFFF)); /* the same slot */
    check_gone(old);
    check_gone(0);
    check_gone(UINT64_MAX);
    CHECK_INT(say(last_opened, "new"), 0);
    EXPECT(loop, &c, "new");
    client_close(&c);
    smw_loop_free(loop);
}

static void test_freeing_the_loop_closes_every_connection_once(void)
{
    begin();
    client one = join();
    client two = join();
    CHECK_INT(say(last_opened, "queued"), 0);
    on_next_close = check_gone; /* the id is dead where its end is told */
    smw_loop_free(loop);
    CHECK_INT(closed, 2);
    client_close(&one);
    client_close(&two);
}

static void test_callbacks_may_be_left_out(void)
{
    smw_loop *bare = smw_loop_new();
    int its_port = smw_stream_listen(bare, &(smw_listen_options){.host = "127.0.0.1"},
                                     NULL, NULL, NULL, 0);
    client c = client_open(its_port);
    client_say(&c, "anyone?");
    CHECK(shutdown(c.fd, SHUT_WR) == 0);
    EXPECT_END(bare, &c);
    client_close(&c);
    smw_loop_free(bare);
}

int main(void)
{
    RUN(test_bytes_go_in_and_out);
    RUN(test_three_corked_writes_are_one_send);
    RUN(test_a_callback_may_close_its_own_connection);
    RUN(test_a_callback_may_close_another_connection);
    RUN(test_close_waits_for_output_that_the_peer_reads_slowly);
    RUN(test_writing_after_the_peer_has_left_ends_in_a_close);
    RUN(test_ids_of_closed_connections_name_nothing_again);
    RUN(test_freeing_the_loop_closes_every_connection_once);
    RUN(test_callbacks_may_be_left_out);
    return test_report();
}
