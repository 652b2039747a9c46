// order_key: floats as integers that order like them, so that denormals and zeros of both signs compare the same on every
// device: key 0 is NaN, below all; -0 counts as +0.
#ifndef OB_ORDER_KEY_GLSL
#define OB_ORDER_KEY_GLSL

uint ob_key_of(uint bits)
{
    uint magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return 0u;
    if (magnitude == 0u) return 0x80000000u;
    return bits == magnitude ? bits | 0x80000000u : ~bits;
}

uint ob_bits_of(uint key)
{
    if (key == 0u) return 0x7fc00000u;
    return (key & 0x80000000u) != 0u ? key & 0x7fffffffu : ~key;
}

#endif
