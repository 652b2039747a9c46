// reduce: a sum or a maximum over all lanes of a workgroup; every lane gets the same result.
//
// Tier A halves a shared array (any workgroup size from 1 to OB_REDUCE_SLOTS, powers of two or not). Tier B and above
// reduce each subgroup first and then read one slot per subgroup: right for any subgroup size that divides the workgroup's
// or is larger. (Mesa 22.3.6's lavapipe counts only whole subgroups in gl_NumSubgroups, so others would fail there;
// powers of two never meet it.) Nothing here depends on which lane of a subgroup is which.
//
// Every lane of the workgroup must make the call (it has barriers). The source needs `#version 450` and
// GL_GOOGLE_include_directive, and may repeat `layout(local_size_x_id = 0) in;`. Define OB_REDUCE_VEC4 before the include for
// ob_reduce_add4 and ob_reduce_max4, which take another 2 KiB of shared memory.
#ifndef OB_REDUCE_GLSL
#define OB_REDUCE_GLSL

#if OB_TIER >= 1
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require
#extension GL_KHR_shader_subgroup_ballot : require
#endif

layout(local_size_x_id = 0) in; // before the first use of gl_WorkGroupSize: glslang takes it for 1 otherwise

#define OB_REDUCE_SLOTS 128 // the largest workgroup of the baseline

#ifdef OB_REDUCE_VEC4
shared vec4 ob_reduce_slot4[OB_REDUCE_SLOTS];
#endif
shared float ob_reduce_slot[OB_REDUCE_SLOTS];

#define OB_REDUCE_SUM(a, b) ((a) + (b))
#define OB_REDUCE_GREATER(a, b) max(a, b)

// The first barrier lets the slots be used again while slow lanes still read the result of the call before.
#if OB_TIER >= 1
#define OB_REDUCE_DEFINE(TYPE, NAME, SLOT, SUBGROUP, JOIN)                          \
    TYPE NAME(TYPE value)                                                           \
    {                                                                               \
        TYPE part = SUBGROUP(value);                                                \
        if (gl_NumSubgroups == 1u) return subgroupBroadcastFirst(part);             \
        barrier();                                                                  \
        if (subgroupElect()) SLOT[gl_SubgroupID] = part;                            \
        barrier();                                                                  \
        TYPE all = SLOT[0];                                                         \
        for (uint i = 1u; i < gl_NumSubgroups; i++) all = JOIN(all, SLOT[i]);       \
        return all;                                                                 \
    }
#else
#define OB_REDUCE_DEFINE(TYPE, NAME, SLOT, SUBGROUP, JOIN)                          \
    TYPE NAME(TYPE value)                                                           \
    {                                                                               \
        uint lane = gl_LocalInvocationIndex;                                        \
        barrier();                                                                  \
        SLOT[lane] = value;                                                         \
        barrier();                                                                  \
        for (uint width = gl_WorkGroupSize.x; width > 1u;) {                        \
            uint half_width = (width + 1u) / 2u;                                    \
            if (lane + half_width < width) SLOT[lane] = JOIN(SLOT[lane], SLOT[lane + half_width]); \
            barrier();                                                              \
            width = half_width;                                                     \
        }                                                                           \
        return SLOT[0];                                                             \
    }
#endif

OB_REDUCE_DEFINE(float, ob_reduce_add, ob_reduce_slot, subgroupAdd, OB_REDUCE_SUM)
OB_REDUCE_DEFINE(float, ob_reduce_max, ob_reduce_slot, subgroupMax, OB_REDUCE_GREATER)
#ifdef OB_REDUCE_VEC4
OB_REDUCE_DEFINE(vec4, ob_reduce_add4, ob_reduce_slot4, subgroupAdd, OB_REDUCE_SUM) // four at once
OB_REDUCE_DEFINE(vec4, ob_reduce_max4, ob_reduce_slot4, subgroupMax, OB_REDUCE_GREATER)
#endif

#endif
