#include "quant/ptq/block.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/alloc.h"
#include "ops/op_dense.h"
#include "quant/train/pass_views.h"

/* ---- the layer as a model -------------------------------------------------------------------------------------- */

static obi_status add_param(obi_train_model *model, obi_group group, uint32_t rows, uint32_t columns, bool trained, uint32_t *index)
{
    obi_param *param = &model->params[model->param_count];
    param->group = group;
    param->trained = trained;
    *index = model->param_count++;
    OBI_TRY(obi_weight_create(model->device, OBI_WEIGHT_F32, rows, columns, 0, &param->w));
    return trained ? obi_weight_create(model->device, OBI_WEIGHT_F32, rows, columns, 0, &param->gradient) : OBI_OK;
}

static obi_status make_model(obi_block *block, bool trained)
{
    const obi_source *source = block->source;
    obi_train_model *model = block->model = obi_calloc(1, sizeof *model);
    if (!model) return OBI_ERROR_MEMORY;
    model->device = block->device;
    model->config = source->config;
    model->config.layers = 1;
    model->config.embedding_width = 0; /* the layer knows D only */
    model->params = obi_calloc(OBI_TRAIN_PARAMS_MAX(1), sizeof *model->params);
    model->layers = obi_calloc(1, sizeof *model->layers);
    if (!model->params || !model->layers) return OBI_ERROR_MEMORY;
    if (source->rope_factors) {
        size_t count = source->config.rope_dimensions / 2;
        model->rope_factors = obi_calloc(count, sizeof *model->rope_factors);
        if (!model->rope_factors) return OBI_ERROR_MEMORY;
        memcpy(model->rope_factors, source->rope_factors, count * sizeof *model->rope_factors);
    }
    obi_train_layer *layer = &model->layers[0];
    uint32_t D = source->config.width;
    bool biases = source->config.family == OBI_FAMILY_OPT;
    OBI_TRY(add_param(model, OBI_GROUP_NORM, 1, D, false, &layer->attn_norm));
    OBI_TRY(add_param(model, OBI_GROUP_NORM, 1, D, false, &layer->ffn_norm));
    if (biases) OBI_TRY(add_param(model, OBI_GROUP_NORM, 1, D, false, &layer->attn_norm_bias));
    if (biases) OBI_TRY(add_param(model, OBI_GROUP_NORM, 1, D, false, &layer->ffn_norm_bias));
    for (int kind = 0; kind < OBI_LINEAR_COUNT; kind++) {
        uint32_t rows, columns;
        if (!obi_block_has(block, kind)) continue;
        obi_config_linear_shape(&source->config, kind, &rows, &columns);
        if (biases) OBI_TRY(add_param(model, OBI_GROUP_BIAS, 1, rows, false, &layer->linear[kind].bias));
        OBI_TRY(add_param(model, OBI_GROUP_WEIGHT, rows, columns, trained, &layer->linear[kind].weight));
        block->weights[kind] = obi_calloc((size_t)rows * columns, sizeof(float));
        if (!block->weights[kind]) return OBI_ERROR_MEMORY;
    }
    return OBI_OK;
}

/* OPT's projection from an embedding of another width; nothing where there is none. */
static obi_status load_project_in(obi_block *block)
{
    const obi_config *config = &block->source->config;
    if (config->embedding_width == 0) return OBI_OK;
    const obi_source_tensor *tensor = obi_source_find(block->source, "project_in.weight");
    if (!tensor) return obi_fail(OBI_ERROR_DATA, "the tensor project_in.weight is missing");
    uint64_t count = (uint64_t)config->width * config->embedding_width;
    OBI_TRY(obi_weight_create(block->device, OBI_WEIGHT_F32, config->width, config->embedding_width, 0, &block->project_in));
    OBI_TRY(obi_buffer_create(block->device, (uint64_t)block->T * config->embedding_width * 4, OBI_MEMORY_DEVICE, &block->embedded));
    float *values = obi_calloc(count, sizeof *values);
    if (!values) return OBI_ERROR_MEMORY;
    obi_status status = obi_source_read(tensor, 0, tensor->rows, values);
    if (status == OBI_OK) status = obi_weight_upload(block->upload, &block->project_in, 0, config->width, values);
    if (status == OBI_OK) status = obi_upload_finish(block->upload);
    obi_free(values);
    return status;
}

