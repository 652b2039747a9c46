#include "quant/train/backward_opt.h"

#include "ops/op_act.h"
#include "ops/op_act_bwd.h"
#include "ops/op_attn_bwd.h"
#include "ops/op_bitlinear_bwd.h"
#include "ops/op_dense_bwd.h"
#include "ops/op_embed_bwd.h"
#include "ops/op_norm.h"
#include "ops/op_norm_bwd.h"
#include "quant/train/linear.h"
#include "quant/train/pass_views.h"

/* db += the sum over the tokens of dz (N,m): a column dot with ones, where the parameter is trained. */
static void bias_backward(obi_pass *pass, obi_cmd *cmd, uint32_t bias, obi_view dz, uint32_t m)
{
    const obi_param *param = &pass->model->params[bias];
    if (!param->trained) return;
    obi_op_column_dot(cmd, obi_train_vector_gradient(pass->model, bias), obi_view_of(pass->folds), dz,
                      obi_view_rows(pass->ones, 0, pass->N, m), pass->N, m);
}

/* Of a projection with its bias; dz is behind the bias. */
static void project_backward(obi_pass *pass, obi_cmd *cmd, obi_view dx, obi_view dz, obi_view x, uint32_t layer, int kind, bool accumulate)
{
    const obi_train_linear *linear = &pass->model->layers[layer].linear[kind];
    bias_backward(pass, cmd, linear->bias, dz, pass->model->params[linear->weight].w.rows);
    obi_train_linear_backward(pass, cmd, dx, dz, x, linear, obi_pass_layer_acts(pass, layer)->sums[kind], accumulate);
}

/* dx (N,D) = or += through y = z w + b, z the LayerNorm of x without affine, from dy. dx may be dy. wide[0..1] are overwritten. */
static void norm_backward(obi_pass *pass, obi_cmd *cmd, obi_view dx, obi_view dy, obi_view x, uint32_t weight, uint32_t bias,
                          bool accumulate)
{
    const obi_train_model *model = pass->model;
    uint32_t N = pass->N, D = model->config.width;
    obi_view z = obi_view_rows(pass->wide[0], 0, N, D), dz = obi_view_rows(pass->wide[1], 0, N, D);
    if (model->params[weight].trained) {
        obi_op_layernorm_fwd(cmd, z, x, N, D, model->config.norm_eps);
        obi_op_column_dot(cmd, obi_train_vector_gradient(model, weight), obi_view_of(pass->folds), dy, z, N, D);
    }
    bias_backward(pass, cmd, bias, dy, D);
    obi_op_scale_columns(cmd, dz, dy, obi_train_vector(model, weight), N, D, false);
    obi_op_layernorm_bwd(cmd, accumulate ? dz : dx, dz, x, N, D, model->config.norm_eps);
    if (accumulate) obi_op_add_fwd(cmd, dx, dx, dz, (uint64_t)N * D);
}

static void attention_backward(obi_pass *pass, obi_cmd *cmd, uint32_t index, obi_view dattended)
{
    const obi_config *config = &pass->model->config;
    obi_layer_acts *acts = obi_pass_layer_acts(pass, index);
    obi_op_attn_bwd(cmd, obi_view_of(pass->dqkv), obi_view_of(pass->stats), obi_view_of(acts->qkv), obi_view_of(acts->attended), dattended,
                    pass->sequences, pass->T, config->heads, config->kv_heads, config->head_size);
}

/* dx is that of the layer's output, then of its input. Where norms lead, each half adds to it what passes beside the sum; where
 * they come last, dx itself passes through the norm first, and the half adds to that. */
