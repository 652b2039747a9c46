// steps[t] = max |x[t,j]| / 127 over the columns without a flag; q[t,j] = x[t,j] / steps[t], rounded to the nearest integer, 0 where
// flags[j] is set: the activations of LLM.int8(), arXiv 2208.07339, equation 2 ("row-wise" absmax)
// b0 w steps (T) at 0, q (T,words) at bytes_at, column 4i+b in byte b of word i, 0 behind the last   b1 r x (T,n)   b2 r flags (n)
// push: n, words, bytes_at   spec 0: workgroup size   grid: x: a workgroup a token   tier A
// A token below 2^-100 everywhere has step 0 and bytes of 0.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/push_int8.h"
#include "common/reduce.glsl"
layout(local_size_x_id = 0) in;

layout(set = 0, binding = 0) writeonly buffer Steps { uint result[]; };
layout(set = 0, binding = 1) readonly buffer X { float x[]; };
layout(set = 0, binding = 2) readonly buffer Flags { uint flags[]; };
layout(push_constant) uniform Push { obi_push_int8_quantise push; };

void main()
{
    uint lane = gl_LocalInvocationIndex, lanes = gl_WorkGroupSize.x, token = gl_WorkGroupID.x, base = token * push.n;
    float top = 0.0;
    for (uint j = lane; j < push.n; j += lanes)
        if (flags[j] == 0u) top = max(top, abs(x[base + j]));
    top = ob_reduce_max(top);
    float scale = top >= 7.8886091e-31 ? 127.0 / top : 0.0;
    if (lane == 0u) result[token] = floatBitsToUint(scale > 0.0 ? top / 127.0 : 0.0);
    for (uint i = lane; i < push.words; i += lanes) {
        uint word = 0u;
        for (uint b = 0u; b < 4u; b++) {
            uint j = 4u * i + b;
            if (j < push.n && flags[j] == 0u) word |= (uint(int(clamp(roundEven(x[base + j] * scale), -127.0, 127.0))) & 255u) << (8u * b);
        }
        result[push.bytes_at + token * push.words + i] = word;
    }
}
