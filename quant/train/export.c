#include "quant/train/export.h"

#include <stdio.h>
#include <string.h>

#include "core/alloc.h"
#include "core/checked.h"
#include "core/half.h"
#include "quant/import/rope_permute.h"
#include "quant/train/quantiser.h"
#include "quant/train/scales.h"

/* What one export needs at hand. */
typedef struct exporter {
    const obi_train_model *model;
    obi_config config; /* of the file */
    obi_gguf_writer *writer;
} exporter;

static void declare(exporter *export, const char *name, obi_dtype type, uint64_t columns, uint64_t rows)
{
    uint64_t shape[2] = { columns, rows };
    obi_gguf_add_tensor(export->writer, name, type, rows == 1 ? 1 : 2, shape);
}

/* "blk.N.R.scales" -> "blk.N.R.input_factor" or "...weight_scale" */
static void scale_name(const char *scales, const char *suffix, char out[64])
{
    snprintf(out, 64, "%.*s%s", (int)(strlen(scales) - strlen("scales")), scales, suffix);
}

static bool half_precision(const exporter *export, const obi_param *param)
{
    return export->config.onebit && param->group == OBI_GROUP_TABLE;
}

/* The linear that a parameter belongs to, as its weight or its scales; NULL for the others. */
static const obi_train_linear *linear_of(const exporter *export, uint32_t index, int *kind)
{
    for (uint32_t layer = 0; layer < export->config.layers; layer++)
        for (*kind = 0; *kind < OBI_LINEAR_COUNT; (*kind)++) {
            if (!obi_config_has_linear(&export->config, *kind)) continue;
            const obi_train_linear *linear = &export->model->layers[layer].linear[*kind];
            if (linear->weight == index || (export->model->config.onebit && linear->scales == index)) return linear;
        }
    return NULL;
}

/* "blk.N.R.weight" -> "blk.N.R.weight_scale" or "...weight_offset" */
static void plane_name(const char *weight, const char *suffix, char out[80]) { snprintf(out, 80, "%s_%s", weight, suffix); }

static void declare_planes(exporter *export, const obi_param *param)
{
    uint64_t planes = obi_config_planes(&export->config), m = param->w.rows;
    char name[80];
    declare(export, param->name, OBI_DTYPE_I32, obi_weight_row_words(OBI_WEIGHT_SIGN, param->w.columns), planes * m);
    plane_name(param->name, "scale", name);
    declare(export, name, OBI_DTYPE_F16, planes * m, 1);
    plane_name(param->name, "offset", name);
    if (export->config.offset) declare(export, name, OBI_DTYPE_F16, m, 1);
}

static void declare_param(exporter *export, uint32_t index)
{
    const obi_param *param = &export->model->params[index];
    int kind;
    const obi_train_linear *linear = linear_of(export, index, &kind);
    char name[64];
    if (export->model->quantiser.bits > 0 && param->group == OBI_GROUP_WEIGHT) {
        declare_planes(export, param);
    } else if (export->config.onebit && param->group == OBI_GROUP_WEIGHT) {
        declare(export, param->name, OBI_DTYPE_I32, linear->signs.row_words, param->w.rows);
    } else if (param->group == OBI_GROUP_SCALES) {
        const obi_weight *weight = &export->model->params[linear->weight].w;
        scale_name(param->name, "input_factor", name);
        declare(export, name, OBI_DTYPE_F16, weight->columns, 1);
        scale_name(param->name, "weight_scale", name);
        declare(export, name, OBI_DTYPE_F16, weight->rows, 1);
    } else {
        declare(export, param->name, half_precision(export, param) ? OBI_DTYPE_F16 : OBI_DTYPE_F32, param->w.columns, param->w.rows);
    }
}

static obi_status write_floats(exporter *export, const char *name, const float *values, uint64_t count, bool half)
{
    if (!half) return obi_gguf_write(export->writer, values, count * 4);
    uint16_t halves[4096];
    for (uint64_t done = 0; done < count;) {
        uint64_t part = count - done < 4096 ? count - done : 4096;
        for (uint64_t i = 0; i < part; i++) {
            halves[i] = obi_float_to_half(values[done + i]);
            if ((halves[i] & 0x7c00) == 0x7c00)
                return obi_fail(OBI_ERROR_RUNTIME, "the training diverged: %s has grown to %g, which F16 cannot hold", name,
                                (double)values[done + i]);
        }
        OBI_TRY(obi_gguf_write(export->writer, halves, part * 2));
        done += part;
    }
    return OBI_OK;
}

/* The words of all blocks of a weight, on the host. Free with obi_free. */
static obi_status download(const obi_train_model *model, const obi_weight *weight, void **out)
{
    uint64_t bytes = (uint64_t)weight->rows * weight->row_words * 4, done = 0;
    uint8_t *data = obi_calloc(bytes, 1);
    if (!data) return OBI_ERROR_MEMORY;
    for (uint32_t block = 0; block < weight->block_count; block++) {
        uint32_t first, rows;
        obi_view view = obi_weight_block(weight, block, &first, &rows);
        obi_status status = obi_download_bytes(model->device, view, data + done, (uint64_t)rows * weight->row_words * 4);
        if (status != OBI_OK) {
            obi_free(data);
            return status;
        }
        done += (uint64_t)rows * weight->row_words * 4;
    }
    *out = data;
    return OBI_OK;
}

