/* SPDX-License-Identifier: MIT */
#include "transport.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

/* Not on every macOS: net_forbid_signals does it there. */
#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif

static ssize_t plain_read(int fd, char *into, size_t length)
{
    ssize_t count = recv(fd, into, length, 0);
    return count < 0 ? -errno : count;
}

static ssize_t plain_write(int fd, const char *data, size_t length)
{
    ssize_t count = send(fd, data, length, MSG_NOSIGNAL);
    return count < 0 ? -errno : count;
}

static int plain_shutdown(int fd)
{
    return shutdown(fd, SHUT_WR) == 0 ? 0 : -errno;
}

static void plain_close(int fd)
{
    close(fd);
}

const transport transport_plain = {
    .read = plain_read,
    .write = plain_write,
    .shutdown = plain_shutdown,
    .close = plain_close,
};
