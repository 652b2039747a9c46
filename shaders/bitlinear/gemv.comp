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
// With OB_AFTER the workgroup that finishes last (common/last_group.glsl) goes on with what follows the projection of a single token,
// in the same words as the kernels of post_norm/, so that both ways give the same bits. Further bindings and constants are theirs:
// set 1 b0 rw  counters, zero before and after; push: behind the first struct theirs; spec 2: 1 with OneBit's norm
// OB_AFTER 1  residual (y is its p)                  set 1 b1 w normed   b2 rw x   b3 r w
// OB_AFTER 2  swiglu (y is gate, and up behind it)
// OB_AFTER 3  qkv (y is q|k|v, whole): the last workgroup of each of the three does its own part
//                                                    set 1 b1 r table   b2 w k_cache   b3 w v_cache      spec 3: layout   4: PLACED
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
#ifndef OB_AFTER
#define OB_AFTER 0
#endif

#if OB_AFTER
layout(set = 0, binding = 0) coherent buffer Y { float y[]; };
#else
layout(set = 0, binding = 0) writeonly buffer Y { float y[]; };
#endif
layout(set = 0, binding = 1) readonly buffer X { float x[]; };
layout(set = 0, binding = 2) readonly buffer Bits { uint words[]; };
layout(set = 0, binding = 3) readonly buffer Scales { float scales[]; };
#if OB_AFTER
#include "common/push_post_norm.h"
#if OB_AFTER == 1
layout(push_constant) uniform Push { obi_push_bitlinear_gemv push; obi_push_post_norm_residual after; };
#elif OB_AFTER == 2
layout(push_constant) uniform Push { obi_push_bitlinear_gemv push; obi_push_post_norm_swiglu after; };
#else
layout(push_constant) uniform Push { obi_push_bitlinear_gemv push; obi_push_post_norm_qkv after; };
#endif
#else
layout(push_constant) uniform Push { obi_push_bitlinear_gemv push; };
#endif

#if OB_TIER >= 2 || OB_AFTER
#include "common/reduce.glsl"
#endif
#if OB_TIER >= 2
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
shared uint staged[16 * (LANES_MAX + 1)]; // pairs of halves
shared float row_sums[16 * (LANES_MAX + 1)];
#define OB_ROWS_SCRATCH row_sums
#else
shared float staged[32 * (LANES_MAX + 1)];
#define OB_ROWS_SCRATCH staged
#endif
#include "common/reduce_rows.glsl"

#if OB_AFTER
#include "common/last_group.glsl"
layout(constant_id = 2) const uint POST = 1u;
#define OB_POST_NORM (POST != 0u)
#include "common/post_norm.glsl"
#endif
#if OB_AFTER == 1
layout(set = 1, binding = 1) writeonly buffer Normed { float normed[]; };
layout(set = 1, binding = 2) buffer Residual { float residual[]; };
layout(set = 1, binding = 3) readonly buffer W { float w[]; };
#define OB_P(i) y[i]
#define OB_X(i) residual[i]
#define OB_NORMED(i) normed[i]
#define OB_W(i) w[i]
#include "common/post_residual.glsl"
#elif OB_AFTER == 2
#define OB_GATE(i) y[i]
#define OB_UP(i) y[(push.m + 63u & ~63u) + (i)]
#include "common/post_swiglu.glsl"
#elif OB_AFTER == 3
#include "common/half_pair.glsl"
layout(constant_id = 3) const uint LAYOUT = 0u;
layout(constant_id = 4) const uint PLACED = 0u;
#ifdef OB_F16
#define OB_KV_WORD uint
#else
#define OB_KV_WORD float
#endif
layout(set = 1, binding = 1) readonly buffer Table { vec2 table[]; };
layout(set = 1, binding = 2) writeonly buffer KCache { OB_KV_WORD k_cache[]; };
layout(set = 1, binding = 3) writeonly buffer VCache { OB_KV_WORD v_cache[]; };
#define OB_QKV(i) y[i]
#define OB_QKV_PUSH after
#include "common/post_qkv.glsl"
#endif

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

#if OB_AFTER == 1
    if (ob_last_group(0u, gl_NumWorkGroups.x * gl_NumWorkGroups.y)) ob_post_residual(after.columns, after.post_eps, after.eps);
#elif OB_AFTER == 2
    if (ob_last_group(0u, gl_NumWorkGroups.x * gl_NumWorkGroups.y)) ob_post_swiglu(after.columns, after.post_eps);
#elif OB_AFTER == 3
    uint all = gl_NumWorkGroups.x * gl_NumWorkGroups.y, index = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    uint before = push.first_groups + push.other_groups; // a folded grid's surplus belongs to v
    uint part = index < push.first_groups ? 0u : index < before ? 1u : 2u;
    if (ob_last_group(part, part == 0u ? push.first_groups : part == 1u ? push.other_groups : all - before)) ob_post_qkv(part, 0u);
#endif
}
