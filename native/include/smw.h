/* SPDX-License-Identifier: MIT */
/* smw.h - the public C API of the core.
 *
 * Two doors into the same house. C programs give callbacks: a loop with timers,
 * watched descriptors and streams, and an HTTP server on top. Python uses the
 * batch: `smw_turn` gathers what the callbacks would have said into memory that
 * Python owns, and scatters all answers that Python left in one go.
 *
 * A function that can fail returns a negative number: minus errno for a failed
 * system call, or one of the SMW_E* below. Everything belongs to the thread that
 * made the loop; `smw_loop_wake` alone may be called from any thread or signal
 * handler. Nothing is global: a program may run any number of loops. */
#ifndef SMW_H
#define SMW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* cffi:begin  (from here to cffi:end the text is also the binding's cdef) */

enum {
    SMW_EGONE = -1001,  /* the id names nothing that still lives */
    SMW_EBUSY = -1002,  /* the last batch has not been taken yet */
    SMW_EORDER = -1003, /* an exchange before this one is still unanswered */
    SMW_EPATTERN = -1004, /* a route's pattern is malformed */
    SMW_EEXIST = -1005,   /* this method and pattern are taken */
    SMW_ELIMIT = -1006,   /* over a fixed capacity */
    SMW_ERECORD = -1007,  /* an outbox record is malformed */
};

typedef struct smw_loop smw_loop;
typedef struct smw_server smw_server;
typedef struct smw_batch smw_batch;

/* What the loop asked of the kernel so far. */
typedef struct smw_stats {
    uint64_t waits;   /* epoll_wait and its like */
    uint64_t accepts;
    uint64_t recvs;
    uint64_t sends;
} smw_stats;

/* ---- the loop --------------------------------------------------------------- */

enum { SMW_RUN_DEFAULT, SMW_RUN_ONCE, SMW_RUN_NOWAIT };
enum { SMW_READABLE = 1, SMW_WRITABLE = 2 };

/* NULL when memory or descriptors are short (errno says which). */
smw_loop *smw_loop_new(void);

/* Close every connection, listener and timer of the loop. NULL is accepted. Not from
 * a callback of the loop. */
void smw_loop_free(smw_loop *loop);

/* Free a loop in a child of fork: everything is closed there, and nothing that the
 * parent goes on with is touched. For the thread that forked, if the loop is its. */
void smw_loop_abandon(smw_loop *loop);

/* Run callbacks: until stopped or nothing is left to wait for (DEFAULT), for one
 * wait (ONCE), or for what is ready now (NOWAIT). Returns 1 when it could go on,
 * 0 when nothing is left, or an error: SMW_EBUSY in a callback of the same loop. */
int smw_loop_run(smw_loop *loop, int mode);

/* Make `smw_loop_run` return after the callbacks of this round. */
void smw_loop_stop(smw_loop *loop);

/* End the current or the next wait. From any thread and any signal handler. */
void smw_loop_wake(smw_loop *loop);

const smw_stats *smw_loop_stats(const smw_loop *loop);

/* The readiness descriptor, for running inside another loop. */
int smw_loop_descriptor(const smw_loop *loop);

typedef void (*smw_timer_fn)(smw_loop *loop, uint64_t timer, uint64_t user);
typedef void (*smw_watch_fn)(smw_loop *loop, int fd, unsigned events, uint64_t user);

/* Call `on_due` after `delay_ms`, then every `repeat_ms` when that is not 0.
 * `*timer` receives the id; a timer that does not repeat is gone once it fired. */
int smw_timer_start(smw_loop *loop, uint64_t delay_ms, uint64_t repeat_ms,
                    smw_timer_fn on_due, uint64_t user, uint64_t *timer);
int smw_timer_stop(smw_loop *loop, uint64_t timer);

/* Whether the id still names a timer. */
bool smw_timer_is_running(const smw_loop *loop, uint64_t timer);

/* Report readiness of `fd`, level-triggered; `events` 0 forgets it. The caller
 * keeps the descriptor and must forget it before closing it. */
