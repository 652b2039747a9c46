// rows_straight: a chunk of columns of a row, for software drivers (straight.glsl). A subgroup has a row.
#ifndef OB_ROWS_STRAIGHT_GLSL
#define OB_ROWS_STRAIGHT_GLSL

#include "common/push_rows.h"
#define OB_PUSH obi_push_rows
#include "common/straight.glsl"

layout(constant_id = 1) const uint OB_STEP = 0u;
layout(constant_id = 2) const uint OB_COLUMNS = 128u; // or 256, 32, 8

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

// DO(i) for each eight of the chunk.
#define OB_CHUNK(DO)                                                                                                                    \
    DO(0)                                                                                                                               \
    if (OB_COLUMNS > 8u) {                                                                                                              \
        DO(1) DO(2) DO(3)                                                                                                               \
    }                                                                                                                                   \
    if (OB_COLUMNS > 32u) {                                                                                                             \
        DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11) DO(12) DO(13) DO(14) DO(15)                                                   \
    }                                                                                                                                   \
    if (OB_COLUMNS > 128u) {                                                                                                            \
        DO(16) DO(17) DO(18) DO(19) DO(20) DO(21) DO(22) DO(23) DO(24) DO(25) DO(26) DO(27) DO(28) DO(29) DO(30) DO(31)                 \
    }

#endif
