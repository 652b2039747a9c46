#include "ops/op_act_bwd.h"
#include "ops/op_attn.h"
#include "ops/op_attn_bwd.h"
#include "ops/op_dense_bwd.h"
#include "ops/op_norm_bwd.h"
#include "quant/train/backward_opt.h"
#include "quant/train/linear.h"
#include "quant/train/pass_views.h"

/* dx (N,D) += through an RMSNorm of x with parameter `norm`, from dnormed. */
static void norm_backward(obi_pass *pass, obi_cmd *cmd, obi_view dx, obi_view dnormed, obi_view x, uint32_t norm, bool accumulate)
{
    const obi_train_model *model = pass->model;
    const obi_config *config = &model->config;
    if (model->params[norm].trained)
        obi_op_rmsnorm_bwd_w(cmd, obi_train_vector_gradient(model, norm), obi_view_of(pass->folds), dnormed, x, pass->N, config->width,
                             config->norm_eps);
    obi_op_rmsnorm_bwd(cmd, dx, dnormed, x, obi_train_vector(model, norm), pass->N, config->width, config->norm_eps, accumulate);
}

static void layer_backward(obi_pass *pass, obi_cmd *cmd, uint32_t index)
{
    const obi_train_model *model = pass->model;
    const obi_config *config = &model->config;
    const obi_train_layer *layer = &model->layers[index];
    const obi_train_linear *linear = layer->linear;
    obi_layer_acts *acts = obi_pass_layer_acts(pass, index);
    uint32_t N = pass->N, F = config->ffn, H = config->heads, K = config->kv_heads, C = config->head_size;
    obi_view dx = obi_view_of(pass->dx), dnormed = obi_view_of(pass->dnormed), table = obi_view_of(pass->rope_table);
    obi_view gate = obi_view_of(acts->gate), up = obi_view_of(acts->up), act = obi_view_of(acts->act);
    obi_view normed = obi_view_of(acts->normed), normed_ffn = obi_view_of(acts->normed_ffn), attended = obi_view_of(acts->attended);
    obi_attn_parts dqkv = obi_train_qkv(pass, pass->dqkv);

    /* y = middle + down(swiglu(gate, up)) */
    obi_view dact = obi_view_rows(pass->wide[3], 0, N, F);
    obi_train_linear_backward(pass, cmd, dact, dx, act, &linear[OBI_LINEAR_DOWN], acts->sums[OBI_LINEAR_DOWN], false);
    obi_op_swiglu_bwd(cmd, gate, up, dact, (uint64_t)N * F); /* gate and up now hold their gradients */
    obi_train_linear_backward(pass, cmd, dnormed, gate, normed_ffn, &linear[OBI_LINEAR_GATE], acts->sums[OBI_LINEAR_GATE], false);
    obi_train_linear_backward(pass, cmd, dnormed, up, normed_ffn, &linear[OBI_LINEAR_UP], acts->sums[OBI_LINEAR_UP], true);
    norm_backward(pass, cmd, dx, dnormed, obi_view_of(acts->middle), layer->ffn_norm, true);

    /* middle = x + o(attention(q, k, v)) */
    obi_view dattended = obi_view_rows(pass->wide[3], 0, N, (uint64_t)H * C);
    obi_train_linear_backward(pass, cmd, dattended, dx, attended, &linear[OBI_LINEAR_O], acts->sums[OBI_LINEAR_O], false);
    obi_op_attn_bwd(cmd, obi_view_of(pass->dqkv), obi_view_of(pass->stats), obi_view_of(acts->qkv), attended, dattended, pass->sequences,
                    pass->T, H, K, C);
    obi_op_rope_bwd(cmd, dqkv.q, table, N, H, C, config->rope_dimensions, 0, config->rope_layout);
    obi_op_rope_bwd(cmd, dqkv.k, table, N, K, C, config->rope_dimensions, 0, config->rope_layout);
    obi_train_linear_backward(pass, cmd, dnormed, dqkv.q, normed, &linear[OBI_LINEAR_Q], acts->sums[OBI_LINEAR_Q], false);
    obi_train_linear_backward(pass, cmd, dnormed, dqkv.k, normed, &linear[OBI_LINEAR_K], acts->sums[OBI_LINEAR_K], true);
    obi_train_linear_backward(pass, cmd, dnormed, dqkv.v, normed, &linear[OBI_LINEAR_V], acts->sums[OBI_LINEAR_V], true);
    norm_backward(pass, cmd, dx, dnormed, obi_view_of(pass->x[index]), layer->attn_norm, true);
}

void obi_pass_layer_backward(obi_pass *pass, obi_cmd *cmd, uint32_t layer)
{
    if (pass->model->config.family == OBI_FAMILY_OPT) obi_pass_layer_backward_opt(pass, cmd, layer);
    else layer_backward(pass, cmd, layer);
}

void obi_pass_logits_backward(obi_pass *pass, obi_cmd *cmd, obi_view dlogits, uint32_t first, uint32_t rows)
{
    const obi_train_model *model = pass->model;
    const obi_param *head = &model->params[model->head];
    uint32_t E = obi_config_embedding_width(&model->config);
    if (head->trained) obi_op_dense_bwd_w(cmd, &head->gradient, dlogits, obi_view_rows(pass->final, first, rows, E), rows);
    obi_op_dense_bwd_x(cmd, obi_view_rows(pass->wide[3], first, rows, E), dlogits, &head->w, rows, false);
}

void obi_pass_backward(obi_pass *pass, obi_cmd *cmd, void (*hidden)(void *user, obi_cmd *cmd, uint32_t layer), void *user)
{
    const obi_train_model *model = pass->model;
    const obi_config *config = &model->config;
    if (config->family == OBI_FAMILY_OPT) {
        obi_pass_backward_opt(pass, cmd, hidden, user);
        return;
    }
    obi_view dfinal = obi_view_rows(pass->wide[3], 0, pass->N, config->width);
    norm_backward(pass, cmd, obi_view_of(pass->dx), dfinal, obi_view_of(pass->x[config->layers]), model->output_norm, false);
    for (uint32_t i = config->layers; i-- > 0;) {
        if (hidden) hidden(user, cmd, i);
        if (pass->keeping == OBI_PASS_RECOMPUTE && i + 1 < config->layers) obi_pass_recompute(pass, cmd, i); /* the last one's are there */
        obi_pass_layer_backward(pass, cmd, i);
    }
}

obi_view obi_pass_embedding_backward(obi_pass *pass, obi_cmd *cmd)
{
    return pass->model->config.family == OBI_FAMILY_OPT ? obi_pass_embedding_backward_opt(pass, cmd) : obi_view_of(pass->dx);
}