int smw_watch_set(smw_loop *loop, int fd, unsigned events, smw_watch_fn on_ready,
                  uint64_t user);

/* ---- listening -------------------------------------------------------------- */

typedef struct smw_listen_options {
    const char *host; /* NULL: every address, IPv6 and IPv4 */
    int port;         /* 0: the kernel chooses */
    int backlog;      /* 0: 4096 */
    bool reuse_port;  /* SO_REUSEPORT: several processes, one port */
    const char *path; /* of a unix socket; host and port are then not used */
    unsigned mode;    /* of the socket file, such as 0660; 0: as the umask says */
} smw_listen_options;

/* A unix socket has 0 for its port. Its file goes when the listener is closed, unless
 * another has taken its place; one that was left by a dead process is replaced. An empty
 * path, or one with `reuse_port`, is -EINVAL; one too long for a socket -ENAMETOOLONG;
 * one that somebody listens at -EADDRINUSE; one of something else -EEXIST. */

/* ---- streams: connections without a protocol ---------------------------------- */

typedef void (*smw_open_fn)(smw_loop *loop, uint64_t conn, uint64_t user);
typedef void (*smw_data_fn)(smw_loop *loop, uint64_t conn, const char *data,
                            size_t length, uint64_t user);
typedef void (*smw_close_fn)(smw_loop *loop, uint64_t conn, uint64_t user);

/* Listen and hand every connection to the callbacks. Returns the port. */
int smw_stream_listen(smw_loop *loop, const smw_listen_options *options,
                      smw_open_fn on_open, smw_data_fn on_data, smw_close_fn on_close,
                      uint64_t user);

/* Each returns 0, SMW_EGONE for an id that names nothing, or an error. Between
 * cork and uncork (they nest) writes are gathered and leave as one send. */
int smw_conn_cork(smw_loop *loop, uint64_t conn);
int smw_conn_uncork(smw_loop *loop, uint64_t conn);
int smw_conn_write(smw_loop *loop, uint64_t conn, const char *data, size_t length);

/* Close once everything written has left. */
int smw_conn_close(smw_loop *loop, uint64_t conn);

/* ---- the HTTP server ---------------------------------------------------------- */

enum {
    SMW_GET, SMW_POST, SMW_PUT, SMW_DELETE, SMW_PATCH, SMW_HEAD, SMW_OPTIONS,
    SMW_CONNECT, SMW_TRACE,
    SMW_METHODS,              /* how many have a number */
    SMW_OTHER = SMW_METHODS,  /* a method without one: only `any` routes see it */
    SMW_ANY,                  /* in smw_server_route: every method */
};

/* What a peer may take. Zero means the default. */
typedef struct smw_server_options {
    uint32_t max_head;   /* bytes of a request head, at most 64 KiB; 16 KiB */
    uint32_t max_line;   /* bytes of a request line; 8 KiB */
    uint32_t max_fields; /* header fields, at most 100; 100 */
    uint64_t max_body;   /* bytes of a request body; 16 MiB */
    uint32_t max_connections; /* open at once; none */
    /* Milliseconds; SMW_NEVER for no limit. */
    uint32_t head_timeout;   /* from a head's first byte to its last; 10 s, then 408 */
    uint32_t body_timeout;   /* without a byte of a body that is read; 60 s, then 408 */
    uint32_t idle_timeout;   /* between requests; 60 s */
    uint32_t send_timeout;   /* without a byte taken of an answer; 60 s */
    uint32_t answer_timeout; /* from a request to its answer, and between the pieces of
                              * that; never, else 503 */
    bool half_close; /* a peer's end of sending does not abort what is open */
} smw_server_options;

enum { SMW_NEVER = 0x7FFFFFFF };

/* Free closes listeners and connections of this server. */
smw_server *smw_server_new(smw_loop *loop, const smw_server_options *options);
void smw_server_free(smw_server *server);

