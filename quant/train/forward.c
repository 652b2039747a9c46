#include "ops/op_act.h"
#include "ops/op_attn.h"
#include "ops/op_dense.h"
#include "ops/op_embed.h"
#include "ops/op_norm.h"
#include "quant/train/forward_opt.h"
#include "quant/train/linear.h"
#include "quant/train/pass_views.h"

/* A layer, up to what its last projection takes; what a backward needs is then all there but that projection's sums. */
static void layer_inside(obi_pass *pass, obi_cmd *cmd, uint32_t index)
{
    const obi_train_model *model = pass->model;
    const obi_config *config = &model->config;
    const obi_train_layer *layer = &model->layers[index];
    const obi_train_linear *linear = layer->linear;
    obi_layer_acts *acts = obi_pass_layer_acts(pass, index);
    uint32_t N = pass->N, D = config->width, F = config->ffn, H = config->heads, K = config->kv_heads, C = config->head_size;
    obi_view x = obi_view_of(pass->x[index]), table = obi_view_of(pass->rope_table);
    obi_view normed = obi_view_of(acts->normed), attended = obi_view_of(acts->attended), middle = obi_view_of(acts->middle);
    obi_view normed_ffn = obi_view_of(acts->normed_ffn), gate = obi_view_of(acts->gate), up = obi_view_of(acts->up),
             act = obi_view_of(acts->act);
    obi_attn_parts qkv = obi_train_qkv(pass, acts->qkv);

    obi_op_rmsnorm_fwd(cmd, normed, x, obi_train_vector(model, layer->attn_norm), N, D, config->norm_eps);
    obi_train_linear_forward(pass, cmd, qkv.q, normed, &linear[OBI_LINEAR_Q], acts->sums[OBI_LINEAR_Q]);
    obi_train_linear_forward(pass, cmd, qkv.k, normed, &linear[OBI_LINEAR_K], acts->sums[OBI_LINEAR_K]);
    obi_train_linear_forward(pass, cmd, qkv.v, normed, &linear[OBI_LINEAR_V], acts->sums[OBI_LINEAR_V]);
    obi_op_rope_fwd(cmd, qkv.q, table, N, H, C, config->rope_dimensions, 0, config->rope_layout);
    obi_op_rope_fwd(cmd, qkv.k, table, N, K, C, config->rope_dimensions, 0, config->rope_layout);
    obi_op_attn_train_fwd(cmd, attended, qkv.q, qkv.k, qkv.v, pass->sequences, pass->T, H, K, C);
    obi_train_linear_forward(pass, cmd, middle, attended, &linear[OBI_LINEAR_O], acts->sums[OBI_LINEAR_O]);
    obi_op_add_fwd(cmd, middle, middle, x, (uint64_t)N * D);

    obi_op_rmsnorm_fwd(cmd, normed_ffn, middle, obi_train_vector(model, layer->ffn_norm), N, D, config->norm_eps);
    obi_train_linear_forward(pass, cmd, gate, normed_ffn, &linear[OBI_LINEAR_GATE], acts->sums[OBI_LINEAR_GATE]);
    obi_train_linear_forward(pass, cmd, up, normed_ffn, &linear[OBI_LINEAR_UP], acts->sums[OBI_LINEAR_UP]);
    obi_op_swiglu_fwd(cmd, act, gate, up, (uint64_t)N * F);
}

static void layer_forward(obi_pass *pass, obi_cmd *cmd, uint32_t index)
{
    obi_layer_acts *acts = obi_pass_layer_acts(pass, index);
    obi_view y = obi_view_of(pass->x[index + 1]);
    layer_inside(pass, cmd, index);
    obi_train_linear_forward(pass, cmd, y, obi_view_of(acts->act), &pass->model->layers[index].linear[OBI_LINEAR_DOWN],
                             acts->sums[OBI_LINEAR_DOWN]);
    obi_op_add_fwd(cmd, y, y, obi_view_of(acts->middle), (uint64_t)pass->N * pass->model->config.width);
}

void obi_pass_layer_forward(obi_pass *pass, obi_cmd *cmd, uint32_t layer)
{
    if (pass->model->config.family == OBI_FAMILY_OPT) obi_pass_layer_forward_opt(pass, cmd, layer);
    else layer_forward(pass, cmd, layer);
}

void obi_pass_recompute(obi_pass *pass, obi_cmd *cmd, uint32_t layer)
{
    const obi_train_model *model = pass->model;
    const obi_train_linear *down = &model->layers[layer].linear[OBI_LINEAR_DOWN];
    if (model->config.family == OBI_FAMILY_OPT) {
        obi_pass_recompute_opt(pass, cmd, layer);
        return;
    }
    obi_layer_acts *acts = obi_pass_layer_acts(pass, layer);
    layer_inside(pass, cmd, layer);
    if (!model->config.onebit) return;
    obi_train_linear_sums(pass, cmd, obi_view_rows(acts->sums[OBI_LINEAR_DOWN], 0, pass->N, model->config.width), obi_view_of(acts->act),
                          down);
}

void obi_pass_forward(obi_pass *pass, obi_cmd *cmd)
{
    const obi_train_model *model = pass->model;
    const obi_config *config = &model->config;
    if (config->family == OBI_FAMILY_OPT) {
        obi_pass_forward_opt(pass, cmd);
        return;
    }
    obi_op_embed_gather_fwd(cmd, obi_view_of(pass->x[0]), obi_view_of(pass->ids), &model->params[model->embedding].w, pass->N);
    for (uint32_t i = 0; i < config->layers; i++) obi_pass_layer_forward(pass, cmd, i);
    obi_op_rmsnorm_fwd(cmd, obi_view_of(pass->final), obi_view_of(pass->x[config->layers]), obi_train_vector(model, model->output_norm),
                       pass->N, config->width, config->norm_eps);
}

void obi_pass_logits(obi_pass *pass, obi_cmd *cmd, obi_view logits, uint32_t first, uint32_t rows)
{
    const obi_train_model *model = pass->model;
    uint32_t E = obi_config_embedding_width(&model->config);
    obi_op_dense_fwd(cmd, logits, obi_view_rows(pass->final, first, rows, E), &model->params[model->head].w, rows);
}
