/* gguf: the container. GGUF v3, little-endian, read from a mapping and written in one pass.
 *
 * The reader checks everything before it hands anything out: counts against the bytes left, every product for
 * overflow, names (1..63 bytes, unique), types, tensor ranges (inside the file, in order, padded, no overlap), and
 * keeps no copy of tensor data. It accepts versions 2 and 3. A file that passes obi_gguf_open can be used without
 * further bounds checks on tensor data. Immutable once open: any number of threads may read. */
#ifndef OBI_MODEL_GGUF_H
#define OBI_MODEL_GGUF_H

#include "core/file.h"
#include "model/dtype.h"

typedef enum obi_gguf_type {
    OBI_GGUF_U8 = 0, OBI_GGUF_I8, OBI_GGUF_U16, OBI_GGUF_I16, OBI_GGUF_U32, OBI_GGUF_I32, OBI_GGUF_F32,
    OBI_GGUF_BOOL, OBI_GGUF_STRING, OBI_GGUF_ARRAY, OBI_GGUF_U64, OBI_GGUF_I64, OBI_GGUF_F64
} obi_gguf_type;

typedef struct obi_gguf_string { const char *text; uint64_t length; } obi_gguf_string; /* inside the mapping, not NUL-terminated */

typedef struct obi_gguf_value {
    obi_gguf_string key;
    obi_gguf_type type;         /* OBI_GGUF_ARRAY for an array */
    obi_gguf_type element;      /* the elements' type, of an array */
    uint64_t count;             /* elements of an array; 1 otherwise */
    const uint8_t *data;        /* the value's bytes in the mapping, unaligned */
    obi_gguf_string *strings;   /* of a string or an array of strings: count entries, owned by the obi_gguf */
} obi_gguf_value;

typedef struct obi_gguf_tensor {
    char name[64];
    obi_dtype type;
    uint32_t dimensions;        /* 1..4 */
    uint64_t shape[4];          /* shape[0] is the fastest axis (columns); the rest are filled with 1 */
    uint64_t offset;            /* from the start of the file */
    uint64_t bytes;
    const uint8_t *data;        /* NULL when the file comes from a source: obi_mapping_read has the bytes */
} obi_gguf_tensor;

typedef struct obi_gguf {
    obi_mapping mapping;
    bool lend; /* who opens it may set this: weights may be read from the mapping for as long as they live */
    uint32_t version;
    uint32_t alignment;
    uint64_t header_bytes;      /* keys and table of tensors, without the pad behind them */
    obi_gguf_value *values;
    uint64_t value_count;
    obi_gguf_tensor *tensors;
    uint64_t tensor_count;
    uint64_t *value_order;      /* indices by key and by name, for look-ups; see name_order.h */
    uint64_t *tensor_order;
} obi_gguf;

obi_status obi_gguf_open(obi_gguf *gguf, const char *path);
/* The same over bytes that the caller keeps alive until close. */
obi_status obi_gguf_open_memory(obi_gguf *gguf, const void *data, uint64_t size, const char *name);
/* The same of a source, which is used until close. Only what lies in front of the tensors is kept in memory. */
obi_status obi_gguf_open_source(obi_gguf *gguf, const obi_byte_source *source, const char *name);
void obi_gguf_close(obi_gguf *gguf); /* also fine on a zeroed struct */

/* Bytes of one number of this type; 0 for strings, arrays and ids that do not exist. */
uint32_t obi_gguf_number_bytes(obi_gguf_type type);

/* NULL when absent. */
const obi_gguf_value *obi_gguf_find(const obi_gguf *gguf, const char *key);
const obi_gguf_tensor *obi_gguf_find_tensor(const obi_gguf *gguf, const char *name);

/* Typed getters. `required` false: an absent key leaves *out alone and is OK. A present key of another type, or a
 * number that does not fit, is OBI_ERROR_DATA with a sentence naming the key. Integers accept any integer type. */
obi_status obi_gguf_get_u32(const obi_gguf *gguf, const char *key, bool required, uint32_t *out);
obi_status obi_gguf_get_f32(const obi_gguf *gguf, const char *key, bool required, float *out); /* also from F64 */
obi_status obi_gguf_get_bool(const obi_gguf *gguf, const char *key, bool required, bool *out);
obi_status obi_gguf_get_string(const obi_gguf *gguf, const char *key, bool required, obi_gguf_string *out);
/* Arrays: the value itself with type checked, or *out = NULL when absent and not required. */
obi_status obi_gguf_get_array(const obi_gguf *gguf, const char *key, obi_gguf_type element, bool required, const obi_gguf_value **out);
/* Element i of an array of numbers. */
float obi_gguf_array_f32(const obi_gguf_value *array, uint64_t i);
int32_t obi_gguf_array_i32(const obi_gguf_value *array, uint64_t i);

/* ---- writing: declare every key and tensor, write the header, then the tensors' bytes in order ----------------- */

typedef struct obi_gguf_writer obi_gguf_writer;

obi_status obi_gguf_writer_create(obi_gguf_writer **out, const char *path); /* opens PATH.tmp-PID at once */
/* Keys: copied. Errors (memory) are kept and returned by obi_gguf_writer_begin. */
void obi_gguf_put_u32(obi_gguf_writer *writer, const char *key, uint32_t value);
void obi_gguf_put_u64(obi_gguf_writer *writer, const char *key, uint64_t value);
void obi_gguf_put_f32(obi_gguf_writer *writer, const char *key, float value);
void obi_gguf_put_bool(obi_gguf_writer *writer, const char *key, bool value);
void obi_gguf_put_string(obi_gguf_writer *writer, const char *key, const char *text);
void obi_gguf_put_strings(obi_gguf_writer *writer, const char *key, const obi_gguf_string *strings, uint64_t count);
void obi_gguf_put_f32s(obi_gguf_writer *writer, const char *key, const float *values, uint64_t count);
void obi_gguf_put_i32s(obi_gguf_writer *writer, const char *key, const int32_t *values, uint64_t count);
/* For a caller that could not make a value: begin will return `status` with this thread's last sentence. */
void obi_gguf_writer_fail(obi_gguf_writer *writer, obi_status status);
/* Copies a value read from another file, key included; general.alignment is left out, as files are written with 32. */
void obi_gguf_put_value(obi_gguf_writer *writer, const obi_gguf_value *value);
/* shape[0] = columns (fastest). Offsets follow in the order of the calls. */
void obi_gguf_add_tensor(obi_gguf_writer *writer, const char *name, obi_dtype type, uint32_t dimensions, const uint64_t *shape);
/* Writes header, keys and tensor table. After this, for each tensor in order: obi_gguf_write until its bytes are
 * complete (any number of calls); padding is inserted by itself. */
obi_status obi_gguf_writer_begin(obi_gguf_writer *writer);
obi_status obi_gguf_write(obi_gguf_writer *writer, const void *data, uint64_t bytes);
/* Another value for a key that was put as f32, when it is known only after the header was written. OBI_ERROR_ARGUMENT for any other. */
obi_status obi_gguf_rewrite_f32(obi_gguf_writer *writer, const char *key, float value);
/* Checks that every tensor is complete, commits the file (fsync, rename) and frees the writer, on failure too. */
obi_status obi_gguf_writer_commit(obi_gguf_writer *writer, uint64_t *file_bytes);
void obi_gguf_writer_abandon(obi_gguf_writer *writer); /* removes the temporary file and frees; NULL is allowed */

#endif
