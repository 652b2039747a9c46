#include "engine/forward.h"

#include <math.h>

#include "engine/attention.h"
#include "engine/layer.h"
#include "engine/layer_opt.h"
#include "ops/op_dense.h"
#include "ops/op_embed.h"
#include "ops/op_norm.h"
#include "ops/op_util.h"

obi_forward_inputs obi_forward_inputs_of(const obi_session *session, uint32_t T)
{
    return (obi_forward_inputs){ .ids = { session->ids, 0, (uint64_t)T * 4 },
                                 .position = { session->ids, session->batch * 4ull, 4 },
                                 .position_rows = obi_session_position_rows(session, 0, T) };
}

void obi_forward_layers(obi_session *session, uint32_t T, const obi_forward_inputs *inputs)
{
    const obi_weights *weights = session->weights;
    const obi_config *config = &weights->config;
    obi_cmd *cmd = session->cmd;
    obi_pace pace = obi_pace_start(cmd, &session->cancelled, T == 1 ? &session->token_pace : &session->pace, T);
    if (T == 1 && !session->slow) pace.limit = (double)INFINITY; /* so that its commands can be submitted again */
    obi_view x = obi_view_rows(session->x, 0, T, config->width), normed = obi_view_rows(session->normed, 0, T, config->width);
    if (T == 1) {
        obi_view place = { session->qkv, obi_attention_place(config) * 4ull, 4 };
        obi_cmd_copy(cmd, place, inputs->position);
    }
    if (config->family == OBI_FAMILY_OPT) {
        obi_layer_opt_forward(session, T, inputs, &pace);
        return;
    }
    obi_op_embed_gather_fwd(cmd, x, inputs->ids, &weights->embedding, T);
    obi_op_rmsnorm_fwd(cmd, normed, x, obi_view_of(weights->layers[0].attn_norm), T, config->width, config->norm_eps);
    for (uint32_t layer = 0; layer < config->layers; layer++) obi_layer_forward(session, layer, T, &pace);
}

void obi_forward_head(obi_session *session, obi_view logits, obi_view normed, uint32_t T)
{
    obi_op_dense_fwd(session->cmd, logits, normed, obi_weights_head(session->weights), T);
}

void obi_forward_choice(obi_session *session, uint32_t T, uint32_t r)
{
    const obi_config *config = &session->weights->config;
    const obi_result *result = &session->result[r];
    uint64_t row_bytes = (uint64_t)obi_config_embedding_width(config) * 4;
    obi_view normed = { session->normed, 0, row_bytes }, logits = obi_view_of(result->logits);
    if (T > 1) { /* a binding begins at a multiple of OBI_BUFFER_ALIGNMENT, rows need not */
        obi_view row = { session->normed, (T - 1) * row_bytes, row_bytes };
        normed.buffer = session->last;
        obi_cmd_copy(session->cmd, normed, row);
    }
    obi_forward_head(session, logits, normed, 1);
    if (session->candidates > 0) {
        obi_view best = { result->topk, 0, (uint64_t)session->candidates * 8 }, best_host = { result->topk_host, 0, best.size };
        obi_op_topk_fwd(session->cmd, best, logits, obi_view_of(session->topk_scratch), config->vocabulary, session->candidates);
        obi_cmd_copy(session->cmd, best_host, best);
    } else {
        obi_cmd_copy(session->cmd, obi_view_of(session->logits_host), logits);
    }
}
