// flat_straight: long arrays taken element by element, for software drivers (straight.glsl). A subgroup has OB_FLAT
// elements in a row, a workgroup 16 of these.
#ifndef OB_FLAT_STRAIGHT_GLSL
#define OB_FLAT_STRAIGHT_GLSL

// Before including it: OB_PUSH, as in straight.glsl.
#include "common/straight.glsl"

// The subgroup's number. Workgroups lie along x, 256 of them, then along y.
uint ob_block() { return (ob_digits(gl_WorkGroupID.y) * 256u + ob_digits(gl_WorkGroupID.x)) * 16u + push.digit[gl_SubgroupID & 15u]; }

// Eight words, i eights after `address`.
#define OB_EIGHT_WORDS(address, i) ob_eight(address + uint64_t((i) * 32))
#define OB_EIGHT(address, i) uintBitsToFloat(OB_EIGHT_WORDS(address, i))

#endif
