#include "engine/layer.h"

#include "core/checked.h"
#include "engine/attention.h"
#include "engine/branches.h"
#include "engine/linear.h"
#include "ops/op_attn.h"
#include "ops/op_bitlinear_post.h"

static float post_eps_of(const obi_config *config)
{
    return config->onebit && config->post_norm ? config->post_norm_eps : OBI_POST_NORM_NONE;
}

static obi_bitlinear_part part_of(const obi_linear *linear, obi_view y)
{
    return (obi_bitlinear_part){ y, linear->scales, &linear->weight };
}

/* q, k and v of `normed`, ready for attention. */
static void qkv_forward(obi_session *session, obi_view qkv, obi_kv_cache cache, const obi_post_qkv *what, obi_view normed,
                        const obi_linear *linear, obi_pace *pace)
{
    obi_view table = obi_view_of(session->rope_table);
    obi_attn_parts at = obi_attn_parts_of(qkv, what->T, what->H, what->K, what->C);
    obi_view y[] = { at.q, at.k, at.v };
    if (obi_linear_in_one_step(linear, 3, what->T, pace)) {
        obi_bitlinear_part parts[] = { part_of(&linear[0], y[0]), part_of(&linear[1], y[1]), part_of(&linear[2], y[2]) };
        obi_op_bitlinear_qkv_fwd(session->cmd, parts, normed, qkv, table, cache, what);
        return;
    }
    obi_linear_group_forward(session, y, normed, linear, 3, what->T, pace);
    obi_op_post_qkv_fwd(session->cmd, qkv, table, cache, what);
}

/* attended = attention of `normed`, whose products with q, k and v are made in qkv. */
static void attend_forward(obi_session *session, obi_view attended, obi_view qkv, obi_kv_cache cache, const obi_post_qkv *what,
                           obi_view normed, const obi_linear *linear, obi_pace *pace)
{
    obi_attn_parts at = obi_attn_parts_of(qkv, what->T, what->H, what->K, what->C);
    if (session->branches.count > 0) {
        obi_linear_group_forward(session, (obi_view[]){ at.q, at.k, at.v }, normed, linear, 3, what->T, pace);
        obi_branches_attend(session, attended, at, cache, what, pace);
        return;
    }
    qkv_forward(session, qkv, cache, what, normed, linear, pace);
    obi_attention_forward(session, attended, at.q, cache, what->T, pace);
}

/* x += the projection of `in`, and normed = x normalised with w. */
static void residual_forward(obi_session *session, obi_view in, const obi_linear *linear, const obi_buffer *w, uint32_t T, obi_pace *pace)
{
    const obi_config *config = &session->weights->config;
    uint32_t D = config->width;
    obi_view x = obi_view_rows(session->x, 0, T, D), normed = obi_view_rows(session->normed, 0, T, D),
             projected = obi_view_rows(session->projected, 0, T, D);
    if (obi_linear_in_one_step(linear, 1, T, pace)) {
        obi_bitlinear_part part = part_of(linear, projected);
        obi_op_bitlinear_residual_fwd(session->cmd, x, normed, &part, in, obi_view_of(w), T, post_eps_of(config), config->norm_eps);
        return;
    }
    obi_linear_forward(session, projected, in, linear, T, pace);
    obi_op_post_residual_fwd(session->cmd, x, normed, projected, obi_view_of(w), T, D, post_eps_of(config), config->norm_eps);
}

/* gate = silu of gate's projection of `normed`, times up's. */
static void swiglu_forward(obi_session *session, obi_view gate, obi_view up, obi_view normed, const obi_linear *linear, uint32_t T,
                           obi_pace *pace)
{
    const obi_config *config = &session->weights->config;
    if (obi_linear_in_one_step(linear, 2, T, pace)) {
        obi_bitlinear_part parts[] = { part_of(&linear[0], gate), part_of(&linear[1], up) };
        obi_op_bitlinear_swiglu_fwd(session->cmd, parts, normed, T, post_eps_of(config));
        return;
    }
    obi_linear_group_forward(session, (obi_view[]){ gate, up }, normed, linear, 2, T, pace);
    obi_op_post_swiglu_fwd(session->cmd, gate, up, T, config->ffn, post_eps_of(config));
}

/* The norm whose input is the layer's result: the next layer's first, or the one before the head. */
static const obi_buffer *next_norm(const obi_weights *weights, uint32_t index)
{
    return index + 1 < weights->config.layers ? weights->layers[index + 1].attn_norm : weights->output_norm;
}

void obi_layer_forward(obi_session *session, uint32_t index, uint32_t T, obi_pace *pace)
{
    const obi_config *config = &session->weights->config;
    const obi_layer_weights *layer = &session->weights->layers[index];
    const obi_linear *linear = layer->linear;
    uint32_t D = config->width, H = config->heads, K = config->kv_heads, C = config->head_size, F = config->ffn;

    obi_view normed = obi_view_rows(session->normed, 0, T, D), attended = obi_view_rows(session->attended, 0, T, (uint64_t)H * C);
    obi_view gate = obi_view_rows(session->gate_up, 0, T, F), up = gate;
    up.offset = obi_align_up(gate.size, OBI_BUFFER_ALIGNMENT);
    obi_kv_cache cache = { session->kv_type, obi_view_of(session->k_cache[index]), obi_view_of(session->v_cache[index]) };
    obi_view qkv = obi_view_of(session->qkv);
    obi_post_qkv attention = { .T = T, .H = H, .K = K, .C = C, .R = config->rope_dimensions, .first_position = session->position,
                               .context = session->context, .layout = config->rope_layout, .post_eps = post_eps_of(config) };
    if (T == 1) {
        attention.first_position = obi_session_reach(session) - 1;
        attention.place = obi_attention_place(config);
    }

    attend_forward(session, attended, qkv, cache, &attention, normed, &linear[OBI_LINEAR_Q], pace);
    residual_forward(session, attended, &linear[OBI_LINEAR_O], layer->ffn_norm, T, pace);
    swiglu_forward(session, gate, up, normed, &linear[OBI_LINEAR_GATE], T, pace);
    residual_forward(session, gate, &linear[OBI_LINEAR_DOWN], next_norm(session->weights, index), T, pace);
}
