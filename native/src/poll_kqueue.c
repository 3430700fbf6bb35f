/* SPDX-License-Identifier: MIT */
/* poll_kqueue.c - macOS and the BSDs.
 *
 * The kernel knows filters, not interests: EVFILT_READ tells of input and of its end
 * alike. So the interest is kept here, and decides what of an event is reported. */
#include "poll.h"

#if defined(SMW_POLL_KQUEUE)

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/event.h>
#include <sys/time.h>
#include <unistd.h>

int poll_open(poller *p)
{
    *p = (poller){.fd = kqueue(), .process = getpid()};
    if (p->fd < 0) return -errno;
    return fcntl(p->fd, F_SETFD, FD_CLOEXEC) < 0 ? -errno : 0;
}

void poll_close(poller *p)
{
    /* A child of fork has no such descriptor: its number may be somebody else's. */
    if (p->fd >= 0 && p->process == getpid()) close(p->fd);
    free(p->interests);
    *p = (poller){.fd = -1};
}

/* ---- interests ---- */

static int grow(poller *p, size_t fd)
{
    if (fd < p->interest_count) return 0;
    size_t count = fd + 64;
    unsigned char *interests = realloc(p->interests, count);
    if (interests == NULL) return -ENOMEM;
    memset(interests + p->interest_count, 0, count - p->interest_count);
    p->interests = interests;
    p->interest_count = count;
    return 0;
}

/* The flags that a filter is added with; 0: it is not wanted. */
static unsigned short input_flags(unsigned events)
{
    if (events & POLL_READ) return EV_ADD;
    /* Input that nobody reads must not be reported again and again. */
    return events & POLL_HANGUP ? EV_ADD | EV_CLEAR : 0;
}

static unsigned short output_flags(unsigned events)
{
    return events & POLL_WRITE ? EV_ADD : 0;
}

static int change(const poller *p, struct kevent filter, unsigned short flags)
{
    filter.flags = flags;
    return kevent(p->fd, &filter, 1, NULL, 0, NULL) == 0 ? 0 : -errno;
}

static int set_filter(const poller *p, struct kevent filter, unsigned short old,
                      unsigned short flags)
{
    if (old == flags) return 0;
    /* Adding again would leave EV_CLEAR in force on some systems. A filter that is not
     * there has gone with its descriptor. */
    if (old != 0) (void)change(p, filter, EV_DELETE);
    return flags == 0 ? 0 : change(p, filter, flags);
}

int poll_set(poller *p, int fd, unsigned old, unsigned events, void *data)
{
    if (grow(p, (size_t)fd) != 0) return -ENOMEM;
    struct kevent input = {.ident = (uintptr_t)fd, .filter = EVFILT_READ, .udata = data};
    struct kevent output = input;
    output.filter = EVFILT_WRITE;
    int result = set_filter(p, input, input_flags(old), input_flags(events));
    if (result == 0)
        result = set_filter(p, output, output_flags(old), output_flags(events));
    if (result == 0)
        p->interests[fd] = (unsigned char)events;
    else
        (void)set_filter(p, input, input_flags(events), input_flags(old));
    return result;
}

/* ---- events ---- */

static unsigned translate(const struct kevent *it, unsigned interest)
{
    if (it->flags & EV_EOF && it->fflags != 0) /* an errno */
        return POLL_READ | POLL_WRITE | POLL_HANGUP;
    if (it->filter == EVFILT_WRITE) return POLL_WRITE; /* the end of output, too */
    return (it->flags & EV_EOF ? POLL_READ | POLL_HANGUP : POLL_READ) & interest;
}

/* Where the event of a descriptor goes: to the one of its other filter, when that is
 * there. Only a descriptor with both filters pays for the look. */
static int place_of(const poll_event *events, int count, const void *data,
                    unsigned interest)
{
    if (output_flags(interest) == 0 || input_flags(interest) == 0) return count;
    int place = 0;
    while (place < count && events[place].data != data) place++;
    return place;
}

int poll_wait(poller *p, poll_event *events, int capacity, int timeout_ms)
{
    struct kevent ready[POLL_BATCH];
    struct timespec limit = {timeout_ms / 1000, timeout_ms % 1000 * 1000000L};
    /* Short, because kevent takes an int here and a size_t there. */
    unsigned short room = capacity < POLL_BATCH ? (unsigned short)capacity : POLL_BATCH;
    int count = kevent(p->fd, NULL, 0, ready, room, timeout_ms < 0 ? NULL : &limit);
    if (count < 0) return -errno;
    int found = 0;
    for (int i = 0; i < count; i++) {
        unsigned interest = p->interests[ready[i].ident];
        unsigned seen = translate(&ready[i], interest);
        if (seen == 0) continue;
        int place = place_of(events, found, ready[i].udata, interest);
        if (place == found) events[found++] = (poll_event){.data = ready[i].udata};
        events[place].events |= seen;
    }
    return found;
}

int poll_descriptor(const poller *p)
{
    return p->fd;
}

#else
typedef int poll_kqueue_is_not_built; /* ISO C wants a declaration in every file */
#endif
