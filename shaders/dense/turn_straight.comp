#version 450
#extension GL_GOOGLE_include_directive : require
// c[q,p] = a[p,q]: a matrix turned, for software drivers, whose products like both inputs with k inside (dot_straight)
//
// b0 w  c  words
// push: obi_push_straight without b; k_count is 1
// spec 0: workgroup, 128      spec 1: careful
// grid: x = ceil(q_count / 32), y = ceil(p_count / 64), z = matrices of a batch; below 256 each
// tiers: A
//
// A subgroup turns 16 p's x 8 q's, so that it writes whole cache lines.
#include "common/straight_tile.glsl"

void main()
{
    ob_tile tile = ob_find_tile(4u, 16u, 8u);
    uint before = ob_before(OB_STRAIGHT_ROWS_A, push.a_stride, push.scales_low_or_a_skip);
    uint64_t a = ob_address(push.a_low, push.a_high) + uint64_t(before + tile.q) * 4ul;
    uint64_t a_step = uint64_t(push.a_stride) * 4ul;
    uint at = push.c_first + ob_before(OB_STRAIGHT_ROWS_C, push.c_stride, push.scales_skip_or_c_skip) + tile.p;

#define ROW(i) uint64_t row##i = a + uint64_t(tile.p + (CAREFUL ? min(uint(i), tile.p_last) : uint(i))) * a_step;
#define TAKE(i) uint word##i = CAREFUL ? ob_eight_cut(row##i, 0u, tile.q_last) : ob_eight(row##i);
#define STORE(i) c[line + (CAREFUL ? min(uint(i), tile.p_last) : uint(i))] = subgroupShuffle(word##i, lane);
    EACH16(ROW)
    EACH16(TAKE)
    [[unroll]] for (uint lane = 0u; lane < 8u; lane++) {
        uint line = at + (tile.q + (CAREFUL ? min(lane, tile.q_last) : lane)) * push.c_stride;
        EACH16(STORE)
    }
}
