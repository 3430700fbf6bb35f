/*
 * The least an HTTP/1.1 server in C must do for "GET /": wait with epoll, one
 * recv, find the end of every head that arrived, answer all of them in one send.
 * It parses nothing and routes nothing, so no server reached from Python can be
 * cheaper; it is the yardstick for CPU time a request.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANSWER                                                                  \
    "HTTP/1.1 200 OK\r\n"                                                       \
    "Content-Type: text/plain\r\n"                                              \
    "Content-Length: 13\r\n"                                                    \
    "\r\n"                                                                      \
    "Hello, World!"
#define ANSWER_SIZE (sizeof ANSWER - 1)
#define HEAD_END "\r\n\r\n"
#define HEAD_END_SIZE (sizeof HEAD_END - 1)
#define INPUT_SIZE 16384
#define EVENTS 256

struct connection {
    int fd;
    size_t used;
    char input[INPUT_SIZE];
};

/* Large enough for the shortest heads that could fill one input buffer. */
static char output[INPUT_SIZE / HEAD_END_SIZE * ANSWER_SIZE];

static int listen_on(int port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0 ||
        listen(fd, 1024) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static void accept_one(int epoll, int listener)
{
    int on = 1;
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    struct connection *conn;
    struct epoll_event event = {.events = EPOLLIN};

    if (fd < 0)
        return;
    conn = malloc(sizeof *conn);
    if (conn == NULL) {
        close(fd);
        return;
    }
    conn->fd = fd;
    conn->used = 0;
    event.data.ptr = conn;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
        close(fd);
        free(conn);
    }
}

/* Answer every complete head and keep the rest; return the bytes to send. */
static size_t answer_heads(struct connection *conn)
{
    char *head = conn->input;
    char *limit = conn->input + conn->used;
    char *end;
    size_t size = 0;

    while ((end = memmem(head, (size_t)(limit - head), HEAD_END, HEAD_END_SIZE))) {
        memcpy(output + size, ANSWER, ANSWER_SIZE);
        size += ANSWER_SIZE;
        head = end + HEAD_END_SIZE;
    }
    conn->used = (size_t)(limit - head);
    if (conn->used > 0 && head != conn->input)
        memmove(conn->input, head, conn->used);
    return size;
}

/* Return 0 when the connection is to be closed. */
static int serve(struct connection *conn)
{
    ssize_t got = recv(conn->fd, conn->input + conn->used,
                       INPUT_SIZE - conn->used, 0);
    size_t size;

    if (got < 0)
        return errno == EAGAIN || errno == EINTR;
    if (got == 0)
        return 0;
    conn->used += (size_t)got;
    size = answer_heads(conn);
    /* A short send closes: the client then reports it instead of hanging. */
    if (size > 0 && send(conn->fd, output, size, MSG_NOSIGNAL) != (ssize_t)size)
        return 0;
    return conn->used < INPUT_SIZE;
}

int main(int argc, char **argv)
{
    struct epoll_event events[EVENTS];
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    int listener = argc == 2 ? listen_on(atoi(argv[1])) : -1;
    int epoll = epoll_create1(EPOLL_CLOEXEC);

    if (listener < 0 || epoll < 0 ||
        epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) < 0) {
        perror("ceiling PORT");
        return 1;
    }
    for (;;) {
        int ready = epoll_wait(epoll, events, EVENTS, -1);

        for (int i = 0; i < ready; i++) {
            struct connection *conn = events[i].data.ptr;

            if (conn == NULL) {
                accept_one(epoll, listener);
            } else if (!serve(conn)) {
                close(conn->fd);
                free(conn);
            }
        }
    }
}
