#include "quant/train/linear.h"

#include "ops/op_bitlinear_bwd.h"
#include "ops/op_dense.h"
#include "ops/op_dense_bwd.h"
#include "ops/op_norm.h"
#include "ops/op_norm_bwd.h"
#include "quant/train/pass_views.h"

void obi_train_linear_sums(obi_pass *pass, obi_cmd *cmd, obi_view v, obi_view x, const obi_train_linear *linear)
{
    uint32_t n = pass->model->params[linear->weight].w.columns;
    obi_view u = obi_view_rows(pass->wide[2], 0, pass->N, n);
    obi_op_scale_columns(cmd, u, x, obi_train_g(pass->model, linear), pass->N, n, false);
    obi_op_sign_gemm(cmd, v, u, &linear->signs, pass->N);
}

void obi_train_linear_forward(obi_pass *pass, obi_cmd *cmd, obi_view z, obi_view x, const obi_train_linear *linear, obi_buffer *sums)
{
    const obi_train_model *model = pass->model;
    const obi_weight *weight = &model->params[linear->weight].w;
    uint32_t N = pass->N, m = weight->rows;
    if (!model->config.onebit) {
        obi_op_dense_fwd(cmd, z, x, obi_train_dense(model, linear), N);
        return;
    }
    obi_view v = obi_view_rows(sums, 0, N, m);
    obi_train_linear_sums(pass, cmd, v, x, linear);
    obi_op_scale_columns(cmd, z, v, obi_train_h(model, linear), N, m, false);
    if (model->config.post_norm) obi_op_layernorm_fwd(cmd, z, z, N, m, model->config.post_norm_eps);
}

/* The chain is dZ -> dY (post-norm) -> dh, dV -> dW, dU -> dg, dX. */
void obi_train_linear_backward(obi_pass *pass, obi_cmd *cmd, obi_view dx, obi_view dz, obi_view x, const obi_train_linear *linear,
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
