#version 450
#extension GL_GOOGLE_include_directive : require
// first pass   out[c,j]  = sum over the rows t of chunk c of a[t,j] * b[t,j]
// second pass  out[j]   += sum over the rows c of a[c,j]   (OB_FOLD; a is what the first pass wrote)
//
// b0 rw out  (chunks,n) or (n) f32
// b1 r  a    (rows,n) f32
// b2 r  b    (rows,n) f32, first pass only
// push: obi_push_bitlinear_column_dot      spec 0: workgroup
// grid: x = ceil(n / workgroup), y = ceil(rows / chunk_rows), 1 in the second pass
// tiers: A
//
// A lane sums one column of one chunk in rising order, so loads are coalesced and the bits are the same every time.
#include "common/push_bitlinear.h"

layout(local_size_x_id = 0) in;

layout(set = 0, binding = 0) buffer Out { float result[]; };
layout(set = 0, binding = 1) readonly buffer A { float a[]; };
#ifndef OB_FOLD
layout(set = 0, binding = 2) readonly buffer B { float b[]; };
#endif
layout(push_constant) uniform Push { obi_push_bitlinear_column_dot push; };

#ifdef OB_FOLD
#define TERM(at) a[at]
#else
#define TERM(at) (a[at] * b[at])
#endif

void main()
{
    uint j = gl_WorkGroupID.x * gl_WorkGroupSize.x + gl_LocalInvocationIndex;
    if (j >= push.n) return;
    uint begin = gl_WorkGroupID.y * push.chunk_rows;
    uint end = min(begin + push.chunk_rows, push.rows);
    float sum = 0.0;
    uint t = begin;
    for (; t + 4u <= end; t += 4u) {
        uint at = t * push.n + j;
        sum += TERM(at) + TERM(at + push.n) + TERM(at + 2u * push.n) + TERM(at + 3u * push.n);
    }
    for (; t < end; t++) sum += TERM(t * push.n + j);
#ifdef OB_FOLD
    result[j] += sum;
#else
    result[gl_WorkGroupID.y * push.n + j] = sum;
#endif
}
