#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
// c[p,q] = sum over k of a[p,k] * b[q,k], or that added to c: the matrix product of the forward and both backward passes
//
// b0 rw c  (p_count,q_count) f32, row-major
// b1 r  a  [p][k] f32, or [k][p] with OB_A_ACROSS
// b2 r  b  [q][k] f32, or [k][q] with OB_B_ACROSS; with OB_F16 two halves a word, the even index in the low half
// push: obi_push_dense_gemm      spec 0: workgroup, 64      spec 1: vec4s of q (and of p) a lane makes, 1 or 2
// grid: x = ceil(q_count / tile), y = ceil(p_count / tile), tile = 32 * spec 1
// tiers: A
//
//              p        q        k         a    b
//   forward    tokens   rows     columns   x    W               y  = x W^T
//   bwd_x      tokens   columns  rows      dy   W   B_ACROSS    dx = dy W
//   bwd_w      rows     columns  tokens    dy   x   both        dW = dy^T x
//
// A workgroup makes a square tile, an 8x8 of lanes each 4x4 or 8x8 of it. 16 k's at a time are staged in shared memory,
// those past the end as 0; two 16-byte reads serve 16 multiplications, four serve 64. p's and q's past the end repeat
// the last one and are not stored. Every c is one sum over k in rising order, whatever the tile.
// An invocation's loops stay below 65,535 turns for k_count <= 65536.
#include "common/push_dense.h"

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint OB_VECTORS = 2u;

#define WIDE (OB_VECTORS == 2u)
#define DEPTH 16u           // k's staged at a time
#define LANES 64u
#define STRIDE_MAX 17u      // vec4s of a staged k: 16 at most, and one against bank conflicts

layout(set = 0, binding = 0) buffer C { float c[]; };
layout(set = 0, binding = 1) readonly buffer A { float a[]; };
#ifdef OB_F16
layout(set = 0, binding = 2) readonly buffer B { uint b[]; };
#else
layout(set = 0, binding = 2) readonly buffer B { float b[]; };
#endif
layout(push_constant) uniform Push { obi_push_dense_gemm push; };

shared vec4 staged_a[DEPTH * STRIDE_MAX]; // [k][p / 4], component p % 4
shared vec4 staged_b[DEPTH * STRIDE_MAX];

float a_at(uint p, uint k)
{
    p = min(p, push.p_count - 1u);
#ifdef OB_A_ACROSS
    return a[push.a_first + k * push.a_stride + p];
#else
    return a[push.a_first + p * push.a_stride + k];
#endif
}

#ifdef OB_F16
vec2 b_pair(uint word) { return unpackHalf2x16(b[push.b_first + word]); }
#endif

float b_at(uint q, uint k)
{
    q = min(q, push.q_count - 1u);
#ifdef OB_B_ACROSS
    uint row = k, at = q;
#else
    uint row = q, at = k;
#endif
#ifdef OB_F16
    vec2 pair = b_pair(row * push.b_stride + at / 2u);
    return (at & 1u) == 0u ? pair.x : pair.y;
#else
    return b[push.b_first + row * push.b_stride + at];
#endif
}

void store_one(uint at, uint q, float value)
{
    if (q < push.q_count) c[at] = push.accumulate != 0u ? c[at] + value : value;
}

void store(uint p, uint q, vec4 value)
{
    if (p >= push.p_count) return;
    uint at = push.c_first + p * push.c_stride + q;
    store_one(at, q, value.x);
    store_one(at + 1u, q + 1u, value.y);
    store_one(at + 2u, q + 2u, value.z);
    store_one(at + 3u, q + 3u, value.w);
}

void main()
{
    uint lane = gl_LocalInvocationIndex;
    uint quads = 8u * OB_VECTORS; // vec4s of the tile along p, and along q
    uint stride = quads + 1u;
    uint first_p = gl_WorkGroupID.y * quads * 4u, first_q = gl_WorkGroupID.x * quads * 4u;
    uint lane_p = lane / 8u, lane_q = lane % 8u;

    vec4 sum[16]; // [vector of p][component of p][vector of q]; where OB_VECTORS is 1 the second vectors are unused
    [[unroll]] for (uint i = 0u; i < 16u; i++) sum[i] = vec4(0.0);

    for (uint base = 0u; base < push.k_count; base += DEPTH) {
        barrier();
        for (uint i = lane; i < DEPTH * quads; i += LANES) {
#ifdef OB_A_ACROSS
            uint quad = i % quads, deep = i / quads;
#else
            uint quad = i / DEPTH, deep = i % DEPTH;
#endif
            uint k = base + deep, p = first_p + 4u * quad;
            vec4 value = vec4(0.0);
            if (k < push.k_count) value = vec4(a_at(p, k), a_at(p + 1u, k), a_at(p + 2u, k), a_at(p + 3u, k));
            staged_a[deep * stride + quad] = value;
        }
        for (uint i = lane; i < DEPTH * quads; i += LANES) {
#ifdef OB_B_ACROSS
            uint quad = i % quads, deep = i / quads;
#else
            uint quad = i / DEPTH, deep = i % DEPTH;
#endif
            uint k = base + deep, q = first_q + 4u * quad;
            vec4 value = vec4(0.0);
            if (k < push.k_count) value = vec4(b_at(q, k), b_at(q + 1u, k), b_at(q + 2u, k), b_at(q + 3u, k));
            staged_b[deep * stride + quad] = value;
        }
        barrier();

        for (uint k = 0u; k < DEPTH; k += 4u) {
#define MADD(at, component)                                          \
            sum[at] += value.component * b0;                         \
            if (WIDE) sum[(at) + 1u] += value.component * b1;
#define STEP(d)                                                      \
            {                                                        \
                uint at = (k + d) * stride;                          \
                vec4 b0 = staged_b[at + lane_q];                     \
                vec4 b1 = WIDE ? staged_b[at + lane_q + 8u] : b0;    \
                vec4 value = staged_a[at + lane_p];                  \
                MADD(0u, x) MADD(2u, y) MADD(4u, z) MADD(6u, w)      \
                if (WIDE) {                                          \
                    value = staged_a[at + lane_p + 8u];              \
                    MADD(8u, x) MADD(10u, y) MADD(12u, z) MADD(14u, w) \
                }                                                    \
            }
            STEP(0u) STEP(1u) STEP(2u) STEP(3u)
        }
    }

    uint p = first_p + 4u * lane_p, q = first_q + 4u * lane_q;
#define STORE(e, far_p)                                              \
    store(p + e + far_p, q, sum[2u * (e) + far_p / 4u]);             \
    if (WIDE) store(p + e + far_p, q + 32u, sum[2u * (e) + far_p / 4u + 1u]);
    STORE(0u, 0u) STORE(1u, 0u) STORE(2u, 0u) STORE(3u, 0u)
    if (WIDE) {
        STORE(0u, 32u) STORE(1u, 32u) STORE(2u, 32u) STORE(3u, 32u)
    }
}