/* Send requests for `pattern` to `token`. A pattern is a path whose segments may
 * be `:name` (one non-empty segment) or, at its end, `*` (any rest). Of several
 * that match, a static segment wins over `:name`, and `:name` over `*`. */
int smw_server_route(smw_server *server, int method, const char *pattern,
                     size_t length, uint32_t token);

/* Let bodies of requests for the route with this token, of at most 24 bits, have
 * `max_body` bytes. 0, -EINVAL or -ENOMEM. */
int smw_server_max_body(smw_server *server, uint32_t token, uint64_t max_body);

/* Look up a path as requests' are, for a method of theirs (SMW_GET... or SMW_OTHER).
 * Returns the token of the match number `skip`, from 0 and in the order of precedence,
 * or 0 when there are not so many. For one pattern the method's own route goes first,
 * for HEAD then that of GET, then that of SMW_ANY. `params` has room for
 * 2 * SMW_MAX_PARAMS numbers and receives the places of the parameters in `path`, as
 * pairs (start, end); the rest of it is 0, which is no start: paths begin with "/". */
uint32_t smw_server_match(const smw_server *server, int method, const char *path,
                          size_t length, uint32_t skip, uint32_t *params);

/* Send requests that no route matches to `token`. */
void smw_server_miss(smw_server *server, uint32_t token);

/* Returns the port, or an error. A server may listen more than once. */
int smw_server_listen(smw_server *server, const smw_listen_options *options);

/* Serve a connected stream socket, which is taken over and made non-blocking whatever
 * becomes of it. 0 or -errno. */
int smw_server_adopt(smw_server *server, int fd);

/* Let nobody in whose connection waits to be accepted, or do again. */
void smw_server_hold(smw_server *server, bool holds);

/* Close the listeners and every connection as soon as nothing on it is owed. */
void smw_server_stop(smw_server *server);

/* Connections that are open now. */
size_t smw_server_connections(const smw_server *server);

/* Header fields that have a number; NULL past the last. Names are lower-case. */
const char *smw_header_name(int number);

/* ---- the turn: one call for everything ------------------------------------------ */

/* A record of the batch is three numbers: id, token, base. Tokens under
 * SMW_FIRST_TOKEN are events; the others are requests, for the route with that
 * token, with their words at `base`. */
enum {
    SMW_EVENT_READY = 1,    /* id: descriptor, base: SMW_READABLE | SMW_WRITABLE */
    SMW_EVENT_WRITABLE = 2, /* id: exchange whose body may go on */
    SMW_EVENT_ABORTED = 3,  /* id: exchange that has ended without its answer; base: 0
                             * when the peer has gone, or the status that the core
                             * refused it with */
    SMW_EVENT_DATA = 4,     /* id: exchange, base: a piece of its body */
    SMW_FIRST_TOKEN = 8,
};

/* A piece of a body is a number: where it begins in the arena, shifted by 32, and where
 * it ends; with SMW_PIECE_LAST nothing comes behind it. */
enum { SMW_PIECE_LAST = 0x40000000 };

/* The connection's part of an exchange's id. Requests whose connection has an open
 * exchange in front of them may be left alone: they come again after it, if that is
 * still open in the next turn or its answer has SMW_OUT_AGAIN. */
enum { SMW_SLOT_MASK = 0xFFFFFF };

/* Words of a request. Places are offsets into the arena, ends are one past the last
 * byte. Fields and parameters are pairs (start, end); start 0 means that the field is
 * missing, for no request begins there. */
