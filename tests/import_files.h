/* import_files: writes small model directories for the importers' tests: files in the scratch directory, safetensors
 * built tensor by tensor, and a synthetic LLaMA whose every value is known. */
#ifndef OB_TESTS_IMPORT_FILES_H
#define OB_TESTS_IMPORT_FILES_H

#include <dirent.h>
#include <string.h>

#include "data.h"
#include "scratch.h"
#include "core/half.h"
#include "quant/import/source.h"

static inline void put_bytes(const char *name, const void *bytes, size_t size)
{
    FILE *file = fopen(scratch_path(name), "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static inline void put_text(const char *name, const char *text) { put_bytes(name, text, strlen(text)); }

/* Removes every file in the scratch directory; the teardown of a test. */
static inline int clear_scratch(void **state)
{
    (void)state;
    DIR *directory = opendir(scratch_directory);
    if (!directory) return -1;
    for (struct dirent *entry; (entry = readdir(directory));)
        if (entry->d_name[0] != '.') unlink(scratch_path(entry->d_name));
    closedir(directory);
    return 0;
}

/* A whole file in memory; *bytes is the caller's to free. */
static inline size_t slurp(const char *path, uint8_t **bytes)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    size_t size = (size_t)ftell(file);
    rewind(file);
    *bytes = malloc(size + 1);
    assert_int_equal(fread(*bytes, 1, size, file), size);
    fclose(file);
    return size;
}

/* Opening fails with `code` and a sentence that contains `words`. */
static inline void expect_refused(const char *path, const char *tokenizer, obi_status code, const char *words)
{
    obi_source *source = (obi_source *)1;
    obi_status status = obi_source_open(&source, path, tokenizer);
    if (status != code || !strstr(obi_last_error(), words))
        fail_msg("opening %s gave %d \"%s\", expected %d with \"%s\"", path, status, status ? obi_last_error() : "", code, words);
    assert_null(source);
}

static inline obi_source *expect_opens(const char *path, const char *tokenizer)
{
    obi_source *source;
    if (obi_source_open(&source, path, tokenizer) != OBI_OK) fail_msg("%s", obi_last_error());
    return source;
}

/* ---- safetensors ---------------------------------------------------------------------------------------------- */

typedef struct st_file {
    char header[65536];
    size_t used;
    uint8_t data[65536];
    size_t bytes;
} st_file;

static inline void st_begin(st_file *file)
{
    memset(file, 0, sizeof *file);
    file->used = (size_t)snprintf(file->header, sizeof file->header, "{\"__metadata__\":{\"format\":\"pt\"}");
}

/* rows 0: a vector of `columns`. `bytes` zeroed bytes are reserved and returned, to be filled. */
static inline uint8_t *st_add(st_file *file, const char *name, const char *dtype, unsigned rows, unsigned columns, size_t bytes)
{
    char shape[64];
    if (rows) snprintf(shape, sizeof shape, "%u,%u", rows, columns);
    else snprintf(shape, sizeof shape, "%u", columns);
    file->used += (size_t)snprintf(file->header + file->used, sizeof file->header - file->used,
                                   ",\"%s\":{\"dtype\":\"%s\",\"shape\":[%s],\"data_offsets\":[%zu,%zu]}", name, dtype, shape, file->bytes,
                                   file->bytes + bytes);
    uint8_t *data = file->data + file->bytes;
    file->bytes += bytes;
    assert_true(file->used < sizeof file->header && file->bytes <= sizeof file->data);
    return data;
}

static inline void st_write(st_file *file, const char *name)
{
    file->header[file->used++] = '}';
    FILE *out = fopen(scratch_path(name), "wb");
    assert_non_null(out);
    uint8_t length[8];
    for (int i = 0; i < 8; i++) length[i] = (uint8_t)((uint64_t)file->used >> (8 * i));
    assert_int_equal(fwrite(length, 1, 8, out), 8);
    assert_int_equal(fwrite(file->header, 1, file->used, out), file->used);
    assert_int_equal(fwrite(file->data, 1, file->bytes, out), file->bytes);
    assert_int_equal(fclose(out), 0);
}

/* ---- a synthetic LLaMA: V 11, D 40, L 1, H 4, K 2, C 10, F 24 ------------------------------------------------- */

enum { TOY_V = 11, TOY_D = 40, TOY_H = 4, TOY_K = 2, TOY_C = 10, TOY_F = 24 };

#define TOY_SIZES                                                                                                  \
    "\"hidden_size\":40,\"num_hidden_layers\":1,\"num_attention_heads\":4,\"num_key_value_heads\":2,\"vocab_size\":11,"  \
    "\"intermediate_size\":24,\"max_position_embeddings\":64,\"rms_norm_eps\":1e-5"

typedef struct toy_tensor { const char *hf, *gguf; unsigned rows, columns; } toy_tensor;

static const toy_tensor toy_tensors[] = {
    { "model.embed_tokens.weight", "token_embd.weight", TOY_V, TOY_D },
    { "model.layers.0.input_layernorm.weight", "blk.0.attn_norm.weight", 0, TOY_D },
    { "model.layers.0.self_attn.q_proj.weight", "blk.0.attn_q.weight", TOY_H * TOY_C, TOY_D },
    { "model.layers.0.self_attn.k_proj.weight", "blk.0.attn_k.weight", TOY_K * TOY_C, TOY_D },
    { "model.layers.0.self_attn.v_proj.weight", "blk.0.attn_v.weight", TOY_K * TOY_C, TOY_D },
    { "model.layers.0.self_attn.o_proj.weight", "blk.0.attn_output.weight", TOY_D, TOY_H * TOY_C },
    { "model.layers.0.post_attention_layernorm.weight", "blk.0.ffn_norm.weight", 0, TOY_D },
    { "model.layers.0.mlp.gate_proj.weight", "blk.0.ffn_gate.weight", TOY_F, TOY_D },
    { "model.layers.0.mlp.up_proj.weight", "blk.0.ffn_up.weight", TOY_F, TOY_D },
    { "model.layers.0.mlp.down_proj.weight", "blk.0.ffn_down.weight", TOY_D, TOY_F },
    { "model.norm.weight", "output_norm.weight", 0, TOY_D },
    { "lm_head.weight", "output.weight", TOY_V, TOY_D },
};
enum { TOY_COUNT = sizeof toy_tensors / sizeof *toy_tensors, TOY_HEAD = TOY_COUNT - 1 };

/* Element i of tensor t: exact in every floating type that is imported, and different for neighbours. */
static inline float toy_value(size_t t, size_t i) { return (float)((int)((i * 37 + t * 11 + i / 7) % 127) - 63) / 8.0f; }

static inline void toy_fill(uint8_t *out, const char *dtype, size_t t, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        float value = toy_value(t, i);
        uint16_t half = strcmp(dtype, "F16") == 0 ? obi_float_to_half(value) : (uint16_t)(obi_float_bits(value) >> 16);
        double wide = value;
        if (strcmp(dtype, "F32") == 0) memcpy(out + 4 * i, &value, 4);
        else if (strcmp(dtype, "F64") == 0) memcpy(out + 8 * i, &wide, 8);
        else memcpy(out + 2 * i, &half, 2);
    }
}

