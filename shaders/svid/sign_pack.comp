#version 450
#extension GL_GOOGLE_include_directive : require
// word[i,c]: bit k = 1 where W[i,32c+k] is negative; bits past the last column 0
//
// Zero counts as positive, -0 and NaN (of either sign) too. Decided on the bits of the number, so that a driver that
// flushes denormals makes the same words.
//
// b0 w  words  (row_count,row_words) u32
// b1 r  w      a row block of W as its bits, row_count rows of n
// push: obi_push_svid_sign_pack      spec 0: workgroup
// grid: (x, y) folded over ceil(word_count / workgroup)
// tiers: A
//
// A lane makes one word: its 32 columns are one line of cache.
#include "common/push_svid.h"

layout(local_size_x_id = 0) in;

layout(set = 0, binding = 0) writeonly buffer Words { uint words[]; };
layout(set = 0, binding = 1) readonly buffer W { uint w[]; };
layout(push_constant) uniform Push { obi_push_svid_sign_pack push; };

void main()
{
    uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    uint at = group * gl_WorkGroupSize.x + gl_LocalInvocationIndex;
    if (at >= push.word_count) return;
    uint row = at / push.row_words, column = (at % push.row_words) * 32u;
    uint count = min(32u, push.n - column);
    uint from = row * push.n + column;
    uint word = 0u;
    for (uint k = 0u; k < count; k++) {
        uint bits = w[from + k];
        if (bits > 0x80000000u && bits <= 0xff800000u) word |= 1u << k; // -denormal .. -infinity
    }
    words[at] = word;
}
