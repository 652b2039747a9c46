#include "model/name_order.h"

#include <string.h>

#include "core/alloc.h"

static int compare(obi_gguf_string a, obi_gguf_string b)
{
    uint64_t shorter = a.length < b.length ? a.length : b.length;
    int difference = shorter > 0 ? memcmp(a.text, b.text, (size_t)shorter) : 0;
    if (difference != 0) return difference;
    return (a.length > b.length) - (a.length < b.length);
}

/* Restores the heap below `root`: no name is less than those under it. */
static void sift(uint64_t *order, uint64_t root, uint64_t count, const void *items, obi_name_at name_at)
{
    uint64_t moving = order[root];
    obi_gguf_string name = name_at(items, moving);
    for (;;) {
        uint64_t child = 2 * root + 1;
        if (child >= count) break;
        if (child + 1 < count && compare(name_at(items, order[child]), name_at(items, order[child + 1])) < 0) child++;
        if (compare(name, name_at(items, order[child])) >= 0) break;
        order[root] = order[child];
        root = child;
    }
    order[root] = moving;
}

obi_status obi_name_order_create(uint64_t **order, const void *items, uint64_t count, obi_name_at name_at, uint64_t *duplicate)
{
    *order = NULL;
    *duplicate = count;
    uint64_t *sorted = obi_calloc((size_t)count, sizeof *sorted);
    if (!sorted) return OBI_ERROR_MEMORY;
    for (uint64_t i = 0; i < count; i++) sorted[i] = i;
    /* Heap sort: in place, and n log n in the worst case as well, which qsort does not promise. */
    for (uint64_t i = count / 2; i-- > 0;) sift(sorted, i, count, items, name_at);
    for (uint64_t last = count; last-- > 1;) {
        uint64_t largest = sorted[0];
        sorted[0] = sorted[last];
        sorted[last] = largest;
        sift(sorted, 0, last, items, name_at);
    }
    for (uint64_t i = 1; i < count; i++)
        if (compare(name_at(items, sorted[i - 1]), name_at(items, sorted[i])) == 0) *duplicate = sorted[i];
    *order = sorted;
    return OBI_OK;
}

uint64_t obi_name_order_find(const uint64_t *order, const void *items, uint64_t count, obi_name_at name_at, obi_gguf_string name)
{
    uint64_t low = 0, high = count;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        int difference = compare(name_at(items, order[middle]), name);
        if (difference == 0) return order[middle];
        if (difference < 0) low = middle + 1;
        else high = middle;
    }
    return count;
}
