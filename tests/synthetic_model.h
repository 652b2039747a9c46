/* synthetic_model: GGUF files of random weights, in sizes and types that no trained model at hand has. */
#ifndef OB_TESTS_SYNTHETIC_MODEL_H
#define OB_TESTS_SYNTHETIC_MODEL_H

#include <math.h>
#include <string.h>

#include "data.h"
#include "core/half.h"
#include "core/rng.h"
#include "model/config.h"

/* What to write. The config says sizes, layout, OneBit or not and whether there is a head. */
typedef struct synthetic_model {
    obi_config config;
    obi_dtype embedding, head;
    obi_dtype linear[OBI_LINEAR_COUNT]; /* of dense models */
    obi_dtype norm;                     /* of the norms' weights, and of g and h */
    bool rope_factors;
    uint64_t seed;
} synthetic_model;

/* Random values in any type we read; *bytes of them. Floats have the given mean and deviation; blocks the deviation. */
static inline void *synthetic_values(obi_rng *rng, obi_dtype type, uint64_t count, double mean, double deviation, uint64_t *bytes)
{
    if (!obi_dtype_bytes(type, count, bytes))
        fail_msg("%llu values do not fill blocks of %s", (unsigned long long)count, obi_dtype_name(type));
    uint8_t *out = malloc(*bytes);
    uint32_t block = obi_dtype_block_bytes(type);
    for (uint64_t i = 0; i < *bytes / block; i++) {
        uint8_t *at = out + i * block;
        float value = (float)(mean + deviation * obi_rng_normal(rng));
        uint32_t bits = obi_float_bits(value);
        uint16_t half = obi_float_to_half(value);
        if (type == OBI_DTYPE_F32) memcpy(at, &value, 4);
        else if (type == OBI_DTYPE_F16) memcpy(at, &half, 2);
        else if (type == OBI_DTYPE_BF16) memcpy(at, (uint8_t *)&bits + 2, 2);
        else { /* uniform numbers -128..127 or -8..7 times a scale */
            half = obi_float_to_half((float)(deviation * sqrt(3) / (type == OBI_DTYPE_Q8_0 ? 128 : 8) * (0.5 + obi_rng_uniform(rng))));
            memcpy(at, &half, 2);
            for (uint32_t k = 2; k < block; k++) at[k] = (uint8_t)(obi_rng_next(rng) >> 40);
        }
    }
    return out;
}

typedef struct synthetic_tensor { char name[64]; obi_dtype type; uint64_t rows, columns; double mean, deviation; } synthetic_tensor;

static inline uint32_t synthetic_list(const synthetic_model *model, synthetic_tensor *list)
{
    const obi_config *config = &model->config;
    uint64_t D = config->width, V = config->vocabulary;
    uint32_t n = 0;
    list[n++] = (synthetic_tensor){ "token_embd.weight", model->embedding, V, D, 0, 1 };
    list[n++] = (synthetic_tensor){ "output_norm.weight", model->norm, 1, D, 1, 0.2 };
    if (!config->tied) list[n++] = (synthetic_tensor){ "output.weight", model->head, V, D, 0, 1 / sqrt((double)D) };
    if (model->rope_factors) list[n++] = (synthetic_tensor){ "rope_freqs.weight", OBI_DTYPE_F32, 1, config->rope_dimensions / 2, 3, 0.5 };
    for (uint32_t layer = 0; layer < config->layers; layer++) {
        static const char *const norms[2] = { "attn_norm", "ffn_norm" };
        for (int i = 0; i < 2; i++) {
            list[n] = (synthetic_tensor){ "", model->norm, 1, D, 1, 0.2 };
            snprintf(list[n++].name, sizeof list->name, "blk.%u.%s.weight", layer, norms[i]);
        }
        for (int i = 0; i < OBI_LINEAR_COUNT; i++) {
            uint32_t rows, columns;
            obi_config_linear_shape(config, i, &rows, &columns);
            double scale = 1 / sqrt((double)columns);
            uint32_t planes = obi_config_planes(config);
            list[n] = config->onebit ? (synthetic_tensor){ "", OBI_DTYPE_I32, (uint64_t)planes * rows, (columns + 31) / 32, 0, 0 }
                                     : (synthetic_tensor){ "", model->linear[i], rows, columns, 0, scale };
            if (config->int8_rows) list[n] = (synthetic_tensor){ "", OBI_DTYPE_I8, rows, columns, 0, 0 };
            snprintf(list[n++].name, sizeof list->name, "blk.%u.%s.weight", layer, obi_linear_roles[i]);
            if (!config->onebit) continue;
            list[n] = (synthetic_tensor){ "", model->norm, 1, columns, 0, 0.5 }; /* of either sign: training may turn them */
            if (!config->no_input_factor && !config->int8_rows)
                snprintf(list[n++].name, sizeof list->name, "blk.%u.%s.input_factor", layer, obi_linear_roles[i]);
            double h = config->int8_rows ? scale / 73 : 2 * scale; /* bytes have a deviation of 73 */
            list[n] = (synthetic_tensor){ "", model->norm, 1, (uint64_t)planes * rows, 0, h };
            snprintf(list[n++].name, sizeof list->name, "blk.%u.%s.weight_scale", layer, obi_linear_roles[i]);
            list[n] = (synthetic_tensor){ "", model->norm, 1, rows, 0, 0.5 };
            if (config->offset) snprintf(list[n++].name, sizeof list->name, "blk.%u.%s.weight_offset", layer, obi_linear_roles[i]);
        }
    }
    return n;
}

/* Writes it to `path`, without a tokenizer. Pad bits of sign rows are random: they must not matter. */
static inline void synthetic_write(const synthetic_model *model, const char *path)
{
    obi_gguf_writer *writer;
    obi_rng rng = obi_rng_seed(model->seed);
    synthetic_tensor *list = calloc(5 + (size_t)model->config.layers * (2 + 4 * OBI_LINEAR_COUNT), sizeof *list);
    uint32_t count = synthetic_list(model, list);
    if (obi_gguf_writer_create(&writer, path) != OBI_OK) fail_msg("%s", obi_last_error());
    obi_config_to_gguf(&model->config, writer);
    for (uint32_t i = 0; i < count; i++)
        obi_gguf_add_tensor(writer, list[i].name, list[i].type, list[i].rows == 1 ? 1 : 2, (uint64_t[2]){ list[i].columns, list[i].rows });
    obi_status status = obi_gguf_writer_begin(writer);
    for (uint32_t i = 0; i < count && status == OBI_OK; i++) {
        uint64_t bytes = list[i].rows * list[i].columns * 4;
        uint8_t *data;
        if (list[i].type == OBI_DTYPE_I8) bytes /= 4;
        if (list[i].type == OBI_DTYPE_I32 || list[i].type == OBI_DTYPE_I8) {
            data = malloc(bytes);
            for (uint64_t k = 0; k < bytes; k++) data[k] = (uint8_t)(obi_rng_next(&rng) >> 40);
        } else {
            data = synthetic_values(&rng, list[i].type, list[i].rows * list[i].columns, list[i].mean, list[i].deviation, &bytes);
        }
        status = obi_gguf_write(writer, data, bytes);
        free(data);
    }
    uint64_t file_bytes;
    if (status == OBI_OK) status = obi_gguf_writer_commit(writer, &file_bytes);
    if (status != OBI_OK) fail_msg("%s", obi_last_error());
    free(list);
}

#endif
