/* SPDX-License-Identifier: MIT */
/* net.h - sockets: every descriptor non-blocking and close-on-exec. */
#ifndef SMW_NET_H
#define SMW_NET_H

#include "smw.h"

/* A new stream socket of a family (AF_*), or -errno. */
int net_open_socket(int family);

/* Make a descriptor non-blocking and close-on-exec. 0 or -errno. */
int net_set_flags(int fd);

/* Listen with a bound socket; a backlog of 0 is the default. 0 or -errno. */
int net_start_listening(int fd, int backlog);

/* Open listening sockets for a TCP address: one that takes IPv6 and IPv4 when no host
 * is given (IPv4 alone where the system has no such thing), else one for the first
 * address of the host that can be bound. The descriptor, or -errno (-EADDRNOTAVAIL for
 * a host that has no address). */
int net_listen(const smw_listen_options *options);

/* The port a socket is bound to, 0 for a unix socket, or -errno. */
int net_port(int fd);

/* The next connection (TCP with TCP_NODELAY, signals forbidden), or -errno: -EAGAIN when
 * there is none. */
int net_accept(int listener);

/* Whether a read would not have to wait: for input, an end or an error. */
bool net_has_input(int fd);

/* The other end of a connection; an IPv4 address in IPv6's clothes comes as IPv4 (RFC
 * 4291 2.5.5.2). 0 or -errno. */
int net_peer(int fd, smw_peer *peer);

/* Let writes to a peer that has left fail without SIGPIPE; no effect on systems where
 * each send asks for that. 0 or -errno. */
int net_forbid_signals(int fd);

/* A pair for waking a wait: write to one, watch the other (they may be the same). */
int net_open_wakeup(int *reader, int *writer);
void net_close_wakeup(int reader, int writer);
void net_wake(int writer);
void net_drain_wakeup(int reader);

#endif
