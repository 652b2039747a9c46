#version 450
#extension GL_GOOGLE_include_directive : require
// svid/sign_pack for software drivers (common/straight.glsl): 8 words a subgroup. Rows must be whole words, so that all
// words lie in a row.
//
// b0 w  words   b1 r  w, read by its address
// push: obi_push_svid_sign_pack_straight      spec 0: workgroup, 128
// grid: x, y = words / 128, see common/flat_straight.glsl
// tiers: A
#include "common/push_svid.h"
#define OB_PUSH obi_push_svid_sign_pack_straight
#include "common/flat_straight.glsl"

layout(set = 0, binding = 0) writeonly buffer Packed { uint packed[]; };

// Bit LANE + 8 i where the element is negative: -denormal .. -infinity, as in svid/sign_pack.
uint negative(uint bits, uint i) { return (bits > 0x80000000u && bits <= 0xff800000u ? 1u : 0u) << LANE + 8u * i; }

void main()
{
    uint first = ob_block() * 8u;
    uint64_t w = ob_address(push.w_low, push.w_high) + uint64_t(first) * 128ul;
    [[unroll]] for (uint i = 0u; i < 8u; i++) {
        uint word = negative(OB_EIGHT_WORDS(w, 4u * i), 0u) | negative(OB_EIGHT_WORDS(w, 4u * i + 1u), 1u) |
                    negative(OB_EIGHT_WORDS(w, 4u * i + 2u), 2u) | negative(OB_EIGHT_WORDS(w, 4u * i + 3u), 3u);
        word |= subgroupShuffleXor(word, 1u);
        word |= subgroupShuffleXor(word, 2u);
        word |= subgroupShuffleXor(word, 4u);
        packed[first + i] = subgroupShuffle(word, 0u);
    }
}
