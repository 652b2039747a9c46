#include "quant/train/decoder_opt.h"

#include "ops/op_act.h"
#include "ops/op_dense.h"
#include "ops/op_embed.h"
#include "ops/op_norm.h"

static obi_view vector(const obi_decoder *decoder, uint32_t param) { return obi_view_of(decoder->model->params[param].w.blocks[0]); }

/* y (B,m) = the projection of x with its bias, and ReLU where `then` says so. */
static void project(obi_decoder *decoder, obi_view y, obi_view x, uint32_t layer, int kind, obi_bias_then then)
{
    const obi_train_linear *linear = &decoder->model->layers[layer].linear[kind];
    obi_decoder_linear(decoder, y, x, linear);
    obi_op_bias_fwd(decoder->cmd, y, y, vector(decoder, linear->bias), decoder->rows, decoder->model->params[linear->weight].w.rows, then);
}

static void normalise(obi_decoder *decoder, obi_view y, uint32_t weight, uint32_t bias)
{
    const obi_config *config = &decoder->model->config;
    obi_op_layernorm_affine_fwd(decoder->cmd, y, obi_view_of(decoder->x), vector(decoder, weight), vector(decoder, bias), decoder->rows,
                                config->width, config->norm_eps);
}

static void layer_forward(obi_decoder *decoder, uint32_t index, const uint32_t *positions)
{
    const obi_config *config = &decoder->model->config;
    const obi_train_layer *layer = &decoder->model->layers[index];
    obi_view x = obi_view_of(decoder->x), in = config->norm_last ? x : obi_view_of(decoder->normed), act = obi_view_of(decoder->gate);
    obi_view projected = obi_view_rows(decoder->projected, 0, decoder->rows, config->width);
    uint64_t count = (uint64_t)decoder->rows * config->width;

    if (!config->norm_last) normalise(decoder, in, layer->attn_norm, layer->attn_norm_bias);
    project(decoder, obi_view_of(decoder->q), in, index, OBI_LINEAR_Q, OBI_BIAS_ALONE);
    project(decoder, obi_view_of(decoder->k), in, index, OBI_LINEAR_K, OBI_BIAS_ALONE);
    project(decoder, obi_view_of(decoder->v), in, index, OBI_LINEAR_V, OBI_BIAS_ALONE);
    obi_decoder_attend(decoder, index, positions);
    project(decoder, projected, obi_view_of(decoder->attended), index, OBI_LINEAR_O, OBI_BIAS_ALONE);
    obi_op_add_fwd(decoder->cmd, x, x, projected, count);
    if (config->norm_last) normalise(decoder, x, layer->attn_norm, layer->attn_norm_bias);
    else normalise(decoder, in, layer->ffn_norm, layer->ffn_norm_bias);
    project(decoder, act, in, index, OBI_LINEAR_UP, OBI_BIAS_RELU);
    project(decoder, projected, act, index, OBI_LINEAR_DOWN, OBI_BIAS_ALONE);
    obi_op_add_fwd(decoder->cmd, x, x, projected, count);
    if (config->norm_last) normalise(decoder, x, layer->ffn_norm, layer->ffn_norm_bias);
}

static void embed(obi_decoder *decoder)
{
    const obi_train_model *model = decoder->model;
    const obi_config *config = &model->config;
    uint32_t B = decoder->rows;
    obi_view x = obi_view_of(decoder->x), ids = obi_view_of(decoder->ids), at = obi_view_rows(decoder->projected, 0, B, config->width);
    const obi_weight *table = &model->params[model->embedding].w;
    if (config->embedding_width) {
        obi_view embedded = obi_view_rows(decoder->projected, 0, B, config->embedding_width);
        obi_op_embed_gather_fwd(decoder->cmd, embedded, ids, table, B);
        obi_op_dense_fwd(decoder->cmd, x, embedded, &model->params[model->project_in].w, B);
    } else {
        obi_op_embed_gather_fwd(decoder->cmd, x, ids, table, B);
    }
    obi_op_embed_gather_fwd(decoder->cmd, at, obi_view_of(decoder->position_rows), &model->params[model->positions].w, B);
    obi_op_add_fwd(decoder->cmd, x, x, at, (uint64_t)B * config->width);
}

obi_view obi_decoder_forward_opt(obi_decoder *decoder, const uint32_t *positions)
{
    const obi_train_model *model = decoder->model;
    const obi_config *config = &model->config;
    obi_view result = config->norm_last ? obi_view_of(decoder->x) : obi_view_of(decoder->normed);
    embed(decoder);
    for (uint32_t layer = 0; layer < config->layers; layer++) layer_forward(decoder, layer, positions);
    if (!config->norm_last) normalise(decoder, result, model->output_norm, model->output_norm_bias);
    if (config->embedding_width == 0) return result;
    obi_view projected = obi_view_rows(decoder->projected, 0, decoder->rows, config->embedding_width);
    obi_op_dense_fwd(decoder->cmd, projected, result, &model->params[model->project_out].w, decoder->rows);
    return projected;
}
