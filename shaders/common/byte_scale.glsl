// byte_scale: by what a block of activations is multiplied before it is rounded to bytes.
#ifndef OB_BYTE_SCALE_GLSL
#define OB_BYTE_SCALE_GLSL

#extension GL_EXT_control_flow_attributes : require

#define OB_BYTE_TOP_MIN 0x0d800000u // 2^-100: a block that is below it everywhere counts as 0

// 127 / top with five significant bits, from the bits of top >= 2^-100.
float byte_scale(uint top_bits)
{
    float power = uintBitsToFloat((260u - (top_bits >> 23)) << 23);
    precise float top = uintBitsToFloat(top_bits) * power; // [64, 128)
    precise float factor = top <= 127.0 ? 1.0 : 0.96875;
    [[unroll]] for (uint i = 1u; i <= 4u; i++) {
        float more = factor + 1.0 / float(1u << i);
        precise float scaled = top * more;
        if (scaled <= 127.0) factor = more;
    }
    return factor * power;
}

#endif
