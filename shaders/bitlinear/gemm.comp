#version 450
#extension GL_GOOGLE_include_directive : require
// y[t,i] = h[i] * sum over j of S[i,j] * (g[j] * x[t,j]),  S = +1 where the weight bit is 0, -1 where it is 1
//
// b0 w  y       (T,m) f32
// b1 r  x       (T,n) f32
// b2 r  bits    a row block of S: row_count rows of row_words words, column 32i+k in bit k of word i; pad bits may be anything
// b3 r  scales  g (n) at 0, h (m) at h_offset, f32
// push: obi_push_bitlinear_gemm      spec 0: workgroup, 64      spec 1: 0 = without g and h (b3 is not read), else 1
// grid: x = ceil(row_count / 64), y = ceil(T / 32)
// tiers: A
//
// A workgroup makes 64 rows x 32 tokens; a lane makes rows {lane % 8 + 8i} x tokens {4 * (lane / 8) + 0..3}. Of every
// 64 columns, g*x and the words are staged in shared memory; one 16-byte read then serves 32 weights of the lane.
// Columns past n are staged as 0. Tokens past T and rows past the block repeat the last one and are not stored.
// Loops are written out by hand: one driver counts the turns of an invocation and stops it at 65,535.
#include "common/push_bitlinear.h"

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint OB_SCALED = 1u;

#define TILE_ROWS 64u
#define TILE_TOKENS 32u
#define TILE_COLUMNS 64u
#define X_STRIDE 9u // vec4s of a staged column: 8 and one against bank conflicts

layout(set = 0, binding = 0) writeonly buffer Y { float y[]; };
layout(set = 0, binding = 1) readonly buffer X { float x[]; };
layout(set = 0, binding = 2) readonly buffer Bits { uint words[]; };
layout(set = 0, binding = 3) readonly buffer Scales { float scales[]; };
layout(push_constant) uniform Push { obi_push_bitlinear_gemm push; };

shared vec4 staged_x[TILE_COLUMNS * X_STRIDE]; // [column][token / 4], component token % 4
shared uint staged_bits[2u * TILE_ROWS];       // [word][row]

#define EACH_ROW(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7)

void main()
{
    uint lane = gl_LocalInvocationIndex;
    uint first = gl_WorkGroupID.x * TILE_ROWS;
    uint first_token = gl_WorkGroupID.y * TILE_TOKENS;
    uint row_lane = lane % 8u, token_lane = lane / 8u;
    uint last_token = push.tokens - 1u;
    uint row_base = min(first + lane, push.row_count - 1u) * push.row_words;

#define DECLARE(i) vec4 sum##i = vec4(0.0);
    EACH_ROW(DECLARE)

    for (uint word = 0u; word < push.row_words; word += 2u) {
        uint j = word * 32u + lane;
        bool inside = j < push.n;
        float g = inside ? 1.0 : 0.0;
        if (OB_SCALED != 0u && inside) g = scales[j];
        barrier();
        for (uint q = 0u; q < TILE_TOKENS / 4u; q++) {
            vec4 value = vec4(0.0);
            uint token = first_token + 4u * q;
            if (inside)
                value = g * vec4(x[min(token, last_token) * push.n + j], x[min(token + 1u, last_token) * push.n + j],
                                 x[min(token + 2u, last_token) * push.n + j], x[min(token + 3u, last_token) * push.n + j]);
            staged_x[lane * X_STRIDE + q] = value;
        }
        staged_bits[lane] = words[row_base + word];
        staged_bits[TILE_ROWS + lane] = word + 1u < push.row_words ? words[row_base + word + 1u] : 0u;
        barrier();

        for (uint side = 0u; side < 2u; side++) {
#define LOAD(i) uint bits##i = staged_bits[side * TILE_ROWS + row_lane + 8u * i];
            EACH_ROW(LOAD)
            for (uint k = 0u; k < 32u; k += 4u) {
                uint at = (side * 32u + k) * X_STRIDE + token_lane;
                uint shift = 31u - k;
                uvec4 value = floatBitsToUint(staged_x[at]);
#define STEP(i) sum##i += uintBitsToFloat(value ^ uvec4((bits##i << shift) & 0x80000000u));
                EACH_ROW(STEP)
                value = floatBitsToUint(staged_x[at + X_STRIDE]);
                shift -= 1u;
                EACH_ROW(STEP)
                value = floatBitsToUint(staged_x[at + 2u * X_STRIDE]);
                shift -= 1u;
                EACH_ROW(STEP)
                value = floatBitsToUint(staged_x[at + 3u * X_STRIDE]);
                shift -= 1u;
                EACH_ROW(STEP)
            }
        }
    }

    uint token = first_token + 4u * token_lane;
#define STORE(i)                                                                           \
    {                                                                                      \
        uint row = first + row_lane + 8u * i;                                              \
        if (row < push.row_count) {                                                        \
            uint at = push.first_row + row;                                                \
            vec4 out_value = sum##i;                                                       \
            if (OB_SCALED != 0u) out_value *= scales[push.h_offset + at];                  \
            if (token < push.tokens) y[token * push.m + at] = out_value.x;                 \
            if (token + 1u < push.tokens) y[(token + 1u) * push.m + at] = out_value.y;     \
            if (token + 2u < push.tokens) y[(token + 2u) * push.m + at] = out_value.z;     \
            if (token + 3u < push.tokens) y[(token + 3u) * push.m + at] = out_value.w;     \
        }                                                                                  \
    }
    EACH_ROW(STORE)
}
