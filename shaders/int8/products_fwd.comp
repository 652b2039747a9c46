#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
// y[t,i] = s[i] * (steps[t] * sum over j of w[i,j] * q[t,j] + sum over the outliers j of w[i,j] * x[t,j]): LLM.int8(), arXiv 2208.07339,
// equation 8, with the outliers' weights taken from the same bytes
//
// b0 w  y     (T,m) f32
// b1 r  acts  the list of outliers at 0 (its length, then columns), steps (T) at steps_at, q (T,words) at bytes_at
// b2 r  w     a row block: row_count rows of words + 1 words: bytes, column 4i+b in byte b of word i, then the row's scale s as f32
// b3 r  x     (T,n) f32
// push: obi_push_int8_products      spec 0: workgroup, at most 64 lanes      spec 1: rows a workgroup, spec 2: tokens; at most 32 products
// grid: (x, y) folded over ceil(row_count / rows), z: ceil(T / tokens)
// tiers: A
//
// Lanes take consecutive words of each row; the sums of bytes are integers, at most 2^30 for 65,536 columns, and so do not depend
// on their order. Then a lane has a product of its own: it adds up what the lanes have, and the outliers, one after the other.
#include "common/push_int8.h"

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint OB_ROWS = 8u;
layout(constant_id = 2) const uint OB_TOKENS = 1u;

#define LANES_MAX 64u
#define PRODUCTS_MAX 32
#define ROWS_MAX 16
#define TOKENS_MAX 4

layout(set = 0, binding = 0) writeonly buffer Y { float y[]; };
layout(set = 0, binding = 1) readonly buffer Acts { uint acts[]; };
layout(set = 0, binding = 2) readonly buffer W { uint w[]; };
layout(set = 0, binding = 3) readonly buffer X { float x[]; };
layout(push_constant) uniform Push { obi_push_int8_products push; };

shared int parts[PRODUCTS_MAX * (LANES_MAX + 1u)];

ivec4 bytes_of(uint word)
{
    int bits = int(word);
    return ivec4(bitfieldExtract(bits, 0, 8), bitfieldExtract(bits, 8, 8), bitfieldExtract(bits, 16, 8), bits >> 24);
}

float outlier(uint k, uint row, uint x_base)
{
    uint j = acts[1u + k];
    return float(bitfieldExtract(int(w[row + j / 4u]), int(8u * (j % 4u)), 8)) * x[x_base + j];
}

void main()
{
    uint lane = gl_LocalInvocationIndex, lanes = gl_WorkGroupSize.x, row_words = push.words + 1u;
    uint first = (gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x) * OB_ROWS, first_token = gl_WorkGroupID.z * OB_TOKENS;
    int sum[PRODUCTS_MAX];
    uint row_base[ROWS_MAX], token_base[TOKENS_MAX];
    [[unroll]] for (uint i = 0u; i < OB_ROWS * OB_TOKENS; i++) sum[i] = 0;
    [[unroll]] for (uint r = 0u; r < OB_ROWS; r++) row_base[r] = min(first + r, push.row_count - 1u) * row_words; // past the end the last
    [[unroll]] for (uint t = 0u; t < OB_TOKENS; t++) token_base[t] = push.bytes_at + min(first_token + t, push.tokens - 1u) * push.words;

    for (uint i = lane; i < push.words; i += lanes) {
        ivec4 q[TOKENS_MAX];
        [[unroll]] for (uint t = 0u; t < OB_TOKENS; t++) q[t] = bytes_of(acts[token_base[t] + i]);
        [[unroll]] for (uint r = 0u; r < OB_ROWS; r++) {
            ivec4 weight = bytes_of(w[row_base[r] + i]);
            [[unroll]] for (uint t = 0u; t < OB_TOKENS; t++) {
                ivec4 product = weight * q[t];
                sum[r * OB_TOKENS + t] += product.x + product.y + product.z + product.w;
            }
        }
    }
    [[unroll]] for (uint i = 0u; i < OB_ROWS * OB_TOKENS; i++) parts[i * (LANES_MAX + 1u) + lane] = sum[i];
    barrier();

    uint count = acts[0];
    for (uint i = lane; i < OB_ROWS * OB_TOKENS; i += lanes) {
        uint row = first + i / OB_TOKENS, token = first_token + i % OB_TOKENS;
        if (row >= push.row_count || token >= push.tokens) continue;
        int total = 0;
        for (uint k = 0u; k < lanes; k++) total += parts[i * (LANES_MAX + 1u) + k];
        uint at = row * row_words, x_base = token * push.n;
        float others = 0.0;
        for (uint k = 0u; k < count; k += 2u) { // two a turn: 65,536 columns are 32,768 turns
            others += outlier(k, at, x_base);
            if (k + 1u < count) others += outlier(k + 1u, at, x_base);
        }
        float ours = uintBitsToFloat(acts[push.steps_at + token]) * float(total);
        y[token * push.m + push.first_row + row] = uintBitsToFloat(w[at + push.words]) * (ours + others);
    }
}
