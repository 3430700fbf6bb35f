/* SPDX-License-Identifier: MIT */
/* test_net.c - listening and accepting, with the kernel's own refusals. */
#include "net.h"

#include "client.h"

#include <arpa/inet.h>
#include <sys/resource.h>

static smw_listen_options at(const char *host, int port)
{
    return (smw_listen_options){.host = host, .port = port};
}

static bool has_flags(int fd)
{
    return (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0 && (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0;
}

/* A connection that the kernel has completed, or -1. */
static int connect_v6(int port)
{
    struct sockaddr_in6 address = {.sin6_family = AF_INET6,
                                   .sin6_port = htons((uint16_t)port),
                                   .sin6_addr = in6addr_loopback};
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    if (fd < 0) return -1;
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd;
    close(fd);
    return -1;
}

static bool machine_has_v6(void)
{
    struct sockaddr_in6 address = {.sin6_family = AF_INET6,
                                   .sin6_addr = in6addr_loopback};
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    bool has = fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0;
    if (fd >= 0) close(fd);
    if (!has) printf("this machine has no IPv6: its half is not tested\n");
    return has;
}

static int accept_soon(int listener)
{
    struct pollfd ready = {.fd = listener, .events = POLLIN};
    CHECK(poll(&ready, 1, PATIENCE_MS) == 1);
    return net_accept(listener);
}

static void test_port_0_lets_the_kernel_choose(void)
{
    smw_listen_options options = at("127.0.0.1", 0);
    int one = net_listen(&options), two = net_listen(&options);
    CHECK(net_port(one) > 0 && net_port(two) > 0);
    CHECK(net_port(one) != net_port(two));
    close(one);
    close(two);
    CHECK_INT(net_port(one), -EBADF);
}

static void test_without_a_host_both_families_are_served(void)
{
    smw_listen_options options = at(NULL, 0);
    int listener = net_listen(&options);
    if (!CHECK(listener >= 0)) return;
    client four = client_open(net_port(listener));
    int fd = accept_soon(listener);
    CHECK(fd >= 0);
    close(fd);
    client_close(&four);
    if (machine_has_v6()) {
        int six = connect_v6(net_port(listener));
        CHECK(six >= 0);
        fd = accept_soon(listener);
        CHECK(fd >= 0);
        close(fd);
        close(six);
    }
    close(listener);
}

static void test_a_host_of_one_family_serves_that_family(void)
{
    if (!machine_has_v6()) return;
    int six = -1, four = -1;
    /* The same port is free for IPv4, for the first socket takes IPv6 alone; unless
     * somebody else on this machine has it. */
    for (int tries = 0; four < 0 && tries < 10; tries++) {
        if (six >= 0) close(six);
        smw_listen_options options = at("::1", 0);
        six = net_listen(&options);
        CHECK(six >= 0);
        options = at("127.0.0.1", net_port(six));
        four = net_listen(&options);
    }
    CHECK(four >= 0);
    int fd = connect_v6(net_port(six));
    CHECK(fd >= 0);
    close(fd);
    close(four);
    close(six);
}

static void test_a_port_in_use_is_said_to_be(void)
{
    smw_listen_options options = at("127.0.0.1", 0);
    int first = net_listen(&options);
    options.port = net_port(first);
    CHECK_INT(net_listen(&options), -EADDRINUSE);
    close(first);
    options = at(NULL, 0);
    first = net_listen(&options);
    options.port = net_port(first);
    CHECK_INT(net_listen(&options), -EADDRINUSE);
    close(first);
}

static void test_reuse_port_lets_two_listen_at_one_port(void)
{
    smw_listen_options options = at("127.0.0.1", 0);
    options.reuse_port = true;
    int first = net_listen(&options);
    options.port = net_port(first);
    int second = net_listen(&options);
    CHECK(second >= 0);
    CHECK_INT(net_port(second), net_port(first));
    close(first);
    close(second);
}

static void test_addresses_that_are_not_here_are_not_available(void)
{
    smw_listen_options options = at("192.0.2.1", 0); /* RFC 5737: nobody's */
    CHECK_INT(net_listen(&options), -EADDRNOTAVAIL);
    /* A label of 70 bytes is no name, so no resolver is asked. */
    options.host = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                   "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example";
    CHECK_INT(net_listen(&options), -EADDRNOTAVAIL);
    options = at("127.0.0.1", -1);
    CHECK_INT(net_listen(&options), -EINVAL);
    options.port = 65536;
    CHECK_INT(net_listen(&options), -EINVAL);
}

static void test_every_descriptor_is_non_blocking_and_closed_on_exec(void)
{
    smw_listen_options options = at("127.0.0.1", 0);
    int listener = net_listen(&options);
    CHECK(has_flags(listener));
    CHECK_INT(net_accept(listener), -EAGAIN);
    client c = client_open(net_port(listener));
    int fd = accept_soon(listener);
    CHECK(has_flags(fd));
    int no_delay = 0;
    socklen_t size = sizeof no_delay;
    CHECK(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &no_delay, &size) == 0 && no_delay);
    int reader, writer;
    CHECK_INT(net_open_wakeup(&reader, &writer), 0);
    CHECK(has_flags(reader) && has_flags(writer));
    net_close_wakeup(reader, writer);
    smw_loop *loop = smw_loop_new();
    CHECK(fcntl(smw_loop_descriptor(loop), F_GETFD) & FD_CLOEXEC);
    smw_loop_free(loop);
    client_close(&c);
    close(fd);
    close(listener);
}

static void test_a_listener_that_cannot_be_opened_is_reported_by_its_server(void)
{
    smw_loop *loop = smw_loop_new();
    smw_server *server = smw_server_new(loop, NULL);
    smw_listen_options options = at("127.0.0.1", 0);
    options.port = smw_server_listen(server, &options);
    CHECK(options.port > 0);
    CHECK_INT(smw_server_listen(server, &options), -EADDRINUSE);
    CHECK_INT(smw_stream_listen(loop, &options, NULL, NULL, NULL, 0), -EADDRINUSE);
    smw_loop_free(loop);
}

/* ---- out of descriptors ---- */

static size_t opened;

static void on_open(smw_loop *loop, uint64_t conn, uint64_t user)
{
    (void)user;
    opened++;
    smw_conn_write(loop, conn, "hello", 5);
}

static void stop(smw_loop *loop, uint64_t timer, uint64_t user)
{
    (void)timer, (void)user;
    smw_loop_stop(loop);
}

static void test_a_process_out_of_descriptors_rests_and_then_serves(void)
{
    smw_loop *loop = smw_loop_new();
    smw_listen_options options = at("127.0.0.1", 0);
    int port = smw_stream_listen(loop, &options, on_open, NULL, NULL, 0);
    client c = client_open(port);
    struct rlimit before, none;
    CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
    none = before;
    none.rlim_cur = (rlim_t)c.fd + 1; /* all that is open stays so */
    CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
    CHECK_INT(smw_timer_start(loop, 250, 0, stop, 0, NULL), 0);
    CHECK_INT(smw_loop_run(loop, SMW_RUN_DEFAULT), 1);
    CHECK_INT(opened, 0);
    CHECK(smw_loop_stats(loop)->waits < 15); /* a spinning loop makes 100,000 of them */
    CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
    EXPECT(loop, &c, "hello");
    CHECK_INT(opened, 1);
    client_close(&c);
    smw_loop_free(loop);
}

int main(void)
{
    RUN(test_port_0_lets_the_kernel_choose);
    RUN(test_without_a_host_both_families_are_served);
    RUN(test_a_host_of_one_family_serves_that_family);
    RUN(test_a_port_in_use_is_said_to_be);
    RUN(test_reuse_port_lets_two_listen_at_one_port);
    RUN(test_addresses_that_are_not_here_are_not_available);
    RUN(test_every_descriptor_is_non_blocking_and_closed_on_exec);
    RUN(test_a_listener_that_cannot_be_opened_is_reported_by_its_server);
    RUN(test_a_process_out_of_descriptors_rests_and_then_serves);
    return test_report();
}
