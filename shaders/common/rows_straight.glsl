// rows_straight: a chunk of columns of a row, for software drivers (straight.glsl). A subgroup has a row.
#ifndef OB_ROWS_STRAIGHT_GLSL
#define OB_ROWS_STRAIGHT_GLSL

#include "common/push_rows.h"
#define OB_PUSH obi_push_rows
#include "common/straight.glsl"

layout(constant_id = 1) const uint OB_STEP = 0u;
layout(constant_id = 2) const uint OB_COLUMNS = 128u; // a multiple of 8 up to 256

// The sum over the lanes, always in the same order.
float ob_lanes_sum(float v)
{
    v += subgroupShuffleXor(v, 1u);
    v += subgroupShuffleXor(v, 2u);
    return v + subgroupShuffleXor(v, 4u);
}

uint ob_row() { return push.first_row + ob_digits(gl_WorkGroupID.x) * 16u + push.digit[gl_SubgroupID & 15u]; }

// Eight floats, i eights after `address`.
#define OB_EIGHT(address, i) uintBitsToFloat(ob_eight(address + uint64_t((i) * 32)))

// Of the chunk that this workgroup has: several lie along y.
uint ob_first_column() { return push.first_column + ob_digits(gl_WorkGroupID.y) * OB_COLUMNS; }

// Goes over the eights of the chunk, i.
#define OB_CHUNK [[unroll]] for (uint i = 0u; i < OB_COLUMNS / 8u; i++)

#endif
