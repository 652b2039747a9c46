// flags[j] = 1 where a token's |x[t,j]| is not below the threshold (a NaN is not), else 0: the columns of outliers of LLM.int8(),
// arXiv 2208.07339, section 3.2
// b0 w flags (n)   b1 r x (T,n)
// push: n, tokens, threshold   spec 0: workgroup size   grid: a lane a column, folded over x and y   tier A
// An invocation's loop has T turns.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/grid.glsl"
#include "common/push_int8.h"
layout(local_size_x_id = 0) in;

layout(set = 0, binding = 0) writeonly buffer Flags { uint flags[]; };
layout(set = 0, binding = 1) readonly buffer X { float x[]; };
layout(push_constant) uniform Push { obi_push_int8_flags push; };

void main()
{
    uint j = ob_element();
    if (j >= push.n) return;
    uint outlier = 0u;
    for (uint t = 0u; t < push.tokens; t++)
        if (!(abs(x[t * push.n + j]) < push.threshold)) outlier = 1u;
    flags[j] = outlier;
}
