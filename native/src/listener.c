/* SPDX-License-Identifier: MIT */
#include "listener.h"

#include "net.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* A burst may not keep the connections that are open waiting. */
#define ACCEPTS_AT_ONCE 64

/* How long to leave a full process alone; the backlog keeps the clients. */
#define RETRY_MS 100

static void rest(listener *it)
{
    loop_watch(it->loop, &it->watch, 0);
    loop_start_timer(it->loop, &it->retry, RETRY_MS);
}

static void on_retry(timer *t)
{
    listener *it = list_entry(t, listener, retry);
    it->loop->active--; /* the timer's */
    listener_resume(it);
}

static void on_ready(smw_loop *loop, watch *w, unsigned events)
{
    (void)events;
    listener *it = (listener *)w;
    for (int i = 0; i < ACCEPTS_AT_ONCE && w->fd >= 0; i++) {
        if (it->may_accept != NULL && !it->may_accept(it, i == 0)) {
            if (i == 0) rest(it);
            return;
        }
        int fd = net_accept(w->fd);
        /* These are the connection's own failures: it is the next one's turn. */
        if (fd == -ECONNABORTED || fd == -EINTR || fd == -EPROTO || fd == -EPERM) continue;
        if (fd == -EAGAIN || fd == -EWOULDBLOCK) return;
        if (fd < 0) {
            rest(it); /* EMFILE and its like would make a busy loop of this */
            return;
        }
        loop->stats.accepts++;
        it->on_accept(it, fd);
    }
}

static int start(listener *it)
{
    int port = net_port(it->watch.fd);
    int result = port < 0 ? port : loop_watch(it->loop, &it->watch, POLL_READ);
    return result < 0 ? result : port;
}

int listener_open(smw_loop *loop, const smw_listen_options *options,
                  listener_ask_fn may_accept, listener_fn on_accept, void *owner,
                  list *owners)
{
    listener *it = calloc(1, sizeof *it);
    if (it == NULL) return -ENOMEM;
    int fd = options->path != NULL ? socket_file_listen(&it->file, options)
                                   : net_listen(options);
    watch_init(&it->watch, fd, on_ready);
    timer_init(&it->retry, on_retry);
    it->loop = loop;
    it->may_accept = may_accept;
    it->on_accept = on_accept;
    it->owner = owner;
    int result = fd < 0 ? fd : start(it);
    if (result >= 0) {
        list_append(owners, &it->link);
        return result;
    }
    socket_file_remove(&it->file);
    if (fd >= 0) close(fd);
    free(it);
    return result;
}

void listener_resume(listener *it)
{
    loop_stop_timer(it->loop, &it->retry);
    if (loop_watch(it->loop, &it->watch, POLL_READ) != 0) rest(it);
}

void listener_close(listener *it)
{
    int fd = it->watch.fd;
    list_remove(&it->link);
    loop_stop_timer(it->loop, &it->retry);
    loop_retire(it->loop, &it->watch);
    if (!it->loop->is_abandoned) socket_file_remove(&it->file);
    close(fd);
}
