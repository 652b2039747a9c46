// reduce_rows: OB_ROWS sums over all lanes of a workgroup at once; lane r gets sum r (r < OB_ROWS), the others 0.
//
// Cheaper than OB_ROWS calls of ob_reduce_add: three barriers in all. Tier A transposes through shared memory, so that
// each row is summed by lanes / OB_ROWS lanes; tier B and above sums each row within the subgroups first. Right for
// any subgroup size; nothing depends on which lane of a subgroup is which.
//
// Every lane must make the call. The workgroup has at least OB_ROWS lanes. Before the include define
//   OB_ROWS          constant, at most OB_ROWS_MAX
//   OB_ROWS_SCRATCH  a shared float array of OB_ROWS_MAX * (lanes + 1) elements; its old contents are lost
#ifndef OB_REDUCE_ROWS_GLSL
#define OB_REDUCE_ROWS_GLSL

#if OB_TIER >= 1
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require
#endif

#define OB_ROWS_MAX 16

float ob_reduce_rows(float part[OB_ROWS_MAX])
{
    uint lane = gl_LocalInvocationIndex;
    uint lanes = gl_WorkGroupSize.x;
    float sum = 0.0;
    barrier(); // whoever still reads the scratch
#if OB_TIER >= 1
    [[unroll]] for (uint r = 0u; r < OB_ROWS; r++) {
        float total = subgroupAdd(part[r]);
        if (subgroupElect()) OB_ROWS_SCRATCH[gl_SubgroupID * OB_ROWS + r] = total;
    }
    barrier();
    if (lane < OB_ROWS)
        for (uint s = 0u; s < gl_NumSubgroups; s++) sum += OB_ROWS_SCRATCH[s * OB_ROWS + lane];
#else
    [[unroll]] for (uint r = 0u; r < OB_ROWS; r++) OB_ROWS_SCRATCH[r * (lanes + 1u) + lane] = part[r];
    barrier();
    uint share = lanes / OB_ROWS; // lanes that sum one row
    uint row = lane / share;
    if (row < OB_ROWS)
        for (uint i = lane % share; i < lanes; i += share) sum += OB_ROWS_SCRATCH[row * (lanes + 1u) + i];
    barrier();
    OB_ROWS_SCRATCH[lane] = sum;
    barrier();
    sum = 0.0;
    if (lane < OB_ROWS)
        for (uint i = 0u; i < share; i++) sum += OB_ROWS_SCRATCH[lane * share + i];
#endif
    return sum;
}

#endif
