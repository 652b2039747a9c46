// y[r,i] = (x[r,i] - mean) / sqrt(variance + eps), mean and variance over i; no affine part (OneBit's norm after a layer),
// with OB_AFFINE times w[i] plus b[i] (OPT's norms), with OB_BIAS plus b[i], and then as act/bias_fwd goes on (behind OPT's 1-bit layers)
// b0 w y (rows, columns), rw with THEN 2   b1 r x (rows, columns); may be the same range as y: each lane writes only what it alone reads
// with OB_AFFINE: b2 r w (columns)   b3 r b (columns)   with OB_BIAS: b2 r b (columns)
// push: rows, columns, eps   spec 0: workgroup size   with OB_BIAS 1: THEN   grid: one workgroup a row, folded over x and y   tiers A B
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/reduce.glsl"
#include "common/grid.glsl"
#include "common/push_norm.h"
layout(local_size_x_id = 0) in;

layout(set = 0, binding = 0) buffer Y { float y[]; };
layout(set = 0, binding = 1) readonly buffer X { float x[]; };
#ifdef OB_AFFINE
layout(set = 0, binding = 2) readonly buffer W { float w[]; };
layout(set = 0, binding = 3) readonly buffer B { float b[]; };
#define OB_STORE(i, normed) y[base + i] = (normed) * w[i] + b[i];
#elif defined(OB_BIAS)
layout(constant_id = 1) const uint THEN = 0;
layout(set = 0, binding = 2) readonly buffer B { float b[]; };
#define OB_STORE(i, normed)                    \
    {                                          \
        float s = (normed) + b[i];             \
        if (THEN == 1u) s = s < 0.0 ? 0.0 : s; \
        if (THEN == 2u) s = y[base + i] + s;   \
        y[base + i] = s;                       \
    }
#else
#define OB_STORE(i, normed) y[base + i] = normed;
#endif
layout(push_constant) uniform Push { obi_push_norm_layernorm push; };

void main()
{
    uint row = ob_group();
    if (row >= push.rows) return; // the whole workgroup
    uint base = row * push.columns;
    float count = float(push.columns);
    // Measured from the row's first element, a row far from zero loses no digits, and a constant row gives exact zeros.
    // The barrier keeps lane 0 from writing y[base] in place before every lane has the pivot.
    float pivot = x[base];
    barrier();
    float sum = 0.0;
    for (uint i = gl_LocalInvocationIndex; i < push.columns; i += gl_WorkGroupSize.x) sum += x[base + i] - pivot;
    float mean = ob_reduce_add(sum) / count;
    float squares = 0.0;
    for (uint i = gl_LocalInvocationIndex; i < push.columns; i += gl_WorkGroupSize.x) {
        float d = (x[base + i] - pivot) - mean;
        squares += d * d;
    }
    float scale = 1.0 / sqrt(ob_reduce_add(squares) / count + push.eps);
    for (uint i = gl_LocalInvocationIndex; i < push.columns; i += gl_WorkGroupSize.x)
        OB_STORE(i, ((x[base + i] - pivot) - mean) * scale)
}
