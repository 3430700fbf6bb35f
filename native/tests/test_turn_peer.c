/* SPDX-License-Identifier: MIT */
/* test_turn_peer.c - whose request it is that an id names, or that it names none; and
 * connections that are handed in. */
#include "desk.h"

#include "http.h"
#include "loop.h"

#include <sys/un.h>

/* ---- peer ---- */

static const uint8_t localhost[4] = {127, 0, 0, 1};

static int own_port(int fd)
{
    int port = net_port(fd);
    CHECK(port > 0);
    return port;
}

static void test_the_peer_is_known_by_address_and_port(void)
{
    /* At an address of IPv4, and at all of them: there it comes by IPv6, mapped. */
    static const char *hosts[] = {"127.0.0.1", NULL};
    for (size_t i = 0; i < 2; i++) {
        desk d;
        desk_open(&d);
        int port = smw_server_listen(d.server, &(smw_listen_options){.host = hosts[i]});
        client c = client_open(port);
        uint64_t id = desk_ask(&d, &c, GET("/a"));
        smw_peer peer;
        memset(&peer, 0xff, sizeof peer);
        CHECK_INT(smw_exchange_peer(d.batch, id, &peer), 0);
        CHECK_INT(peer.length, 4);
        CHECK(memcmp(peer.address, localhost, 4) == 0);
        CHECK_INT(peer.port, own_port(c.fd));
        DESK_EXPECT(&d, &c, ECHO("/a", "2"));
        CHECK_INT(smw_exchange_peer(d.batch, id, &peer), SMW_EGONE);
        client_close(&c);
        desk_close(&d);
    }
}

static void test_a_peer_by_ipv6_is_known_by_its_16_bytes(void)
{
    desk d;
    desk_open(&d);
    int port = smw_server_listen(d.server, &(smw_listen_options){.host = "::1"});
    if (port < 0) {
        printf("no IPv6 on this machine: not tested\n");
        desk_close(&d);
        return;
    }
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    struct sockaddr_in6 address = {.sin6_family = AF_INET6,
                                   .sin6_port = htons((uint16_t)port),
                                   .sin6_addr = in6addr_loopback};
    CHECK(connect(fd, (struct sockaddr *)&address, sizeof address) == 0);
    client c = client_of(fd);
    uint64_t id = desk_ask(&d, &c, GET("/a"));
    smw_peer peer = {0};
    CHECK_INT(smw_exchange_peer(d.batch, id, &peer), 0);
    CHECK_INT(peer.length, 16);
    CHECK(memcmp(peer.address, &in6addr_loopback, 16) == 0);
    CHECK_INT(peer.port, own_port(c.fd));
    DESK_EXPECT(&d, &c, ECHO("/a", "2"));
    client_close(&c);
    desk_close(&d);
}

static void test_a_peer_at_a_unix_socket_has_no_address(void)
{
    char folder[] = "/tmp/smw-test-XXXXXX";
    CHECK(mkdtemp(folder) != NULL);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s/socket", folder);
    desk d;
    desk_open(&d);
    smw_listen_options options = {.path = address.sun_path};
    CHECK_INT(smw_server_listen(d.server, &options), 0);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK(connect(fd, (struct sockaddr *)&address, sizeof address) == 0);
    client c = client_of(fd);
    uint64_t id = desk_ask(&d, &c, GET("/a"));
    smw_peer peer;
    memset(&peer, 0xff, sizeof peer);
    CHECK_INT(smw_exchange_peer(d.batch, id, &peer), 0);
    CHECK_INT(peer.length, 0);
    CHECK_INT(peer.port, 0);
    DESK_EXPECT(&d, &c, ECHO("/a", "2"));
    client_close(&c);
    desk_close(&d);
    CHECK_INT(rmdir(folder), 0); /* the socket's file has gone with its listener */
}

static void test_a_peer_that_has_gone_already_has_no_address_left(void)
{
    desk d;
    desk_open(&d);
    client c = client_open(d.port);
    uint64_t id = desk_ask(&d, &c, GET("/a"));
    struct pollfd it = {.fd = http_conn_of(d.loop, id)->watch.fd, .events = POLLIN};
    client_abort(&c);
    CHECK_INT(poll(&it, 1, PATIENCE_MS), 1); /* the reset has come, and nobody looked */
    smw_peer peer;
    int result = smw_exchange_peer(d.batch, id, &peer);
    CHECK(result < 0 && result != SMW_EGONE); /* ENOTCONN, or EINVAL on macOS */
    desk_expect_aborted(&d, id, 0);
    desk_close(&d);
}