/* The levels of a linear as sign planes, exactly. */
static obi_status write_planes(exporter *export, const obi_train_linear *linear)
{
    const obi_train_model *model = export->model;
    uint32_t m = linear->levels.rows, n = linear->levels.columns;
    uint64_t planes = obi_config_planes(&export->config), words = obi_planes_words((uint32_t)planes, m, n);
    void *levels = NULL, *steps = NULL;
    obi_planes packed = { .words = obi_calloc((size_t)words, sizeof *packed.words),
                          .scale = obi_calloc((size_t)(planes * m), sizeof *packed.scale),
                          .offset = export->config.offset ? obi_calloc(m, sizeof *packed.offset) : NULL };
    obi_status status = OBI_ERROR_MEMORY;
    if (!packed.words || !packed.scale || (export->config.offset && !packed.offset)) goto done;
    OBI_TRY_GOTO(download(model, &linear->levels, &levels));
    OBI_TRY_GOTO(download(model, &linear->steps, &steps));
    OBI_TRY_GOTO(obi_quantiser_pack(&model->quantiser, m, n, levels, steps, &packed));
    OBI_TRY_GOTO(obi_gguf_write(export->writer, packed.words, words * 4));
    OBI_TRY_GOTO(obi_gguf_write(export->writer, packed.scale, planes * m * 2));
    if (packed.offset) status = obi_gguf_write(export->writer, packed.offset, m * 2ull);
done:
    if (status != OBI_OK) obi_fail_prefix(status, "%s", model->params[linear->weight].name);
    obi_free(packed.words);
    obi_free(packed.scale);
    obi_free(packed.offset);
    obi_free(levels);
    obi_free(steps);
    return status;
}

static obi_status write_param(exporter *export, uint32_t index)
{
    const obi_train_model *model = export->model;
    const obi_config *config = &model->config;
    const obi_param *param = &model->params[index];
    int kind;
    const obi_train_linear *linear = linear_of(export, index, &kind);
    if (model->quantiser.bits > 0 && param->group == OBI_GROUP_WEIGHT) return write_planes(export, linear);
    bool signs = config->onebit && param->group == OBI_GROUP_WEIGHT;
    const obi_weight *weight = signs ? &linear->signs : &param->w;
    void *data, *moved = NULL;
    uint64_t row_bytes = (uint64_t)weight->row_words * 4;
    OBI_TRY(download(model, weight, &data));
    obi_status status;
    if (signs) {
        status = obi_gguf_write(export->writer, data, weight->rows * row_bytes);
    } else if (param->group == OBI_GROUP_SCALES) {
        const obi_weight *owner = &model->params[linear->weight].w;
        const float *g = data;
        OBI_TRY_GOTO(write_floats(export, param->name, g, owner->columns, true));
        status = write_floats(export, param->name, g + obi_scales_h_offset(owner->columns), owner->rows, true);
    } else if (linear && (kind == OBI_LINEAR_Q || kind == OBI_LINEAR_K) && export->config.rope_layout != config->rope_layout) {
        moved = obi_calloc(weight->rows, row_bytes);
        if (!moved) {
            status = OBI_ERROR_MEMORY;
            goto done;
        }
        obi_rope_permute_rows(config->rope_layout, export->config.rope_layout, weight->rows / config->head_size, config->head_size,
                              config->rope_dimensions, data, moved, row_bytes);
        status = write_floats(export, param->name, moved, weight->rows * (uint64_t)weight->columns, false);
    } else {
        status = write_floats(export, param->name, data, weight->rows * (uint64_t)weight->columns, half_precision(export, param));
    }
done:
    obi_free(moved);
    obi_free(data);
    return status;
}

obi_status obi_train_export(const obi_train_model *model, const obi_vocab *vocab, const char *name, const char *path)
{
    exporter export = { .model = model, .config = model->config };
    uint32_t factors = model->config.rope_dimensions / 2;
    obi_status status;
    if (model->quantiser.bits > 0) obi_quantiser_config(&model->quantiser, &export.config);
    if (!export.config.onebit && export.config.family == OBI_FAMILY_LLAMA)
        export.config.rope_layout = OBI_ROPE_PAIRS; /* what architecture "llama" means */
    OBI_TRY_GOTO(obi_gguf_writer_create(&export.writer, path));
    obi_config_to_gguf(&export.config, export.writer);
    obi_gguf_put_u32(export.writer, "general.file_type", export.config.onebit ? 1 : 0);
    obi_gguf_put_string(export.writer, "general.name", name);
    if (export.config.onebit) {
        double bits = model->quantiser.bits > 0 ? obi_quantiser_bits(&model->quantiser, &model->config)
                                                : obi_scales_bits(model->method, &model->config);
        obi_gguf_put_string(export.writer, "onebit.method", obi_method_name(model->method));
        obi_gguf_put_f32(export.writer, "onebit.linear_bits", (float)bits);
    }
    if (vocab && vocab->count > 0) obi_vocab_to_gguf(vocab, export.writer);
    if (model->rope_factors) declare(&export, "rope_freqs.weight", OBI_DTYPE_F32, factors, 1);
    for (uint32_t i = 0; i < model->param_count; i++) declare_param(&export, i);
    OBI_TRY_GOTO(obi_gguf_writer_begin(export.writer));
    if (model->rope_factors) OBI_TRY_GOTO(obi_gguf_write(export.writer, model->rope_factors, (uint64_t)factors * 4));
    for (uint32_t i = 0; i < model->param_count; i++) OBI_TRY_GOTO(write_param(&export, i));
    status = obi_gguf_writer_commit(export.writer, NULL);
    export.writer = NULL;
done:
    obi_gguf_writer_abandon(export.writer);
    return status;
}
