#version 450
#extension GL_GOOGLE_include_directive : require
// y[t,i] = sum over j of W[i,j] * x[t,j]
//
// b0 w  y  (T,m) f32
// b1 r  x  (T,n) f32
// b2 r  w  a row block of W: row_count rows of row_words words; one f32 a word, or (OB_F16) two halves a word with
//          column 2i in the low half of word i
// push: obi_push_dense_gemm      spec 0: workgroup, 64
// grid: x = ceil(row_count / 64), y = ceil(T / 32)
// tiers: A
//
// A workgroup makes 64 rows x 32 tokens; a lane makes rows {4 * (lane % 8) + 0..3, and 32 more} x tokens
// {4 * (lane / 8) + 0..3}: three 16-byte reads of shared memory for 32 multiplications. Columns are staged 32 at a time,
// those past n as 0. Tokens past T and rows past the block repeat the last one and are not stored.
// Loops are written out by hand: one driver counts the turns of an invocation and stops it at 65,535.
#include "common/push_dense.h"

layout(local_size_x_id = 0) in;

#define TILE_ROWS 64u
#define TILE_TOKENS 32u
#define TILE_COLUMNS 32u
#define X_STRIDE 9u  // vec4s of a staged column of x: 8 and one against bank conflicts
#define W_STRIDE 17u // of W: 16 and one

layout(set = 0, binding = 0) writeonly buffer Y { float y[]; };
layout(set = 0, binding = 1) readonly buffer X { float x[]; };
#ifdef OB_F16
layout(set = 0, binding = 2) readonly buffer W { uint w[]; };
#else
layout(set = 0, binding = 2) readonly buffer W { float w[]; };
#endif
layout(push_constant) uniform Push { obi_push_dense_gemm push; };

shared vec4 staged_x[TILE_COLUMNS * X_STRIDE]; // [column][token / 4], component token % 4
shared vec4 staged_w[TILE_COLUMNS * W_STRIDE]; // [column][row / 4], component row % 4

uint row_start(uint row) { return min(row, push.row_count - 1u) * push.row_words; }

void main()
{
    uint lane = gl_LocalInvocationIndex;
    uint first = gl_WorkGroupID.x * TILE_ROWS;
    uint first_token = gl_WorkGroupID.y * TILE_TOKENS;
    uint row_lane = lane % 8u, token_lane = lane / 8u;
    uint last_token = push.tokens - 1u;

    // near: rows 4 * row_lane + 0..3, far: 32 more; one vec4 of rows for each of four tokens
    vec4 near0 = vec4(0.0), near1 = vec4(0.0), near2 = vec4(0.0), near3 = vec4(0.0);
    vec4 far0 = vec4(0.0), far1 = vec4(0.0), far2 = vec4(0.0), far3 = vec4(0.0);

    for (uint base = 0u; base < push.n; base += TILE_COLUMNS) {
        barrier();
        uint column = lane % TILE_COLUMNS;
        uint j = base + column;
        for (uint q = lane / TILE_COLUMNS; q < TILE_TOKENS / 4u; q += 2u) {
            vec4 value = vec4(0.0);
            uint token = first_token + 4u * q;
            if (j < push.n)
                value = vec4(x[min(token, last_token) * push.n + j], x[min(token + 1u, last_token) * push.n + j],
                             x[min(token + 2u, last_token) * push.n + j], x[min(token + 3u, last_token) * push.n + j]);
            staged_x[column * X_STRIDE + q] = value;
        }
#ifdef OB_F16
        uint pair = lane % (TILE_COLUMNS / 2u);
        uint word = base / 2u + pair;
        for (uint q = lane / (TILE_COLUMNS / 2u); q < TILE_ROWS / 4u; q += 4u) {
            uint row = first + 4u * q;
            vec2 a = vec2(0.0), b = vec2(0.0), c = vec2(0.0), d = vec2(0.0);
            if (word < push.row_words) {
                a = unpackHalf2x16(w[row_start(row) + word]);
                b = unpackHalf2x16(w[row_start(row + 1u) + word]);
                c = unpackHalf2x16(w[row_start(row + 2u) + word]);
                d = unpackHalf2x16(w[row_start(row + 3u) + word]);
            }
            staged_w[2u * pair * W_STRIDE + q] = vec4(a.x, b.x, c.x, d.x);
            staged_w[(2u * pair + 1u) * W_STRIDE + q] = vec4(a.y, b.y, c.y, d.y);
        }
#else
        for (uint q = lane / TILE_COLUMNS; q < TILE_ROWS / 4u; q += 2u) {
            uint row = first + 4u * q;
            vec4 value = vec4(0.0);
            if (j < push.n)
                value = vec4(w[row_start(row) + j], w[row_start(row + 1u) + j], w[row_start(row + 2u) + j], w[row_start(row + 3u) + j]);
            staged_w[column * W_STRIDE + q] = value;
        }
#endif
        barrier();

        for (uint k = 0u; k < TILE_COLUMNS; k += 4u) {
#define STEP(d)                                                                                       \
            {                                                                                         \
                vec4 value = staged_x[(k + d) * X_STRIDE + token_lane];                               \
                vec4 near_w = staged_w[(k + d) * W_STRIDE + row_lane];                                \
                vec4 far_w = staged_w[(k + d) * W_STRIDE + row_lane + 8u];                            \
                near0 += near_w * value.x; near1 += near_w * value.y; near2 += near_w * value.z; near3 += near_w * value.w; \
                far0 += far_w * value.x; far1 += far_w * value.y; far2 += far_w * value.z; far3 += far_w * value.w;         \
            }
            STEP(0u) STEP(1u) STEP(2u) STEP(3u)
        }
    }

    uint row = first + 4u * row_lane;
#define STORE(t, NEAR, FAR)                                                                           \
    {                                                                                                 \
        uint token = first_token + 4u * token_lane + t;                                               \
        uint at = token * push.m + push.first_row + row;                                              \
        if (token < push.tokens) {                                                                    \
            if (row < push.row_count) y[at] = NEAR.x;                                                 \
            if (row + 1u < push.row_count) y[at + 1u] = NEAR.y;                                       \
            if (row + 2u < push.row_count) y[at + 2u] = NEAR.z;                                       \
            if (row + 3u < push.row_count) y[at + 3u] = NEAR.w;                                       \
            if (row + 32u < push.row_count) y[at + 32u] = FAR.x;                                      \
            if (row + 33u < push.row_count) y[at + 33u] = FAR.y;                                      \
            if (row + 34u < push.row_count) y[at + 34u] = FAR.z;                                      \
            if (row + 35u < push.row_count) y[at + 35u] = FAR.w;                                      \
        }                                                                                             \
    }
    STORE(0u, near0, far0)
    STORE(1u, near1, far1)
    STORE(2u, near2, far2)
    STORE(3u, near3, far3)
}
