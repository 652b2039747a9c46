/* safetensors: the container's reader. Nothing is handed out before the whole header has been checked.
 *
 * A file is: u64 header length (at most 100 MB), a JSON object name -> {dtype, shape, data_offsets}, then the data.
 * Refused: duplicate names, unknown dtypes, a byte range that is not the product of shape and dtype, ranges that
 * overlap, leave a hole, or do not end exactly at the end of the file (so the file cannot be something else as well). */
#ifndef OBI_QUANT_SAFETENSORS_H
#define OBI_QUANT_SAFETENSORS_H

#include <jansson.h>

#include "core/file.h"
#include "model/dtype.h"

enum { OBI_SAFETENSORS_MAX_DIMENSIONS = 8 };

typedef struct obi_safetensors_tensor {
    const char *name;       /* inside the header object */
    const char *dtype_name; /* as in the file: "BF16", "BOOL", ... */
    obi_dtype type;         /* OBI_DTYPE_FILE_END for a dtype that is sized but cannot be converted here (BOOL, U16, F8...) */
    uint32_t dimensions;    /* 0 for a scalar */
    uint64_t shape[OBI_SAFETENSORS_MAX_DIMENSIONS]; /* slowest axis first */
    uint64_t begin, bytes;  /* range from the start of the data */
    const uint8_t *data;    /* in the mapping, unaligned */
} obi_safetensors_tensor;

typedef struct obi_safetensors {
    const obi_mapping *mapping;      /* the caller's; must outlive this */
    obi_safetensors_tensor *tensors; /* sorted by name */
    size_t count;
    json_t *header;                  /* owns the names */
} obi_safetensors;

/* OBI_ERROR_DATA with a sentence that names the file and the tensor. Release with obi_safetensors_close. */
obi_status obi_safetensors_open(obi_safetensors *file, const obi_mapping *mapping);
void obi_safetensors_close(obi_safetensors *file); /* also fine on a zeroed struct */

/* NULL when absent. */
const obi_safetensors_tensor *obi_safetensors_find(const obi_safetensors *file, const char *name);

#endif