void obi_pass_layer_backward_opt(obi_pass *pass, obi_cmd *cmd, uint32_t index)
{
    const obi_train_model *model = pass->model;
    const obi_config *config = &model->config;
    const obi_train_layer *layer = &model->layers[index];
    obi_layer_acts *acts = obi_pass_layer_acts(pass, index);
    bool last = config->norm_last;
    obi_view dx = obi_view_of(pass->dx), din = last ? dx : obi_view_of(pass->dnormed), x = obi_view_of(pass->x[index]);
    obi_view act = obi_view_of(acts->act), attended = obi_view_of(acts->attended), middle = obi_view_of(acts->middle);
    obi_view normed = obi_view_of(acts->normed), normed_ffn = obi_view_of(acts->normed_ffn);
    obi_attn_parts dqkv = obi_train_qkv(pass, pass->dqkv);

    if (last) norm_backward(pass, cmd, dx, dx, normed_ffn, layer->ffn_norm, layer->ffn_norm_bias, false);
    obi_view dact = obi_view_rows(pass->wide[3], 0, pass->N, config->ffn);
    project_backward(pass, cmd, dact, dx, act, index, OBI_LINEAR_DOWN, false);
    obi_op_relu_bwd(cmd, dact, dact, act, (uint64_t)pass->N * config->ffn); /* act > 0 where what it was made of is */
    project_backward(pass, cmd, din, dact, last ? middle : normed_ffn, index, OBI_LINEAR_UP, last);
    if (!last) norm_backward(pass, cmd, dx, din, middle, layer->ffn_norm, layer->ffn_norm_bias, true);

    if (last) norm_backward(pass, cmd, dx, dx, normed, layer->attn_norm, layer->attn_norm_bias, false);
    obi_view dattended = obi_view_rows(pass->wide[3], 0, pass->N, config->width);
    project_backward(pass, cmd, dattended, dx, attended, index, OBI_LINEAR_O, false);
    attention_backward(pass, cmd, index, dattended);
    obi_view in = last ? x : normed;
    project_backward(pass, cmd, din, dqkv.q, in, index, OBI_LINEAR_Q, last);
    project_backward(pass, cmd, din, dqkv.k, in, index, OBI_LINEAR_K, true);
    project_backward(pass, cmd, din, dqkv.v, in, index, OBI_LINEAR_V, true);
    if (!last) norm_backward(pass, cmd, dx, din, x, layer->attn_norm, layer->attn_norm_bias, true);
}

void obi_pass_backward_opt(obi_pass *pass, obi_cmd *cmd, void (*hidden)(void *user, obi_cmd *cmd, uint32_t layer), void *user)
{
    const obi_train_model *model = pass->model;
    const obi_config *config = &model->config;
    obi_view dx = obi_view_of(pass->dx), dnormed = obi_view_rows(pass->wide[3], 0, pass->N, obi_config_embedding_width(config));
    obi_cmd_fill(cmd, obi_view_of(pass->ones), 0x3f800000u); /* 1.0f */
    if (config->embedding_width) {
        const obi_param *out = &model->params[model->project_out];
        if (out->trained) obi_op_dense_bwd_w(cmd, &out->gradient, dnormed, obi_view_of(pass->normed_last), pass->N);
        obi_op_dense_bwd_x(cmd, obi_view_of(pass->dnormed), dnormed, &out->w, pass->N, false);
        dnormed = obi_view_of(pass->dnormed);
    }
    if (config->norm_last) obi_cmd_copy(cmd, dx, dnormed);
    else norm_backward(pass, cmd, dx, dnormed, obi_view_of(pass->x[config->layers]), model->output_norm, model->output_norm_bias, false);
    for (uint32_t i = config->layers; i-- > 0;) {
        if (hidden) hidden(user, cmd, i);
        if (pass->keeping == OBI_PASS_RECOMPUTE && i + 1 < config->layers) obi_pass_recompute(pass, cmd, i); /* the last one's are there */
        obi_pass_layer_backward_opt(pass, cmd, i);
    }
}

obi_view obi_pass_embedding_backward_opt(obi_pass *pass, obi_cmd *cmd)
{
    const obi_train_model *model = pass->model;
    const obi_config *config = &model->config;
    const obi_param *positions = &model->params[model->positions];
    obi_view dx = obi_view_of(pass->dx);
    if (positions->trained) obi_op_embed_scatter_add(cmd, &positions->gradient, dx, obi_view_of(pass->position_plan), pass->N, pass->T);
    if (config->embedding_width == 0) return dx;
    const obi_param *in = &model->params[model->project_in];
    obi_view dembedded = obi_view_rows(pass->wide[0], 0, pass->N, config->embedding_width);
    if (in->trained) obi_op_dense_bwd_w(cmd, &in->gradient, dx, obi_view_of(pass->embedded), pass->N);
    obi_op_dense_bwd_x(cmd, dembedded, dx, &in->w, pass->N, false);
    return dembedded;
}
