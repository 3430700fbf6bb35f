/* SPDX-License-Identifier: MIT */
#include "timer.h"

#include "test.h"

#define DAY INT64_C(86400000)

/* A timer that writes down when it fired. */
typedef struct probe {
    timer timer;
    int64_t fired_at; /* the clock then; -1: not yet */
    int fired;
    int place;        /* in the order of all that fired */
} probe;

static int64_t clock_now;
static int fired_count;

static void on_probe(timer *t)
{
    probe *p = list_entry(t, probe, timer);
    p->fired_at = clock_now;
    p->fired++;
    p->place = ++fired_count;
}

static probe new_probe(void)
{
    return (probe){.fired_at = -1};
}

static void set_clock(timer_wheel *wheel, int64_t now)
{
    clock_now = now;
    fired_count = 0;
    timer_wheel_init(wheel, now);
}

static void advance_to(timer_wheel *wheel, int64_t now)
{
    clock_now = now;
    timer_wheel_advance(wheel, now);
}

/* Sleep as long as the wheel says and no longer, until it says never or `end` comes.
 * Gives how often it woke. */
static int sleep_until(timer_wheel *wheel, int64_t end)
{
    int wakes = 0;
    for (;;) {
        int64_t wait = timer_wheel_wait(wheel, clock_now);
        if (wait < 0 || clock_now + wait > end) break;
        advance_to(wheel, clock_now + wait);
        wakes++;
    }
    return wakes;
}

static void test_an_empty_wheel_never_wants_to_be_advanced(void)
{
    timer_wheel wheel;
    set_clock(&wheel, 1000);
    CHECK(timer_wheel_is_empty(&wheel));
    CHECK_INT(timer_wheel_wait(&wheel, 1000), -1);
    advance_to(&wheel, 1000 + DAY);
    CHECK_INT(timer_wheel_wait(&wheel, clock_now), -1);
}

static void test_a_timer_fires_at_its_millisecond_and_once(void)
{
    timer_wheel wheel;
    probe p = new_probe();
    set_clock(&wheel, 1000);
    timer_init(&p.timer, on_probe);
    CHECK(!timer_is_running(&p.timer));
    timer_start(&wheel, &p.timer, 1007);
    CHECK(timer_is_running(&p.timer));
    CHECK(!timer_wheel_is_empty(&wheel));
    CHECK_INT(timer_wheel_wait(&wheel, 1000), 7);
    CHECK_INT(timer_wheel_wait(&wheel, 1003), 4);
    CHECK_INT(timer_wheel_wait(&wheel, 1010), 0);
    advance_to(&wheel, 1006);
    CHECK_INT(p.fired, 0);
    advance_to(&wheel, 1007);
    CHECK_INT(p.fired, 1);
    CHECK(!timer_is_running(&p.timer));
    advance_to(&wheel, 1007 + DAY);
    CHECK_INT(p.fired, 1);
    CHECK(timer_wheel_is_empty(&wheel));
}

/* Around every border of a level, from clocks that are aligned with it and not. */
static void test_every_delay_is_exact_when_the_wheel_is_obeyed(void)
{
    static const int64_t delays[] = {
        1, 2, 62, 63, 64, 65, 127, 128, 4031, 4032, 4033, 4095, 4096, 4097, 4160,
        258047, 258048, 262143, 262144, 262145, 16515071, 16515072, 16515073, 16777215,
        16777216, 16777217, 20 * DAY, 49 * DAY, 400 * DAY,
    };
    static const int64_t starts[] = {0, 1, 63, 64, 4095, 4096, 262143, 1700000000001};
    for (size_t s = 0; s < sizeof starts / sizeof *starts; s++)
        for (size_t d = 0; d < sizeof delays / sizeof *delays; d++) {
            timer_wheel wheel;
            probe p = new_probe();
            set_clock(&wheel, starts[s]);
            timer_init(&p.timer, on_probe);
            timer_start(&wheel, &p.timer, starts[s] + delays[d]);
            int wakes = sleep_until(&wheel, INT64_MAX);
            CHECK_INT(p.fired, 1);
            CHECK_INT(p.fired_at, starts[s] + delays[d]);
            /* Once a level, and once for each 4.5 hours past the last. */
            CHECK(wakes <= 4 + delays[d] / 16000000);
        }
}

