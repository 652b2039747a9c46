#include "engine/layer_opt.h"

#include "engine/attention.h"
#include "engine/branches.h"
#include "engine/linear.h"
#include "ops/op_act.h"
#include "ops/op_dense.h"
#include "ops/op_embed.h"
#include "ops/op_norm.h"

/* The views of T tokens that all of this works on. */
typedef struct opt_pass {
    obi_session *session;
    obi_pace *pace;
    uint32_t T;
    obi_view x;         /* (T,D) the residual stream */
    obi_view in;        /* (T,D) what a half of a layer reads: x normalised; where norms come last, x itself, which then is */
    obi_view projected; /* (T,D) */
} opt_pass;

static const obi_config *config_of(const opt_pass *pass) { return &pass->session->weights->config; }

/* What follows a product p (T,rows): OneBit's norm and the bias; y = that, max(that, 0), or y + that. y may be p where nothing is
 * added; p may be overwritten. */
static void follow(const opt_pass *pass, obi_view y, obi_bias_then then, obi_view p, const obi_linear *linear)
{
    const obi_config *config = config_of(pass);
    obi_cmd *cmd = pass->session->cmd;
    uint32_t rows = obi_linear_rows(linear);
    if (config->post_norm) obi_op_layernorm_bias_fwd(cmd, y, p, linear->bias, pass->T, rows, config->post_norm_eps, then);
    else obi_op_bias_fwd(cmd, y, p, linear->bias, pass->T, rows, then);
}

/* One projection of x with all that follows it; p is where the product goes. */
static void project(const opt_pass *pass, obi_view y, obi_bias_then then, obi_view p, obi_view x, const obi_linear *linear)
{
    obi_linear_forward(pass->session, p, x, linear, pass->T, pass->pace);
    follow(pass, y, then, p, linear);
}

/* in = LayerNorm(x) w + b. */
static void normalise(const opt_pass *pass, const obi_buffer *w, const obi_buffer *b)
{
    const obi_config *config = config_of(pass);
    obi_op_layernorm_affine_fwd(pass->session->cmd, pass->in, pass->x, obi_view_of(w), obi_view_of(b), pass->T, config->width,
                                config->norm_eps);
}

static void embed(const opt_pass *pass, const obi_forward_inputs *inputs)
{
    const obi_weights *weights = pass->session->weights;
    const obi_config *config = &weights->config;
    obi_cmd *cmd = pass->session->cmd;
    if (config->embedding_width) {
        obi_view embedded = obi_view_rows(pass->session->projected, 0, pass->T, config->embedding_width);
        obi_op_embed_gather_fwd(cmd, embedded, inputs->ids, &weights->embedding, pass->T);
        obi_op_dense_fwd(cmd, pass->x, embedded, &weights->project_in, pass->T);
    } else {
        obi_op_embed_gather_fwd(cmd, pass->x, inputs->ids, &weights->embedding, pass->T);
    }
    obi_op_embed_gather_fwd(cmd, pass->projected, inputs->position_rows, &weights->positions, pass->T);
    obi_op_add_fwd(cmd, pass->x, pass->x, pass->projected, (uint64_t)pass->T * config->width);
}

/* Keys and values go into the cache; of a single token at the position that memory has. */
static void store(const opt_pass *pass, obi_kv_cache cache, obi_attn_parts at)
{
    const obi_session *session = pass->session;
    const obi_config *config = config_of(pass);
    if (pass->T > 1) {
        obi_op_kv_store_fwd(session->cmd, cache, at.k, at.v, pass->T, config->width, config->head_size, session->position,
                            session->context);
        return;
    }
    uint32_t place = obi_attention_place(config) - (uint32_t)(at.k.offset / 4);
    at.k.size = ((uint64_t)place + 1) * 4;
    obi_op_kv_store_placed_fwd(session->cmd, cache, at.k, at.v, config->width, config->head_size, place, obi_session_reach(session) - 1,
                               session->context);
}

