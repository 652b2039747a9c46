#include "model/dtype.h"

#include <string.h>

#include "core/checked.h"
#include "core/half.h"

typedef struct layout { const char *name; uint8_t block, bytes; } layout;

/* Indexed by the file's type id; a hole has no name. */
static const layout layouts[OBI_DTYPE_FILE_END] = {
    [OBI_DTYPE_F32] = { "F32", 1, 4 },
    [OBI_DTYPE_F16] = { "F16", 1, 2 },
    [OBI_DTYPE_Q4_0] = { "Q4_0", 32, 18 },
    [OBI_DTYPE_Q8_0] = { "Q8_0", 32, 34 },
    [OBI_DTYPE_I8] = { "I8", 1, 1 },
    [OBI_DTYPE_I16] = { "I16", 1, 2 },
    [OBI_DTYPE_I32] = { "I32", 1, 4 },
    [OBI_DTYPE_I64] = { "I64", 1, 8 },
    [OBI_DTYPE_F64] = { "F64", 1, 8 },
    [OBI_DTYPE_BF16] = { "BF16", 1, 2 },
};

bool obi_dtype_known(uint32_t id) { return id < OBI_DTYPE_FILE_END && layouts[id].name != NULL; }

const char *obi_dtype_name(obi_dtype type) { return obi_dtype_known((uint32_t)type) ? layouts[type].name : "?"; }

/* An unknown type answers 1 and 0, so that nobody divides by zero. */
uint32_t obi_dtype_block(obi_dtype type) { return obi_dtype_known((uint32_t)type) ? layouts[type].block : 1; }

uint32_t obi_dtype_block_bytes(obi_dtype type) { return obi_dtype_known((uint32_t)type) ? layouts[type].bytes : 0; }

bool obi_dtype_bytes(obi_dtype type, uint64_t elements, uint64_t *bytes)
{
    if (!obi_dtype_known((uint32_t)type) || elements % layouts[type].block != 0) return false;
    return obi_checked_mul(elements / layouts[type].block, layouts[type].bytes, bytes);
}

static uint16_t load_u16(const uint8_t *source) { return (uint16_t)(source[0] | source[1] << 8); }

static float half_to_float(const uint8_t *source) { return obi_half_to_float(load_u16(source)); }

static void q4_0_to_float(const uint8_t *block, float *out)
{
    float scale = half_to_float(block);
    for (int i = 0; i < 16; i++) {
        out[i] = (float)((block[2 + i] & 15) - 8) * scale;
        out[16 + i] = (float)((block[2 + i] >> 4) - 8) * scale;
    }
}

static void q8_0_to_float(const uint8_t *block, float *out)
{
    float scale = half_to_float(block);
    for (int i = 0; i < 32; i++) out[i] = (float)(int8_t)block[2 + i] * scale;
}

obi_status obi_dtype_to_float(obi_dtype type, const void *source, uint64_t count, float *out)
{
    const uint8_t *bytes = source;
    uint32_t block = obi_dtype_block(type);
    if (count % block != 0)
        return obi_fail(OBI_ERROR_DATA, "%llu values do not fill whole blocks of %u, as type %s needs",
                        (unsigned long long)count, block, obi_dtype_name(type));
    switch (type) {
    case OBI_DTYPE_F32:
        if (count > 0) memcpy(out, bytes, (size_t)count * 4);
        return OBI_OK;
    case OBI_DTYPE_F16:
        for (uint64_t i = 0; i < count; i++) out[i] = half_to_float(bytes + 2 * i);
        return OBI_OK;
    case OBI_DTYPE_BF16:
        for (uint64_t i = 0; i < count; i++) out[i] = obi_bfloat_to_float(load_u16(bytes + 2 * i));
        return OBI_OK;
    case OBI_DTYPE_F64:
        for (uint64_t i = 0; i < count; i++) {
            double value;
            memcpy(&value, bytes + 8 * i, 8);
            out[i] = (float)value;
        }
        return OBI_OK;
    case OBI_DTYPE_I8:
        for (uint64_t i = 0; i < count; i++) out[i] = (float)(int8_t)bytes[i];
        return OBI_OK;
    case OBI_DTYPE_Q4_0:
        for (uint64_t i = 0; i < count / 32; i++) q4_0_to_float(bytes + 18 * i, out + 32 * i);
        return OBI_OK;
    case OBI_DTYPE_Q8_0:
        for (uint64_t i = 0; i < count / 32; i++) q8_0_to_float(bytes + 34 * i, out + 32 * i);
        return OBI_OK;
    default:
        return obi_fail(OBI_ERROR_DATA, "values of type %s (%u) cannot be read as numbers", obi_dtype_name(type), (unsigned)type);
    }
}
