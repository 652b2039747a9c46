// The `keep` largest of each run of elements, sorted: larger first, the lower id first among equals, NaN last.
// Repeated on its own output until one run is left, this is the top k of everything.
// b0 w out: groups * keep pairs (id, value bits)
// b1 r in: with spec 1 = 1 count floats, whose ids are their indices; with 0 count pairs as written above
// push: count, keep (<= 128), run = elements of a workgroup, groups   spec 0: workgroup size   spec 1: the input is floats
// grid: one workgroup a run, folded over x and y   shared: 8196 bytes   tier A
//
// A list of 1024 is sorted, so a longer run is thinned first. What stands `keep`-th among the largest of 256 strided parts of it
// has at least keep - 1 before it, so everything behind it can go: of ordinary logits some dozens stay. Where more stay than the
// list holds, the keep-th of those that were listed is a later sieve: it lies before the last one, as the list is longer
// than keep, so that rounds come to an end.
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

#define LIST 1024u
#define PARTS 256u
shared uint keys[LIST];
shared uint ids[LIST];
shared uint listed;

uint id_of(uint at) { return FLOATS != 0u ? at : words[2u * at]; }
uint key_of(uint at) { return ob_key_of(FLOATS != 0u ? words[at] : words[2u * at + 1u]); }

// Whether a stands before b. Padding has key 0 and the last id: behind everything, NaN included.
bool before(uint key_a, uint id_a, uint key_b, uint id_b) { return key_a > key_b || (key_a == key_b && id_a < id_b); }

// Sorts the first `count` of the list, padded to a power of two of at least push.keep.
void sort_list(uint count)
{
    uint end = 2u;
    while (end < max(count, push.keep)) end *= 2u;
    for (uint i = count + gl_LocalInvocationIndex; i < end; i += gl_WorkGroupSize.x) {
        keys[i] = 0u;
        ids[i] = 0xffffffffu;
    }
    // Bitonic: blocks of `size` become sorted, in alternating directions until the last.
    for (uint size = 2u; size <= end; size *= 2u) {
        for (uint stride = size / 2u; stride > 0u; stride /= 2u) {
            barrier();
            for (uint n = gl_LocalInvocationIndex; n < end / 2u; n += gl_WorkGroupSize.x) {
                uint a = 2u * n - (n & (stride - 1u)); // n with a zero bit put in at `stride`
                uint b = a + stride;
                uint ka = keys[a], kb = keys[b], ia = ids[a], ib = ids[b];
                if (before(kb, ib, ka, ia) == ((a & size) == 0u)) {
                    keys[a] = kb;
                    keys[b] = ka;
                    ids[a] = ib;
                    ids[b] = ia;
                }
            }
        }
    }
    barrier();
}

void main()
{
    uint group = ob_group();
    if (group >= push.groups) return; // the whole workgroup
    uint first = group * push.run, end = first + min(push.run, push.count - first);
    if (end - first <= LIST) {
        for (uint i = first + gl_LocalInvocationIndex; i < end; i += gl_WorkGroupSize.x) {
            keys[i - first] = key_of(i);
            ids[i - first] = id_of(i);
        }
        sort_list(end - first);
    } else {
        for (uint part = gl_LocalInvocationIndex; part < PARTS; part += gl_WorkGroupSize.x) {
            uint best = 0u, best_id = 0xffffffffu;
            for (uint i = first + part; i < end; i += PARTS) {
                uint key = key_of(i), id = id_of(i);
                if (before(key, id, best, best_id)) {
                    best = key;
                    best_id = id;
                }
            }
            keys[part] = best;
            ids[part] = best_id;
        }
        sort_list(PARTS);
        uint found;
        do {
            uint key_last = keys[push.keep - 1u], id_last = ids[push.keep - 1u];
            barrier();
            if (gl_LocalInvocationIndex == 0u) listed = 0u;
            barrier();
            for (uint i = first + gl_LocalInvocationIndex; i < end; i += gl_WorkGroupSize.x) {
                uint key = key_of(i);
                if (key < key_last) continue;
                uint id = id_of(i);
                if (before(key_last, id_last, key, id)) continue;
                uint at = atomicAdd(listed, 1u);
                if (at < LIST) {
                    keys[at] = key;
                    ids[at] = id;
                }
            }
            barrier();
            found = listed;
            sort_list(min(found, LIST));
        } while (found > LIST);
    }
    for (uint i = gl_LocalInvocationIndex; i < push.keep; i += gl_WorkGroupSize.x)
        result[group * push.keep + i] = uvec2(ids[i], ob_bits_of(keys[i]));
}