/* ---- ids of nothing ---- */

#define EXPECT_GONE(d, id) expect_gone(__LINE__, (d), (id))

static void expect_gone(int line, desk *d, uint64_t id)
{
    smw_peer peer = {.length = 77};
    check_int(__FILE__, line, "close", smw_exchange_close(d->batch, id), SMW_EGONE);
    check_int(__FILE__, line, "peer", smw_exchange_peer(d->batch, id, &peer), SMW_EGONE);
    check_int(__FILE__, line, "peer's length", peer.length, 77);
    check_int(__FILE__, line, "backlog", smw_exchange_backlog(d->batch, id), SMW_EGONE);
    int64_t sent = smw_exchange_send(d->batch, id, "x", 1, 1);
    check_int(__FILE__, line, "send", sent, SMW_EGONE);
    check_int(__FILE__, line, "read", smw_exchange_read(d->batch, id, true), SMW_EGONE);
}

static uint64_t stream_id;

static void on_stream(smw_loop *loop, uint64_t id, uint64_t user)
{
    (void)loop;
    (void)user;
    stream_id = id;
}

static void test_an_id_that_names_no_exchange_is_gone(void)
{
    const uint64_t step = (uint64_t)SMW_SLOT_MASK + 1;
    desk d;
    desk_open(&d);
    EXPECT_GONE(&d, 0);
    EXPECT_GONE(&d, 1);
    EXPECT_GONE(&d, UINT64_MAX);
    client c = client_open(d.port);
    uint64_t id = desk_ask(&d, &c, GET("/a"));
    EXPECT_GONE(&d, id + step); /* the next one of its connection */
    EXPECT_GONE(&d, id - step);
    EXPECT_GONE(&d, id + 1); /* the next slot */
    DESK_EXPECT(&d, &c, ECHO("/a", "2"));
    EXPECT_GONE(&d, id + step);
    EXPECT_GONE(&d, id - step);
    client_say(&c, GET("/b"));
    DESK_EXPECT(&d, &c, ECHO("/b", "2")); /* none of it did any harm */

    smw_listen_options options = {.host = "127.0.0.1"};
    stream_id = 0;
    int port = smw_stream_listen(d.loop, &options, on_stream, NULL, NULL, 0);
    client other = client_open(port);
    int64_t deadline = clock_ms() + PATIENCE_MS;
    while (stream_id == 0 && CHECK(clock_ms() <= deadline)) desk_turn(&d, 1, 64);
    EXPECT_GONE(&d, stream_id);
    CHECK_INT(smw_conn_close(d.loop, stream_id), 0);
    client_close(&other);
    client_close(&c);
    desk_close(&d);
}

static void test_an_id_of_an_earlier_connection_does_not_name_the_next_in_its_slot(void)
{
    enum { SILENT, ASKED, ANSWERED, STATES };
    for (int state = 0; state < STATES; state++) {
        desk d;
        desk_open(&d);
        client earlier = client_open(d.port);
        uint64_t first = desk_ask(&d, &earlier, GET("/a"));
        DESK_EXPECT(&d, &earlier, ECHO("/a", "2"));
        uint64_t old = desk_ask(&d, &earlier, GET("/b"));
        client_abort(&earlier);
        desk_expect_aborted(&d, old, 0);
        EXPECT_GONE(&d, old);

        client c = client_open(d.port);
        desk_await_connections(&d, 1);
        if (state >= ASKED) {
            uint64_t id = desk_ask(&d, &c, GET("/c"));
            CHECK_INT(id & SMW_SLOT_MASK, old & SMW_SLOT_MASK);
        }
        if (state == ANSWERED) DESK_EXPECT(&d, &c, ECHO("/c", "2"));
        EXPECT_GONE(&d, old);
        EXPECT_GONE(&d, first);
        if (state == ASKED) DESK_EXPECT(&d, &c, ECHO("/c", "2"));
        client_say(&c, GET("/d"));
        DESK_EXPECT(&d, &c, ECHO("/d", "2"));
        client_close(&c);
        desk_close(&d);
    }
}