static inline size_t toy_width(const char *dtype) { return strcmp(dtype, "F32") == 0 ? 4 : strcmp(dtype, "F64") == 0 ? 8 : 2; }

/* Adds tensors first .. last of the table. */
static inline void toy_add(st_file *file, size_t first, size_t last, const char *dtype)
{
    for (size_t t = first; t <= last; t++) {
        size_t count = (size_t)(toy_tensors[t].rows ? toy_tensors[t].rows : 1) * toy_tensors[t].columns;
        uint8_t *out = st_add(file, toy_tensors[t].hf, dtype, toy_tensors[t].rows, toy_tensors[t].columns, count * toy_width(dtype));
        toy_fill(out, dtype, t, count);
    }
}

/* Every value of tensor t of the source is the table's. */
static inline void toy_expect(const obi_source *source, size_t t)
{
    const obi_source_tensor *tensor = obi_source_find(source, toy_tensors[t].gguf);
    if (!tensor) fail_msg("%s was not imported", toy_tensors[t].gguf);
    size_t rows = toy_tensors[t].rows ? toy_tensors[t].rows : 1, columns = toy_tensors[t].columns;
    assert_int_equal(tensor->rows, rows);
    assert_int_equal(tensor->columns, columns);
    float *values = malloc(rows * columns * sizeof *values);
    assert_int_equal(obi_source_read(tensor, 0, rows, values), OBI_OK);
    for (size_t i = 0; i < rows * columns; i++)
        if (obi_float_bits(values[i]) != obi_float_bits(toy_value(t, i)))
            fail_msg("%s[%zu] is %g, not %g", tensor->name, i, (double)values[i], (double)toy_value(t, i));
    free(values);
}

#endif
