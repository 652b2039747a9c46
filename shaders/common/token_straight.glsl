// token_straight: a token's rows by one workgroup, for software drivers (straight.glsl). Each subgroup has a chunk of a row; what the
// whole row decides, sums and OneBit's norm, goes through shared memory, in the order of the subgroups.
//
// Before the include: the push constants' struct as OB_PUSH, and OB_ROWS, how many rows have a norm.
#ifndef OB_TOKEN_STRAIGHT_GLSL
#define OB_TOKEN_STRAIGHT_GLSL

#include "common/straight.glsl"

layout(constant_id = 1) const uint OB_SUBGROUPS = 1u; // at most 64
layout(constant_id = 2) const uint OB_POST = 1u;      // 0: without OneBit's norm

// Eight floats at a uniform address.
float ob_floats(uint64_t address) { return uintBitsToFloat(ob_eight(address)); }

// The sum over the lanes, always in the same order.
float ob_lanes_sum(float v)
{
    v += subgroupShuffleXor(v, 1u);
    v += subgroupShuffleXor(v, 2u);
    return v + subgroupShuffleXor(v, 4u);
}

#define OB_SLOTS (OB_SUBGROUPS + 7u & ~7u) // whole eights
#define OB_SLOT_EIGHTS (OB_SLOTS / 8u)
shared float ob_mean[OB_ROWS * OB_SLOTS], ob_square[OB_ROWS * OB_SLOTS], ob_total[OB_SLOTS];

#define OB_SHARED_EIGHT(array, first)                                                                                                \
    uintBitsToFloat(ob_choose(floatBitsToUint(array[first]), floatBitsToUint(array[first + 1u]), floatBitsToUint(array[first + 2u]), \
                              floatBitsToUint(array[first + 3u]), floatBitsToUint(array[first + 4u]),                                \
                              floatBitsToUint(array[first + 5u]), floatBitsToUint(array[first + 6u]),                                \
                              floatBitsToUint(array[first + 7u])))

uint ob_subgroup() { return ob_digits(gl_SubgroupID); }

// Leaves a chunk's moments: of `count` elements the mean, from the row's pivot, and the sum of squares from that. A barrier must follow.
void ob_leave(uint row, float mean, float squares)
{
    ob_mean[row * OB_SLOTS + ob_subgroup()] = mean;
    ob_square[row * OB_SLOTS + ob_subgroup()] = squares;
}

struct ob_post { float pivot, mean, scale; };

// The norm of a row of `columns`, of which subgroup s left the moments of min(columns - s * chunk, chunk) elements, none below 0.
ob_post ob_join(uint row, float pivot, uint columns, uint chunk, float eps)
{
    float mean = 0.0, squares = 0.0;
    [[unroll]] for (uint i = 0u; i < OB_SLOT_EIGHTS; i++) {
        uint begin = min((8u * i + LANE) * chunk, columns);
        float count = float(min(columns - begin, chunk));
        float some = count * OB_SHARED_EIGHT(ob_mean, row * OB_SLOTS + 8u * i);
        mean += count > 0.0 ? some : 0.0;
    }
    mean = ob_lanes_sum(mean) / float(columns);
    [[unroll]] for (uint i = 0u; i < OB_SLOT_EIGHTS; i++) {
        uint begin = min((8u * i + LANE) * chunk, columns);
        float count = float(min(columns - begin, chunk));
        float apart = OB_SHARED_EIGHT(ob_mean, row * OB_SLOTS + 8u * i) - mean;
        float some = OB_SHARED_EIGHT(ob_square, row * OB_SLOTS + 8u * i) + count * apart * apart;
        squares += count > 0.0 ? some : 0.0;
    }
    return ob_post(pivot, mean, 1.0 / sqrt(ob_lanes_sum(squares) / float(columns) + eps));
}

float ob_post_value(ob_post post, float x) { return OB_POST != 0u ? ((x - post.pivot) - post.mean) * post.scale : x; }

// The sum of `part` over the subgroups; has a barrier.
float ob_row_sum(float part)
{
    ob_total[ob_subgroup()] = part;
    barrier();
    float total = 0.0;
    [[unroll]] for (uint i = 0u; i < OB_SLOT_EIGHTS; i++) {
        float some = OB_SHARED_EIGHT(ob_total, 8u * i);
        total += 8u * i + LANE < OB_SUBGROUPS ? some : 0.0;
    }
    return ob_lanes_sum(total);
}

#endif
