#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
// y[t,i] = sum over j of W[i,j] * x[t,j]
//
// b0 w  y  (T,m) f32
// b1 r  x  (T,n) f32
// b2 r  w  a row block of W: row_count rows of row_words words; one f32 a word, or (OB_F16) two halves a word with
//          column 2i in the low half of word i
// push: obi_push_dense_gemv      spec 0: workgroup, at most 64 lanes      spec 1: rows a workgroup, 1..16
// grid: (x, y) folded over ceil(row_count / rows), z: tokens
// tiers: A shared memory, B subgroup sums; C (OB_F16 only) products of halves, summed in f32
//
// Lanes take consecutive words of each row, so loads are coalesced; a value of x serves all rows of the workgroup.
//
// Tier C scales x by a power of two that puts its largest magnitude into [8, 16), so that small products stay normal
// halves. |w| above 4094 may then overflow: a workgroup with a sum that is not finite computes its rows again in f32.
#include "common/push_dense.h"

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint OB_ROWS = 8u;

#define LANES_MAX 64

layout(set = 0, binding = 0) writeonly buffer Y { float y[]; };
layout(set = 0, binding = 1) readonly buffer X { float x[]; };
#ifdef OB_F16
layout(set = 0, binding = 2) readonly buffer W { uint w[]; };
#else
layout(set = 0, binding = 2) readonly buffer W { float w[]; };
#endif
layout(push_constant) uniform Push { obi_push_dense_gemv push; };

shared float row_sums[16 * (LANES_MAX + 1)];
#define OB_ROWS_SCRATCH row_sums
#include "common/reduce_rows.glsl"

#if OB_TIER >= 2
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#include "common/reduce.glsl"
shared uint overflowed;
#endif

// The lane's share of each row, in f32.
void rows_float(uint first, uint x_base, out float sum[OB_ROWS_MAX])
{
    uint lane = gl_LocalInvocationIndex;
    uint row_base[OB_ROWS_MAX];
    [[unroll]] for (uint r = 0u; r < OB_ROWS; r++) {
        sum[r] = 0.0;
        row_base[r] = min(first + r, push.row_count - 1u) * push.row_words; // rows past the end repeat the last one
    }
    for (uint i = lane; i < push.row_words; i += gl_WorkGroupSize.x) {
#ifdef OB_F16
        uint j = 2u * i;
        vec2 value = vec2(x[x_base + j], j + 1u < push.n ? x[x_base + j + 1u] : 0.0);
        [[unroll]] for (uint r = 0u; r < OB_ROWS; r++) {
            vec2 weight = unpackHalf2x16(w[row_base[r] + i]);
            sum[r] += weight.x * value.x + weight.y * value.y;
        }
#else
        float value = x[x_base + i];
        [[unroll]] for (uint r = 0u; r < OB_ROWS; r++) sum[r] += w[row_base[r] + i] * value;
#endif
    }
}

#if OB_TIER >= 2
// The same with products in half; x is multiplied by `scale` first.
void rows_half(uint first, uint x_base, float scale, out float sum[OB_ROWS_MAX])
{
    uint lane = gl_LocalInvocationIndex;
    uint row_base[OB_ROWS_MAX];
    [[unroll]] for (uint r = 0u; r < OB_ROWS; r++) {
        sum[r] = 0.0;
        row_base[r] = min(first + r, push.row_count - 1u) * push.row_words;
    }
    for (uint i = lane; i < push.row_words; i += gl_WorkGroupSize.x) {
        uint j = 2u * i;
        f16vec2 value = f16vec2(scale * vec2(x[x_base + j], j + 1u < push.n ? x[x_base + j + 1u] : 0.0));
        [[unroll]] for (uint r = 0u; r < OB_ROWS; r++) {
            vec2 product = vec2(unpackFloat2x16(w[row_base[r] + i]) * value);
            sum[r] += product.x + product.y;
        }
    }
}
#endif

void main()
{
    uint lane = gl_LocalInvocationIndex;
    uint first = (gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x) * OB_ROWS;
    uint token = gl_WorkGroupID.z;
    uint x_base = token * push.n;
    float sum[OB_ROWS_MAX];

#if OB_TIER >= 2
    float top = 0.0;
    for (uint j = lane; j < push.n; j += gl_WorkGroupSize.x) top = max(top, abs(x[x_base + j]));
    uint exponent = clamp(floatBitsToUint(ob_reduce_max(top)) >> 23, 27u, 254u); // outside of this the powers overflow
    rows_half(first, x_base, uintBitsToFloat((257u - exponent) << 23), sum);
    float total = ob_reduce_rows(sum) * uintBitsToFloat((exponent - 3u) << 23);
    if (lane == 0u) overflowed = 0u;
    barrier();
    if (lane < OB_ROWS && (floatBitsToUint(total) & 0x7f800000u) == 0x7f800000u) overflowed = 1u;
    barrier();
    if (overflowed != 0u) { // the same for the whole workgroup
        rows_float(first, x_base, sum);
        total = ob_reduce_rows(sum);
    }
#else
    rows_float(first, x_base, sum);
    float total = ob_reduce_rows(sum);
#endif

    uint row = first + lane;
    if (lane < OB_ROWS && row < push.row_count) y[token * push.m + push.first_row + row] = total;
}
