/* SPDX-License-Identifier: MIT */
/* server.c - listeners, options and routes; requests go to callbacks. */
#include "http.h"
#include "listener.h"
#include "router.h"
#include "turn.h"

#include <errno.h>
#include <stdlib.h>

struct smw_server {
    dependent dependent;
    http_host host;
    smw_loop *loop;
    router *router;
    smw_server_callbacks callbacks;
    list listeners;
    list conns;
    size_t conn_count;
    uint32_t miss;
};

static smw_server *server_of(http_host *host)
{
    return list_entry(host, smw_server, host);
}

static void on_request(http_host *host, smw_request *request)
{
    smw_server *server = server_of(host);
    router_match match;
    router_find(server->router, request->method, request->path, &match);
    request->token = match.token != 0 ? match.token : server->miss;
    request->allow = match.allow;
    request->param_count = match.token != 0 ? match.param_count : 0;
    for (size_t i = 0; i < request->param_count; i++) request->params[i] = match.params[i];
    server->callbacks.on_request(server, request, server->callbacks.user);
}

static void on_writable(http_host *host, uint64_t exchange)
{
    smw_server *server = server_of(host);
    if (server->callbacks.on_writable != NULL)
        server->callbacks.on_writable(server, exchange, server->callbacks.user);
}

static void on_aborted(http_host *host, uint64_t exchange)
{
    smw_server *server = server_of(host);
    if (server->callbacks.on_aborted != NULL)
        server->callbacks.on_aborted(server, exchange, server->callbacks.user);
}

static void on_closed(http_host *host)
{
    server_of(host)->conn_count--;
}

static void on_accept(listener *it, int fd)
{
    smw_server *server = it->owner;
    if (http_open(it->loop, fd, &server->host, &server->conns) == 0) server->conn_count++;
}

/* Until somebody listens to requests, they are all answered here. */
static void answer_unserved(smw_server *server, const smw_request *request, void *user)
{
    (void)user;
    smw_answer answer = {.status = 503};
    smw_respond(server->loop, request->exchange, &answer);
}

static uint32_t or_default(uint32_t value, uint32_t fallback, uint32_t most)
{
    if (value == 0) return fallback;
    return value < most ? value : most;
}

static void server_free(dependent *d)
{
    smw_server *server = list_entry(d, smw_server, dependent);
    while (!list_is_empty(&server->listeners))
        listener_close(list_entry(server->listeners.next, listener, link));
    while (!list_is_empty(&server->conns))
        conn_close(list_entry(server->conns.next, conn, link));
    list_remove(&d->link);
    router_free(server->router);
    free(server);
}

smw_server *smw_server_new(smw_loop *loop, const smw_server_options *options)
{
    static const smw_server_options defaults;
    if (options == NULL) options = &defaults;
    smw_server *server = calloc(1, sizeof *server);
    if (server == NULL) return NULL;
    server->router = router_new();
    if (server->router == NULL) {
        free(server);
        return NULL;
    }
    server->loop = loop;
    server->host = (http_host){
        .on_request = on_request,
        .on_writable = on_writable,
        .on_aborted = on_aborted,
        .on_closed = on_closed,
        /* 16 KiB: larger than any browser sends. 64 KiB: what the arena can hold in
         * one piece beside its other guests. */
        .limits = {.max_head = or_default(options->max_head, 16384, 65536),
                   .max_line = or_default(options->max_line, 8192, 65536),
                   .max_fields = or_default(options->max_fields, HTTP_MAX_FIELDS,
                                            HTTP_MAX_FIELDS)},
    };
    server->callbacks.on_request = answer_unserved;
    list_init(&server->listeners);
    list_init(&server->conns);
    dependent_init(loop, &server->dependent, server_free);
    if (loop->batch != NULL) turn_adopt(loop->batch, server);
    return server;
}

void smw_server_free(smw_server *server)
{
    if (server != NULL) server_free(&server->dependent);
}

void smw_server_on(smw_server *server, const smw_server_callbacks *callbacks)
{
    server->callbacks = *callbacks;
}

int smw_server_route(smw_server *server, int method, const char *pattern, size_t length,
                     uint32_t token)
{
    return router_add(server->router, method, (smw_str){pattern, length}, token);
}

void smw_server_miss(smw_server *server, uint32_t token)
{
    server->miss = token;
}

int smw_server_listen(smw_server *server, const smw_listen_options *options)
{
    return listener_open(server->loop, options, on_accept, server, &server->listeners);
}

void smw_server_stop(smw_server *server)
{
    server->host.is_stopping = true;
    while (!list_is_empty(&server->listeners))
        listener_close(list_entry(server->listeners.next, listener, link));
    list *link = server->conns.next;
    while (link != &server->conns) {
        list *next = link->next; /* stopping may unlink this one, and only this one */
        http_stop(list_entry(link, conn, link));
        link = next;
    }
}

size_t smw_server_connections(const smw_server *server)
{
    return server->conn_count;
}

int smw_respond(smw_loop *loop, uint64_t exchange, const smw_answer *answer)
{
    return http_answer(loop, exchange, answer);
}
