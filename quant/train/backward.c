#include "ops/op_act_bwd.h"
#include "ops/op_attn.h"
#include "ops/op_attn_bwd.h"
#include "ops/op_bitlinear_bwd.h"
#include "ops/op_dense_bwd.h"
#include "ops/op_norm_bwd.h"
#include "quant/train/pass_views.h"

/* dx (N,n) = or += what dz (N,m) gives through the projection of x (N,n); weight and scale gradients are added to. The
 * chain is dZ -> dY (post-norm) -> dh, dV -> dW, dU -> dg, dX. wide[0..2] are overwritten: neither dz nor dx lies there. */
static void linear_backward(obi_pass *pass, obi_cmd *cmd, obi_view dx, obi_view dz, obi_view x, const obi_train_linear *linear,
                            obi_buffer *sums, bool accumulate)
{
    const obi_train_model *model = pass->model;
    const obi_config *config = &model->config;
    const obi_param *weight = &model->params[linear->weight];
    uint32_t N = pass->N, m = weight->w.rows, n = weight->w.columns;
    if (!config->onebit) {
        if (weight->trained) obi_op_dense_bwd_w(cmd, &weight->gradient, dz, x, N);
        obi_op_dense_bwd_x(cmd, dx, dz, obi_train_dense(model, linear), N, accumulate);
        return;
    }
    obi_view g = obi_train_g(model, linear), h = obi_train_h(model, linear), gradient = obi_train_vector_gradient(model, linear->scales);
    obi_view dg = obi_train_scale(model, linear, gradient, false), dh = obi_train_scale(model, linear, gradient, true);
    obi_view v = obi_view_rows(sums, 0, N, m), folds = obi_view_of(pass->folds);
    obi_view y = obi_view_rows(pass->wide[1], 0, N, m), dy = obi_view_rows(pass->wide[0], 0, N, m);
    if (config->post_norm) {
        obi_op_scale_columns(cmd, y, v, h, N, m, false);
        obi_op_layernorm_bwd(cmd, dy, dz, y, N, m, config->post_norm_eps);
    } else {
        dy = dz;
    }
    obi_op_column_dot(cmd, dh, folds, dy, v, N, m);
    obi_view dv = obi_view_rows(pass->wide[1], 0, N, m), u = obi_view_rows(pass->wide[2], 0, N, n);
    obi_op_scale_columns(cmd, dv, dy, h, N, m, false);
    obi_op_scale_columns(cmd, u, x, g, N, n, false);
    obi_op_dense_bwd_w(cmd, &weight->gradient, dv, u, N);
    obi_view du = u; /* U has served */
    obi_op_bitlinear_bwd_x(cmd, du, dv, &linear->signs, N);
    obi_op_column_dot(cmd, dg, folds, du, x, N, n);
    obi_op_scale_columns(cmd, dx, du, g, N, n, accumulate);
}

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
    linear_backward(pass, cmd, dact, dx, act, &linear[OBI_LINEAR_DOWN], acts->sums[OBI_LINEAR_DOWN], false);
    obi_op_swiglu_bwd(cmd, gate, up, dact, (uint64_t)N * F); /* gate and up now hold their gradients */
    linear_backward(pass, cmd, dnormed, gate, normed_ffn, &linear[OBI_LINEAR_GATE], acts->sums[OBI_LINEAR_GATE], false);
    linear_backward(pass, cmd, dnormed, up, normed_ffn, &linear[OBI_LINEAR_UP], acts->sums[OBI_LINEAR_UP], true);
    norm_backward(pass, cmd, dx, dnormed, obi_view_of(acts->middle), layer->ffn_norm, true);

    /* middle = x + o(attention(q, k, v)) */
    obi_view dattended = obi_view_rows(pass->wide[3], 0, N, (uint64_t)H * C);
    linear_backward(pass, cmd, dattended, dx, attended, &linear[OBI_LINEAR_O], acts->sums[OBI_LINEAR_O], false);
    obi_op_attn_bwd(cmd, obi_view_of(pass->dqkv), obi_view_of(pass->stats), obi_view_of(acts->qkv), attended, dattended, pass->sequences,
                    pass->T, H, K, C);
    obi_op_rope_bwd(cmd, dqkv.q, table, N, H, C, config->rope_dimensions, 0, config->rope_layout);
    obi_op_rope_bwd(cmd, dqkv.k, table, N, K, C, config->rope_dimensions, 0, config->rope_layout);
    linear_backward(pass, cmd, dnormed, dqkv.q, normed, &linear[OBI_LINEAR_Q], acts->sums[OBI_LINEAR_Q], false);
    linear_backward(pass, cmd, dnormed, dqkv.k, normed, &linear[OBI_LINEAR_K], acts->sums[OBI_LINEAR_K], true);
    linear_backward(pass, cmd, dnormed, dqkv.v, normed, &linear[OBI_LINEAR_V], acts->sums[OBI_LINEAR_V], true);
    norm_backward(pass, cmd, dx, dnormed, obi_view_of(pass->x[index]), layer->attn_norm, true);
}

void obi_pass_logits_backward(obi_pass *pass, obi_cmd *cmd, obi_view dlogits, uint32_t first, uint32_t rows)
{
    const obi_train_model *model = pass->model;
    const obi_param *head = &model->params[model->head];
    uint32_t D = model->config.width;
    if (head->trained) obi_op_dense_bwd_w(cmd, &head->gradient, dlogits, obi_view_rows(pass->final, first, rows, D), rows);
    obi_op_dense_bwd_x(cmd, obi_view_rows(pass->wide[3], first, rows, D), dlogits, &head->w, rows, false);
}

void obi_pass_backward(obi_pass *pass, obi_cmd *cmd, void (*hidden)(void *user, obi_cmd *cmd, uint32_t layer), void *user)
{
    const obi_train_model *model = pass->model;
    const obi_config *config = &model->config;
    obi_view dfinal = obi_view_rows(pass->wide[3], 0, pass->N, config->width);
    norm_backward(pass, cmd, obi_view_of(pass->dx), dfinal, obi_view_of(pass->x[config->layers]), model->output_norm, false);
    for (uint32_t i = config->layers; i-- > 0;) {
        if (hidden) hidden(user, cmd, i);
        if (pass->keeping == OBI_PASS_RECOMPUTE && i + 1 < config->layers) obi_pass_recompute(pass, cmd, i); /* the last one's are there */
        layer_backward(pass, cmd, i);
    }
}
