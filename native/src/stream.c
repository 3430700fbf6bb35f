/* SPDX-License-Identifier: MIT */
/* stream.c - connections that hand their bytes to callbacks as they come. */
#include "conn.h"
#include "listener.h"

#include <errno.h>
#include <stdlib.h>

#define READ_MOST 65536

typedef struct stream_host {
    dependent dependent;
    smw_loop *loop;
    list listeners;
    list conns;
    smw_open_fn on_open;
    smw_data_fn on_data;
    smw_close_fn on_close;
    uint64_t user;
} stream_host;

typedef struct stream {
    conn conn;
    stream_host *host;
} stream;

static uint64_t id_of(const conn *c)
{
    return slot_id(c->slot, c->generation);
}

static void on_input(conn *c)
{
    stream_host *host = ((stream *)c)->host;
    char data[READ_MOST];
    ssize_t count = conn_read(c, data, sizeof data);
    if (count == -EAGAIN) return;
    if (count < 0) {
        conn_close(c);
        return;
    }
    if (count == 0)
        conn_finish(c);
    else if (host->on_data != NULL)
        host->on_data(c->loop, id_of(c), data, (size_t)count, host->user);
}

static void on_drained(conn *c)
{
    (void)c;
}

static void on_closed(conn *c)
{
    stream_host *host = ((stream *)c)->host;
    if (host->on_close != NULL) host->on_close(c->loop, id_of(c), host->user);
}

static const conn_protocol protocol = {
    .on_input = on_input,
    .on_drained = on_drained,
    .on_closed = on_closed,
};

static void on_accept(listener *it, int fd)
{
    stream_host *host = it->owner;
    conn *c = conn_new(it->loop, fd, sizeof(stream), &protocol);
    if (c == NULL) return;
    ((stream *)c)->host = host;
    list_append(&host->conns, &c->link);
    if (host->on_open != NULL) host->on_open(it->loop, id_of(c), host->user);
}

static void host_free(dependent *d)
{
    stream_host *host = list_entry(d, stream_host, dependent);
    while (!list_is_empty(&host->listeners))
        listener_close(list_entry(host->listeners.next, listener, link));
    while (!list_is_empty(&host->conns))
        conn_close(list_entry(host->conns.next, conn, link));
    list_remove(&d->link);
    free(host);
}

int smw_stream_listen(smw_loop *loop, const smw_listen_options *options,
                      smw_open_fn on_open, smw_data_fn on_data, smw_close_fn on_close,
                      uint64_t user)
{
    stream_host *host = calloc(1, sizeof *host);
    if (host == NULL) return -ENOMEM;
    host->loop = loop;
    host->on_open = on_open;
    host->on_data = on_data;
    host->on_close = on_close;
    host->user = user;
    list_init(&host->listeners);
    list_init(&host->conns);
    dependent_init(loop, &host->dependent, host_free);
    int port = listener_open(loop, options, NULL, on_accept, host, &host->listeners);
    if (port < 0) host_free(&host->dependent);
    return port;
}
