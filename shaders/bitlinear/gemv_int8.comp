#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
// y[t,i] = h[i] * sum over blocks of 32 columns of step[t] * sum over j of S[i,j] * q[t,j]
//
// b0 w  y        (T,m) f32
// b1 r  records  (T, row_words) of three uvec4: the bytes q, their step and their sum (bitlinear/quantise)
// b2 r  bits     a row block of S: row_count rows of row_words words, column 32i+k in bit k of word i; pad bits may be anything
// b3 r  scales   h (m) at h_offset, f32
// push: obi_push_bitlinear_gemv      spec 0: workgroup, at most 64 lanes      spec 1: rows a workgroup, 1..16
// grid: (x, y) folded over ceil(row_count / rows), z: tokens
// tiers: A shared memory, B subgroup sums; with OB_DOT the dot products of four bytes that SPV_KHR_integer_dot_product has
//
// A lane takes one word of each of its rows at a time. The sum with signs is that of all bytes less twice the sum of those
// whose bit is 1. A shift and a mask make four bytes of 0 or 1 out of a word, the bits of the four columns that lie in one
// word of q. Without OB_DOT the bytes are made unsigned, picked by a mask, and added two at a time: 16 of them at 255
// stay below 2^16.
#include "common/push_bitlinear.h"

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint OB_ROWS = 8u;

#define LANES_MAX 64

layout(set = 0, binding = 0) writeonly buffer Y { float y[]; };
layout(set = 0, binding = 1) readonly buffer Records { uvec4 records[]; };
layout(set = 0, binding = 2) readonly buffer Bits { uint words[]; };
layout(set = 0, binding = 3) readonly buffer Scales { float scales[]; };
layout(push_constant) uniform Push { obi_push_bitlinear_gemv push; };

shared float row_sums[16 * (LANES_MAX + 1)];
#define OB_ROWS_SCRATCH row_sums
#include "common/reduce_rows.glsl"

#ifdef OB_DOT
#extension GL_EXT_spirv_intrinsics : require
// OpSDotKHR on two words of four signed bytes; the last operand is PackedVectorFormat4x8Bit.
spirv_instruction(extensions = ["SPV_KHR_integer_dot_product"], capabilities = [6019, 6018], id = 4450)
int ob_dot4(int a, int b, spirv_literal int packed_format);

int picked_sum(uint bits, uvec4 low, uvec4 high)
{
    int sum = 0;
    [[unroll]] for (uint k = 0u; k < 4u; k++) {
        sum += ob_dot4(int((bits >> k) & 0x01010101u), int(low[k]), 0);
        sum += ob_dot4(int((bits >> (k + 4u)) & 0x01010101u), int(high[k]), 0);
    }
    return sum;
}
#define OB_BIAS 0u
#else
int picked_sum(uint bits, uvec4 low, uvec4 high)
{
    uint pairs = 0u;
    [[unroll]] for (uint k = 0u; k < 4u; k++) {
        uint a = low[k] & (((bits >> k) & 0x01010101u) * 255u);
        uint b = high[k] & (((bits >> (k + 4u)) & 0x01010101u) * 255u);
        pairs += (a & 0x00ff00ffu) + ((a >> 8) & 0x00ff00ffu) + (b & 0x00ff00ffu) + ((b >> 8) & 0x00ff00ffu);
    }
    return int((pairs & 0xffffu) + (pairs >> 16)) - 128 * bitCount(bits);
}
#define OB_BIAS 0x80808080u // q + 128 in each byte
#endif

void main()
{
    uint lane = gl_LocalInvocationIndex;
    uint lanes = gl_WorkGroupSize.x;
    uint first = (gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x) * OB_ROWS;
    uint token = gl_WorkGroupID.z;

    float sum[OB_ROWS_MAX];
    uint row_base[OB_ROWS_MAX];
    [[unroll]] for (uint r = 0u; r < OB_ROWS; r++) {
        sum[r] = 0.0;
        row_base[r] = min(first + r, push.row_count - 1u) * push.row_words; // rows past the end repeat the last one
    }
    for (uint word = lane; word < push.row_words; word += lanes) {
        uint at = (token * push.row_words + word) * 3u;
        uvec4 low = records[at] ^ OB_BIAS, high = records[at + 1u] ^ OB_BIAS;
        uvec2 step_and_sum = records[at + 2u].xy;
        float block_step = uintBitsToFloat(step_and_sum.x);
        [[unroll]] for (uint r = 0u; r < OB_ROWS; r++)
            sum[r] += block_step * float(int(step_and_sum.y) - 2 * picked_sum(words[row_base[r] + word], low, high));
    }

    float total = ob_reduce_rows(sum);
    uint row = first + lane;
    if (lane < OB_ROWS && row < push.row_count)
        y[token * push.m + push.first_row + row] = total * scales[push.h_offset + push.first_row + row];
}
