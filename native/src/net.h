/* SPDX-License-Identifier: MIT */
/* net.h - sockets: every descriptor non-blocking and close-on-exec. */
#ifndef SMW_NET_H
#define SMW_NET_H

#include "smw.h"

/* Open listening sockets for an address: one that takes IPv6 and IPv4 when no host
 * is given, else one for the first address of the host that can be bound. The
 * descriptor, or -errno (-EADDRNOTAVAIL for a host that has no address). */
int net_listen(const smw_listen_options *options);

/* The port a socket is bound to, or -errno. */
int net_port(int fd);

/* The next connection (TCP_NODELAY set), or -errno: -EAGAIN when there is none. */
int net_accept(int listener);

/* A pair for waking a wait: write to one, watch the other (they may be the same). */
int net_open_wakeup(int *reader, int *writer);
void net_close_wakeup(int reader, int writer);
void net_wake(int writer);
void net_drain_wakeup(int reader);

#endif
