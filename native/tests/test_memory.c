/* SPDX-License-Identifier: MIT */
/* test_memory.c - every allocation fails in turn. The program is linked so that the
 * core's calls of malloc and its like come here first (see CMakeLists.txt). */
#include "client.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);

static bool is_armed;      /* the core is running, not the test */
static long failing;       /* number of the allocation that fails, from 1 */
static bool fails_from_it; /* and all behind it, until memory "comes back" */
static long allocations;

static bool is_refused(void)
{
    if (!is_armed) return false;
    allocations++;
    bool fails = fails_from_it ? allocations >= failing : allocations == failing;
    if (fails) errno = ENOMEM;
    return fails;
}

void *__wrap_malloc(size_t size)
{
    return is_refused() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return is_refused() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return is_refused() ? NULL : __real_realloc(old, size);
}

/* Run one call of the core with the faults on. */
#define CORE(call) (is_armed = true, keep((int64_t)(call)))

static int64_t keep(int64_t result)
{
    is_armed = false;
    return result;
}

/* ---- a server that uses all there is ---- */

static smw_loop *loop;
static smw_server *server;
static smw_batch *batch;
static int port, watched[2];

enum { LARGE = 300000 };
static char large[LARGE];

static uint64_t late; /* an exchange to be answered after the run */

static void answer(smw_server *from, const smw_request *request, void *user)
{
    (void)from, (void)user;
    if (request->path.length == 5) { /* "/late" */
        late = request->exchange;
        return;
    }
    smw_answer it = {.status = 200, .flags = SMW_OUT_NO_DATE, .body = {large, LARGE},
                     .body_length = LARGE};
    int result = smw_respond(loop, request->exchange, &it);
    CHECK(result == 0 || result == -ENOMEM);
}

static void do_nothing(smw_loop *from, uint64_t timer, uint64_t user)
{
    (void)from, (void)timer, (void)user;
}

static void ignore(smw_loop *from, int fd, unsigned events, uint64_t user)
{
    (void)from, (void)fd, (void)events, (void)user;
}

static char arena[128 * 1024];
static uint32_t words[64 * SMW_W_COUNT];
static uint64_t records[3 * 1024];
static smw_shared shared;

static const smw_batch_memory memory = {
    .arena = arena,   .arena_size = sizeof arena,  .words = words,
    .word_count = 64 * SMW_W_COUNT, .records = records, .record_count = 1024,
    .shared = &shared};

/* -ENOMEM when one of the steps said so. */
static int64_t set_up(bool has_batch)
{
    static const char *const patterns[] = {"/", "/late", "/a/:b/c", "/*"};
    is_armed = true;
    loop = smw_loop_new();
    is_armed = false;
    if (loop == NULL) return -errno;
    is_armed = true;
    if (has_batch) batch = smw_batch_new(loop, &memory);
    is_armed = false;
    if (has_batch && batch == NULL) return -errno;
    is_armed = true;
    server = smw_server_new(loop, NULL);
    is_armed = false;
    if (server == NULL) return -ENOMEM;
    smw_server_callbacks callbacks = {.on_request = answer};
    if (!has_batch) smw_server_on(server, &callbacks);
    int64_t result = 0;
    for (uint32_t i = 0; i < 4 && result == 0; i++)
        result = CORE(smw_server_route(server, SMW_GET, patterns[i], strlen(patterns[i]),
                                       SMW_FIRST_TOKEN + i));
    uint64_t timer;
    if (result == 0)
        result = CORE(smw_timer_start(loop, 100000, 0, do_nothing, 0, &timer));
    if (result == 0)
        result = CORE(smw_watch_set(loop, watched[0], SMW_READABLE, ignore, 0));
    smw_listen_options options = {.host = "127.0.0.1"};
    if (result == 0) result = CORE(port = smw_server_listen(server, &options));
    return result > 0 ? 0 : result;
}

static int64_t step_with_callbacks(void)
{
    int64_t result = CORE(smw_loop_run(loop, SMW_RUN_NOWAIT));
    if (late == 0) return result;
    smw_answer it = {.status = 200, .flags = SMW_OUT_NO_DATE};
    int64_t answered = CORE(smw_respond(loop, late, &it));
    CHECK(answered == 0 || answered == SMW_EGONE || answered == -ENOMEM);
    late = 0;
    return result;
}

