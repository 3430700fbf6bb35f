/* SPDX-License-Identifier: MIT */
/* server.c - listeners, options and routes; requests go to callbacks. */
#include "http.h"
#include "listener.h"
#include "net.h"
#include "router.h"
#include "turn.h"

#include <errno.h>
#include <stdlib.h>

/* As much as a form with a few photographs. */
#define DEFAULT_MAX_BODY (16 * 1024 * 1024)

struct smw_server {
    dependent dependent;
    http_host host;
    smw_loop *loop;
    router *router;
    smw_server_callbacks callbacks;
    list listeners;
    list conns;
    size_t conn_count;
    size_t max_conns;
    bool is_stopping;
    bool is_held;         /* nobody is let in, for the application is not ready */
    bool is_crowded;      /* as many connections as allowed, none of them idle */
    uint64_t max_body;
    uint64_t *max_bodies; /* by token: one more than the route's own; 0: it has none */
    size_t max_body_count;
    uint32_t miss;
};

static smw_server *server_of(http_host *host)
{
    return list_entry(host, smw_server, host);
}

static uint64_t max_body_of(const smw_server *server, uint32_t token)
{
    if (token >= server->max_body_count || server->max_bodies[token] == 0)
        return server->max_body;
    return server->max_bodies[token] - 1;
}

static uint64_t route(http_host *host, smw_request *request)
{
    smw_server *server = server_of(host);
    router_match match;
    router_find(server->router, request->method, request->path, 0, &match);
    request->token = match.token != 0 ? match.token : server->miss;
    request->allow = match.allow;
    request->param_count = match.token != 0 ? match.param_count : 0;
    for (size_t i = 0; i < request->param_count; i++) request->params[i] = match.params[i];
    return max_body_of(server, request->token);
}

static void on_request(http_host *host, const smw_request *request)
{
    smw_server *server = server_of(host);
    server->callbacks.on_request(server, request, server->callbacks.user);
}

static void on_data(http_host *host, uint64_t exchange, smw_str piece, bool is_last)
{
    smw_server *server = server_of(host);
    if (server->callbacks.on_data != NULL)
        server->callbacks.on_data(server, exchange, piece, is_last, server->callbacks.user);
}

static void on_writable(http_host *host, uint64_t exchange)
{
    smw_server *server = server_of(host);
    if (server->callbacks.on_writable != NULL)
        server->callbacks.on_writable(server, exchange, server->callbacks.user);
}

static void on_aborted(http_host *host, uint64_t exchange, int status)
{
    smw_server *server = server_of(host);
    if (server->callbacks.on_aborted != NULL)
        server->callbacks.on_aborted(server, exchange, status, server->callbacks.user);
}

/* ---- how many connections ---- */

/* Connections that are looked at for an idle one at each accept: a bound on what a crowd
 * costs. Who was looked at goes to the end of the line. */
#define LOOKS 64

static bool close_an_idle_one(smw_server *server)
{
    for (int i = 0; i < LOOKS; i++) {
        conn *c = list_entry(server->conns.next, conn, link);
        list_remove(&c->link);
        list_append(&server->conns, &c->link);
        if (!http_may_leave(c)) continue;
        http_stop(c);
        break;
    }
    return server->conn_count < server->max_conns;
}

static void let_in(smw_server *server)
{
    for (list *link = server->listeners.next; link != &server->listeners; link = link->next)
        listener_resume(list_entry(link, listener, link));
}

static void set_crowded(smw_server *server, bool is_crowded)
{
    server->is_crowded = is_crowded;
    /* So that those who wait outside get in as soon as somebody was answered. */
    server->host.closes_all = is_crowded || server->is_stopping;
    if (!is_crowded) let_in(server);
}

static bool may_accept(listener *it, bool is_waiting)
{
    smw_server *server = it->owner;
    if (server->is_held) return false;
    if (server->max_conns == 0 || server->conn_count < server->max_conns) return true;
    if (!is_waiting) return false;
    if (close_an_idle_one(server)) return true;
    set_crowded(server, true);
    return false;
}

