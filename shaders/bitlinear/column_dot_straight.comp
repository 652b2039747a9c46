#version 450
#extension GL_GOOGLE_include_directive : require
// bitlinear/column_dot for software drivers (common/straight.glsl), one stretch of rows.
// first pass   out[c,j]  = sum over the rows t of chunk c of a[t,j] * b[t,j]
// second pass  out[j]   += sum over the rows of a[t,j]   (OB_FOLD)
//
// b0 w  out  (chunks,n) or (n) f32
// push: obi_push_bitlinear_column_dot_straight, addresses at the first row and column
// spec 0: workgroup, 128      spec 1: columns of a subgroup, 16 or 8      spec 2: rows of a chunk, 1 to 64
// grid: x = ceil(blocks / 16), y = chunks, 1 in the second pass; below 256 each
// tiers: A
//
// A lane sums one column or two in rising order. A subgroup past the last block repeats that one: it stores the same, or in
// the second pass adds nothing.
#include "common/push_bitlinear.h"
#define OB_PUSH obi_push_bitlinear_column_dot_straight
#include "common/straight.glsl"

layout(constant_id = 1) const uint OB_COLUMNS = 16u;
layout(constant_id = 2) const uint OB_ROWS = 64u;
layout(set = 0, binding = 0) writeonly buffer Out { float result[]; };

#define EIGHT(address, i) uintBitsToFloat(ob_eight(address + uint64_t((i) * 32)))
#ifdef OB_FOLD
#define TERM(i) EIGHT(a, i)
#define NEXT a += step;
#else
#define TERM(i) (EIGHT(a, i) * EIGHT(b, i))
#define NEXT a += step; b += step;
#endif

void main()
{
    uint place = ob_digits(gl_WorkGroupID.x) * 16u + push.digit[gl_SubgroupID & 15u], block = min(place, push.last_block);
    uint column = block * OB_COLUMNS, chunk = ob_digits(gl_WorkGroupID.y), at = push.out_first + chunk * push.n + column;
    uint64_t step = uint64_t(push.n) * 4ul, skip = uint64_t(chunk * OB_ROWS * push.n + column) * 4ul;
    uint64_t a = ob_address(push.a_low, push.a_high) + skip;
#ifndef OB_FOLD
    uint64_t b = ob_address(push.b_low, push.b_high) + skip;
#endif
    float sum0 = 0.0, sum1 = 0.0;
#define ROW                                   \
    {                                         \
        sum0 += TERM(0);                      \
        if (OB_COLUMNS > 8u) sum1 += TERM(1); \
        NEXT                                  \
    }
    [[unroll]] for (uint i = 0u; i < OB_ROWS / 8u; i++)
        [[unroll]] for (uint r = 0u; r < 8u; r++) ROW
    [[unroll]] for (uint r = 0u; r < OB_ROWS % 8u; r++) ROW
#ifdef OB_FOLD
    uint64_t before = ob_address(push.b_low, push.b_high) + uint64_t(column) * 4ul; // b is what out holds
    bool outside = place > push.last_block;
    sum0 = EIGHT(before, 0) + (outside ? 0.0 : sum0);
    if (OB_COLUMNS > 8u) sum1 = EIGHT(before, 1) + (outside ? 0.0 : sum1);
#endif
#define STORE0(l) result[at + uint(l)] = subgroupShuffle(sum0, uint(l));
#define STORE1(l) result[at + 8u + uint(l)] = subgroupShuffle(sum1, uint(l));
    EACH8(STORE0)
    if (OB_COLUMNS > 8u) { EACH8(STORE1) }
}
