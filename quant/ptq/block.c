#include "quant/ptq/block.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/alloc.h"
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
    model->params = obi_calloc(2 + OBI_LINEAR_COUNT, sizeof *model->params);
    model->layers = obi_calloc(1, sizeof *model->layers);
    if (!model->params || !model->layers) return OBI_ERROR_MEMORY;
    if (source->rope_factors) {
        size_t count = source->config.rope_dimensions / 2;
        model->rope_factors = obi_calloc(count, sizeof *model->rope_factors);
        if (!model->rope_factors) return OBI_ERROR_MEMORY;
        memcpy(model->rope_factors, source->rope_factors, count * sizeof *model->rope_factors);
    }
    obi_train_layer *layer = &model->layers[0];
    OBI_TRY(add_param(model, OBI_GROUP_NORM, 1, source->config.width, false, &layer->attn_norm));
    OBI_TRY(add_param(model, OBI_GROUP_NORM, 1, source->config.width, false, &layer->ffn_norm));
    for (int kind = 0; kind < OBI_LINEAR_COUNT; kind++) {
        uint32_t rows, columns;
        obi_config_linear_shape(&source->config, kind, &rows, &columns);
        OBI_TRY(add_param(model, OBI_GROUP_WEIGHT, rows, columns, trained, &layer->linear[kind].weight));
        block->weights[kind] = obi_calloc((size_t)rows * columns, sizeof(float));
        if (!block->weights[kind]) return OBI_ERROR_MEMORY;
    }
    return OBI_OK;
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

static obi_status find(const obi_block *block, uint32_t layer, const char *role, const obi_source_tensor **tensor)
{
    char name[64];
    snprintf(name, sizeof name, "blk.%u.%s.weight", layer, role);
    *tensor = obi_source_find(block->source, name);
    return *tensor ? OBI_OK : obi_fail(OBI_ERROR_DATA, "the tensor %s is missing", name);
}

static obi_status load_norm(obi_block *block, uint32_t layer, const char *role, uint32_t param)
{
    const obi_source_tensor *tensor;
    OBI_TRY(find(block, layer, role, &tensor));
    float *values = obi_calloc((size_t)tensor->columns, sizeof *values);
    if (!values) return OBI_ERROR_MEMORY;
    obi_status status = obi_source_read(tensor, 0, 1, values);
    if (status == OBI_OK) status = upload(block, &block->model->params[param].w, values);
    obi_free(values);
    return status;
}

obi_status obi_block_load(obi_block *block, uint32_t layer)
{
    OBI_TRY(load_norm(block, layer, "attn_norm", block->model->layers[0].attn_norm));
    OBI_TRY(load_norm(block, layer, "ffn_norm", block->model->layers[0].ffn_norm));
    for (int kind = 0; kind < OBI_LINEAR_COUNT; kind++) {
        const obi_source_tensor *tensor;
        OBI_TRY(find(block, layer, obi_linear_roles[kind], &tensor));
        OBI_TRY(obi_source_read(tensor, 0, tensor->rows, block->weights[kind]));
        for (uint64_t i = 0; i < tensor->rows * tensor->columns; i++)
            if (!isfinite(block->weights[kind][i]))
                return obi_fail(OBI_ERROR_DATA, "the tensor %s holds %g: the model is damaged", tensor->name, (double)block->weights[kind][i]);
        obi_source_release(tensor);
        OBI_TRY(obi_block_set(block, kind, block->weights[kind]));
    }
    return OBI_OK;
}

/* ---- running --------------------------------------------------------------------------------------------------- */

obi_view obi_block_inputs(const obi_block *block, int kind)
{
    const obi_layer_acts *acts = obi_pass_layer_acts(block->pass, 0);
    const obi_buffer *of[OBI_LINEAR_COUNT] = {
        [OBI_LINEAR_Q] = acts->normed,        [OBI_LINEAR_K] = acts->normed,      [OBI_LINEAR_V] = acts->normed,
        [OBI_LINEAR_O] = acts->attended,      [OBI_LINEAR_GATE] = acts->normed_ffn, [OBI_LINEAR_UP] = acts->normed_ffn,
        [OBI_LINEAR_DOWN] = acts->act,
    };
    return obi_view_rows(of[kind], 0, block->T, obi_block_weight(block, kind)->columns);
}

obi_status obi_block_embed(const obi_block *block, const uint32_t *ids, float *x)
{
    const obi_source_tensor *table = obi_source_find(block->source, "token_embd.weight");
    if (!table) return obi_fail(OBI_ERROR_DATA, "the tensor token_embd.weight is missing");
    for (uint32_t t = 0; t < block->T; t++) OBI_TRY(obi_source_read(table, ids[t], 1, x + (uint64_t)t * table->columns));
    return OBI_OK;
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
