/* source: a model on disk in any format we import, seen as one list of tensors under GGUF's names.
 *
 * Formats: a Hugging Face directory (LLaMA, OPT), a llama2.c .bin (v0 float, v2 int8), a GGUF file (architectures llama, opt,
 * onebitllama and onebitopt), the OneBit authors' packed checkpoint directory. Tensor data stay in read-only mappings and are
 * converted row by row as they are read, so that host memory does not grow with the model. One thread at a time. */
#ifndef OBI_QUANT_SOURCE_H
#define OBI_QUANT_SOURCE_H

#include "core/file.h"
#include "model/config.h"
#include "model/tokenizer.h"

typedef struct obi_source_tensor {
    char name[64];              /* GGUF's name: "token_embd.weight", "blk.0.attn_q.weight", "blk.0.attn_q.input_factor", ... */
    uint64_t rows, columns;     /* a vector has rows = 1 */
    obi_dtype type;             /* of the stored values; signs are I32 with columns still counting weights */
    bool signs;                 /* bits: row r starts at data + r * ceil(columns/32)*4 (or columns/8 in the authors' files) */
    uint64_t row_bytes;         /* stored bytes from one row to the next */
    const uint8_t *data;        /* in a mapping */
    const float *group_scales;  /* llama2.c v2 only: one (unaligned) f32 for each group_size values; NULL otherwise */
    uint32_t group_size;
    const obi_mapping *mapping; /* where data lies, so that it can be released after use */
} obi_source_tensor;

typedef struct obi_source {
    const char *format;         /* "huggingface", "llama2.c", "gguf", "onebit-reference" */
    obi_config config;
    obi_vocab vocab;            /* count 0 when the model came without a tokenizer */
    char *name;                 /* of the model, for general.name: the directory or file name without extension */
    obi_source_tensor *tensors;
    size_t tensor_count;
    size_t layers_begin, layers_end; /* of the tensors, those of layers: equally many each, in order */
    uint64_t parameters;        /* weights in all tensors, an untied head included */
    uint64_t stored_bytes;      /* bytes of the tensors as stored */
    const float *rope_factors;  /* head_size/2 divisors of the RoPE frequencies (LLaMA 3), or NULL; owned by the source */
    obi_mapping *mappings;
    size_t mapping_count;
    void *detail;               /* the importer's own */
} obi_source;

/* Recognises the format by content. `tokenizer_path` (may be NULL) is a tokenizer.bin, tokenizer.model, tokenizer.json
 * or a GGUF file to use instead of what lies beside the model. Every tensor the config asks for is present with its
 * right shape when this returns OBI_OK; otherwise OBI_ERROR_DATA names the first that is not. Close with obi_source_close. */
obi_status obi_source_open(obi_source **out, const char *path, const char *tokenizer_path);
void obi_source_close(obi_source *source); /* NULL is allowed */

const obi_source_tensor *obi_source_find(const obi_source *source, const char *name); /* NULL when absent */

/* Converts rows [first, first+count) to float: out has count * columns elements. Not for sign tensors. */
obi_status obi_source_read(const obi_source_tensor *tensor, uint64_t first, uint64_t count, float *out);

/* Sign tensors: copies rows as words, ceil(columns/32) each, pad bits 0. */
obi_status obi_source_read_signs(const obi_source_tensor *tensor, uint64_t first, uint64_t count, uint32_t *out);

/* Lets go of the resident pages of a tensor. */
void obi_source_release(const obi_source_tensor *tensor);

#endif