static void test_timers_fire_in_the_order_of_their_times(void)
{
    static const int64_t dues[] = {5000000, 3, 70, 300, 5, 4000, 64, 90000, 4096, 71};
    enum { COUNT = sizeof dues / sizeof *dues };
    timer_wheel wheel;
    probe probes[COUNT];
    set_clock(&wheel, 0);
    for (int i = 0; i < COUNT; i++) {
        probes[i] = new_probe();
        timer_init(&probes[i].timer, on_probe);
        timer_start(&wheel, &probes[i].timer, dues[i]);
    }
    /* In one long gap, as after a slow handler. */
    advance_to(&wheel, 10000000);
    CHECK_INT(fired_count, COUNT);
    for (int i = 0; i < COUNT; i++)
        for (int j = 0; j < COUNT; j++)
            CHECK((dues[i] < dues[j]) == (probes[i].place < probes[j].place));
}

static void test_timers_of_one_millisecond_all_fire(void)
{
    enum { COUNT = 1000 };
    static probe probes[COUNT];
    timer_wheel wheel;
    set_clock(&wheel, 7);
    for (int i = 0; i < COUNT; i++) {
        probes[i] = new_probe();
        timer_init(&probes[i].timer, on_probe);
        timer_start(&wheel, &probes[i].timer, 100);
    }
    advance_to(&wheel, 99);
    CHECK_INT(fired_count, 0);
    advance_to(&wheel, 100);
    CHECK_INT(fired_count, COUNT);
}

static void test_a_stopped_timer_does_not_fire(void)
{
    timer_wheel wheel;
    probe p = new_probe();
    set_clock(&wheel, 0);
    timer_init(&p.timer, on_probe);
    timer_stop(&p.timer); /* one that never ran */
    timer_start(&wheel, &p.timer, 50);
    timer_stop(&p.timer);
    timer_stop(&p.timer);
    CHECK(!timer_is_running(&p.timer));
    CHECK_INT(timer_wheel_wait(&wheel, 0), -1);
    CHECK(timer_wheel_is_empty(&wheel));
    advance_to(&wheel, 100);
    CHECK_INT(p.fired, 0);
}

static void test_starting_a_running_timer_moves_it(void)
{
    timer_wheel wheel;
    probe p = new_probe();
    set_clock(&wheel, 0);
    timer_init(&p.timer, on_probe);
    timer_start(&wheel, &p.timer, 50);
    timer_start(&wheel, &p.timer, 5000);
    CHECK(timer_wheel_wait(&wheel, 0) > 50);
    advance_to(&wheel, 4999);
    CHECK_INT(p.fired, 0);
    timer_start(&wheel, &p.timer, 5001);
    advance_to(&wheel, 5000);
    CHECK_INT(p.fired, 0);
    advance_to(&wheel, 5001);
    CHECK_INT(p.fired, 1);
}

static void test_a_time_that_has_passed_means_at_once(void)
{
    static const int64_t dues[] = {100, 99, 36, 0, -5};
    for (size_t i = 0; i < sizeof dues / sizeof *dues; i++) {
        timer_wheel wheel;
        probe p = new_probe();
        set_clock(&wheel, 0);
        advance_to(&wheel, 100);
        timer_init(&p.timer, on_probe);
        timer_start(&wheel, &p.timer, dues[i]);
        /* The millisecond that was advanced to is over: the next one is meant. */
        CHECK(timer_wheel_wait(&wheel, 100) <= 1);
        advance_to(&wheel, 101);
        CHECK_INT(p.fired, 1);
    }
}

/* ---- callbacks that start and stop ---- */

typedef struct actor {
    probe probe;
    timer_wheel *wheel;
    probe *other;
    int64_t delay; /* from the clock, for the next start */
} actor;

static void on_stop_other(timer *t)
{
    actor *a = list_entry(t, actor, probe.timer);
    on_probe(t);
    timer_stop(&a->other->timer);
}

static void test_a_callback_may_stop_a_timer_of_the_same_millisecond(void)
{
    timer_wheel wheel;
    probe other = new_probe();
    actor a = {.probe = new_probe(), .other = &other};
    set_clock(&wheel, 0);
    timer_init(&a.probe.timer, on_stop_other);
    timer_init(&other.timer, on_probe);
    timer_start(&wheel, &a.probe.timer, 10);
    timer_start(&wheel, &other.timer, 10);
    advance_to(&wheel, 10);
    CHECK_INT(a.probe.fired + other.fired, 1);
    CHECK_INT(timer_wheel_wait(&wheel, 10), -1);
}

