/* SPDX-License-Identifier: MIT */
/* site_full.h - a site with few places for connections. */
#ifndef SMW_TEST_SITE_FULL_H
#define SMW_TEST_SITE_FULL_H

#include "site.h"

enum { MOST = 3 };

#define OK_HEAD "HTTP/1.1 200 OK\r\nContent-Length: "
#define LAST_ECHO(path, length) OK_HEAD length "\r\nConnection: close\r\n\r\n" path
#define LAST_ACCEPTED \
    "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

/* Exchanges that were left open, in the order they came. */
static uint64_t late[64];
static size_t late_count;

static inline bool begins_with(const smw_request *request, const char *text)
{
    return request->path.length >= strlen(text) &&
           memcmp(request->path.data, text, strlen(text)) == 0;
}

static inline void serve(smw_server *server, const smw_request *request, void *user)
{
    if (begins_with(request, "/late"))
        late[late_count++] = request->exchange;
    else
        site_echo(server, request, user);
}

static inline void open_small(site *s, uint32_t most)
{
    late_count = 0;
    site_open_with(s, serve, &(smw_server_options){.max_connections = most});
}

static inline void answer_late(site *s, size_t i)
{
    CHECK_INT(site_answer(s, late[i], 202, 0, "", ""), 0);
}

/* Fill the server with clients that have open requests. */
static inline void open_busy(site *s, client *clients, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        clients[i] = client_open(s->port);
        client_say(&clients[i], GET("/late"));
        run_until_equal(s->loop, &late_count, i + 1); /* in the order of `late` */
    }
}

static inline void close_all(client *clients, size_t count)
{
    for (size_t i = 0; i < count; i++) client_close(&clients[i]);
}

static inline size_t ended(client *clients, size_t count)
{
    size_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        client_receive(&clients[i]);
        sum += clients[i].is_ended;
    }
    return sum;
}

#endif
