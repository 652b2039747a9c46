#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
// y[t,i] = h[i] * sum over j of S[i,j] * (g[j] * x[t,j])  by tables of signed sums across a subgroup
//
// b0 w  y       (T,m) f32
// b1 r  x       (T,n) f32
// b2 r  bits    a row block of S: row_count rows of row_words words, column 32i+k in bit k of word i; pad bits may be anything
// b3 r  scales  g (n) at 0, h (m) at h_offset, f32
// push: obi_push_bitlinear_gemv
// spec 0: workgroup, subgroup * parts      spec 1: lanes of a subgroup, a power of two      spec 2: bits of an index, 2..5, and
// 2^bits <= subgroup      spec 3: rows of a lane, 1..4      spec 4: subgroups of a workgroup
// grid: (x, y) folded over ceil(row_count / (subgroup * rows)), z: tokens
// tiers: B with shuffles
//
// The subgroups of a workgroup share its rows and divide the columns, OB_WORDS words at a time. A few columns make 2^bits
// signed sums, one in each lane (further lanes repeat them); those bits of a row are the index by which a lane, which has
// rows of its own, takes one of them from its neighbours: one addition for all these columns. The last index of a word has
// fewer bits. Signs pass through shared memory, since lanes read rows and rows lie apart.
#include "common/push_bitlinear.h"

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint OB_SUBGROUP = 32u;
layout(constant_id = 2) const uint OB_BITS = 5u;
layout(constant_id = 3) const uint OB_ROWS = 4u;
layout(constant_id = 4) const uint OB_PARTS = 2u;

#define OB_ROWS_MAX 4
#define OB_WORDS 4u
#define OB_STRIDE 5u // of a row in shared memory: odd, so that lanes meet no bank conflict

layout(set = 0, binding = 0) writeonly buffer Y { float y[]; };
layout(set = 0, binding = 1) readonly buffer X { float x[]; };
layout(set = 0, binding = 2) readonly buffer Bits { uint words[]; };
layout(set = 0, binding = 3) readonly buffer Scales { float scales[]; };
layout(push_constant) uniform Push { obi_push_bitlinear_gemv push; };

shared float inputs[OB_PARTS * OB_WORDS * 32u];
shared uint signs[OB_PARTS * OB_SUBGROUP * OB_ROWS * OB_STRIDE]; // and at the end the parts' sums

void main()
{
    uint part = gl_LocalInvocationIndex / OB_SUBGROUP, lane = gl_LocalInvocationIndex % OB_SUBGROUP;
    uint tile = OB_SUBGROUP * OB_ROWS;
    uint first = (gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x) * tile;
    uint token = gl_WorkGroupID.z;
    uint x_base = token * push.n;
    uint my_inputs = part * OB_WORDS * 32u, my_signs = part * tile * OB_STRIDE;

    uint last_entry = (1u << OB_BITS) - 1u;
    uint flip[5];
    [[unroll]] for (uint b = 0u; b < OB_BITS; b++) flip[b] = (gl_SubgroupInvocationID >> b & 1u) << 31;

    float sum[OB_ROWS_MAX];
    [[unroll]] for (uint r = 0u; r < OB_ROWS; r++) sum[r] = 0.0;
    for (uint base = 0u; base < push.row_words; base += OB_WORDS * OB_PARTS) {
        uint begin = base + part * OB_WORDS; // of this subgroup; may lie past the end
        barrier();
        for (uint i = lane; i < OB_WORDS * 32u; i += OB_SUBGROUP) {
            uint j = begin * 32u + i;
            inputs[my_inputs + i] = j < push.n ? scales[j] * x[x_base + j] : 0.0;
        }
        for (uint i = lane; i < tile * OB_WORDS; i += OB_SUBGROUP) {
            uint row = i / OB_WORDS, word = i % OB_WORDS;
            bool there = first + row < push.row_count && begin + word < push.row_words;
            signs[my_signs + row * OB_STRIDE + word] = there ? words[(first + row) * push.row_words + begin + word] : 0u;
        }
        barrier();
        for (uint word = 0u; word < OB_WORDS; word++) {
            uint bits[OB_ROWS_MAX];
            [[unroll]] for (uint r = 0u; r < OB_ROWS; r++) bits[r] = signs[my_signs + (r * OB_SUBGROUP + lane) * OB_STRIDE + word];
            for (uint k = 0u; k < 32u; k += OB_BITS) {
                float entry = 0.0;
                [[unroll]] for (uint b = 0u; b < OB_BITS; b++)
                    if (k + b < 32u) entry += uintBitsToFloat(floatBitsToUint(inputs[my_inputs + word * 32u + k + b]) ^ flip[b]);
                [[unroll]] for (uint r = 0u; r < OB_ROWS; r++) sum[r] += subgroupShuffle(entry, bits[r] >> k & last_entry);
            }
        }
    }

    barrier();
    [[unroll]] for (uint r = 0u; r < OB_ROWS; r++) signs[part * tile + r * OB_SUBGROUP + lane] = floatBitsToUint(sum[r]);
    barrier();
    for (uint i = gl_LocalInvocationIndex; i < tile && first + i < push.row_count; i += OB_SUBGROUP * OB_PARTS) {
        float total = 0.0;
        for (uint p = 0u; p < OB_PARTS; p++) total += uintBitsToFloat(signs[p * tile + i]);
        uint row = push.first_row + first + i;
        y[token * push.m + row] = total * scales[push.h_offset + row];
    }
}
