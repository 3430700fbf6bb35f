/* SPDX-License-Identifier: MIT */
#include "poll.h"

#if defined(SMW_POLL_EPOLL)

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <unistd.h>

int poll_open(poller *p)
{
    p->fd = epoll_create1(EPOLL_CLOEXEC);
    return p->fd < 0 ? -errno : 0;
}

void poll_close(poller *p)
{
    if (p->fd >= 0) close(p->fd);
    p->fd = -1;
}

int poll_set(poller *p, int fd, unsigned old, unsigned events, void *data)
{
    struct epoll_event event = {.data.ptr = data};
    if (events & POLL_READ) event.events |= EPOLLIN;
    if (events & POLL_WRITE) event.events |= EPOLLOUT;
    if (events & POLL_HANGUP) event.events |= EPOLLRDHUP;
    int operation = old == 0      ? EPOLL_CTL_ADD
                    : events == 0 ? EPOLL_CTL_DEL
                                  : EPOLL_CTL_MOD;
    return epoll_ctl(p->fd, operation, fd, &event) == 0 ? 0 : -errno;
}

static unsigned translate(uint32_t events)
{
    if (events & (EPOLLERR | EPOLLHUP)) return POLL_READ | POLL_WRITE | POLL_HANGUP;
    unsigned result = 0;
    if (events & EPOLLIN) result |= POLL_READ;
    if (events & EPOLLOUT) result |= POLL_WRITE;
    if (events & EPOLLRDHUP) result |= POLL_HANGUP;
    return result;
}

int poll_wait(poller *p, poll_event *events, int capacity, int timeout_ms)
{
    struct epoll_event ready[POLL_BATCH];
    if (capacity > POLL_BATCH) capacity = POLL_BATCH;
    int count = epoll_wait(p->fd, ready, capacity, timeout_ms);
    if (count < 0) return -errno;
    for (int i = 0; i < count; i++) {
        events[i].data = ready[i].data.ptr;
        events[i].events = translate(ready[i].events);
    }
    return count;
}

int poll_descriptor(const poller *p)
{
    return p->fd;
}

#else
typedef int poll_epoll_is_not_built; /* ISO C wants a declaration in every file */
#endif
