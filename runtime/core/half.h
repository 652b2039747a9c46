/* half: IEEE binary16 and bfloat16 to and from float, on the host. Round to nearest even; NaN stays NaN. */
#ifndef OBI_CORE_HALF_H
#define OBI_CORE_HALF_H

#include <stdint.h>
#include <string.h>

static inline uint32_t obi_float_bits(float value) { uint32_t bits; memcpy(&bits, &value, 4); return bits; }
static inline float obi_float_from_bits(uint32_t bits) { float value; memcpy(&value, &bits, 4); return value; }

static inline float obi_half_to_float(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    uint32_t exponent = (half >> 10) & 0x1fu, mantissa = half & 0x3ffu;
    if (exponent == 31) return obi_float_from_bits(sign | 0x7f800000u | mantissa << 13);
    if (exponent != 0) return obi_float_from_bits(sign | (exponent + 112) << 23 | mantissa << 13);
    float value = (float)mantissa * 0x1p-24f; /* zero or subnormal: exact in float */
    return sign ? -value : value;
}

static inline uint16_t obi_float_to_half(float value)
{
    uint32_t bits = obi_float_bits(value);
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000u);
    bits &= 0x7fffffffu;
    if (bits > 0x7f800000u) return (uint16_t)(sign | 0x7e00u);
    if (bits >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u); /* 65520 and above round to infinity */
    if (bits < 0x38800000u) { /* below 2^-14: subnormal. Adding 0.5 aligns the mantissa so that the FPU rounds it. */
        float shifted = obi_float_from_bits(bits) + 0.5f;
        return (uint16_t)(sign | (uint16_t)(obi_float_bits(shifted) - 0x3f000000u));
    }
    uint32_t odd = bits >> 13 & 1u;
    return (uint16_t)(sign | (uint16_t)((bits - 0x38000000u + 0xfffu + odd) >> 13));
}

static inline float obi_bfloat_to_float(uint16_t bfloat) { return obi_float_from_bits((uint32_t)bfloat << 16); }

#endif
