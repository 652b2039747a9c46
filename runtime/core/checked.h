/* checked: arithmetic on sizes that came from outside. Each returns true and stores the result, or returns
 * false on overflow and leaves the result alone. Use these for every size computed from a file or an argument. */
#ifndef OBI_CORE_CHECKED_H
#define OBI_CORE_CHECKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Through a local: the builtins store the wrapped result on overflow too. */
static inline bool obi_checked_add(uint64_t a, uint64_t b, uint64_t *sum)
{
    uint64_t result;
    if (__builtin_add_overflow(a, b, &result)) return false;
    *sum = result;
    return true;
}

static inline bool obi_checked_mul(uint64_t a, uint64_t b, uint64_t *product)
{
    uint64_t result;
    if (__builtin_mul_overflow(a, b, &result)) return false;
    *product = result;
    return true;
}

/* Rounds up to a multiple of `alignment`, which must be a power of two. */
static inline bool obi_checked_align(uint64_t value, uint64_t alignment, uint64_t *aligned)
{
    uint64_t raised;
    if (!obi_checked_add(value, alignment - 1, &raised)) return false;
    *aligned = raised & ~(alignment - 1);
    return true;
}

/* For sizes already known to be small. */
static inline uint64_t obi_align_up(uint64_t value, uint64_t alignment) { return (value + alignment - 1) / alignment * alignment; }
static inline uint64_t obi_div_ceil(uint64_t value, uint64_t divisor) { return (value + divisor - 1) / divisor; }

#endif