obi_status obi_block_create(obi_device *device, const obi_source *source, uint32_t T, bool trained, obi_block **out)
{
    *out = NULL;
    obi_block *block = obi_calloc(1, sizeof *block);
    if (!block) return OBI_ERROR_MEMORY;
    block->device = device;
    block->source = source;
    block->T = T;
    obi_status status;
    OBI_TRY_GOTO(obi_upload_create(device, &block->upload));
    OBI_TRY_GOTO(obi_cmd_create(device, &block->cmd));
    OBI_TRY_GOTO(make_model(block, trained));
    OBI_TRY_GOTO(load_project_in(block));
    status = obi_pass_create(block->model, 1, T, trained ? OBI_PASS_KEEP : OBI_PASS_FORWARD, &block->pass);
done:
    if (status != OBI_OK) obi_block_destroy(block);
    else *out = block;
    return status;
}

void obi_block_destroy(obi_block *block)
{
    if (!block) return;
    obi_cmd_destroy(block->cmd);
    obi_pass_destroy(block->pass);
    obi_train_model_free(block->model);
    obi_weight_destroy(block->device, &block->project_in);
    obi_buffer_destroy(block->device, block->embedded);
    obi_upload_destroy(block->upload);
    for (int kind = 0; kind < OBI_LINEAR_COUNT; kind++) obi_free(block->weights[kind]);
    obi_free(block);
}

/* ---- weights --------------------------------------------------------------------------------------------------- */

static const obi_param *linear_of(const obi_block *block, int kind)
{
    return &block->model->params[block->model->layers[0].linear[kind].weight];
}

const obi_weight *obi_block_weight(const obi_block *block, int kind) { return &linear_of(block, kind)->w; }
const obi_weight *obi_block_gradient(const obi_block *block, int kind) { return &linear_of(block, kind)->gradient; }

static obi_status upload(obi_block *block, const obi_weight *weight, const float *values)
{
    OBI_TRY(obi_weight_upload(block->upload, weight, 0, weight->rows, values));
    return obi_upload_finish(block->upload);
}

obi_status obi_block_set(obi_block *block, int kind, const float *w) { return upload(block, obi_block_weight(block, kind), w); }

static obi_status find(const obi_block *block, uint32_t layer, const char *role, const char *what, const obi_source_tensor **tensor)
{
    char name[64];
    snprintf(name, sizeof name, "blk.%u.%s.%s", layer, role, what);
    *tensor = obi_source_find(block->source, name);
    return *tensor ? OBI_OK : obi_fail(OBI_ERROR_DATA, "the tensor %s is missing", name);
}

static obi_status load_vector(obi_block *block, uint32_t layer, const char *role, const char *what, uint32_t param)
{
    const obi_source_tensor *tensor;
    OBI_TRY(find(block, layer, role, what, &tensor));
    float *values = obi_calloc((size_t)tensor->columns, sizeof *values);
    if (!values) return OBI_ERROR_MEMORY;
    obi_status status = obi_source_read(tensor, 0, 1, values);
    if (status == OBI_OK) status = upload(block, &block->model->params[param].w, values);
    obi_free(values);
    return status;
}

static obi_status load_linear(obi_block *block, uint32_t layer, int kind)
{
    const obi_source_tensor *tensor;
    float *w = block->weights[kind];
    OBI_TRY(find(block, layer, obi_linear_roles[kind], "weight", &tensor));
    OBI_TRY(obi_source_read(tensor, 0, tensor->rows, w));
    for (uint64_t i = 0; i < tensor->rows * tensor->columns; i++)
        if (!isfinite(w[i])) return obi_fail(OBI_ERROR_DATA, "the tensor %s holds %g: the model is damaged", tensor->name, (double)w[i]);
    obi_source_release(tensor);
    return obi_block_set(block, kind, w);
}

obi_status obi_block_load(obi_block *block, uint32_t layer)
{
    const obi_train_layer *params = &block->model->layers[0];
    bool biases = block->source->config.family == OBI_FAMILY_OPT;
    OBI_TRY(load_vector(block, layer, "attn_norm", "weight", params->attn_norm));
    OBI_TRY(load_vector(block, layer, "ffn_norm", "weight", params->ffn_norm));
    if (biases) OBI_TRY(load_vector(block, layer, "attn_norm", "bias", params->attn_norm_bias));
    if (biases) OBI_TRY(load_vector(block, layer, "ffn_norm", "bias", params->ffn_norm_bias));
    for (int kind = 0; kind < OBI_LINEAR_COUNT; kind++) {
        if (!obi_block_has(block, kind)) continue;
        if (biases) OBI_TRY(load_vector(block, layer, obi_linear_roles[kind], "bias", params->linear[kind].bias));
        OBI_TRY(load_linear(block, layer, kind));
    }
    return OBI_OK;
}

