#include "model/merger.h"

#include <string.h>

#include "core/alloc.h"

struct obi_merger_entry {
    uint64_t order;  /* the rule's order above, the left symbol below: one comparison settles ties, too */
    uint32_t right;
    uint32_t length; /* of both together when the entry was made; differs once either has changed */
    uint32_t id;
};

obi_status obi_merger_reserve(obi_merger *merger, uint32_t count)
{
    merger->count = 0;
    if (count <= merger->capacity) return OBI_OK;
    obi_symbol *symbols = obi_realloc(merger->symbols, count, sizeof *symbols);
    if (!symbols) return OBI_ERROR_MEMORY;
    merger->symbols = symbols;
    merger->capacity = count;
    return OBI_OK;
}

void obi_merger_free(obi_merger *merger)
{
    obi_free(merger->symbols);
    obi_free(merger->heap);
    memset(merger, 0, sizeof *merger);
}

static obi_status push(obi_merger *merger, obi_merger_entry entry)
{
    if (merger->heap_count == merger->heap_capacity) {
        size_t capacity = merger->heap_capacity ? 2 * merger->heap_capacity : 64;
        obi_merger_entry *heap = obi_realloc(merger->heap, capacity, sizeof *heap);
        if (!heap) return OBI_ERROR_MEMORY;
        merger->heap = heap;
        merger->heap_capacity = capacity;
    }
    size_t hole = merger->heap_count++;
    while (hole > 0) {
        size_t parent = (hole - 1) / 2;
        if (merger->heap[parent].order <= entry.order) break;
        merger->heap[hole] = merger->heap[parent];
        hole = parent;
    }
    merger->heap[hole] = entry;
    return OBI_OK;
}

static obi_merger_entry pop(obi_merger *merger)
{
    obi_merger_entry *heap = merger->heap;
    obi_merger_entry first = heap[0];
    size_t count = --merger->heap_count;
    obi_merger_entry last = heap[count];
    size_t hole = 0;
    for (size_t child; (child = 2 * hole + 1) < count; hole = child) {
        if (child + 1 < count && heap[child + 1].order < heap[child].order) child++;
        if (last.order <= heap[child].order) break;
        heap[hole] = heap[child];
    }
    heap[hole] = last;
    return first;
}

static obi_status consider(obi_merger *merger, uint32_t left, uint32_t right, obi_merger_rule rule, const void *context)
{
    uint32_t order, id;
    const obi_symbol *a = &merger->symbols[left], *b = &merger->symbols[right];
    if (!rule(context, a, b, &order, &id)) return OBI_OK;
    return push(merger, (obi_merger_entry){ (uint64_t)order << 32 | left, right, a->length + b->length, id });
}

obi_status obi_merger_run(obi_merger *merger, obi_merger_rule rule, const void *context)
{
    obi_symbol *symbols = merger->symbols;
    merger->heap_count = 0;
    for (uint32_t i = 0; i < merger->count; i++) {
        symbols[i].previous = i ? i - 1 : OBI_SYMBOL_NONE;
        symbols[i].next = i + 1 < merger->count ? i + 1 : OBI_SYMBOL_NONE;
    }
    for (uint32_t i = 1; i < merger->count; i++) OBI_TRY(consider(merger, i - 1, i, rule, context));
    while (merger->heap_count) {
        obi_merger_entry entry = pop(merger);
        uint32_t index = (uint32_t)entry.order;
        obi_symbol *left = &symbols[index], *right = &symbols[entry.right];
        if (left->length == 0 || right->length == 0 || left->length + right->length != entry.length) continue;
        left->length = entry.length;
        left->id = entry.id;
        left->next = right->next;
        right->length = 0;
        if (left->next != OBI_SYMBOL_NONE) {
            symbols[left->next].previous = index;
            OBI_TRY(consider(merger, index, left->next, rule, context));
        }
        if (left->previous != OBI_SYMBOL_NONE) OBI_TRY(consider(merger, left->previous, index, rule, context));
    }
    return OBI_OK;
}
