#include "quant/train/forward_opt.h"

#include "ops/op_act.h"
#include "ops/op_attn.h"
#include "ops/op_dense.h"
#include "ops/op_embed.h"
#include "ops/op_norm.h"
#include "quant/train/linear.h"
#include "quant/train/pass_views.h"

/* z (N,m) = the projection of x with its bias, and ReLU where `then` says so. */
static void project(obi_pass *pass, obi_cmd *cmd, obi_view z, obi_view x, uint32_t layer, int kind, obi_bias_then then)
{
    const obi_train_model *model = pass->model;
    const obi_train_linear *linear = &model->layers[layer].linear[kind];
    obi_train_linear_forward(pass, cmd, z, x, linear, obi_pass_layer_acts(pass, layer)->sums[kind]);
    obi_op_bias_fwd(cmd, z, z, obi_train_vector(model, linear->bias), pass->N, model->params[linear->weight].w.rows, then);
}

static void normalise(const obi_pass *pass, obi_cmd *cmd, obi_view y, obi_view x, uint32_t weight, uint32_t bias)
{
    const obi_train_model *model = pass->model;
    obi_op_layernorm_affine_fwd(cmd, y, x, obi_train_vector(model, weight), obi_train_vector(model, bias), pass->N, model->config.width,
                                model->config.norm_eps);
}

/* A layer up to what its last projection takes. */
static void layer_inside(obi_pass *pass, obi_cmd *cmd, uint32_t index)
{
    const obi_train_model *model = pass->model;
    const obi_config *config = &model->config;
    const obi_train_layer *layer = &model->layers[index];
    obi_layer_acts *acts = obi_pass_layer_acts(pass, index);
    obi_attn_parts qkv = obi_train_qkv(pass, acts->qkv);
    obi_view x = obi_view_of(pass->x[index]), attended = obi_view_of(acts->attended), middle = obi_view_of(acts->middle);
    obi_view in = config->norm_last ? x : obi_view_of(acts->normed), sum = config->norm_last ? obi_view_of(acts->normed) : middle;
    obi_view in_ffn = config->norm_last ? middle : obi_view_of(acts->normed_ffn);

    if (!config->norm_last) normalise(pass, cmd, in, x, layer->attn_norm, layer->attn_norm_bias);
    project(pass, cmd, qkv.q, in, index, OBI_LINEAR_Q, OBI_BIAS_ALONE);
    project(pass, cmd, qkv.k, in, index, OBI_LINEAR_K, OBI_BIAS_ALONE);
    project(pass, cmd, qkv.v, in, index, OBI_LINEAR_V, OBI_BIAS_ALONE);
    obi_op_attn_train_fwd(cmd, attended, qkv.q, qkv.k, qkv.v, pass->sequences, pass->T, config->heads, config->kv_heads, config->head_size);
    project(pass, cmd, sum, attended, index, OBI_LINEAR_O, OBI_BIAS_ALONE);
    obi_op_add_fwd(cmd, sum, sum, x, (uint64_t)pass->N * config->width);
    if (config->norm_last) normalise(pass, cmd, middle, sum, layer->attn_norm, layer->attn_norm_bias);
    else normalise(pass, cmd, in_ffn, middle, layer->ffn_norm, layer->ffn_norm_bias);
    project(pass, cmd, obi_view_of(acts->act), in_ffn, index, OBI_LINEAR_UP, OBI_BIAS_RELU);
}

/* What comes behind, into x[index + 1]. */
void obi_pass_layer_forward_opt(obi_pass *pass, obi_cmd *cmd, uint32_t index)
{
    const obi_train_model *model = pass->model;
    const obi_train_layer *layer = &model->layers[index];
    obi_layer_acts *acts = obi_pass_layer_acts(pass, index);
    obi_view y = obi_view_of(pass->x[index + 1]), sum = model->config.norm_last ? obi_view_of(acts->normed_ffn) : y;
    layer_inside(pass, cmd, index);
    project(pass, cmd, sum, obi_view_of(acts->act), index, OBI_LINEAR_DOWN, OBI_BIAS_ALONE);
    obi_op_add_fwd(cmd, sum, sum, obi_view_of(acts->middle), (uint64_t)pass->N * model->config.width);
    if (model->config.norm_last) normalise(pass, cmd, y, sum, layer->ffn_norm, layer->ffn_norm_bias);
}

/* The same into the same bits, so that x[layer + 1] may be written once more where a norm comes last and its input is needed. */
void obi_pass_recompute_opt(obi_pass *pass, obi_cmd *cmd, uint32_t layer)
{
    const obi_train_model *model = pass->model;
    obi_layer_acts *acts = obi_pass_layer_acts(pass, layer);
    if (model->config.norm_last) {
        obi_pass_layer_forward_opt(pass, cmd, layer);
        return;
    }
    layer_inside(pass, cmd, layer);
    if (!model->config.onebit) return;
    obi_train_linear_sums(pass, cmd, obi_view_rows(acts->sums[OBI_LINEAR_DOWN], 0, pass->N, model->config.width), obi_view_of(acts->act),
                          &model->layers[layer].linear[OBI_LINEAR_DOWN]);
}

static void embed(obi_pass *pass, obi_cmd *cmd)
{
    const obi_train_model *model = pass->model;
    const obi_config *config = &model->config;
    const obi_weight *table = &model->params[model->embedding].w;
    obi_view x = obi_view_of(pass->x[0]), at = obi_view_rows(pass->wide[0], 0, pass->N, config->width), ids = obi_view_of(pass->ids);
    if (config->embedding_width) {
        obi_op_embed_gather_fwd(cmd, obi_view_of(pass->embedded), ids, table, pass->N);
        obi_op_dense_fwd(cmd, x, obi_view_of(pass->embedded), &model->params[model->project_in].w, pass->N);
    } else {
        obi_op_embed_gather_fwd(cmd, x, ids, table, pass->N);
    }
    obi_op_embed_gather_fwd(cmd, at, obi_view_of(pass->position_rows), &model->params[model->positions].w, pass->N);
    obi_op_add_fwd(cmd, x, x, at, (uint64_t)pass->N * config->width);
}

void obi_pass_forward_opt(obi_pass *pass, obi_cmd *cmd)
{
    const obi_train_model *model = pass->model;
    const obi_config *config = &model->config;
    embed(pass, cmd);
    for (uint32_t i = 0; i < config->layers; i++) obi_pass_layer_forward_opt(pass, cmd, i);
    obi_view last = obi_view_of(pass->x[config->layers]), final = obi_view_of(pass->final);
    obi_view normed = config->embedding_width ? obi_view_of(pass->normed_last) : final;
    if (config->norm_last) obi_cmd_copy(cmd, normed, last);
    else normalise(pass, cmd, normed, last, model->output_norm, model->output_norm_bias);
    if (config->embedding_width) obi_op_dense_fwd(cmd, final, normed, &model->params[model->project_out].w, pass->N);
}