static void on_start_other(timer *t)
{
    actor *a = list_entry(t, actor, probe.timer);
    on_probe(t);
    timer_start(a->wheel, &a->other->timer, clock_now + a->delay);
}

static void test_a_callback_may_move_a_timer_of_the_same_millisecond(void)
{
    timer_wheel wheel;
    probe other = new_probe();
    actor a = {.probe = new_probe(), .wheel = &wheel, .other = &other, .delay = 20};
    set_clock(&wheel, 0);
    timer_init(&a.probe.timer, on_start_other);
    timer_init(&other.timer, on_probe);
    timer_start(&wheel, &a.probe.timer, 10);
    timer_start(&wheel, &other.timer, 10);
    advance_to(&wheel, 10);
    CHECK_INT(other.fired, 0);
    advance_to(&wheel, 29);
    CHECK_INT(other.fired, 0);
    advance_to(&wheel, 30);
    CHECK_INT(other.fired, 1);
}

static void on_start_again(timer *t)
{
    actor *a = list_entry(t, actor, probe.timer);
    on_probe(t);
    timer_start(a->wheel, t, clock_now + a->delay);
}

static void test_a_timer_that_starts_itself_repeats_exactly(void)
{
    timer_wheel wheel;
    actor a = {.probe = new_probe(), .wheel = &wheel, .delay = 25};
    set_clock(&wheel, 3);
    timer_init(&a.probe.timer, on_start_again);
    timer_start(&wheel, &a.probe.timer, 28);
    sleep_until(&wheel, 3 + 25 * 400);
    CHECK_INT(a.probe.fired, 400);
    CHECK_INT(a.probe.fired_at, 3 + 25 * 400);
}

static void test_a_delay_of_nothing_runs_once_a_millisecond_and_not_for_ever(void)
{
    timer_wheel wheel;
    actor a = {.probe = new_probe(), .wheel = &wheel, .delay = 0};
    set_clock(&wheel, 60);
    timer_init(&a.probe.timer, on_start_again);
    timer_start(&wheel, &a.probe.timer, 60);
    advance_to(&wheel, 60);
    CHECK_INT(a.probe.fired, 1);
    /* Not a turn of the wheel later. */
    CHECK(timer_wheel_wait(&wheel, 60) <= 1);
    sleep_until(&wheel, 160);
    CHECK_INT(a.probe.fired, 101);
}

static void test_a_callback_may_start_for_a_time_long_ago(void)
{
    timer_wheel wheel;
    actor a = {.probe = new_probe(), .wheel = &wheel, .delay = -1000};
    set_clock(&wheel, 0);
    timer_init(&a.probe.timer, on_start_again);
    timer_start(&wheel, &a.probe.timer, 500);
    advance_to(&wheel, 502);
    CHECK(a.probe.fired >= 1 && a.probe.fired <= 3);
    CHECK(timer_wheel_wait(&wheel, 502) <= 1);
}

static void test_long_gaps_lose_nothing(void)
{
    static const int64_t gaps[] = {64, 4096, 262144, 16777216, 30 * DAY, 1000 * DAY};
    for (size_t i = 0; i < sizeof gaps / sizeof *gaps; i++) {
        timer_wheel wheel;
        probe before = new_probe(), after = new_probe();
        set_clock(&wheel, 77);
        timer_init(&before.timer, on_probe);
        timer_init(&after.timer, on_probe);
        timer_start(&wheel, &before.timer, 77 + gaps[i]);
        timer_start(&wheel, &after.timer, 78 + gaps[i]);
        advance_to(&wheel, 77 + gaps[i]);
        CHECK_INT(before.fired, 1);
        CHECK_INT(after.fired, 0);
        CHECK_INT(timer_wheel_wait(&wheel, clock_now), 1);
        advance_to(&wheel, clock_now + 1);
        CHECK_INT(after.fired, 1);
    }
}

/* ---- against a list of times ---- */

enum { MODEL_TIMERS = 40 };

