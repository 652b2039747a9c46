#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
// y[t,i] = h[i] * sum over j of S[i,j] * (g[j] * x[t,j]),  S = +1 where the weight bit is 0, -1 where it is 1
//
// b0 w  y       (T,m) f32
// b1 r  x       (T,n) f32
// b2 r  bits    a row block of S: row_count rows of row_words words, column 32i+k in bit k of word i; pad bits may be anything
// b3 r  scales  g (n) at 0, h (m) at h_offset, f32
// push: obi_push_bitlinear_gemv      spec 0: workgroup, at most 64 lanes      spec 1: rows a workgroup, 1..16
// grid: (x, y) folded over ceil(row_count / rows), z: tokens
// tiers: A shared memory, B subgroup sums, C sums of eight signed halves
//
// Or up to three matrices of n columns, one behind the other in each of y, bits and scales: the workgroups of one follow those of
// the one before.
//
// A workgroup stages g*x of 32 columns a lane in shared memory, transposed so that neither side has bank conflicts;
// then each lane takes one word of each of its rows. The weight bit is XORed into the sign of the staged value.
//
// Tier C stages halves, columns k and k+16 of a word in one register, so that one shift and one mask make both signs.
// The values are first scaled by a power of two that puts the largest |g*x| of the token into [2048, 4096): eight of
// them cannot reach infinity, and what is lost below is under 2^-26 of the largest. Any finite g*x is fine, above
// 65504 too; an infinite or NaN g*x gives a y that is not finite, as in the other tiers.
#include "common/push_bitlinear.h"

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint OB_ROWS = 8u;

#define LANES_MAX 64

layout(set = 0, binding = 0) writeonly buffer Y { float y[]; };
layout(set = 0, binding = 1) readonly buffer X { float x[]; };
layout(set = 0, binding = 2) readonly buffer Bits { uint words[]; };
layout(set = 0, binding = 3) readonly buffer Scales { float scales[]; };
layout(push_constant) uniform Push { obi_push_bitlinear_gemv push; };

#if OB_TIER >= 2
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#include "common/reduce.glsl"
shared uint staged[16 * (LANES_MAX + 1)]; // pairs of halves
shared float row_sums[16 * (LANES_MAX + 1)];
#define OB_ROWS_SCRATCH row_sums
#else
shared float staged[32 * (LANES_MAX + 1)];
#define OB_ROWS_SCRATCH staged
#endif
#include "common/reduce_rows.glsl"

#if OB_TIER >= 2

// The power of two that brings `top` into [2048, 4096), and its inverse.
void half_scale(float top, out float scale, out float unscale)
{
    uint exponent = clamp(floatBitsToUint(top) >> 23, 27u, 254u); // biased; outside of this the powers overflow
    scale = uintBitsToFloat((265u - exponent) << 23);
    unscale = uintBitsToFloat((exponent - 11u) << 23);
}
#endif

void main()
{
    uint lane = gl_LocalInvocationIndex;
    uint lanes = gl_WorkGroupSize.x;
    uint stride = lanes + 1u;
    uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    uint token = gl_WorkGroupID.z;
    uint x_base = token * push.n;

    // The part of a group; its results begin at the next 64 floats.
    uint m = push.m, row_count = push.row_count, bits_base = 0u, scales_base = 0u, y_base = 0u;
    if (group >= push.first_groups) {
        group -= push.first_groups;
        bits_base = push.bits_skip;
        scales_base = push.scales_skip;
        y_base = push.m * gl_NumWorkGroups.z + 63u & ~63u;
        m = row_count = push.other_rows;
        if (group >= push.other_groups) {
            group -= push.other_groups;
            bits_base += push.other_bits_skip;
            scales_base += push.other_scales_skip;
            y_base += m * gl_NumWorkGroups.z + 63u & ~63u;
        }
    }
    uint first = group * OB_ROWS;

    float sum[OB_ROWS_MAX];
    uint row_base[OB_ROWS_MAX];
    [[unroll]] for (uint r = 0u; r < OB_ROWS; r++) {
        sum[r] = 0.0;
        row_base[r] = bits_base + min(first + r, row_count - 1u) * push.row_words; // rows past the end repeat the last one
    }

#if OB_TIER >= 2
    float top = 0.0;
    for (uint j = lane; j < push.n; j += lanes) top = max(top, abs(scales[scales_base + j] * x[x_base + j]));
    float scale, unscale;
    half_scale(ob_reduce_max(top), scale, unscale);
#endif

    for (uint base = 0u; base < push.row_words; base += lanes) {
        uint part = min(lanes, push.row_words - base); // words of this round
        barrier();
#if OB_TIER >= 2
        for (uint i = lane; i < 16u * part; i += lanes) { // pair i: word i / 16, columns k and k+16
            uint k = i & 15u;
            uint j = (base + (i >> 4)) * 32u + k;
            float low = j < push.n ? scales[scales_base + j] * x[x_base + j] : 0.0;
            float high = j + 16u < push.n ? scales[scales_base + j + 16u] * x[x_base + j + 16u] : 0.0;
            staged[k * stride + (i >> 4)] = packHalf2x16(vec2(low, high) * scale);
        }
#else
        for (uint i = lane; i < 32u * part; i += lanes) {
            uint j = base * 32u + i;
            staged[(i & 31u) * stride + (i >> 5)] = j < push.n ? scales[scales_base + j] * x[x_base + j] : 0.0;
        }
#endif
        barrier();
        if (lane < part) {
            uint bits[OB_ROWS_MAX];
            [[unroll]] for (uint r = 0u; r < OB_ROWS; r++) bits[r] = words[row_base[r] + base + lane];
#if OB_TIER >= 2
            for (uint chain = 0u; chain < 16u; chain += 8u) {
                f16vec2 half_sum[OB_ROWS_MAX];
                [[unroll]] for (uint r = 0u; r < OB_ROWS; r++) half_sum[r] = f16vec2(0.0);
                [[unroll]] for (uint d = 0u; d < 8u; d++) {
                    uint k = chain + d;
                    uint pair = staged[k * stride + lane];
                    [[unroll]] for (uint r = 0u; r < OB_ROWS; r++)
                        half_sum[r] += unpackFloat2x16(pair ^ ((bits[r] << (15u - k)) & 0x80008000u));
                }
                [[unroll]] for (uint r = 0u; r < OB_ROWS; r++) sum[r] += float(half_sum[r].x) + float(half_sum[r].y);
            }
#else
            for (uint k4 = 0u; k4 < 32u; k4 += 4u) {
                [[unroll]] for (uint d = 0u; d < 4u; d++) {
                    uint k = k4 + d;
                    uint value = floatBitsToUint(staged[k * stride + lane]);
                    [[unroll]] for (uint r = 0u; r < OB_ROWS; r++)
                        sum[r] += uintBitsToFloat(value ^ ((bits[r] << (31u - k)) & 0x80000000u));
                }
            }
#endif
        }
    }

    float total = ob_reduce_rows(sum);
#if OB_TIER >= 2
    total *= unscale;
#endif
    uint row = first + lane;
    if (lane < OB_ROWS && row < row_count)
        y[y_base + token * m + push.first_row + row] = total * scales[scales_base + push.h_offset + push.first_row + row];
}
