/* SPDX-License-Identifier: MIT */
/* poll.h - the five calls of a readiness back end.
 *
 * Level-triggered. One of poll_*.c is compiled in; the others are empty. */
#ifndef SMW_POLL_H
#define SMW_POLL_H

/* The build may choose one; else the best that the system has. */
#if !defined(SMW_POLL_EPOLL) && !defined(SMW_POLL_KQUEUE) && !defined(SMW_POLL_POLL)
#if defined(__linux__)
#define SMW_POLL_EPOLL 1
#elif defined(__APPLE__) || defined(__FreeBSD__) || defined(__OpenBSD__) || \
    defined(__NetBSD__) || defined(__DragonFly__)
#define SMW_POLL_KQUEUE 1
#else
#define SMW_POLL_POLL 1
#endif
#endif

#include <stddef.h>
#include <sys/types.h>

/* POLL_HANGUP: the peer sends no more (FIN), though input may wait in front of its end.
 * It is reported when it is of interest, be POLL_READ of interest or not. poll(2) cannot
 * tell it where POLLRDHUP is missing; kqueue, without POLL_READ, tells it once.
 *
 * Of interest or not, an error is reported as all three: try and see. So is the end of
 * both directions, though kqueue may leave out what is not of interest. */
enum {
    POLL_READ = 1,
    POLL_WRITE = 2,
    POLL_HANGUP = 4,
};

#define POLL_BATCH 256 /* events of one wait: bounds what one turn can owe */

typedef struct poll_event {
    void *data;
    unsigned events;
} poll_event;

#if defined(SMW_POLL_EPOLL)
typedef struct poller {
    int fd;
} poller;
#elif defined(SMW_POLL_KQUEUE)
typedef struct poller {
    int fd;
    pid_t process;            /* whose descriptor it is: children do not inherit it */
    unsigned char *interests; /* by descriptor */
    size_t interest_count;
} poller;
#else
typedef struct poller {
    struct pollfd *fds; /* the first `count` are watched, in no order */
    void **data;        /* beside them */
    size_t *places;     /* by descriptor: its place in `fds` */
    size_t count;
    size_t capacity;
    size_t place_count;
    size_t next; /* where the next look begins: everybody is first at times */
} poller;
#endif

/* 0 or -errno. */
int poll_open(poller *p);
void poll_close(poller *p);

/* Change the events of interest from `old` to `events`; 0 means not watched.
 * `data` comes back with the events, and is another for each descriptor. 0 or -errno:
 * then the interest is what it was. */
int poll_set(poller *p, int fd, unsigned old, unsigned events, void *data);

/* Wait at most `timeout_ms` (-1: no limit). The number of events, one a descriptor, or
 * -errno; 0 may come early. */
int poll_wait(poller *p, poll_event *events, int capacity, int timeout_ms);

/* A descriptor that is readable when events wait; -1 when there is none. */
int poll_descriptor(const poller *p);

#endif
