/* merger: the loop that both tokenizer families share. A text is a list of symbols; the best adjacent pair is joined
 * again and again until no pair can be. What may be joined, and how good that is, is the family's rule.
 *
 * A heap holds every pair that can be joined; entries that a later join made stale are recognised when they surface.
 * Each join adds at most two entries, so a list of n symbols takes O(n log n). */
#ifndef OBI_MODEL_MERGER_H
#define OBI_MODEL_MERGER_H

#include "model/gguf.h"

#define OBI_SYMBOL_NONE UINT32_MAX

typedef struct obi_symbol {
    uint32_t previous, next; /* set by obi_merger_run; OBI_SYMBOL_NONE at the ends */
    uint32_t offset;         /* where its text starts */
    uint32_t length;         /* bytes of its text, at least 1; 0 once it is joined to the symbol before */
    uint32_t id;             /* token, or OBI_SYMBOL_NONE when its text has none */
} obi_symbol;

typedef struct obi_merger_entry obi_merger_entry;

/* Scratch memory of one encoding; zeroed is valid and empty. */
typedef struct obi_merger {
    obi_symbol *symbols; /* the caller fills offset, length and id of `count` symbols */
    uint32_t count;
    uint32_t capacity;
    obi_merger_entry *heap;
    size_t heap_count, heap_capacity;
} obi_merger;

/* Whether two neighbours may be joined: then *order (the lowest is joined first; of equals the leftmost) and the *id
 * of the joined symbol. */
typedef bool (*obi_merger_rule)(const void *context, const obi_symbol *left, const obi_symbol *right, uint32_t *order, uint32_t *id);

/* Room for `count` symbols; sets count to 0. */
obi_status obi_merger_reserve(obi_merger *merger, uint32_t count);
static inline void obi_merger_add(obi_merger *merger, uint32_t offset, uint32_t length, uint32_t id)
{
    merger->symbols[merger->count++] = (obi_symbol){ .offset = offset, .length = length, .id = id };
}

/* Joins until nothing can be joined. The result is the list that starts at symbol 0 and follows `next`. */
obi_status obi_merger_run(obi_merger *merger, obi_merger_rule rule, const void *context);

void obi_merger_free(obi_merger *merger);

#endif
