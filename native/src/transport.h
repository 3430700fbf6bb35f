/* SPDX-License-Identifier: MIT */
/* transport.h - how bytes get in and out of a connection.
 *
 * Four entries, so that TLS can take the place of plain sockets, and tests can
 * make system calls fail. */
#ifndef SMW_TRANSPORT_H
#define SMW_TRANSPORT_H

#include <stddef.h>
#include <sys/types.h>

typedef struct transport {
    ssize_t (*read)(int fd, char *into, size_t length);         /* 0: end; -errno */
    ssize_t (*write)(int fd, const char *data, size_t length);  /* -errno */
    int (*shutdown)(int fd);                                    /* no more writes */
    void (*close)(int fd);
} transport;

extern const transport transport_plain;

#endif