static uint64_t seed = 19700101;
static struct {
    timer_wheel wheel;
    probe probes[MODEL_TIMERS];
    int64_t due[MODEL_TIMERS]; /* when it must fire; -1: not running */
    int64_t tick;              /* the last time that something fired for */
} model;

static int64_t below(int64_t bound)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (int64_t)((seed >> 20) % (uint64_t)bound);
}

static int64_t random_delay(void)
{
    static const int64_t bounds[] = {3, 70, 5000, 300000, 20000000, 90 * DAY};
    return below(bounds[below(6)]);
}

/* A time at or before `over` has passed: the next millisecond stands for it. */
static void model_start(int i, int64_t due, int64_t over)
{
    timer_start(&model.wheel, &model.probes[i].timer, due);
    model.due[i] = due > over ? due : over + 1;
}

static void model_stop(int i)
{
    timer_stop(&model.probes[i].timer);
    model.due[i] = -1;
}

static void on_model(timer *t)
{
    int fired = (int)(list_entry(t, probe, timer) - model.probes);
    int64_t due = model.due[fired];
    CHECK(due >= 0 && due <= clock_now);
    CHECK(due >= model.tick);
    for (int i = 0; i < MODEL_TIMERS; i++) CHECK(model.due[i] < 0 || model.due[i] >= due);
    model.tick = due;
    model.due[fired] = -1;
    int other = (int)below(MODEL_TIMERS);
    if (below(3) == 0) model_start(fired, due + random_delay(), due);
    if (below(4) == 0) model_start(other, due + random_delay(), due);
    if (below(8) == 0) model_stop(other);
}

static void model_step(void)
{
    int i = (int)below(MODEL_TIMERS);
    int64_t next = -1;
    if (below(2) == 0) model_start(i, clock_now + random_delay(), clock_now);
    if (below(8) == 0) model_stop((int)below(MODEL_TIMERS));
    for (i = 0; i < MODEL_TIMERS; i++)
        if (model.due[i] >= 0 && (next < 0 || model.due[i] < next)) next = model.due[i];
    int64_t wait = timer_wheel_wait(&model.wheel, clock_now);
    CHECK((wait < 0) == (next < 0));
    CHECK(wait <= (next < 0 ? -1 : next - clock_now));
    int64_t step = wait >= 0 && below(4) > 0 ? wait : random_delay();
    advance_to(&model.wheel, clock_now + step);
    for (i = 0; i < MODEL_TIMERS; i++) {
        CHECK(model.due[i] < 0 || model.due[i] > clock_now);
        CHECK(timer_is_running(&model.probes[i].timer) == (model.due[i] >= 0));
    }
}

static void test_random_timers_fire_as_a_list_of_times_says(void)
{
    printf("seed %llu\n", (unsigned long long)seed);
    for (int round = 0; round < 20; round++) {
        set_clock(&model.wheel, random_delay());
        timer_wheel_advance(&model.wheel, clock_now);
        model.tick = 0;
        for (int i = 0; i < MODEL_TIMERS; i++) {
            timer_init(&model.probes[i].timer, on_model);
            model.due[i] = -1;
        }
        for (int i = 0; i < 500 && test_failures == 0; i++) model_step();
    }
}

int main(void)
{
    RUN(test_an_empty_wheel_never_wants_to_be_advanced);
    RUN(test_a_timer_fires_at_its_millisecond_and_once);
    RUN(test_every_delay_is_exact_when_the_wheel_is_obeyed);
    RUN(test_timers_fire_in_the_order_of_their_times);
    RUN(test_timers_of_one_millisecond_all_fire);
    RUN(test_a_stopped_timer_does_not_fire);
    RUN(test_starting_a_running_timer_moves_it);
    RUN(test_a_time_that_has_passed_means_at_once);
    RUN(test_a_callback_may_stop_a_timer_of_the_same_millisecond);
    RUN(test_a_callback_may_move_a_timer_of_the_same_millisecond);
    RUN(test_a_timer_that_starts_itself_repeats_exactly);
    RUN(test_a_delay_of_nothing_runs_once_a_millisecond_and_not_for_ever);
    RUN(test_a_callback_may_start_for_a_time_long_ago);
    RUN(test_long_gaps_lose_nothing);
    RUN(test_random_timers_fire_as_a_list_of_times_says);
    return test_report();
}
