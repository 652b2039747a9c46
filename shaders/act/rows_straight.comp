#version 450
#extension GL_GOOGLE_include_directive : require
// Element by element, for software drivers (common/straight.glsl): one chunk of columns of each row.
//   step 0  out = a + b                                   step 1  out = a / (1 + exp -a) b, SwiGLU of gate a and up b
//   step 2  SwiGLU's gradient in place: out is the gate, more is up, b the gradient of the output
//   step 3  out (+)= a w[column]                          step 4  out = a (b[row] w[column])
//
// b0 w  out (rows, columns)      b1 w  more, likewise; step 2 only
// push: obi_push_rows; step 2: a is the gate, w is up (rows, columns); step 4: b is of (rows)
// spec 0: workgroup, 128      spec 1: step      spec 2: columns of the chunk, a multiple of 8 up to 256
// grid: x = rows / 16, y = chunks side by side (1 in a step that makes stats); below 256 each
// tiers: A
#include "common/rows_straight.glsl"

layout(set = 0, binding = 0) writeonly buffer Result { float result[]; };
layout(set = 0, binding = 1) writeonly buffer More { float more[]; };

// 1 / (1 + exp -g) and 1 - that, without cancellation. Beyond 87 exp leaves the range of normal floats.
vec2 logistic(float g)
{
    float power = exp(-clamp(g, -87.0, 87.0)), s = 1.0 / (1.0 + power);
    return vec2(s, power * s);
}

void main()
{
    uint row = ob_row(), column = ob_first_column(), at = row * push.columns + column;
    uint64_t a = ob_address(push.a_low, push.a_high) + uint64_t(at) * 4ul, b = ob_address(push.b_low, push.b_high) + uint64_t(at) * 4ul;
    uint64_t w = ob_address(push.w_low, push.w_high) + uint64_t(OB_STEP == 2u ? at : column) * 4ul;
    uint64_t before = ob_address(push.out_low, push.out_high) + uint64_t(at) * 4ul;
    uint keep = (push.flags & OB_ROWS_ACCUMULATE) != 0u ? 0xffffffffu : 0u;

#define STORE_LANE(l) result[at + place + uint(l)] = subgroupShuffle(value, uint(l));
#define STORE(formula) { uint place = i * 8u; float value = formula; EACH8(STORE_LANE) }

    if (OB_STEP == 0u) {
        OB_CHUNK STORE(OB_EIGHT(a, i) + OB_EIGHT(b, i))
    } else if (OB_STEP == 1u) {
        OB_CHUNK {
            float g = OB_EIGHT(a, i);
            STORE(g / (1.0 + exp(clamp(-g, -87.0, 87.0))) * OB_EIGHT(b, i))
        }
    } else if (OB_STEP == 2u) {
#define MORE_LANE(l) more[at + place + uint(l)] = subgroupShuffle(value, uint(l));
        OB_CHUNK {
            float g = OB_EIGHT(a, i), u = OB_EIGHT(w, i), d = OB_EIGHT(b, i);
            vec2 s = logistic(g);
            STORE(d * u * (s.x * (1.0 + clamp(g, -87.0, 87.0) * s.y)))
            uint place = i * 8u;
            float value = d * (g * s.x);
            EACH8(MORE_LANE)
        }
    } else if (OB_STEP == 4u) {
        float h = uintBitsToFloat(ob_word(ob_address(push.b_low, push.b_high), row));
        OB_CHUNK STORE(OB_EIGHT(a, i) * (h * OB_EIGHT(w, i)))
    } else {
        OB_CHUNK STORE(uintBitsToFloat(ob_eight(before + uint64_t(i * 32u)) & keep) + OB_EIGHT(a, i) * OB_EIGHT(w, i))
    }
}
