/* SPDX-License-Identifier: MIT */
#include "slots.h"

#include "smw.h"

#include <stdlib.h>

_Static_assert(SLOT_MASK == SMW_SLOT_MASK, "ids are taken apart on both sides");

void slots_clear(slots *s)
{
    free(s->table);
    *s = (slots){0};
}

static int grow(slots *s)
{
    uint32_t count = s->count ? s->count * 2 : 64;
    if (count > SLOT_MASK + 1) return -1;
    slot *table = realloc(s->table, count * sizeof *table);
    if (table == NULL) return -1;
    uint32_t first = s->count ? s->count : 1;
    if (s->count == 0) table[0] = (slot){0};
    for (uint32_t i = first; i < count; i++)
        table[i] = (slot){NULL, 1, i + 1 < count ? i + 1 : 0};
    s->table = table;
    s->count = count;
    s->first_free = first;
    return 0;
}

uint32_t slots_add(slots *s, void *object)
{
    if (s->first_free == 0 && grow(s) != 0) return 0;
    uint32_t number = s->first_free;
    s->first_free = s->table[number].next_free;
    s->table[number].object = object;
    return number;
}

void slots_remove(slots *s, uint32_t number, uint64_t last)
{
    slot *it = &s->table[number];
    it->object = NULL;
    it->generation = (last + 1) & GENERATION_MASK;
    it->next_free = s->first_free;
    s->first_free = number;
}
