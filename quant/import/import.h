/* import: what the importers share. An importer reads a model's configuration, then obi_import_tensors walks the list
 * of tensors that such a configuration asks for and has the importer locate each one. Private to quant/. */
#ifndef OBI_QUANT_IMPORT_H
#define OBI_QUANT_IMPORT_H

#include "quant/import/source.h"

typedef enum obi_import_part {
    OBI_PART_EMBEDDING,     /* (V, D) */
    OBI_PART_ATTENTION_NORM, /* (D) */
    OBI_PART_FFN_NORM,      /* (D) */
    OBI_PART_LINEAR,        /* (rows, columns); signs when the config is OneBit */
    OBI_PART_INPUT_FACTOR,  /* (columns) g */
    OBI_PART_WEIGHT_SCALE,  /* (rows) h */
    OBI_PART_OUTPUT_NORM,   /* (D) */
    OBI_PART_OUTPUT,        /* (V, D), when the head is not tied */
    /* OPT; E in place of D in the embedding and the head */
    OBI_PART_POSITIONS,     /* (context + 2, D) */
    OBI_PART_PROJECT_IN,    /* (D, E), when the embedding has another width */
    OBI_PART_PROJECT_OUT    /* (E, D), likewise */
} obi_import_part;

typedef struct obi_import_want {
    obi_import_part part;
    uint32_t layer;         /* of the parts that belong to a layer */
    int role;               /* OBI_LINEAR_* of the parts that belong to a linear */
    bool bias;              /* of a norm or a linear, in place of its weight */
} obi_import_want;

/* Fills type, row_bytes, data, mapping (and the group scales) of a tensor whose name, rows, columns and signs are set.
 * It has checked the stored shape against rows and columns. OBI_ERROR_DATA names what is missing or wrong. */
typedef obi_status (*obi_import_locate)(void *user, const obi_import_want *want, obi_source_tensor *tensor);

/* Sets source->tensors, tensor_count, parameters and stored_bytes from source->config, which has been checked. */
obi_status obi_import_tensors(obi_source *source, obi_import_locate locate, void *user);

/* Stored bytes of a tensor: rows * row_bytes, and its group scales, which follow. */
uint64_t obi_import_tensor_bytes(const obi_source_tensor *tensor);

/* True when dtype values can be read as floats by obi_source_read. */
bool obi_import_type_readable(obi_dtype type);

/* Room for `count` mappings in the source, all closed by obi_source_close; tensors may point to them. */
obi_status obi_import_reserve_mappings(obi_source *source, size_t count);

/* One function per format. Each fills config, tensors and, where the format holds one, the vocabulary; what it leaves
 * behind on failure is freed by obi_source_close. */
obi_status obi_import_hf(obi_source *source, const char *directory);         /* "huggingface", "onebit-reference" */
obi_status obi_import_llama2c(obi_source *source, const char *path);         /* v0, v1, v2 */
obi_status obi_import_gguf(obi_source *source, const char *path);            /* llama, onebitllama, opt, onebitopt */
void obi_import_gguf_close(obi_source *source);

/* True when the file begins like a llama2.c file with a magic (v1, v2) or has a plausible v0 header. */
bool obi_import_llama2c_recognises(const uint8_t *bytes, uint64_t size);

/* DIRECTORY/NAME, allocated; NULL when memory is out. */
char *obi_import_join(const char *directory, const char *name);

#endif
