/* SPDX-License-Identifier: MIT */
/* slots.h - ids instead of pointers: a slot number and a generation in 64 bits.
 *
 * An id of something that has gone is recognised, because the slot's generation
 * has moved on. 24 bits of slot allow 16 million things at once; 40 bits of
 * generation last 12 days at a million uses of one slot a second. */
#ifndef SMW_SLOTS_H
#define SMW_SLOTS_H

#include <stddef.h>
#include <stdint.h>

#define SLOT_BITS 24
#define SLOT_MASK ((UINT64_C(1) << SLOT_BITS) - 1) /* SMW_SLOT_MASK of smw.h */
#define GENERATION_MASK ((UINT64_C(1) << (64 - SLOT_BITS)) - 1)

typedef struct slot {
    void *object; /* NULL: free */
    uint64_t generation;
    uint32_t next_free;
} slot;

typedef struct slots {
    slot *table;
    uint32_t count;
    uint32_t first_free; /* 0: none (slot 0 is never used) */
} slots;

static inline uint64_t slot_id(uint32_t number, uint64_t generation)
{
    return ((generation & GENERATION_MASK) << SLOT_BITS) | number;
}

static inline uint32_t slot_number(uint64_t id)
{
    return (uint32_t)(id & SLOT_MASK);
}

static inline uint64_t slot_generation(uint64_t id)
{
    return id >> SLOT_BITS;
}

void slots_clear(slots *s);

/* The slot's number, or 0 when memory is short. `object` must not be NULL. */
uint32_t slots_add(slots *s, void *object);

/* The object in a slot whatever its generation; NULL when there is none. */
static inline void *slots_at(const slots *s, uint32_t number)
{
    return number < s->count ? s->table[number].object : NULL;
}

/* The object of an id, or NULL when that has gone. */
static inline void *slots_get(const slots *s, uint64_t id)
{
    uint32_t number = slot_number(id);
    if (number >= s->count || s->table[number].generation != slot_generation(id))
        return NULL;
    return s->table[number].object;
}

static inline uint64_t slots_generation(const slots *s, uint32_t number)
{
    return s->table[number].generation;
}

/* Free a slot. Ids up to and including generation `last` name nothing from now on. */
void slots_remove(slots *s, uint32_t number, uint64_t last);

#endif
