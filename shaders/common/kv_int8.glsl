// kv_int8: how a cache holds a head's vector of a position as bytes, in (head_size + 3) / 4 + 1 words: first its scale, an f32, then four
// signed bytes a word, the first in the low bits, with zeros behind the last.
//   scale = max |x| / 127, byte = x / scale, rounded to the nearest, ties to even (runtime/ref/ref_attn.h)
// One whose elements are all below 2^-100 is zeros. One with an element that is no number, infinite or the largest f32 has the scale
// NaN and zeros: whoever reads it gets NaN.
//
// A source that stores includes it with OB_KV_STORE defined, defines ob_kv_value and ob_kv_put, and calls ob_kv_store_row with every
// lane of a workgroup for the vectors of a token.
#ifndef OB_KV_INT8_GLSL
#define OB_KV_INT8_GLSL

uint ob_kv_vector_words(uint size) { return (size + 3u) / 4u + 1u; }
vec2 ob_kv_pair(uint word, uint first) // bytes `first` (0 or 2) and the next
{
    int bytes = int(word), at = int(8u * first);
    return vec2(bitfieldExtract(bytes, at, 8), bitfieldExtract(bytes, at + 8, 8));
}

#ifdef OB_KV_STORE
float ob_kv_value(uint vector, uint c); // element c < head_size of a vector of the token
void ob_kv_put(uint at, uint word);     // into the token's row of the cache

#define OB_KV_POISON 0x7f7fffffu // the bits of |x| from here on: no number, infinite or the largest
#define OB_KV_LEAST 0x0d800000u  // 2^-100
#define OB_KV_TOPS 64u
shared uint ob_kv_top[OB_KV_TOPS]; // the largest |x| of some vectors, whose bits have the order of the numbers

vec4 ob_kv_values(uint vector, uint c, uint size)
{
    vec4 x = vec4(0.0);
    for (uint i = 0u; i < 4u; i++)
        if (c + i < size) x[i] = ob_kv_value(vector, c + i);
    return x;
}

uint ob_kv_scale(uint top)
{
    if (top >= OB_KV_POISON) return 0x7fc00000u;
    return top < OB_KV_LEAST ? 0u : floatBitsToUint(uintBitsToFloat(top) / 127.0);
}

uint ob_kv_bytes(vec4 x, uint top)
{
    if (top >= OB_KV_POISON || top < OB_KV_LEAST) return 0u;
    uvec4 bytes = uvec4(ivec4(clamp(roundEven(x * (127.0 / uintBitsToFloat(top))), -127.0, 127.0))) & 255u;
    return bytes.x | bytes.y << 8 | bytes.z << 16 | bytes.w << 24;
}

void ob_kv_store_row(uint vectors, uint size)
{
    uint lane = gl_LocalInvocationIndex, lanes = gl_WorkGroupSize.x, words = (size + 3u) / 4u;
    for (uint first = 0u; first < vectors; first += OB_KV_TOPS) {
        uint count = min(OB_KV_TOPS, vectors - first);
        for (uint i = lane; i < count; i += lanes) ob_kv_top[i] = 0u;
        barrier();
        for (uint i = lane; i < count * words; i += lanes) {
            uvec4 keys = floatBitsToUint(ob_kv_values(first + i / words, i % words * 4u, size)) & 0x7fffffffu;
            atomicMax(ob_kv_top[i / words], max(max(keys.x, keys.y), max(keys.z, keys.w)));
        }
        barrier();
        for (uint i = lane; i < count * words; i += lanes) {
            uint vector = first + i / words, word = i % words;
            ob_kv_put(vector * (words + 1u) + 1u + word, ob_kv_bytes(ob_kv_values(vector, word * 4u, size), ob_kv_top[i / words]));
        }
        for (uint i = lane; i < count; i += lanes) ob_kv_put((first + i) * (words + 1u), ob_kv_scale(ob_kv_top[i]));
        barrier(); // all have read it
    }
}
#endif

#endif
