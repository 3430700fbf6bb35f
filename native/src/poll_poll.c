/* SPDX-License-Identifier: MIT */
/* poll_poll.c - poll(2): for systems without anything better, and for tests.
 *
 * The kernel looks at every descriptor at every wait: O(n), fine for some hundreds. */
#include "poll.h"

#if defined(SMW_POLL_POLL)

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#ifndef POLLRDHUP
#define POLLRDHUP 0
#endif

int poll_open(poller *p)
{
    *p = (poller){0};
    return 0;
}

void poll_close(poller *p)
{
    free(p->fds);
    free(p->data);
    free(p->places);
    *p = (poller){0};
}

static int grow(poller *p)
{
    if (p->count < p->capacity) return 0;
    size_t capacity = p->capacity ? p->capacity * 2 : 64;
    struct pollfd *fds = realloc(p->fds, capacity * sizeof *fds);
    if (fds == NULL) return -ENOMEM;
    p->fds = fds;
    void **data = realloc(p->data, capacity * sizeof *data);
    if (data == NULL) return -ENOMEM;
    p->data = data;
    p->capacity = capacity;
    return 0;
}

static int grow_places(poller *p, size_t fd)
{
    if (fd < p->place_count) return 0;
    size_t count = fd + 64;
    size_t *places = realloc(p->places, count * sizeof *places);
    if (places == NULL) return -ENOMEM;
    p->places = places;
    p->place_count = count;
    return 0;
}

static short wanted(unsigned events)
{
    return (short)((events & POLL_READ ? POLLIN : 0) |
                   (events & POLL_WRITE ? POLLOUT : 0) |
                   (events & POLL_HANGUP ? POLLRDHUP : 0));
}

static int add(poller *p, int fd, unsigned events, void *data)
{
    if (grow(p) != 0 || grow_places(p, (size_t)fd) != 0) return -ENOMEM;
    p->fds[p->count] = (struct pollfd){.fd = fd, .events = wanted(events)};
    p->data[p->count] = data;
    p->places[fd] = p->count++;
    return 0;
}

static void drop(poller *p, size_t place)
{
    size_t last = --p->count;
    p->fds[place] = p->fds[last];
    p->data[place] = p->data[last];
    p->places[p->fds[place].fd] = place;
}

int poll_set(poller *p, int fd, unsigned old, unsigned events, void *data)
{
    if (old == 0) return add(p, fd, events, data);
    size_t place = p->places[fd];
    if (events == 0)
        drop(p, place);
    else
        p->fds[place].events = wanted(events);
    return 0;
}

static unsigned translate(short events)
{
    if (events & (POLLERR | POLLHUP | POLLNVAL))
        return POLL_READ | POLL_WRITE | POLL_HANGUP;
    unsigned result = 0;
    if (events & POLLIN) result |= POLL_READ;
    if (events & POLLOUT) result |= POLL_WRITE;
    if (events & POLLRDHUP) result |= POLL_HANGUP;
    return result;
}

int poll_wait(poller *p, poll_event *events, int capacity, int timeout_ms)
{
    int ready = poll(p->fds, (nfds_t)p->count, timeout_ms);
    if (ready < 0) return -errno;
    int found = 0;
    size_t start = p->count > 0 ? p->next % p->count : 0;
    for (size_t i = 0; i < p->count && found < ready && found < capacity; i++) {
        size_t place = (start + i) % p->count;
        if (p->fds[place].revents == 0) continue;
        events[found].data = p->data[place];
        events[found].events = translate(p->fds[place].revents);
        found++;
        p->next = place + 1;
    }
    return found;
}

int poll_descriptor(const poller *p)
{
    (void)p;
    return -1;
}

#else
typedef int poll_poll_is_not_built; /* ISO C wants a declaration in every file */
#endif