/* ---- running --------------------------------------------------------------------------------------------------- */

obi_view obi_block_inputs(const obi_block *block, int kind)
{
    const obi_layer_acts *acts = obi_pass_layer_acts(block->pass, 0);
    bool last = block->model->config.norm_last; /* then the acts called normed are what norms read */
    const obi_buffer *attention = last ? block->pass->x[0] : acts->normed, *ffn = last ? acts->middle : acts->normed_ffn;
    const obi_buffer *of[OBI_LINEAR_COUNT] = {
        [OBI_LINEAR_Q] = attention, [OBI_LINEAR_K] = attention, [OBI_LINEAR_V] = attention,    [OBI_LINEAR_O] = acts->attended,
        [OBI_LINEAR_GATE] = ffn,    [OBI_LINEAR_UP] = ffn,      [OBI_LINEAR_DOWN] = acts->act,
    };
    return obi_view_rows(of[kind], 0, block->T, obi_block_weight(block, kind)->columns);
}

/* From the embedding's width to D, on the device. */
static obi_status project_in(obi_block *block, const float *rows, float *x)
{
    uint32_t T = block->T, D = block->project_in.rows, E = block->project_in.columns;
    obi_view from = obi_view_rows(block->embedded, 0, T, E), to = obi_view_rows(block->pass->x[0], 0, T, D);
    OBI_TRY(obi_upload_bytes(block->upload, from, rows, from.size));
    obi_cmd_begin(block->cmd);
    obi_op_dense_fwd(block->cmd, to, from, &block->project_in, T);
    OBI_TRY(obi_cmd_run(block->cmd));
    return obi_download_bytes(block->device, to, x, to.size);
}

static obi_status add_positions(const obi_block *block, float *x)
{
    const obi_source_tensor *table = obi_source_find(block->source, "position_embd.weight");
    if (!table) return obi_fail(OBI_ERROR_DATA, "the tensor position_embd.weight is missing");
    float *row = obi_calloc((size_t)table->columns, sizeof *row);
    obi_status status = row ? OBI_OK : OBI_ERROR_MEMORY;
    for (uint32_t t = 0; t < block->T && status == OBI_OK; t++) {
        status = obi_source_read(table, (uint64_t)t + OBI_POSITION_OFFSET, 1, row);
        for (uint64_t i = 0; i < table->columns; i++) x[t * table->columns + i] += row[i];
    }
    obi_free(row);
    return status;
}

obi_status obi_block_embed(obi_block *block, const uint32_t *ids, float *x)
{
    const obi_source_tensor *table = obi_source_find(block->source, "token_embd.weight");
    if (!table) return obi_fail(OBI_ERROR_DATA, "the tensor token_embd.weight is missing");
    bool projected = block->project_in.block_count > 0;
    float *rows = projected ? obi_calloc((size_t)block->T * table->columns, sizeof *rows) : x;
    obi_status status = rows ? OBI_OK : OBI_ERROR_MEMORY;
    for (uint32_t t = 0; t < block->T && status == OBI_OK; t++)
        status = obi_source_read(table, ids[t], 1, rows + (uint64_t)t * table->columns);
    if (status == OBI_OK && projected) status = project_in(block, rows, x);
    if (projected) obi_free(rows);
    if (status == OBI_OK && block->source->config.family == OBI_FAMILY_OPT) status = add_positions(block, x);
    return status;
}

obi_status obi_block_forward(obi_block *block, const float *x, float *y, void (*observe)(void *user, obi_cmd *cmd), void *user)
{
    obi_pass *pass = block->pass;
    uint64_t bytes = (uint64_t)block->T * block->model->config.width * 4;
    obi_view from = { pass->x[0], 0, bytes }, to = { pass->x[1], 0, bytes };
    OBI_TRY(obi_upload_bytes(block->upload, from, x, bytes));
    obi_cmd_begin(block->cmd);
    obi_pass_layer_forward(pass, block->cmd, 0);
    if (observe) observe(user, block->cmd);
    OBI_TRY(obi_cmd_run(block->cmd));
    return y ? obi_download_bytes(block->device, to, y, bytes) : OBI_OK;
}