/* ---- adopt ---- */

static void test_an_adopted_end_is_served_like_a_connection(void)
{
    int ends[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    desk d;
    desk_open(&d);
    client c = client_of(ends[1]);
    client_say(&c, GET("/early")); /* before anybody looks */
    CHECK_INT(smw_server_adopt(d.server, ends[0]), 0);
    CHECK(fcntl(ends[0], F_GETFL) & O_NONBLOCK);
    CHECK(fcntl(ends[0], F_GETFD) & FD_CLOEXEC);
    CHECK_INT(smw_server_connections(d.server), 1);
    DESK_EXPECT(&d, &c, ECHO("/early", "6"));
    client_say(&c, GET("/a") GET("/b"));
    DESK_EXPECT(&d, &c, ECHO("/a", "2") ECHO("/b", "2"));
    uint64_t id = desk_ask(&d, &c, GET("/c"));
    smw_peer peer = {.length = 77};
    CHECK_INT(smw_exchange_peer(d.batch, id, &peer), 0);
    CHECK_INT(peer.length, 0);
    client_close(&c);
    desk_expect_aborted(&d, id, 0);
    CHECK_INT(smw_server_connections(d.server), 0);
    CHECK(fcntl(ends[0], F_GETFD) < 0 && errno == EBADF); /* the server's to close */
    desk_close(&d);
}

static void test_an_adopted_connection_of_tcp_is_served_beside_those_that_came(void)
{
    desk d;
    desk_open(&d);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(bind(listener, (struct sockaddr *)&address, sizeof address) == 0);
    CHECK(listen(listener, 1) == 0);
    client c = client_open(net_port(listener));
    int fd = accept(listener, NULL, NULL);
    CHECK(fd >= 0);
    CHECK_INT(smw_server_adopt(d.server, fd), 0);
    client other = client_open(d.port);
    client_say(&other, GET("/other"));
    client_say(&c, GET("/a"));
    DESK_EXPECT(&d, &c, ECHO("/a", "2"));
    DESK_EXPECT(&d, &other, ECHO("/other", "6"));
    CHECK_INT(smw_server_connections(d.server), 2);
    client_close(&c);
    client_close(&other);
    close(listener);
    desk_close(&d);
}

static void test_an_adopted_end_is_closed_with_its_server(void)
{
    int ends[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    desk d;
    desk_open(&d);
    CHECK_INT(smw_server_adopt(d.server, ends[0]), 0);
    smw_server_free(d.server);
    char byte;
    CHECK_INT(read(ends[1], &byte, 1), 0);
    close(ends[1]);
    desk_close(&d);
}

static void test_what_is_no_descriptor_is_not_adopted(void)
{
    desk d;
    desk_open(&d);
    int closed = dup(0);
    CHECK(closed >= 0);
    close(closed);
    CHECK_INT(smw_server_adopt(d.server, closed), -EBADF);
    CHECK_INT(smw_server_adopt(d.server, -1), -EBADF);
    CHECK_INT(smw_server_connections(d.server), 0);
    client c = client_open(d.port);
    client_say(&c, GET("/a"));
    DESK_EXPECT(&d, &c, ECHO("/a", "2"));
    client_close(&c);
    desk_close(&d);
}

int main(void)
{
    RUN(test_the_peer_is_known_by_address_and_port);
    RUN(test_a_peer_by_ipv6_is_known_by_its_16_bytes);
    RUN(test_a_peer_at_a_unix_socket_has_no_address);
    RUN(test_a_peer_that_has_gone_already_has_no_address_left);
    RUN(test_an_id_that_names_no_exchange_is_gone);
    RUN(test_an_id_of_an_earlier_connection_does_not_name_the_next_in_its_slot);
    RUN(test_an_adopted_end_is_served_like_a_connection);
    RUN(test_an_adopted_connection_of_tcp_is_served_beside_those_that_came);
    RUN(test_an_adopted_end_is_closed_with_its_server);
    RUN(test_what_is_no_descriptor_is_not_adopted);
    return test_report();
}
