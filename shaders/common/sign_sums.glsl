// sign_sums: the tables that bitlinear/gemm_sums_straight chooses from: of every three values the eight sums +-v0 +-v1 +-v2, bit i
// of a sum's number set where v i is subtracted. A word of 32 values has eleven, the last of two values.
//
// Before the include: the push constants' struct as OB_PUSH, the type of a value as OB_SUM; a buffer sums[] of it.
#ifndef OB_SIGN_SUMS_GLSL
#define OB_SIGN_SUMS_GLSL

#include "common/straight.glsl"

// Values 3 * LANE + i of 24.
OB_SUM ob_third(OB_SUM v0, OB_SUM v1, OB_SUM v2, uint i)
{
    uint at = 3u * LANE + i;
    OB_SUM s0 = subgroupShuffle(v0, at & 7u), s1 = subgroupShuffle(v1, at & 7u), s2 = subgroupShuffle(v2, at & 7u);
    return at < 8u ? s0 : at < 16u ? s1 : s2;
}

// Sum e of table i: each table is made in a lane, and stored by one scalar store after another.
#define OB_SUM_STORE(i, e, value) sums[to + 8u * (i) + e] = subgroupShuffle(value, i);
#define OB_SUM_TABLES(first, k0, k1, k2, count)                                                                                      \
    {                                                                                                                                \
        OB_SUM sum = k0 + k1, difference = k1 - k0;                                                                                  \
        OB_SUM a0 = sum + k2, a1 = difference + k2, a2 = k2 - difference, a3 = k2 - sum;                                             \
        uint to = first;                                                                                                             \
        [[unroll]] for (uint i = 0u; i < count; i++) {                                                                               \
            OB_SUM_STORE(i, 0u, a0) OB_SUM_STORE(i, 1u, a1) OB_SUM_STORE(i, 2u, a2) OB_SUM_STORE(i, 3u, a3)                          \
            OB_SUM_STORE(i, 4u, -a3) OB_SUM_STORE(i, 5u, -a2) OB_SUM_STORE(i, 6u, -a1) OB_SUM_STORE(i, 7u, -a0)                      \
        }                                                                                                                            \
    }
// The tables of 32 values, of which lane l has 8v + l in its value v, stored from sums[at] on.
#define OB_WORD_SUMS(at, v0, v1, v2, v3)                                                                                             \
    OB_SUM_TABLES(at, ob_third(v0, v1, v2, 0u), ob_third(v0, v1, v2, 1u), ob_third(v0, v1, v2, 2u), 8u)                              \
    OB_SUM last = LANE < 2u ? subgroupShuffle(v3, 3u * LANE + 2u & 7u) : OB_SUM(0); /* of the last eight values, in lanes 0 to 2 */   \
    OB_SUM_TABLES(at + 64u, subgroupShuffle(v3, 3u * LANE & 7u), subgroupShuffle(v3, 3u * LANE + 1u & 7u), last, 3u)

#endif