void smw_server_hold(smw_server *server, bool holds)
{
    server->is_held = holds;
    if (!holds) let_in(server);
}

static void on_closed(http_host *host)
{
    smw_server *server = server_of(host);
    server->conn_count--;
    if (server->is_crowded && server->conn_count < server->max_conns)
        set_crowded(server, false);
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

static uint32_t timeout(uint32_t value, uint32_t fallback)
{
    if (value == 0) return fallback;
    return value < SMW_NEVER ? value : 0;
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
    free(server->max_bodies);
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
        .route = route,
        .on_request = on_request,
        .on_data = on_data,
        .on_writable = on_writable,
        .on_aborted = on_aborted,
        .on_closed = on_closed,
        /* 16 KiB: larger than any browser sends. 64 KiB: what the arena can hold in
         * one piece beside its other guests. */
        .limits = {.max_head = or_default(options->max_head, 16384, 65536),
                   .max_line = or_default(options->max_line, 8192, 65536),
                   .max_fields = or_default(options->max_fields, HTTP_MAX_FIELDS,
                                            HTTP_MAX_FIELDS)},
        .timeouts = {.head = timeout(options->head_timeout, 10000),
                     .body = timeout(options->body_timeout, 60000),
                     .idle = timeout(options->idle_timeout, 60000),
                     .send = timeout(options->send_timeout, 60000),
                     .answer = timeout(options->answer_timeout, 0)},
        .half_close = options->half_close,
    };
    server->max_body = options->max_body != 0 ? options->max_body : DEFAULT_MAX_BODY;
    server->max_conns = options->max_connections;
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

int smw_server_max_body(smw_server *server, uint32_t token, uint64_t max_body)
{
    if (token > SLOT_MASK) return -EINVAL; /* tokens are numbered, not chosen at will */
    if (token >= server->max_body_count) {
        size_t count = (size_t)token + 64;
        uint64_t *table = realloc(server->max_bodies, count * sizeof *table);
        if (table == NULL) return -ENOMEM;
        size_t known = server->max_body_count;
        memset(table + known, 0, (count - known) * sizeof *table);
        server->max_bodies = table;
        server->max_body_count = count;
    }
    server->max_bodies[token] = max_body < UINT64_MAX ? max_body + 1 : UINT64_MAX;
    return 0;
}

uint32_t smw_server_match(const smw_server *server, int method, const char *path,
                          size_t length, uint32_t skip, uint32_t *params)
{
    router_match match;
    router_find(server->router, method, (smw_str){path, length}, skip, &match);
    memset(params, 0, 2 * SMW_MAX_PARAMS * sizeof *params);
    for (size_t i = 0; i < match.param_count; i++) {
        params[2 * i] = (uint32_t)(match.params[i].data - path);
        params[2 * i + 1] = params[2 * i] + (uint32_t)match.params[i].length;
    }
    return match.token;
}

void smw_server_miss(smw_server *server, uint32_t token)
{
    server->miss = token;
}

int smw_server_listen(smw_server *server, const smw_listen_options *options)
{
    return listener_open(server->loop, options, may_accept, on_accept, server,
                         &server->listeners);
}

int smw_server_adopt(smw_server *server, int fd)
{
    int result = net_set_flags(fd);
    if (result == 0) result = net_forbid_signals(fd);
    if (result != 0) {
        transport_plain.close(fd);
        return result;
    }
    result = http_open(server->loop, fd, &server->host, &server->conns);
    if (result == 0) server->conn_count++;
    return result;
}

void smw_server_stop(smw_server *server)
{
    server->is_stopping = server->host.closes_all = true;
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

int smw_read(smw_loop *loop, uint64_t exchange, bool wants)
{
    loop_read_clock(loop); /* the callback may have taken its time */
    return http_read(loop, exchange, wants);
}

int smw_respond(smw_loop *loop, uint64_t exchange, const smw_answer *answer)
{
    loop_read_clock(loop);
    return http_answer(loop, exchange, answer);
}