enum {
    SMW_W_HEAD,        /* the method's first byte */
    SMW_W_HEAD_END,
    SMW_W_METHOD,      /* SMW_GET... or SMW_OTHER */
    SMW_W_METHOD_END,  /* the method's text begins at HEAD */
    SMW_W_PATH, SMW_W_PATH_END,    /* without the query; empty means "/" */
    SMW_W_QUERY, SMW_W_QUERY_END,  /* QUERY 0: the target has no "?" */
    SMW_W_TARGET_END,
    SMW_W_FIELDS,      /* where the field lines begin */
    SMW_W_MINOR,       /* of HTTP/1.x */
    SMW_W_ALLOW,       /* on a miss: bit per method that would have matched */
    SMW_W_PARAMS,      /* number of parameters */
    SMW_W_PARAM,       /* first of SMW_MAX_PARAMS pairs; the rest of them are 0 */
    SMW_MAX_PARAMS = 16,
    SMW_W_KNOWN = SMW_W_PARAM + 2 * SMW_MAX_PARAMS, /* one pair per numbered field */
    SMW_KNOWN_FIELDS = 36,
    SMW_W_COUNT = SMW_W_KNOWN + 2 * SMW_KNOWN_FIELDS,
    SMW_W_ODD = 1, /* as a pair's start: the field came twice, or is not ASCII */
};

/* Words that C and Python share, so that an exception between two instructions
 * of Python loses nothing. */
typedef struct smw_shared {
    uint64_t count;     /* C: records of this batch; Python: 0 once it took them */
    uint64_t scattered; /* C: 1 once the outbox of the last call was used */
} smw_shared;

/* Memory for one loop's batches. It stays the caller's: it must outlive the loop,
 * and may be read after the loop was freed. */
typedef struct smw_batch_memory {
    char *arena;        /* what is read from sockets */
    size_t arena_size;  /* from 128 KiB to 1 GiB */
    uint32_t *words;
    size_t word_count;  /* at least SMW_W_COUNT */
    uint64_t *records;  /* three a record */
    size_t record_count; /* at least 1024 */
    smw_shared *shared;
} smw_batch_memory;

/* One a loop, before its servers; freed with the loop. NULL when memory is short,
 * or with errno EINVAL when the loop has one or `memory` is too small. */
smw_batch *smw_batch_new(smw_loop *loop, const smw_batch_memory *memory);

/* Report readiness of `fd` as SMW_EVENT_READY; `events` 0 forgets it. */
int smw_batch_watch(smw_batch *batch, int fd, unsigned events);

/* One turn: scatter `outbox`, then wait at most `timeout_ms` (-1: no limit) until
 * there are records, a wake-up or a signal. Gathers at most `limit` requests.
 * Returns the number of records. */
int smw_turn(smw_batch *batch, int64_t timeout_ms, uint32_t limit,
             const char *outbox, size_t length);

/* Scatter `outbox` now, without a wait. */
int smw_flush(smw_batch *batch, const char *outbox, size_t length);

/* Go on with a body that was announced with SMW_OUT_MORE. `data` begins `left` bytes
 * before the body's end, at or before the place where the core stopped (with the whole
 * body, `left` is `length`): it knows that place, so a call that is repeated sends
 * nothing twice. Returns the bytes that are left; while there are any of `data`,
 * SMW_EVENT_WRITABLE asks for another call. */
int64_t smw_exchange_send(smw_batch *batch, uint64_t exchange, const char *data,
                          size_t length, uint64_t left);

/* Ask for the body of a request, or (`wants` false) for no more of it for now. Returns
 * the piece that came with the request, in this turn's arena, or an error: SMW_EGONE.
 * What else there is comes as SMW_EVENT_DATA, until one is the last. A body that nobody
 * asks for stays with the peer, but for its first kilobytes. */
int64_t smw_exchange_read(smw_batch *batch, uint64_t exchange, bool wants);

/* The other end of an exchange's connection. */
typedef struct smw_peer {
    uint8_t address[16];
    uint32_t length; /* of the address: 4, 16, or 0 for a unix socket */
    uint32_t port;
} smw_peer;

/* 0, SMW_EGONE, or -errno when the peer has gone already. */
int smw_exchange_peer(smw_batch *batch, uint64_t exchange, smw_peer *peer);

/* Take the requests behind an open exchange back, which the application has left alone in
 * this turn: they come again, as with SMW_OUT_AGAIN. 0 or SMW_EGONE. */
int smw_exchange_take_back(smw_batch *batch, uint64_t exchange);

