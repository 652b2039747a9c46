/* dtype: how numbers lie in files, and how they become float. Host only. */
#ifndef OBI_MODEL_DTYPE_H
#define OBI_MODEL_DTYPE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/status.h"

/* The values below OBI_DTYPE_FILE_END are GGUF's tensor type ids. */
typedef enum obi_dtype {
    OBI_DTYPE_F32 = 0,
    OBI_DTYPE_F16 = 1,
    OBI_DTYPE_Q4_0 = 2, /* blocks of 32: f16 scale, 16 bytes; low nibbles are elements 0..15, high 16..31; value (q-8)*scale */
    OBI_DTYPE_Q8_0 = 8, /* blocks of 32: f16 scale, 32 int8 */
    OBI_DTYPE_I8 = 24,
    OBI_DTYPE_I16 = 25,
    OBI_DTYPE_I32 = 26, /* in a OneBit file: 32 signs a word, least significant bit first, bit 1 = -1 */
    OBI_DTYPE_I64 = 27,
    OBI_DTYPE_F64 = 28,
    OBI_DTYPE_BF16 = 30,
    OBI_DTYPE_FILE_END = 31
} obi_dtype;

const char *obi_dtype_name(obi_dtype type);    /* "F32", ...; "?" when unknown */
bool obi_dtype_known(uint32_t id);             /* an id of the list above */
uint32_t obi_dtype_block(obi_dtype type);      /* elements in a block: 1 or 32 */
uint32_t obi_dtype_block_bytes(obi_dtype type);

/* Bytes of `elements` consecutive values; false when they overflow 64 bits or do not fill whole blocks. */
bool obi_dtype_bytes(obi_dtype type, uint64_t elements, uint64_t *bytes);

/* Converts `count` values (whole blocks) at `source` to float. Works for F32 F16 BF16 F64 Q4_0 Q8_0 I8;
 * OBI_ERROR_DATA for the other types. `source` need not be aligned. */
obi_status obi_dtype_to_float(obi_dtype type, const void *source, uint64_t count, float *out);

#endif