static uint64_t first; /* of the last batch, when it is to be answered next */

static int64_t step_with_batch(void)
{
    /* A turn without an answer comes before each answer to the first of a batch, so
     * those behind it are taken back each time. */
    static char outbox[SMW_OUT_RECORD + LARGE];
    static size_t answer_length;
    size_t length = 0;
    if (shared.count > 0 && records[1] >= SMW_FIRST_TOKEN) {
        bool is_late = records[1] == SMW_FIRST_TOKEN + 1;
        uint16_t small[2] = {200, SMW_OUT_NO_DATE};
        uint64_t body = is_late ? 0 : LARGE;
        first = records[0];
        memcpy(outbox, &first, 8);
        memcpy(outbox + 8, small, 4);
        memcpy(outbox + 16, &body, 8);
        answer_length = SMW_OUT_RECORD + (size_t)body;
    } else if (first != 0) {
        length = answer_length;
        first = 0;
    }
    shared.count = 0;
    return CORE(smw_turn(batch, 0, 64, outbox, length));
}

#define HEAD_LARGE "HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n"
#define HEAD_LATE "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

/* What one client sends and gets. True when it got all; false when it was hung up on. */
static bool is_served(void)
{
    static const char requests[] =
        "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /late HTTP/1.1\r\nHost: a\r\n\r\n"
        "GET /2 HTTP/1.1\r\nHost: a\r\n\r\nGET /3 HTTP/1.1\r\nHo";
    static const char rest[] = "st: a\r\n\r\n";
    const size_t wanted = 3 * (strlen(HEAD_LARGE) + LARGE) + strlen(HEAD_LATE);
    client c = client_open(port);
    client_say_bytes(&c, requests, sizeof requests - 1);
    size_t before_rest = 3;
    int64_t deadline = clock_ms() + PATIENCE_MS;
    while (c.length < wanted && !c.is_ended && c.error == 0) {
        if (!CHECK(clock_ms() < deadline)) break;
        int64_t result = batch != NULL ? step_with_batch() : step_with_callbacks();
        if (result == -ENOMEM) break;
        CHECK(result >= 0);
        if (before_rest > 0 && --before_rest == 0)
            client_offer(&c, rest, sizeof rest - 1);
        await_event(loop, c.fd);
        client_receive(&c);
    }
    bool is_whole = c.length == wanted;
    client_close(&c);
    return is_whole;
}

/* True as long as there was an allocation with that number to fail. */
static bool run_scenario(bool has_batch, long number, bool from_it)
{
    late = first = 0;
    shared.count = 0;
    batch = NULL;
    server = NULL;
    loop = NULL;
    allocations = 0;
    failing = number;
    fails_from_it = from_it;
    int64_t result = set_up(has_batch);
    CHECK(result == 0 || (result == -ENOMEM && allocations >= failing));
    if (result == 0) {
        bool is_whole = is_served();
        CHECK(is_whole || allocations >= failing);
        bool was_refused = allocations >= failing;
        failing = INT64_MAX; /* memory is there again */
        if (was_refused) CHECK(is_served());
        failing = was_refused ? number : failing;
    }
    bool was_refused = allocations >= failing;
    smw_loop_free(loop);
    return was_refused;
}

static void fail_each(bool has_batch, bool from_it)
{
    long number = 1;
    while (number < 1000 && run_scenario(has_batch, number, from_it)) number++;
    CHECK(number > 20 && number < 1000);
}

static void test_any_one_allocation_may_fail_under_callbacks(void)
{
    fail_each(false, false);
}

static void test_memory_may_run_out_for_a_while_under_callbacks(void)
{
    fail_each(false, true);
}

static void test_any_one_allocation_may_fail_under_a_batch(void)
{
    fail_each(true, false);
}

static void test_memory_may_run_out_for_a_while_under_a_batch(void)
{
    fail_each(true, true);
}

int main(void)
{
    CHECK(pipe(watched) == 0);
    RUN(test_any_one_allocation_may_fail_under_callbacks);
    RUN(test_memory_may_run_out_for_a_while_under_callbacks);
    RUN(test_any_one_allocation_may_fail_under_a_batch);
    RUN(test_memory_may_run_out_for_a_while_under_a_batch);
    return test_report();
}
