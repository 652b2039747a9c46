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

// DO(i) for each eight of the chunk.
#define OB_SHARE(DO, i) if (OB_COLUMNS > uint(8 * i)) { DO(i) }
#define OB_CHUNK(DO)                                                                                     \
    DO(0) OB_SHARE(DO, 1) OB_SHARE(DO, 2) OB_SHARE(DO, 3) OB_SHARE(DO, 4) OB_SHARE(DO, 5)                \
    OB_SHARE(DO, 6) OB_SHARE(DO, 7) OB_SHARE(DO, 8) OB_SHARE(DO, 9) OB_SHARE(DO, 10) OB_SHARE(DO, 11)    \
    OB_SHARE(DO, 12) OB_SHARE(DO, 13) OB_SHARE(DO, 14) OB_SHARE(DO, 15) OB_SHARE(DO, 16)                 \
    OB_SHARE(DO, 17) OB_SHARE(DO, 18) OB_SHARE(DO, 19) OB_SHARE(DO, 20) OB_SHARE(DO, 21)                 \
    OB_SHARE(DO, 22) OB_SHARE(DO, 23) OB_SHARE(DO, 24) OB_SHARE(DO, 25) OB_SHARE(DO, 26)                 \
    OB_SHARE(DO, 27) OB_SHARE(DO, 28) OB_SHARE(DO, 29) OB_SHARE(DO, 30) OB_SHARE(DO, 31)

#endif
