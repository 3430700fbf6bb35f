/* SPDX-License-Identifier: MIT */
/* client.h - the other end of a test's connections, driven in the same thread as the
 * loop: nothing here blocks for good, and a test that hangs fails after a while. */
#ifndef SMW_TEST_CLIENT_H
#define SMW_TEST_CLIENT_H

#include "net.h"
#include "smw.h"
#include "test.h"
#include "transport.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_MS 10000
#define TO_THE_END SIZE_MAX

typedef struct client {
    int fd;
    bool is_ended; /* the server said that it sends no more */
    int error;     /* errno of a read that failed: a reset connection */
    char *data;    /* what was received */
    size_t length;
    size_t capacity;
} client;

static inline int64_t clock_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static inline void set_nonblocking(int fd)
{
    CHECK(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) == 0);
}

static inline client client_of(int fd)
{
    set_nonblocking(fd);
    CHECK_INT(net_forbid_signals(fd), 0);
    return (client){.fd = fd};
}

static inline client client_open(int port)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(connect(fd, (struct sockaddr *)&address, sizeof address) == 0);
    int one = 1; /* pieces of a request must leave as they are written */
    CHECK(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0);
    return client_of(fd);
}

/* As much as fits into the sockets now. */
static inline size_t client_offer(client *c, const char *data, size_t length)
{
    size_t sent = 0;
    while (sent < length) {
        ssize_t count = transport_plain.write(c->fd, data + sent, length - sent);
        if (count <= 0) break;
        sent += (size_t)count;
    }
    return sent;
}

static inline void client_say_bytes(client *c, const char *data, size_t length)
{
    CHECK_INT(client_offer(c, data, length), length);
}

static inline void client_say(client *c, const char *text)
{
    client_say_bytes(c, text, strlen(text));
}

static inline void client_receive(client *c)
{
    char piece[65536];
    ssize_t count;
    while ((count = recv(c->fd, piece, sizeof piece, 0)) > 0) {
        while (c->capacity < c->length + (size_t)count) {
            c->capacity = c->capacity ? c->capacity * 2 : 4096;
            c->data = realloc(c->data, c->capacity);
        }
        memcpy(c->data + c->length, piece, (size_t)count);
        c->length += (size_t)count;
    }
    if (count == 0) c->is_ended = true;
    if (count < 0 && errno != EAGAIN) c->error = errno;
}

static inline void client_forget(client *c)
{
    free(c->data);
    c->data = NULL;
    c->length = c->capacity = 0;
}

static inline void client_close(client *c)
{
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
    client_forget(c);
}

/* Close with a reset instead of a FIN. */
static inline void client_abort(client *c)
{
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    CHECK(setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once) == 0);
    client_close(c);
}

/* Sleep until the loop or the client has something to do; a millisecond at most,
 * because timers and tasks of the loop do not show in its descriptor. */
static inline void await_event(smw_loop *loop, int fd)
{
    struct pollfd fds[2] = {{.fd = smw_loop_descriptor(loop), .events = POLLIN},
                            {.fd = fd, .events = POLLIN}};
    poll(fds, fd < 0 ? 1 : 2, 1);
}

/* Run the loop until the client has `length` bytes, or until it was hung up on. */
static inline bool run_until(smw_loop *loop, client *c, size_t length)
{
    int64_t deadline = clock_ms() + PATIENCE_MS;
    for (;;) {
        client_receive(c);
        if (c->length >= length || c->is_ended || c->error != 0) return true;
        if (clock_ms() > deadline) return CHECK(clock_ms() <= deadline);
        smw_loop_run(loop, SMW_RUN_NOWAIT);
        await_event(loop, c->fd);
    }
}

/* For answers with a Date in the middle. */
static inline bool client_starts_with(const client *c, const char *text)
{
    return c->length >= strlen(text) && memcmp(c->data, text, strlen(text)) == 0;
}

static inline bool client_ends_with(const client *c, const char *text)
{
    return c->length >= strlen(text) &&
           memcmp(c->data + c->length - strlen(text), text, strlen(text)) == 0;
}

/* Run the loop until `*value` is `wanted`. */
static inline bool run_until_equal(smw_loop *loop, const size_t *value, size_t wanted)
{
    int64_t deadline = clock_ms() + PATIENCE_MS;
    while (*value != wanted) {
        if (clock_ms() > deadline) return check_int(__FILE__, __LINE__, "in time",
                                                    (long long)*value, (long long)wanted);
        smw_loop_run(loop, SMW_RUN_NOWAIT);
        await_event(loop, -1);
    }
    return true;
}

/* A few rounds, so that what should not happen has had its chance. */
static inline void run_a_while(smw_loop *loop)
{
    for (int i = 0; i < 5; i++) {
        smw_loop_run(loop, SMW_RUN_NOWAIT);
        await_event(loop, -1);
    }
}

/* A timer's callback: `user` is the address of a bool. */
static inline void note_due(smw_loop *loop, uint64_t id, uint64_t user)
{
    (void)loop, (void)id;
    *(bool *)(uintptr_t)user = true;
}

/* Run until as much as `wanted` came, compare, and forget it. */
#define EXPECT(loop, c, wanted)                                                         \
    (run_until((loop), (c), strlen(wanted)),                                            \
     test_say_bytes(__FILE__, __LINE__, #c, (c)->data, (c)->length, (wanted),           \
                    strlen(wanted)),                                                    \
     client_forget(c))

#define EXPECT_END(loop, c)                                                             \
    (run_until((loop), (c), TO_THE_END), CHECK_INT((c)->length, 0), CHECK((c)->is_ended))

#endif
