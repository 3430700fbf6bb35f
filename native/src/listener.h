/* SPDX-License-Identifier: MIT */
/* listener.h - a listening socket that hands out connections. */
#ifndef SMW_LISTENER_H
#define SMW_LISTENER_H

#include "loop.h"
#include "socket_file.h"

typedef struct listener listener;

/* The new descriptor is the callee's. */
typedef void (*listener_fn)(listener *it, int fd);

/* Asked before each accept; `is_waiting`: there is somebody to accept for sure. Who says
 * no then is asked again after a while, or when he calls listener_resume. */
typedef bool (*listener_ask_fn)(listener *it, bool is_waiting);

struct listener {
    watch watch; /* first: the loop frees a listener through it */
    list link;
    timer retry; /* after the process ran out of descriptors, or was told to wait */
    smw_loop *loop;
    listener_ask_fn may_accept; /* NULL: always */
    listener_fn on_accept;
    void *owner;
    socket_file file; /* of a unix socket */
};

/* Listen and append the listener to `owners`. Returns the port (0 for a unix socket),
 * or -errno. */
int listener_open(smw_loop *loop, const smw_listen_options *options,
                  listener_ask_fn may_accept, listener_fn on_accept, void *owner,
                  list *owners);

/* Close the listener and remove its socket file; not if the loop is abandoned, for
 * then the file is the parent's. */
void listener_close(listener *it);

void listener_resume(listener *it);

#endif
