/* SPDX-License-Identifier: MIT */
#include "slots.h"

#include "test.h"

static void test_an_id_of_something_gone_names_nothing(void)
{
    slots s = {0};
    int first, second;
    uint32_t number = slots_add(&s, &first);
    uint64_t id = slot_id(number, slots_generation(&s, number));
    CHECK(slots_get(&s, id) == &first);
    slots_remove(&s, number, slot_generation(id));
    CHECK(slots_get(&s, id) == NULL);
    CHECK_INT(slots_add(&s, &second), number);
    CHECK(slots_get(&s, id) == NULL);
    CHECK(slots_at(&s, number) == &second);
    slots_clear(&s);
}

static void test_ids_survive_growth(void)
{
    enum { COUNT = 1000 };
    static int things[COUNT];
    slots s = {0};
    uint64_t ids[COUNT];
    for (int i = 0; i < COUNT; i++) {
        uint32_t number = slots_add(&s, &things[i]);
        CHECK(number != 0);
        ids[i] = slot_id(number, slots_generation(&s, number));
    }
    for (int i = 0; i < COUNT; i++) CHECK(slots_get(&s, ids[i]) == &things[i]);
    slots_clear(&s);
}

static void test_foreign_ids_name_nothing(void)
{
    slots s = {0};
    CHECK(slots_get(&s, 0) == NULL);
    CHECK(slots_get(&s, UINT64_MAX) == NULL);
    CHECK(slots_at(&s, 12345) == NULL);
}

int main(void)
{
    RUN(test_an_id_of_something_gone_names_nothing);
    RUN(test_ids_survive_growth);
    RUN(test_foreign_ids_name_nothing);
    return test_report();
}
