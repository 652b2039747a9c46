// total += the number of bits in which a and b differ
// b0 rw total (1) u32   b1 r a (count) words   b2 r b (count) words
// push: count, chunk: words of a workgroup, a multiple of its size   spec 0: workgroup size
// grid: one workgroup a chunk, folded over x and y   tiers A B
//
// Whole numbers: the order in which workgroups add does not matter, so the total is the same every time.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/reduce.glsl"
#include "common/grid.glsl"
#include "common/push_optim.h"
layout(local_size_x_id = 0) in;

layout(set = 0, binding = 0) buffer Total { uint total; };
layout(set = 0, binding = 1) readonly buffer A { uint a[]; };
layout(set = 0, binding = 2) readonly buffer B { uint b[]; };
layout(push_constant) uniform Push { obi_push_optim_flip_count push; };

void main()
{
    uint begin = ob_group() * push.chunk;
    if (begin >= push.count) return; // the whole workgroup
    uint end = min(begin + push.chunk, push.count);
    int flips = 0;
    for (uint i = begin + gl_LocalInvocationIndex; i < end; i += gl_WorkGroupSize.x) flips += bitCount(a[i] ^ b[i]);
    uint all = uint(ob_reduce_add(float(flips))); // exact: a chunk has fewer than 2^24 bits
    if (gl_LocalInvocationIndex == 0u && all != 0u) atomicAdd(total, all);
}
