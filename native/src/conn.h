/* SPDX-License-Identifier: MIT */
/* conn.h - a connection: input, output under a cork, back-pressure, close.
 *
 * Knows bytes, not HTTP. Its protocol reads when told that there is something to
 * read, and is told once when the connection has gone. */
#ifndef SMW_CONN_H
#define SMW_CONN_H

#include "loop.h"
#include "transport.h"

typedef struct conn conn;

typedef struct conn_protocol {
    /* There is input (`is_readable`), input that was held may go on, or the peer has
     * hung up (`is_hung_up`, told once). */
    void (*on_input)(conn *c);
    /* Everything that waited for the kernel has left. */
    void (*on_drained)(conn *c);
    /* The time asked for by conn_expect is over; NULL for who never asks. */
    void (*on_timeout)(conn *c);
    /* The connection is closed; what the protocol holds must be let go. */
    void (*on_closed)(conn *c);
} conn_protocol;

struct conn {
    watch watch; /* first: the loop frees a conn through it */
    task task;   /* its place in the line of those to be served */
    list link;   /* among the connections of its owner */
    list cork;   /* among those that owe a send */
    timer timer; /* one for all: a connection waits for one thing at a time */
    smw_loop *loop;
    const conn_protocol *protocol;
    const transport *transport;
    buf in;  /* what a read cut in the middle, or what must wait */
    buf out; /* accepted from the application, not yet by the kernel */
    uint64_t generation; /* the last one used; ids up to it end with the connection */
    int64_t since;       /* when what it waits for began, or last went on; loop's `now` */
    uint32_t slot;
    uint32_t send_timeout; /* ms without progress that a blocked output may last; 0: any */
    uint32_t corks;        /* depth: nested callbacks may cork again */
    bool is_readable;      /* an event said so, and it has not been read since */
    bool is_paused;        /* wants no input now */
    bool is_blocked;       /* the kernel's buffer is full: wait for POLL_WRITE */
    bool is_hung_up;       /* the peer sends nothing behind what it has sent */
    bool is_finishing;     /* close once `out` has left */
    bool must_linger;      /* unread input: a plain close would reset the answer */
    bool is_lingering;
    bool is_broken; /* as good as closed: it will be in the next step */
    bool is_closed;
};

/* Take over a descriptor. NULL when memory is short (the descriptor is closed).
 * `size` is that of the protocol's own struct, which begins with a conn. */
conn *conn_new(smw_loop *loop, int fd, size_t size, const conn_protocol *protocol);

/* The connection an id or exchange belongs to, by slot alone; NULL: none. */
static inline conn *conn_at(smw_loop *loop, uint64_t id)
{
    return slots_at(&loop->conns, slot_number(id));
}

/* Read once. Bytes, 0 at the end of the input, or -errno (-EAGAIN: nothing). */
ssize_t conn_read(conn *c, char *into, size_t length);

/* Stop and go on watching for input. Pausing is free until input arrives. */
void conn_pause(conn *c);
void conn_resume(conn *c);

/* Call on_timeout in `timeout_ms`, or before that: whoever is called looks at `since`,
 * and asks again. 0: no effect. So what is begun and ended again costs a comparison. */
void conn_expect(conn *c, uint32_t timeout_ms);

void conn_cork(conn *c);
void conn_uncork(conn *c);

/* Cork until `conn_uncork_all`: the cork of a scatter. */
void conn_cork_for_turn(conn *c);
void conn_uncork_all(smw_loop *loop);

/* Queue bytes; sends them at once when nothing is corked or queued. 0 or -ENOMEM: the
 * connection has gone, or is broken because memory is short. */
int conn_write(conn *c, const char *data, size_t length);

/* Room in the output, to be followed by `conn_commit`. NULL as above. */
char *conn_reserve(conn *c, size_t length);
void conn_commit(conn *c, size_t length);

/* Take what the kernel and then a queue of `high_water` bytes will take. */
size_t conn_write_some(conn *c, const char *data, size_t length, size_t high_water);

/* Close when everything queued has left; input is no longer wanted. */
void conn_finish(conn *c);

/* Close in the next step: what a write does when it finds the peer gone, so that
 * nothing is called back from inside of the application's own calls. */
void conn_break(conn *c);

/* Close now. The struct lives until the end of the step. */
void conn_close(conn *c);

/* Whether there is nobody to write to any more. */
static inline bool conn_is_gone(const conn *c)
{
    return c->is_closed || c->is_broken;
}

#endif
