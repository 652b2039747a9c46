// half_pair: two f32 as a word of two f16, the first in the low half. The driver rounds to nearest or towards zero. What is
// larger than the largest half becomes that: infinity times a weight of 0 would be NaN. NaN stays NaN.
#ifndef OB_HALF_PAIR_GLSL
#define OB_HALF_PAIR_GLSL

#define OB_HALF_MAX 65504.0

float ob_half_range(float x) { return abs(x) > OB_HALF_MAX ? sign(x) * OB_HALF_MAX : x; }
uint ob_half_pair(float low, float high) { return packHalf2x16(vec2(ob_half_range(low), ob_half_range(high))); }

#endif