static void attend(const opt_pass *pass, obi_view attended, obi_kv_cache cache, obi_attn_parts at)
{
    if (pass->session->branches.count > 0) {
        obi_branches_attend(pass->session, attended, at, cache, NULL, pass->pace);
        return;
    }
    store(pass, cache, at);
    obi_attention_forward(pass->session, attended, at.q, cache, pass->T, pass->pace);
}

static void layer_forward(const opt_pass *pass, uint32_t index)
{
    obi_session *session = pass->session;
    const obi_weights *weights = session->weights;
    const obi_config *config = &weights->config;
    const obi_layer_weights *layer = &weights->layers[index], *next = index + 1 < config->layers ? layer + 1 : NULL;
    const obi_linear *linear = layer->linear;
    obi_attn_parts at = obi_attn_parts_of(obi_view_of(session->qkv), pass->T, config->heads, config->kv_heads, config->head_size);
    obi_view attended = obi_view_rows(session->attended, 0, pass->T, config->width);
    obi_view up = obi_view_rows(session->gate_up, 0, pass->T, config->ffn);
    obi_kv_cache cache = { session->kv_type, obi_view_of(session->k_cache[index]), obi_view_of(session->v_cache[index]) };

    const obi_view y[] = { at.q, at.k, at.v };
    obi_linear_group_forward(session, y, pass->in, &linear[OBI_LINEAR_Q], 3, pass->T, pass->pace);
    for (int i = 0; i < 3; i++) follow(pass, y[i], OBI_BIAS_ALONE, y[i], &linear[OBI_LINEAR_Q + i]);
    attend(pass, attended, cache, at);
    project(pass, pass->x, OBI_BIAS_ADD, pass->projected, attended, &linear[OBI_LINEAR_O]);
    if (config->norm_last) normalise(pass, layer->attn_norm, layer->attn_norm_bias);
    else normalise(pass, layer->ffn_norm, layer->ffn_norm_bias);

    project(pass, up, OBI_BIAS_RELU, up, pass->in, &linear[OBI_LINEAR_UP]);
    project(pass, pass->x, OBI_BIAS_ADD, pass->projected, up, &linear[OBI_LINEAR_DOWN]);
    if (config->norm_last) normalise(pass, layer->ffn_norm, layer->ffn_norm_bias);
    else if (next) normalise(pass, next->attn_norm, next->attn_norm_bias);
    else normalise(pass, weights->output_norm, weights->output_norm_bias);
}

/* The head reads session->normed. */
static void finish(const opt_pass *pass)
{
    obi_session *session = pass->session;
    const obi_config *config = config_of(pass);
    obi_view result = pass->in, normed = obi_view_rows(session->normed, 0, pass->T, obi_config_embedding_width(config));
    if (config->embedding_width) {
        result = obi_view_rows(session->projected, 0, pass->T, config->embedding_width);
        obi_op_dense_fwd(session->cmd, result, pass->in, &session->weights->project_out, pass->T);
    }
    if (result.buffer != normed.buffer) obi_cmd_copy(session->cmd, normed, result);
}

void obi_layer_opt_forward(obi_session *session, uint32_t T, const obi_forward_inputs *inputs, obi_pace *pace)
{
    const obi_config *config = &session->weights->config;
    const obi_layer_weights *first = &session->weights->layers[0];
    opt_pass pass = { .session = session, .pace = pace, .T = T, .x = obi_view_rows(session->x, 0, T, config->width) };
    pass.in = config->norm_last ? pass.x : obi_view_rows(session->normed, 0, T, config->width);
    pass.projected = obi_view_rows(session->projected, 0, T, config->width);
    embed(&pass, inputs);
    if (!config->norm_last) normalise(&pass, first->attn_norm, first->attn_norm_bias);
    for (uint32_t layer = 0; layer < config->layers; layer++) layer_forward(&pass, layer);
    finish(&pass);
}
