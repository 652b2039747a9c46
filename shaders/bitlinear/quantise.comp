#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
// u[t,j] = g[j] * x[t,j] as signed bytes q in blocks of 32 columns: u ~ q / scale, |q| <= 127
//
// b0 w  records  (T, row_words) of 12 words: 0..7 the bytes, byte b of word k is column 8b+k of the block; 8: 1 / scale as f32;
//                9: the sum of the 32 bytes; 10, 11: 0. Columns past n count as 0.
// b1 r  x        (T,n) f32
// b2 r  scales   g (n) at 0, f32
// push: obi_push_bitlinear_quantise      spec 0: workgroup, a multiple of 8 up to 128
// grid: (x, y) folded over ceil(row_words / (workgroup / 8)), z: tokens
// tiers: A
//
// Eight lanes make a block; lane k has columns 8b+k, which are one word of bytes. The scale has five significant bits and is
// found by multiplications and comparisons only, so that every device rounds the same values to the same bytes: it is at
// most 1/17 below 127 / max|u|, except that it is 31/32 of a power of two where max|u| is just above 127 of its inverse.
// A block that is below 2^-100 everywhere counts as 0; one with an infinity or a NaN has a NaN for 1 / scale.
#include "common/push_bitlinear.h"
#include "common/byte_scale.glsl"

layout(local_size_x_id = 0) in;

layout(set = 0, binding = 0) writeonly buffer Records { uint records[]; };
layout(set = 0, binding = 1) readonly buffer X { float x[]; };
layout(set = 0, binding = 2) readonly buffer Scales { float scales[]; };
layout(push_constant) uniform Push { obi_push_bitlinear_quantise push; };

#define LANES_MAX 128

shared uint tops[LANES_MAX];
shared int sums[LANES_MAX];

void main()
{
    uint lane = gl_LocalInvocationIndex;
    uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    uint word = group * (gl_WorkGroupSize.x >> 3) + (lane >> 3);
    uint token = gl_WorkGroupID.z;
    uint k = lane & 7u, block = lane & ~7u;

    float u[4];
    uint top = 0u;
    [[unroll]] for (uint b = 0u; b < 4u; b++) {
        uint j = word * 32u + b * 8u + k;
        u[b] = j < push.n ? scales[j] * x[token * push.n + j] : 0.0;
        top = max(top, floatBitsToUint(abs(u[b]))); // as integers: a NaN is above all
    }
    tops[lane] = top;
    barrier();
    [[unroll]] for (uint i = 0u; i < 8u; i++) top = max(top, tops[block + i]);

    float scale = 0.0, inverse = 0.0;
    if (top >= 0x7f800000u) {
        inverse = uintBitsToFloat(0x7fc00000u);
    } else if (top >= OB_BYTE_TOP_MIN) {
        scale = byte_scale(top);
        inverse = 1.0 / scale;
    }
    uint bytes = 0u;
    int sum = 0;
    [[unroll]] for (uint b = 0u; b < 4u; b++) {
        int q = scale > 0.0 ? int(roundEven(u[b] * scale)) : 0;
        sum += q;
        bytes |= uint(q & 255) << (8u * b);
    }
    sums[lane] = sum;
    barrier();
    if (word >= push.row_words) return;
    uint at = (token * push.row_words + word) * 12u;
    records[at + k] = bytes;
    if (k < 4u) {
        int total = 0;
        for (uint i = 0u; i < 8u; i++) total += sums[block + i];
        records[at + 8u + k] = k == 0u ? floatBitsToUint(inverse) : k == 1u ? uint(total) : 0u;
    }
}
