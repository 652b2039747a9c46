/* opt_model: the tiny OPTs of scripts/golden_opt.py as Hugging Face directories, and their golden logits. The weights follow from the
 * names of their tensors, as there. Include in cmocka tests only. */
#ifndef OB_TESTS_OPT_MODEL_H
#define OB_TESTS_OPT_MODEL_H

#include <math.h>
#include <string.h>

#include "data.h"
#include "scratch.h"
#include "quant/import/safetensors.h"

#define OPT_DIRECTORY OB_SOURCE_DIR "/tests/data/opt"

enum { OPT_TOKENS = 16, OPT_VOCABULARY = 304, OPT_CONTEXT = 24, OPT_LAYERS = 2 };

/* "pre" has the form of OPT-125M, "last" that of OPT-350M. */
typedef struct opt_form {
    const char *name;
    uint32_t width, embedding, heads, ffn;
    bool norm_first;
} opt_form;

static const opt_form opt_forms[] = { { "pre", 48, 48, 4, 80, true }, { "last", 32, 20, 2, 56, false } };

/* What a test changes of the files. Zeroed: nothing. */
typedef struct opt_flaw {
    const char *config;          /* keys added to config.json, which win over those there: ",\"a\":1" */
    const char *leave_out;       /* a tensor, by the end of its name */
    const char *reshape;         /* a tensor, by the end of its name, whose first axis has `rows` more */
    int rows;
    const char *extra;           /* a tensor of four numbers more */
    const char *base;            /* in place of "model.decoder." */
} opt_flaw;

/* ---- golden values ------------------------------------------------------------------------------------------------ */

typedef struct opt_golden { obi_mapping mapping; obi_safetensors file; } opt_golden;

static inline void opt_golden_open(opt_golden *golden)
{
    if (obi_mapping_open(&golden->mapping, OPT_DIRECTORY "/golden.safetensors") != OBI_OK ||
        obi_safetensors_open(&golden->file, &golden->mapping) != OBI_OK)
        fail_msg("%s", obi_last_error());
}

static inline void opt_golden_close(opt_golden *golden)
{
    obi_safetensors_close(&golden->file);
    obi_mapping_close(&golden->mapping);
}

static inline const float *opt_golden_values(const opt_golden *golden, const char *form, const char *what, uint64_t count)
{
    char name[64];
    snprintf(name, sizeof name, "%s.%s", form, what);
    const obi_safetensors_tensor *tensor = obi_safetensors_find(&golden->file, name);
    if (!tensor || tensor->bytes != count * 4) fail_msg("golden.safetensors: %s is missing or has another size", name);
    return (const float *)(const void *)tensor->data;
}

/* ---- a directory --------------------------------------------------------------------------------------------------- */

/* Number i, from 1, of 24 bits in [-1, 1): splitmix64 from the FNV-1a hash of the name. */
static inline double opt_uniform(uint64_t hash, uint64_t i)
{
    uint64_t z = hash + i * 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (double)((z ^ z >> 31) >> 40) / (1 << 23) - 1;
}

typedef struct opt_writer {
    FILE *header, *data;
    uint64_t bytes;
    const opt_flaw *flaw;
    uint64_t seed;
} opt_writer;

static inline bool opt_ends_with(const char *name, const char *end)
{
    size_t length = strlen(name), tail = end ? strlen(end) : 0;
    return end && length >= tail && strcmp(name + length - tail, end) == 0;
}

/* columns 0: a vector of `rows`. */
static inline void opt_tensor(opt_writer *writer, const char *rest, uint32_t rows, uint32_t columns)
{
    const opt_flaw *flaw = writer->flaw;
    const char *base = flaw->base ? flaw->base : "model.decoder.";
    char name[128];
    snprintf(name, sizeof name, "model.decoder.%s", rest);
    uint64_t hash = 0xcbf29ce484222325u;
    for (const char *c = name; *c; c++) hash = (hash ^ (uint8_t)*c) * 0x100000001b3u;
    if (opt_ends_with(name, flaw->leave_out)) return;
    if (opt_ends_with(name, flaw->reshape)) rows = (uint32_t)((int)rows + flaw->rows);
    uint64_t count = (uint64_t)rows * (columns ? columns : 1);
    double center = 0, scale = 1.7 / sqrt(columns ? columns : 1);
    if (opt_ends_with(name, "layer_norm.weight")) center = 1, scale = 0.3;
    else if (opt_ends_with(name, ".bias")) scale = 0.2;
    else if (strstr(name, "embed_tokens")) scale = 1;
    else if (strstr(name, "embed_positions")) scale = 0.5;
    for (uint64_t i = 1; i <= count; i++) {
        float value = (float)(center + scale * opt_uniform(hash + writer->seed, i));
        fwrite(&value, 4, 1, writer->data);
    }
    fprintf(writer->header, "%s\"%s%s\":{\"dtype\":\"F32\",\"shape\":[%u", writer->bytes ? "," : "{", base, rest, rows);
    if (columns) fprintf(writer->header, ",%u", columns);
    fprintf(writer->header, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)writer->bytes,
            (unsigned long long)(writer->bytes + count * 4));
    writer->bytes += count * 4;
}

