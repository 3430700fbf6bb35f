/* SPDX-License-Identifier: MIT */
#include "net.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#if defined(__linux__)
#include <sys/eventfd.h>
#endif

/* More than a burst of 1,000 clients; the kernel cuts it to its own limit. */
#define DEFAULT_BACKLOG 4096

/* FreeBSD gives every connection to one of those that share a port by SO_REUSEPORT. */
#if defined(SO_REUSEPORT_LB)
#define SHARE_PORT SO_REUSEPORT_LB
#else
#define SHARE_PORT SO_REUSEPORT
#endif

int net_set_flags(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) return -errno;
    return fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ? -errno : 0;
}

static int close_with(int fd, int error)
{
    close(fd);
    return error;
}

static int set_option(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof value) == 0 ? 0 : -errno;
}

int net_open_socket(int family)
{
    int fd = socket(family, SOCK_STREAM, 0);
    if (fd < 0) return -errno;
    int result = net_set_flags(fd);
    return result != 0 ? close_with(fd, result) : fd;
}

int net_start_listening(int fd, int backlog)
{
    return listen(fd, backlog > 0 ? backlog : DEFAULT_BACKLOG) == 0 ? 0 : -errno;
}

static int prepare(int fd, const smw_listen_options *options, int family)
{
    int result = set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (result == 0 && options->reuse_port)
        result = set_option(fd, SOL_SOCKET, SHARE_PORT, 1);
    if (result == 0 && family == AF_INET6)
        result = set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, options->host != NULL);
    return result;
}

static int listen_at(const struct sockaddr *address, socklen_t length,
                     const smw_listen_options *options)
{
    int fd = net_open_socket(address->sa_family);
    if (fd < 0) return fd;
    int result = prepare(fd, options, address->sa_family);
    if (result == 0 && bind(fd, address, length) != 0) result = -errno;
    if (result == 0) result = net_start_listening(fd, options->backlog);
    return result != 0 ? close_with(fd, result) : fd;
}

static int listen_everywhere(const smw_listen_options *options)
{
    struct sockaddr_in6 six = {.sin6_family = AF_INET6,
                               .sin6_port = htons((uint16_t)options->port)};
    six.sin6_addr = in6addr_any;
    int fd = listen_at((struct sockaddr *)&six, sizeof six, options);
    /* A machine without IPv6, or OpenBSD, where no socket takes both (EINVAL): any other
     * failure would be the same for IPv4. */
    if (fd != -EAFNOSUPPORT && fd != -EADDRNOTAVAIL && fd != -EINVAL) return fd;
    struct sockaddr_in four = {.sin_family = AF_INET,
                               .sin_port = htons((uint16_t)options->port)};
    return listen_at((struct sockaddr *)&four, sizeof four, options);
}

int net_listen(const smw_listen_options *options)
{
    if (options->port < 0 || options->port > 65535) return -EINVAL;
    if (options->host == NULL) return listen_everywhere(options);
    char port[8];
    snprintf(port, sizeof port, "%d", options->port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int problem = getaddrinfo(options->host, port, &hints, &found);
    if (problem != 0) return problem == EAI_MEMORY ? -ENOMEM : -EADDRNOTAVAIL;
    int fd = -EADDRNOTAVAIL;
    for (struct addrinfo *it = found; it != NULL && fd < 0; it = it->ai_next)
        fd = listen_at(it->ai_addr, it->ai_addrlen, options);
    freeaddrinfo(found);
    return fd;
}

int net_port(int fd)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &length) != 0) return -errno;
    if (address.ss_family == AF_UNIX) return 0;
    if (address.ss_family == AF_INET6)
        return ntohs(((struct sockaddr_in6 *)&address)->sin6_port);
    return ntohs(((struct sockaddr_in *)&address)->sin_port);
}

int net_forbid_signals(int fd)
{
#if defined(__APPLE__)
    return set_option(fd, SOL_SOCKET, SO_NOSIGPIPE, 1);
#else
    (void)fd; /* each send says it, with MSG_NOSIGNAL */
    return 0;
#endif
}

int net_accept(int listener)
{
    struct sockaddr peer = {.sa_family = AF_UNSPEC}; /* cut short: the family will do */
    socklen_t length = sizeof peer;
#if defined(__linux__)
    int fd = accept4(listener, &peer, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return -errno;
#else
    int fd = accept(listener, &peer, &length);
    if (fd < 0) return -errno;
    int result = net_set_flags(fd);
    if (result != 0) return close_with(fd, result);
#endif
    /* macOS refuses it when the peer has gone already. */
    if (net_forbid_signals(fd) != 0) return close_with(fd, -ECONNABORTED);
    /* Answers leave corked, so Nagle could only delay them. A failure means that
     * the peer has gone, which the first read will tell. */
    if (peer.sa_family != AF_UNIX) (void)set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    return fd;
}

bool net_has_input(int fd)
{
    struct pollfd it = {.fd = fd, .events = POLLIN};
    return poll(&it, 1, 0) > 0;
}

static bool is_mapped(const uint8_t *six)
{
    static const uint8_t prefix[12] = {[10] = 0xff, [11] = 0xff};
    return memcmp(six, prefix, sizeof prefix) == 0;
}

int net_peer(int fd, smw_peer *peer)
{
    struct sockaddr_storage found;
    socklen_t length = sizeof found;
    if (getpeername(fd, (struct sockaddr *)&found, &length) != 0) return -errno;
    *peer = (smw_peer){0};
    if (found.ss_family == AF_INET) {
        const struct sockaddr_in *four = (struct sockaddr_in *)&found;
        memcpy(peer->address, &four->sin_addr, 4);
        peer->length = 4;
        peer->port = ntohs(four->sin_port);
    } else if (found.ss_family == AF_INET6) {
        const struct sockaddr_in6 *six = (struct sockaddr_in6 *)&found;
        const uint8_t *bytes = (const uint8_t *)&six->sin6_addr;
        peer->length = is_mapped(bytes) ? 4 : 16;
        memcpy(peer->address, bytes + 16 - peer->length, peer->length);
        peer->port = ntohs(six->sin6_port);
    }
    return 0;
}

int net_open_wakeup(int *reader, int *writer)
{
#if defined(__linux__)
    *reader = *writer = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return *reader < 0 ? -errno : 0;
#else
    int pair[2];
    if (pipe(pair) != 0) return -errno;
    int result = net_set_flags(pair[0]);
    if (result == 0) result = net_set_flags(pair[1]);
    if (result != 0) {
        close(pair[0]);
        return close_with(pair[1], result);
    }
    *reader = pair[0];
    *writer = pair[1];
    return 0;
#endif
}

void net_close_wakeup(int reader, int writer)
{
    if (reader >= 0) close(reader);
    if (writer >= 0 && writer != reader) close(writer);
}

void net_wake(int writer)
{
    int saved = errno; /* this may run in a signal handler */
    uint64_t one = 1;
    /* A full pipe or counter has a wake-up in it already. */
    ssize_t written = write(writer, &one, sizeof one);
    (void)written;
    errno = saved;
}

void net_drain_wakeup(int reader)
{
    uint64_t taken[64];
    while (read(reader, taken, sizeof taken) == (ssize_t)sizeof taken) continue;
}
