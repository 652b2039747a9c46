/* pass_views: the parts of a pass's buffers that its forward and backward bind. */
#ifndef OBI_QUANT_TRAIN_PASS_VIEWS_H
#define OBI_QUANT_TRAIN_PASS_VIEWS_H

#include "ops/op_attn_bwd.h"
#include "quant/train/pass.h"

/* What is kept of a layer, or of the layer that is being looked at. */
static inline obi_layer_acts *obi_pass_layer_acts(const obi_pass *pass, uint32_t layer)
{
    return &pass->layers[pass->keeping == OBI_PASS_KEEP ? layer : 0];
}

/* q, k and v inside a layer's qkv or inside dqkv. */
static inline obi_attn_parts obi_train_qkv(const obi_pass *pass, const obi_buffer *buffer)
{
    const obi_config *config = &pass->model->config;
    return obi_attn_parts_of(obi_view_of(buffer), pass->N, config->heads, config->kv_heads, config->head_size);
}

/* A parameter of one row, and its gradient. */
static inline obi_view obi_train_vector(const obi_train_model *model, uint32_t param)
{
    return obi_view_of(model->params[param].w.blocks[0]);
}
static inline obi_view obi_train_vector_gradient(const obi_train_model *model, uint32_t param)
{
    return obi_view_of(model->params[param].gradient.blocks[0]);
}

/* The matrix that an ordinary layer multiplies with: its weights, or their levels. */
static inline const obi_weight *obi_train_dense(const obi_train_model *model, const obi_train_linear *linear)
{
    return model->quantiser.bits > 0 ? &linear->levels : &model->params[linear->weight].w;
}

/* g (n) or h (m) inside a linear's scales, or inside their gradient. */
static inline obi_view obi_train_scale(const obi_train_model *model, const obi_train_linear *linear, obi_view scales, bool h)
{
    const obi_weight *weight = &model->params[linear->weight].w;
    uint64_t offset = h ? obi_scales_h_offset(weight->columns) : 0;
    obi_view view = { scales.buffer, scales.offset + offset * 4, (h ? (uint64_t)weight->rows : weight->columns) * 4 };
    return view;
}

static inline obi_view obi_train_g(const obi_train_model *model, const obi_train_linear *linear)
{
    return obi_train_scale(model, linear, obi_train_vector(model, linear->scales), false);
}

static inline obi_view obi_train_h(const obi_train_model *model, const obi_train_linear *linear)
{
    return obi_train_scale(model, linear, obi_train_vector(model, linear->scales), true);
}

#endif
