#include "quant/import/rope_permute.h"

#include <string.h>

uint64_t obi_rope_source_row(obi_rope_layout from, obi_rope_layout to, uint32_t head_size, uint32_t rotated, uint64_t row)
{
    uint64_t inside = row % head_size, half = rotated / 2;
    if (from == to || inside >= 2 * half) return row;
    uint64_t head = row - inside;
    if (to == OBI_ROPE_PAIRS) return head + inside / 2 + (inside % 2) * half;
    return head + (inside < half ? 2 * inside : 2 * (inside - half) + 1);
}

void obi_rope_permute_rows(obi_rope_layout from, obi_rope_layout to, uint32_t heads, uint32_t head_size, uint32_t rotated,
                           const void *in, void *out, size_t row_bytes)
{
    for (uint64_t row = 0; row < (uint64_t)heads * head_size; row++) {
        uint64_t source = obi_rope_source_row(from, to, head_size, rotated, row);
        memcpy((uint8_t *)out + row * row_bytes, (const uint8_t *)in + source * row_bytes, row_bytes);
    }
}
