// x[t] = table[ids[t]] for the tokens whose id lies in the row block bound; ids >= vocabulary give zeros
// b0 w x (T, columns)   b1 r ids (T) u32   b2 r the block: row_count rows of row_words words, f32 or f16 (OB_F16)
// push: tokens, columns, row_words, first_row, row_count, vocabulary (0: leave bad ids to another block)
// spec 0: workgroup size   grid: one workgroup a token, folded over x and y   tier A
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/grid.glsl"
#include "common/push_embed.h"
layout(local_size_x_id = 0) in;

layout(set = 0, binding = 0) writeonly buffer X { float x[]; };
layout(set = 0, binding = 1) readonly buffer Ids { uint ids[]; };
layout(set = 0, binding = 2) readonly buffer Table { uint table[]; };
layout(push_constant) uniform Push { obi_push_embed_gather push; };

void main()
{
    uint token = ob_group();
    if (token >= push.tokens) return;
    uint id = ids[token];
    uint to = token * push.columns;
    if (push.vocabulary != 0u && id >= push.vocabulary) {
        for (uint i = gl_LocalInvocationIndex; i < push.columns; i += gl_WorkGroupSize.x) x[to + i] = 0.0;
        return;
    }
    uint row = id - push.first_row; // wraps to a large number below the block
    if (row >= push.row_count) return;
    uint from = row * push.row_words;
    for (uint i = gl_LocalInvocationIndex; i < push.row_words; i += gl_WorkGroupSize.x) {
#ifdef OB_F16
        vec2 two = unpackHalf2x16(table[from + i]);
        x[to + 2u * i] = two.x;
        if (2u * i + 1u < push.columns) x[to + 2u * i + 1u] = two.y;
#else
        x[to + i] = uintBitsToFloat(table[from + i]);
#endif
    }
}
