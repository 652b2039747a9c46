// The largest of each run of elements, the lowest id among equals, NaN below all: util/topk_fwd for the greedy choice.
// Repeated on its own output until one run is left, this is the largest of everything.
// b0 w out: groups pairs (id, value bits)
// b1 r in: with spec 1 = 1 count floats, whose ids are their indices; with 0 count pairs as written above
// push: count, run = elements of a workgroup, groups   spec 0: workgroup size (<= 128)   spec 1: the input is floats
// grid: one workgroup a run, folded over x and y   shared: 1 KiB   tier A
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/grid.glsl"
#include "common/order_key.glsl"
#include "common/push_util.h"
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint FLOATS = 1;

layout(set = 0, binding = 0) writeonly buffer Out { uvec2 result[]; };
layout(set = 0, binding = 1) readonly buffer In { uint words[]; };
layout(push_constant) uniform Push { obi_push_util_argmax push; };

shared uint keys[128];
shared uint ids[128];

void main()
{
    uint group = ob_group(), lane = gl_LocalInvocationIndex;
    if (group >= push.groups) return; // the whole workgroup
    uint first = group * push.run, end = first + min(push.run, push.count - first);
    uint best = 0u, best_id = 0xffffffffu; // behind everything, NaN included
    for (uint i = first + lane; i < end; i += gl_WorkGroupSize.x) {
        uint id = FLOATS != 0u ? i : words[2u * i], key = ob_key_of(FLOATS != 0u ? words[i] : words[2u * i + 1u]);
        if (key > best || (key == best && id < best_id)) {
            best = key;
            best_id = id;
        }
    }
    keys[lane] = best;
    ids[lane] = best_id;
    for (uint width = gl_WorkGroupSize.x; width > 1u;) {
        uint half_width = (width + 1u) / 2u;
        barrier();
        if (lane + half_width < width) {
            uint key = keys[lane + half_width], id = ids[lane + half_width];
            if (key > keys[lane] || (key == keys[lane] && id < ids[lane])) {
                keys[lane] = key;
                ids[lane] = id;
            }
        }
        width = half_width;
    }
    if (lane == 0u) result[group] = uvec2(ids[0], ob_bits_of(keys[0])); // lane 0 wrote them
}
