// The `keep` largest of each run of 1024 elements, sorted: larger first, the lower id first among equals, NaN last.
// Repeated on its own output until one run is left, this is the top k of everything.
// b0 w out: groups * keep pairs (id, value bits)
// b1 r in: with spec 1 = 1 count floats, whose ids are their indices; with 0 count pairs as written above
// push: count, keep (<= 1024), groups   spec 0: workgroup size   spec 1: the input is floats
// grid: one workgroup a run, folded over x and y   shared: 8 KiB   tier A
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/grid.glsl"
#include "common/order_key.glsl"
#include "common/push_util.h"
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint FLOATS = 1;

layout(set = 0, binding = 0) writeonly buffer Out { uvec2 result[]; };
layout(set = 0, binding = 1) readonly buffer In { uint words[]; };
layout(push_constant) uniform Push { obi_push_util_topk push; };

#define RUN 1024u
shared uint keys[RUN];
shared uint ids[RUN];

void main()
{
    uint group = ob_group();
    if (group >= push.groups) return; // the whole workgroup
    uint first = group * RUN;
    for (uint i = gl_LocalInvocationIndex; i < RUN; i += gl_WorkGroupSize.x) {
        uint at = first + i;
        uint key = 0u, id = 0xffffffffu; // padding sorts behind everything, NaN included
        if (at < push.count) {
            id = FLOATS != 0u ? at : words[2u * at];
            key = ob_key_of(FLOATS != 0u ? words[at] : words[2u * at + 1u]);
        }
        keys[i] = key;
        ids[i] = id;
    }
    // Bitonic sort: blocks of `size` become sorted, in alternating directions until the last.
    for (uint size = 2u; size <= RUN; size *= 2u) {
        for (uint stride = size / 2u; stride > 0u; stride /= 2u) {
            barrier();
            for (uint n = gl_LocalInvocationIndex; n < RUN / 2u; n += gl_WorkGroupSize.x) {
                uint a = 2u * n - (n & (stride - 1u)); // n with a zero bit put in at `stride`
                uint b = a + stride;
                uint ka = keys[a], kb = keys[b], ia = ids[a], ib = ids[b];
                bool b_is_before_a = kb > ka || (kb == ka && ib < ia);
                if (b_is_before_a == ((a & size) == 0u)) {
                    keys[a] = kb;
                    keys[b] = ka;
                    ids[a] = ib;
                    ids[b] = ia;
                }
            }
        }
    }
    barrier();
    for (uint i = gl_LocalInvocationIndex; i < push.keep; i += gl_WorkGroupSize.x)
        result[group * push.keep + i] = uvec2(ids[i], ob_bits_of(keys[i]));
}
