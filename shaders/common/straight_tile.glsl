// straight_tile: the tiles of the matrix products for software drivers (straight.glsl). A dispatch adds a stretch of k's to
// c; a subgroup whose tile lies outside repeats its workgroup's last tile and adds nothing to it.
//
// Every c is old c + sum of unit 0 + sum of unit 1 + ... in this order, a unit being the shortest stretch of the kernel:
// how k is cut into dispatches, and which tiles are careful, changes no bit. (In dot_straight the unit is a dispatch.)
#ifndef OB_STRAIGHT_TILE_GLSL
#define OB_STRAIGHT_TILE_GLSL

#include "common/push_straight.h"
#define OB_PUSH obi_push_straight
#include "common/straight.glsl"

layout(constant_id = 1) const uint OB_CAREFUL = 0u; // 1: one unit; tiles may be cut by p_count and q_count, the unit by k_count
layout(set = 0, binding = 0) writeonly buffer C { uint c[]; };

#define CAREFUL (OB_CAREFUL != 0u)

// The subgroup's tile, uniform: `wide` (a power of two) subgroups of a workgroup lie along q, 16 / wide along p.
struct ob_tile {
    uint p, q;         // of its first element
    uint p_last, q_last; // distance from there to the last element of the rectangle
    uint c_skip;       // words before it in c: those of earlier products of a batch
    uint keep;         // all bits set where the old c is added to, else 0
    bool outside;      // c stays as it is
};

ob_tile ob_find_tile(uint wide, uint tile_p, uint tile_q)
{
    uint group = push.digit[gl_SubgroupID & 15u];
    uint p_count = push.counts & 0xffffu, q_count = push.counts >> 16;
    uint p = ob_digits(gl_WorkGroupID.y) * (16u / wide) + group / wide, q = ob_digits(gl_WorkGroupID.x) * wide + group % wide;
    uint p_end = (p_count + tile_p - 1u) / tile_p - 1u, q_end = (q_count + tile_q - 1u) / tile_q - 1u;
    bool outside = p > p_end || q > q_end;
    ob_tile tile;
    tile.p = min(p, p_end) * tile_p;
    tile.q = min(q, q_end) * tile_q;
    tile.p_last = p_count - 1u - tile.p;
    tile.q_last = q_count - 1u - tile.q;
    tile.c_skip = 0u;
    tile.keep = (push.flags & OB_STRAIGHT_KEEP) != 0u ? 0xffffffffu : 0u;
    tile.outside = outside;
    return tile;
}

// Words before an operand of the workgroup's product of the batch: OB_STRAIGHT_ROWS_, and the operand's. (Every number passes
// through digit[]: Mesa asks for each load whether all it is made from is uniform, and does not remember what it found.)
uint ob_before(uint rows_flag, uint stride, uint skip)
{
    uint product = gl_WorkGroupID.z, of_group = push.flags >> 8 & 255u,
         group = uint((float(product) + 0.5) / float(of_group)); // exact: < 256
    uint all = ob_digits(product) * skip,
         next = ob_digits(product - group * of_group) * skip + ob_digits(group) * (push.flags >> 16) * stride;
    return (push.flags & rows_flag) != 0u ? next : all;
}

uint64_t ob_c_row(ob_tile tile, uint row)
{
    uint at = (tile.p + (CAREFUL ? min(row, tile.p_last) : row)) * push.c_stride + tile.q + tile.c_skip;
    return ob_address(push.c_low, push.c_high) + uint64_t(at) * 4ul;
}

uint ob_c_word(ob_tile tile, uint row, uint first)
{
    return CAREFUL ? ob_eight_cut(ob_c_row(tile, row), first, tile.q_last) : ob_eight(ob_c_row(tile, row) + uint64_t(first) * 4ul);
}

// What the sum begins with: column q + first + LANE of row p + row of c, or 0 where c is written anew.
float ob_old(ob_tile tile, uint row, uint first) { return uintBitsToFloat(ob_c_word(tile, row, first) & tile.keep); }

// Stores it. What lies past the rectangle must hold the value of its last column: it is stored there once more, or c stays
// as it is when all eight columns, or the row, lie past it.
void ob_store(ob_tile tile, uint row, uint first, float value)
{
    bool outside = tile.outside;
    if (CAREFUL) outside = outside || row > tile.p_last || first > tile.q_last;
    uint now = ob_c_word(tile, row, first); // not inside the choice: a load there would be a loop over the lanes
    uint word = outside ? now : floatBitsToUint(value);
    uint at = push.c_first + (tile.p + (CAREFUL ? min(row, tile.p_last) : row)) * push.c_stride + tile.q + tile.c_skip;
#define OB_STORE(i) c[at + (CAREFUL ? min(first + uint(i), tile.q_last) : first + uint(i))] = subgroupShuffle(word, uint(i));
    EACH8(OB_STORE)
#undef OB_STORE
}

// Ends a block of code by a store that changes nothing. LLVM puts the instructions of a block in an order of its own, and
// in a long one it has far more values alive at once than there are registers.
void ob_split(ob_tile tile)
{
    c[push.c_first + tile.p * push.c_stride + tile.q + tile.c_skip] = ob_word(ob_c_row(tile, 0u), 0u);
}

#endif
