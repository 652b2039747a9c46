// token_row_straight: rows of `push.columns` floats, one a workgroup, OB_EIGHTS eights a subgroup (token_straight.glsl).
#ifndef OB_TOKEN_ROW_STRAIGHT_GLSL
#define OB_TOKEN_ROW_STRAIGHT_GLSL

#include "common/push_token.h"
#define OB_PUSH obi_push_token_row
#include "common/token_straight.glsl"

layout(constant_id = 3) const uint OB_EIGHTS = 1u; // of a subgroup, at most 32
layout(constant_id = 4) const uint OB_CUT = 0u;    // 1: the subgroups reach past the end of the row

layout(constant_id = 5) const uint OB_MANY = 0u;   // 1: there are several rows, at most 256

#define OB_CHUNK (OB_EIGHTS * 8u)
#define OB_EACH [[unroll]] for (uint i = 0u; i < OB_EIGHTS; i++)

uint ob_first() { return ob_subgroup() * OB_CHUNK; } // column

// Elements before the workgroup's row.
uint ob_before() { return OB_MANY != 0u ? ob_digits(gl_WorkGroupID.x) * push.columns : 0u; }

uint64_t ob_row(uint low, uint high) { return ob_address(low, high) + uint64_t(ob_before()) * 4ul; }

// Eight i of the subgroup; past the end of the row its last element again.
float ob_input(uint64_t row, uint i)
{
    return uintBitsToFloat(OB_CUT != 0u ? ob_eight_cut(row, ob_first() + 8u * i, push.columns - 1u)
                                        : ob_eight(row + uint64_t(ob_first() * 4u) + uint64_t(32u * i)));
}

// `value` where there is such a column, else 0.
float ob_counted(float value, uint i) { return OB_CUT == 0u || ob_first() + 8u * i + LANE < push.columns ? value : 0.0; }

float ob_chunk_count() // columns of this subgroup, 1 where it has none
{
    return OB_CUT != 0u ? float(max(min(push.columns - min(ob_first(), push.columns), OB_CHUNK), 1u)) : float(OB_CHUNK);
}

// Moments of values[], for ob_leave.
#define OB_LEAVE_MOMENTS(row, values, pivot)                                \
    {                                                                       \
        float mean = 0.0, squares = 0.0;                                    \
        OB_EACH mean += ob_counted(values[i] - pivot, i);                   \
        mean = ob_lanes_sum(mean) / ob_chunk_count();                       \
        OB_EACH {                                                           \
            float apart = ob_counted((values[i] - pivot) - mean, i);        \
            squares += apart * apart;                                       \
        }                                                                   \
        ob_leave(row, mean, ob_lanes_sum(squares));                         \
    }

// One scalar store after another. Lanes past the end have the last element too, and store it once more.
#define OB_STORE_LANE(buffer, value, l)                                                                                              \
    buffer[push.first + ob_before() + (OB_CUT != 0u ? min(ob_first() + 8u * i + l, push.columns - 1u) : ob_first() + 8u * i + l)] =       \
        subgroupShuffle(value, l);
#define OB_STORE(buffer, value)                                                                                                      \
    OB_STORE_LANE(buffer, value, 0u) OB_STORE_LANE(buffer, value, 1u) OB_STORE_LANE(buffer, value, 2u)                               \
    OB_STORE_LANE(buffer, value, 3u) OB_STORE_LANE(buffer, value, 4u) OB_STORE_LANE(buffer, value, 5u)                               \
    OB_STORE_LANE(buffer, value, 6u) OB_STORE_LANE(buffer, value, 7u)

#endif
