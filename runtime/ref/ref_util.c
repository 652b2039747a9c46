#include "ref/ref_util.h"

#include <math.h>
#include <stdbool.h>

/* Whether element a comes before element b. */
static bool before(const float *values, uint64_t a, uint64_t b)
{
    bool a_nan = isnan(values[a]), b_nan = isnan(values[b]);
    if (a_nan != b_nan) return b_nan;
    if (!a_nan && values[a] != values[b]) return values[a] > values[b];
    return a < b;
}

void ref_util_topk(uint32_t *ids, const float *values, uint64_t count, uint64_t k)
{
    uint64_t held = 0;
    for (uint64_t i = 0; i < count; i++) {
        if (held == k && !before(values, i, ids[k - 1])) continue;
        uint64_t at = held < k ? held++ : k - 1;
        for (; at > 0 && before(values, i, ids[at - 1]); at--) ids[at] = ids[at - 1];
        ids[at] = (uint32_t)i;
    }
}