/* How many bytes of an exchange's answer wait behind the kernel's own queue; when there
 * are any, SMW_EVENT_WRITABLE tells that there are none. Or SMW_EGONE. */
int64_t smw_exchange_backlog(smw_batch *batch, uint64_t exchange);

/* Close the connection of an exchange, whatever was said so far; SMW_EVENT_ABORTED
 * follows. If the exchange was answered, and is the last one that was handed out, its
 * answer goes out before. 0 or SMW_EGONE. */
int smw_exchange_close(smw_batch *batch, uint64_t exchange);

/* An outbox is a row of: record, head, body. A record is, in native byte order
 * and without padding: u64 exchange, u16 status, u16 flags, u32 head length, u64
 * body length. The head is the application's own field lines, each ended by CRLF,
 * with nothing in them that could end a line early (the caller checks). An answer of
 * unknown length has SMW_OUT_STREAM in its record; then records with status 0 and no
 * head add to its body, until one (it may be the first) has SMW_OUT_LAST. */
enum {
    SMW_OUT_TEXT = 1,     /* add `Content-Type: text/plain; charset=utf-8` */
    SMW_OUT_CLOSE = 2,    /* close the connection after this answer */
    SMW_OUT_MORE = 4,     /* no body here: it comes by smw_exchange_send */
    SMW_OUT_REASON = 8,   /* the head's first line is the reason phrase */
    SMW_OUT_NO_DATE = 16, /* the head has a Date of its own */
    SMW_OUT_STREAM = 32,
    SMW_OUT_LAST = 64,
    SMW_OUT_AGAIN = 128,  /* requests behind this one were left alone: they come again */
    SMW_OUT_RECORD = 24,  /* bytes of a record */
};

/* cffi:end */

typedef struct smw_str {
    const char *data;
    size_t length;
} smw_str;

typedef struct smw_field {
    smw_str name; /* lower-case */
    smw_str value;
    int known;    /* number of the field, or -1 */
    bool is_ascii; /* the value */
} smw_field;

/* A request as its callback sees it. It lives on the stack of the caller, and
 * everything in it borrows from memory that is reused afterwards. */
typedef struct smw_request {
    uint64_t exchange;
    uint32_t token;
    int method; /* SMW_GET... or SMW_OTHER */
    int minor;
    uint32_t allow;
    smw_str head;
    smw_str method_name;
    smw_str target;
    smw_str path;
    smw_str query; /* data NULL: no "?" */
    const char *field_lines; /* where they begin */
    const smw_field *fields;
    size_t field_count;
    smw_str params[SMW_MAX_PARAMS];
    size_t param_count;
} smw_request;

typedef struct smw_server_callbacks {
    void (*on_request)(smw_server *server, const smw_request *request, void *user);
    /* A piece of a body that was asked for; it may be empty when it is the last. */
    void (*on_data)(smw_server *server, uint64_t exchange, smw_str piece, bool is_last,
                    void *user);
    void (*on_writable)(smw_server *server, uint64_t exchange, void *user);
    /* `status`: see SMW_EVENT_ABORTED. */
    void (*on_aborted)(smw_server *server, uint64_t exchange, int status, void *user);
    void *user;
} smw_server_callbacks;

/* For C users; a loop with a batch sets these itself. */
void smw_server_on(smw_server *server, const smw_server_callbacks *callbacks);

typedef struct smw_answer {
    int status;
    unsigned flags; /* SMW_OUT_*; with status 0 this is a piece of a stream */
    smw_str head;
    smw_str body;
    uint64_t body_length; /* with SMW_OUT_MORE: how much will come */
} smw_answer;

/* Answer an exchange: 0, SMW_EGONE, SMW_EORDER or an error. */
int smw_respond(smw_loop *loop, uint64_t exchange, const smw_answer *answer);

/* Have on_data called with the request's body, or (`wants` false) not for now. 0 or
 * SMW_EGONE. */
int smw_read(smw_loop *loop, uint64_t exchange, bool wants);

#endif
