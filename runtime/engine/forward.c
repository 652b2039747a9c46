#include "engine/forward.h"

#include "engine/layer.h"
#include "ops/op_dense.h"
#include "ops/op_embed.h"
#include "ops/op_norm.h"

void obi_forward_layers(obi_session *session, uint32_t T)
{
    const obi_weights *weights = session->weights;
    const obi_config *config = &weights->config;
    obi_cmd *cmd = session->cmd;
    obi_pace pace = obi_pace_start(cmd, T);
    obi_view ids = { session->ids, 0, (uint64_t)T * 4 };
    obi_view x = obi_view_rows(session->x, 0, T, config->width), normed = obi_view_rows(session->normed, 0, T, config->width);
    if (T == 1) {
        obi_view place = { session->qkv, obi_layer_place(config) * 4ull, 4 }, position = { session->ids, session->batch * 4ull, 4 };
        obi_cmd_copy(cmd, place, position);
    }
    obi_op_embed_gather_fwd(cmd, x, ids, &weights->embedding, T);
    obi_op_rmsnorm_fwd(cmd, normed, x, obi_view_of(weights->layers[0].attn_norm), T, config->width, config->norm_eps);
    for (uint32_t layer = 0; layer < config->layers; layer++) obi_layer_forward(session, layer, T, &pace);
}

void obi_forward_head(obi_session *session, obi_view logits, obi_view normed, uint32_t T)
{
    obi_op_dense_fwd(session->cmd, logits, normed, obi_weights_head(session->weights), T);
}
