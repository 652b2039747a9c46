#version 450
#extension GL_GOOGLE_include_directive : require
// du[t,j] = sum over i of dv[t,i] * S[i,j], or that added to du;  S = +1 where the weight bit is 0, -1 where it is 1
//
// b0 rw du    (T,n) f32
// b1 r  dv    (T,m) f32
// b2 r  bits  a row block of S, rows of row_words words, column 32i+k in bit k of word i; pad bits may be anything
// push: obi_push_bitlinear_bwd_x      spec 0: workgroup, 64
// grid: x = ceil(n / 64), y = ceil(T / 32)
// tiers: A
//
// The transposed side of bitlinear/gemm: a workgroup makes 64 columns x 32 tokens, a lane columns {lane % 8 + 8i} x
// tokens {4 * (lane / 8) + 0..3}. Of every 32 rows, dv and the two words of the 64 columns are staged in shared memory.
// Rows past row_count are staged as 0. Tokens past T repeat the last one and are not stored.
// An invocation's loops stay below 65,535 turns for row_count <= 65536.
#include "common/push_bitlinear.h"

layout(local_size_x_id = 0) in;

#define TILE_COLUMNS 64u
#define TILE_TOKENS 32u
#define TILE_ROWS 32u
#define V_STRIDE 9u // vec4s of a staged row: 8 and one against bank conflicts

layout(set = 0, binding = 0) buffer Du { float du[]; };
layout(set = 0, binding = 1) readonly buffer Dv { float dv[]; };
layout(set = 0, binding = 2) readonly buffer Bits { uint words[]; };
layout(push_constant) uniform Push { obi_push_bitlinear_bwd_x push; };

shared vec4 staged_dv[TILE_ROWS * V_STRIDE]; // [row][token / 4], component token % 4
shared uint staged_bits[2u * TILE_ROWS];     // [row][word]

#define EACH_COLUMN(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7)

void main()
{
    uint lane = gl_LocalInvocationIndex;
    uint first_word = gl_WorkGroupID.x * 2u;
    uint first_token = gl_WorkGroupID.y * TILE_TOKENS;
    uint column_lane = lane % 8u, token_lane = lane / 8u;
    uint last_token = push.tokens - 1u;
    uint word = min(first_word + lane % 2u, push.row_words - 1u); // the lane's in staging; a column past n is not stored

#define DECLARE(i) vec4 sum##i = vec4(0.0);
    EACH_COLUMN(DECLARE)

    for (uint base = 0u; base < push.row_count; base += TILE_ROWS) {
        barrier();
        uint i = base + lane % TILE_ROWS;
        for (uint q = lane / TILE_ROWS; q < TILE_TOKENS / 4u; q += 2u) {
            vec4 value = vec4(0.0);
            uint token = first_token + 4u * q, at = push.first_row + i;
            if (i < push.row_count)
                value = vec4(dv[min(token, last_token) * push.m + at], dv[min(token + 1u, last_token) * push.m + at],
                             dv[min(token + 2u, last_token) * push.m + at], dv[min(token + 3u, last_token) * push.m + at]);
            staged_dv[(lane % TILE_ROWS) * V_STRIDE + q] = value;
        }
        uint row = min(base + lane / 2u, push.row_count - 1u);
        staged_bits[lane] = words[(push.block_row + row) * push.row_words + word];
        barrier();

        for (uint r = 0u; r < TILE_ROWS; r += 4u) {
#define STEP(i, word) sum##i += uintBitsToFloat(value ^ uvec4((word << (31u - 8u * (i % 4u))) & 0x80000000u));
#define ROW(d)                                                                          \
            {                                                                           \
                uvec4 value = floatBitsToUint(staged_dv[(r + d) * V_STRIDE + token_lane]); \
                uint near = staged_bits[2u * (r + d)] >> column_lane;                   \
                uint far = staged_bits[2u * (r + d) + 1u] >> column_lane;               \
                STEP(0, near) STEP(1, near) STEP(2, near) STEP(3, near)                 \
                STEP(4, far) STEP(5, far) STEP(6, far) STEP(7, far)                     \
            }
            ROW(0u) ROW(1u) ROW(2u) ROW(3u)
        }
    }

    uint token = first_token + 4u * token_lane;
#define STORE_ONE(t, value)                                                             \
    if (token + t < push.tokens) {                                                      \
        uint at = (token + t) * push.n + column;                                        \
        du[at] = push.accumulate != 0u ? du[at] + value : value;                        \
    }
#define STORE(i)                                                                        \
    {                                                                                   \
        uint column = first_word * 32u + column_lane + 8u * i;                          \
        if (column < push.n) {                                                          \
            STORE_ONE(0u, sum##i.x)                                                     \
            STORE_ONE(1u, sum##i.y)                                                     \
            STORE_ONE(2u, sum##i.z)                                                     \
            STORE_ONE(3u, sum##i.w)                                                     \
        }                                                                               \
    }
    EACH_COLUMN(STORE)
}