static inline void opt_layer(opt_writer *writer, const opt_form *form, int layer)
{
    const uint32_t D = form->width, F = form->ffn;
    const struct { const char *name; uint32_t rows, columns; } linears[] = {
        { "self_attn.q_proj", D, D }, { "self_attn.k_proj", D, D }, { "self_attn.v_proj", D, D }, { "self_attn.out_proj", D, D },
        { "fc1", F, D }, { "fc2", D, F },
    };
    char name[96];
    for (size_t i = 0; i < sizeof linears / sizeof *linears; i++) {
        snprintf(name, sizeof name, "layers.%d.%s.weight", layer, linears[i].name);
        opt_tensor(writer, name, linears[i].rows, linears[i].columns);
        snprintf(name, sizeof name, "layers.%d.%s.bias", layer, linears[i].name);
        opt_tensor(writer, name, linears[i].rows, 0);
    }
    static const char *const norms[] = { "self_attn_layer_norm", "final_layer_norm" };
    for (int i = 0; i < 2; i++) {
        snprintf(name, sizeof name, "layers.%d.%s.weight", layer, norms[i]);
        opt_tensor(writer, name, D, 0);
        snprintf(name, sizeof name, "layers.%d.%s.bias", layer, norms[i]);
        opt_tensor(writer, name, D, 0);
    }
}

static inline void opt_copy(const char *directory, const char *name)
{
    char path[2048], bytes[8192];
    snprintf(path, sizeof path, "%s/%s", OPT_DIRECTORY, name);
    FILE *from = fopen(path, "rb");
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *to = fopen(path, "wb");
    if (!from || !to) fail_msg("%s cannot be copied", path);
    size_t count = fread(bytes, 1, sizeof bytes, from);
    assert_true(count < sizeof bytes && fwrite(bytes, 1, count, to) == count);
    fclose(from);
    assert_int_equal(fclose(to), 0);
}

/* Makes or fills scratch directory `name` with config.json, model.safetensors, vocab.json and merges.txt; returns its path (static). To be
 * removed with scratch_remove_tree. */
static inline const char *opt_write(const char *name, const opt_form *form, const opt_golden *golden, const opt_flaw *flaw)
{
    static char directory[640];
    static const opt_flaw none;
    char path[1024];
    snprintf(directory, sizeof directory, "%s/%s", scratch_directory, name);
    (void)mkdir(directory, 0700);
    opt_writer writer = { .header = tmpfile(), .data = tmpfile(), .flaw = flaw ? flaw : &none,
                          .seed = (uint64_t)*opt_golden_values(golden, form->name, "seed", 1) };
    assert_true(writer.header && writer.data);
    opt_tensor(&writer, "embed_tokens.weight", OPT_VOCABULARY, form->embedding);
    opt_tensor(&writer, "embed_positions.weight", OPT_CONTEXT + 2, form->width);
    if (form->embedding != form->width) {
        opt_tensor(&writer, "project_in.weight", form->width, form->embedding);
        opt_tensor(&writer, "project_out.weight", form->embedding, form->width);
    }
    for (int layer = 0; layer < OPT_LAYERS; layer++) opt_layer(&writer, form, layer);
    if (form->norm_first) {
        opt_tensor(&writer, "final_layer_norm.weight", form->width, 0);
        opt_tensor(&writer, "final_layer_norm.bias", form->width, 0);
    }
    if (writer.flaw->extra) opt_tensor(&writer, writer.flaw->extra, 4, 0);
    fprintf(writer.header, "}");
    snprintf(path, sizeof path, "%s/model.safetensors", directory);
    FILE *out = fopen(path, "wb");
    assert_non_null(out);
    uint64_t length = (uint64_t)ftell(writer.header);
    fwrite(&length, 8, 1, out);
    FILE *const parts[] = { writer.header, writer.data };
    for (int i = 0; i < 2; i++) {
        rewind(parts[i]);
        for (int c; (c = getc(parts[i])) != EOF;) putc(c, out);
        fclose(parts[i]);
    }
    assert_int_equal(fclose(out), 0);

    snprintf(path, sizeof path, "%s/config.json", directory);
    out = fopen(path, "w");
    assert_non_null(out);
    const char *more = writer.flaw->config ? writer.flaw->config : "";
    static const struct { const char *key, *format; } keys[] = {
        { "architectures", "[\"OPTForCausalLM\"]" }, { "model_type", "\"opt\"" }, { "activation_function", "\"relu\"" },
        { "bos_token_id", "2" }, { "eos_token_id", "2" }, { "pad_token_id", "1" }, { "tie_word_embeddings", "true" },
    };
    const struct { const char *key; uint32_t value; } numbers[] = {
        { "hidden_size", form->width }, { "word_embed_proj_dim", form->embedding }, { "num_attention_heads", form->heads },
        { "ffn_dim", form->ffn }, { "num_hidden_layers", OPT_LAYERS }, { "vocab_size", OPT_VOCABULARY },
        { "max_position_embeddings", OPT_CONTEXT },
    };
    fprintf(out, "{\"_name_or_path\":\"tiny\"%s", more);
    char quoted[64];
#define OPT_KEY(name) (snprintf(quoted, sizeof quoted, ",\"%s\":", name), !strstr(more, quoted))
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (OPT_KEY(keys[i].key)) fprintf(out, "%s%s", quoted, keys[i].format);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (OPT_KEY(numbers[i].key)) fprintf(out, "%s%u", quoted, numbers[i].value);
    if (OPT_KEY("do_layer_norm_before")) fprintf(out, "%s%s", quoted, form->norm_first ? "true" : "false");
    fprintf(out, "}\n");
    assert_int_equal(fclose(out), 0);
    opt_copy(directory, "vocab.json");
    opt_copy(directory, "merges.txt");
    return directory;
}

#endif
