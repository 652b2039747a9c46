#include "engine/layer.h"

#include "ops/op_act.h"
#include "ops/op_attn.h"
#include "ops/op_bitlinear.h"
#include "ops/op_dense.h"
#include "ops/op_norm.h"

/* y (T,m) = the projection of x (T,n), post-norm included. */
static void linear_forward(obi_session *session, obi_view y, obi_view x, const obi_linear *linear, uint32_t T)
{
    const obi_config *config = &session->weights->config;
    if (!linear->scales) {
        obi_op_dense_fwd(session->cmd, y, x, &linear->weight, T);
        return;
    }
    obi_op_bitlinear_fwd(session->cmd, y, x, &linear->weight, obi_view_of(linear->scales), T);
    if (config->post_norm) obi_op_layernorm_fwd(session->cmd, y, y, T, linear->weight.rows, config->post_norm_eps);
}

void obi_layer_forward(obi_session *session, uint32_t index, uint32_t T)
{
    const obi_config *config = &session->weights->config;
    const obi_layer_weights *layer = &session->weights->layers[index];
    const obi_linear *linear = layer->linear;
    obi_cmd *cmd = session->cmd;
    uint32_t D = config->width, H = config->heads, K = config->kv_heads, C = config->head_size, F = config->ffn;
    uint32_t R = config->rope_dimensions, position = session->position;

    obi_view x = obi_view_rows(session->x, 0, T, D), normed = obi_view_rows(session->normed, 0, T, D),
             projected = obi_view_rows(session->projected, 0, T, D);
    obi_view q = obi_view_rows(session->q, 0, T, (uint64_t)H * C), attended = obi_view_rows(session->attended, 0, T, (uint64_t)H * C);
    obi_view k = obi_view_rows(session->k, 0, T, (uint64_t)K * C), v = obi_view_rows(session->v, 0, T, (uint64_t)K * C);
    obi_view gate = obi_view_rows(session->gate, 0, T, F), up = obi_view_rows(session->up, 0, T, F);
    obi_view k_cache = obi_view_of(session->k_cache[index]), v_cache = obi_view_of(session->v_cache[index]);
    obi_view table = obi_view_of(session->rope_table);

    obi_op_rmsnorm_fwd(cmd, normed, x, obi_view_of(layer->attn_norm), T, D, config->norm_eps);
    linear_forward(session, q, normed, &linear[OBI_LINEAR_Q], T);
    linear_forward(session, k, normed, &linear[OBI_LINEAR_K], T);
    linear_forward(session, v, normed, &linear[OBI_LINEAR_V], T);
    obi_op_rope_fwd(cmd, q, table, T, H, C, R, position, config->rope_layout);
    obi_op_rope_fwd(cmd, k, table, T, K, C, R, position, config->rope_layout);
    obi_op_kv_store_fwd(cmd, k_cache, v_cache, k, v, T, K * C, position, session->context);
    obi_op_attn_fwd(cmd, attended, q, k_cache, v_cache, T, H, K, C, position);
    linear_forward(session, projected, attended, &linear[OBI_LINEAR_O], T);
    obi_op_add_fwd(cmd, x, x, projected, (uint64_t)T * D);

    obi_op_rmsnorm_fwd(cmd, normed, x, obi_view_of(layer->ffn_norm), T, D, config->norm_eps);
    linear_forward(session, gate, normed, &linear[OBI_LINEAR_GATE], T);
    linear_forward(session, up, normed, &linear[OBI_LINEAR_UP], T);
    obi_op_swiglu_fwd(cmd, gate, gate, up, (uint64_t)T * F);
    linear_forward(session, projected, gate, &linear[OBI_LINEAR_DOWN], T);
    obi_op_add_fwd(cmd, x, x, projected, (uint64_t)T * D);
}
