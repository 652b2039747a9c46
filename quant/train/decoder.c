#include "quant/train/decoder.h"

#include <string.h>

#include "core/alloc.h"
#include "core/checked.h"
#include "ops/op_act.h"
#include "ops/op_attn.h"
#include "ops/op_dense.h"
#include "ops/op_embed.h"
#include "ops/op_norm.h"
#include "quant/train/decoder_opt.h"

/* ---- buffers --------------------------------------------------------------------------------------------------- */

static obi_status make(obi_decoder *decoder, obi_buffer **buffer, uint64_t elements, obi_memory_kind kind)
{
    if (elements * 4 > decoder->device->caps.storage_range)
        return obi_fail(OBI_ERROR_ARGUMENT,
                        "%u sequences of %u tokens need %llu MiB in one piece and this device can bind %llu; use a smaller "
                        "per_device_train_batch_size or cutoff_len",
                        decoder->rows, decoder->context, (unsigned long long)(elements * 4 >> 20),
                        (unsigned long long)(decoder->device->caps.storage_range >> 20));
    decoder->bytes += elements * 4;
    return obi_buffer_create(decoder->device, elements * 4, kind, buffer);
}

static obi_status make_buffers(obi_decoder *decoder)
{
    const obi_config *config = &decoder->model->config;
    uint64_t B = decoder->rows, D = config->width, F = config->ffn, V = config->vocabulary, R = config->rope_dimensions;
    uint64_t E = obi_config_embedding_width(config), widest = D > E ? D : E;
    bool opt = config->family == OBI_FAMILY_OPT;
    uint64_t q_width = (uint64_t)config->heads * config->head_size, kv_width = (uint64_t)config->kv_heads * config->head_size;
    uint64_t cache = B * decoder->context * kv_width;
    OBI_TRY(obi_memory_fits(decoder->device,
                            (2 * cache * config->layers + B * (2 * D + widest + 4 * q_width + 2 * kv_width + 2 * F + 2 * V)) * 4,
                            "the sequences that are written at once"));
    OBI_TRY(make(decoder, &decoder->ids, B, OBI_MEMORY_UPLOAD));
    if (opt) OBI_TRY(make(decoder, &decoder->position_rows, B, OBI_MEMORY_UPLOAD));
    else OBI_TRY(make(decoder, &decoder->rope_table, B * R, OBI_MEMORY_UPLOAD));
    OBI_TRY(make(decoder, &decoder->x, B * D, OBI_MEMORY_DEVICE));
    OBI_TRY(make(decoder, &decoder->normed, B * D, OBI_MEMORY_DEVICE));
    OBI_TRY(make(decoder, &decoder->projected, B * widest, OBI_MEMORY_DEVICE));
    OBI_TRY(make(decoder, &decoder->q, B * q_width, OBI_MEMORY_DEVICE));
    OBI_TRY(make(decoder, &decoder->attended, B * q_width, OBI_MEMORY_DEVICE));
    if (decoder->q_stride != q_width) {
        OBI_TRY(make(decoder, &decoder->q_rows, B * decoder->q_stride, OBI_MEMORY_DEVICE));
        OBI_TRY(make(decoder, &decoder->attended_rows, B * decoder->q_stride, OBI_MEMORY_DEVICE));
    }
    OBI_TRY(make(decoder, &decoder->k, B * kv_width, OBI_MEMORY_DEVICE));
    OBI_TRY(make(decoder, &decoder->v, B * kv_width, OBI_MEMORY_DEVICE));
    OBI_TRY(make(decoder, &decoder->gate, B * F, OBI_MEMORY_DEVICE));
    if (!opt) OBI_TRY(make(decoder, &decoder->up, B * F, OBI_MEMORY_DEVICE));
    OBI_TRY(make(decoder, &decoder->logits, B * V, OBI_MEMORY_DEVICE));
    OBI_TRY(make(decoder, &decoder->logits_host, B * V, OBI_MEMORY_READBACK));
    for (uint32_t layer = 0; layer < config->layers; layer++) {
        OBI_TRY(make(decoder, &decoder->k_cache[layer], cache, OBI_MEMORY_DEVICE));
        OBI_TRY(make(decoder, &decoder->v_cache[layer], cache, OBI_MEMORY_DEVICE));
    }
    return OBI_OK;
}

obi_status obi_decoder_create(const obi_train_model *model, uint32_t rows, uint32_t context, obi_decoder **out)
{
    *out = NULL;
    const obi_config *config = &model->config;
    obi_decoder *decoder = obi_calloc(1, sizeof *decoder);
    if (!decoder) return OBI_ERROR_MEMORY;
    decoder->device = model->device;
    decoder->model = model;
    decoder->rows = rows;
    decoder->context = context;
    decoder->q_stride = (uint32_t)obi_align_up((uint64_t)config->heads * config->head_size, 64);
    bool rotary = config->family == OBI_FAMILY_LLAMA;
    if (rotary) decoder->positions = obi_calloc((size_t)context * config->rope_dimensions, sizeof *decoder->positions);
    decoder->k_cache = obi_calloc(config->layers, sizeof *decoder->k_cache);
    decoder->v_cache = obi_calloc(config->layers, sizeof *decoder->v_cache);
    obi_status status = OBI_ERROR_MEMORY;
    if ((rotary && !decoder->positions) || !decoder->k_cache || !decoder->v_cache) goto done;
    if (rotary) obi_config_rope_table(config, model->rope_factors, 0, context, decoder->positions);
    OBI_TRY_GOTO(obi_cmd_create(model->device, &decoder->cmd));
    status = make_buffers(decoder);
done:
    if (status != OBI_OK) obi_decoder_destroy(decoder);
    else *out = decoder;
    return status;
}

void obi_decoder_destroy(obi_decoder *decoder)
{
    if (!decoder) return;
    obi_cmd_destroy(decoder->cmd);
    obi_buffer *buffers[] = {
        decoder->ids,         decoder->rope_table,    decoder->x, decoder->normed, decoder->projected, decoder->q,  decoder->attended,
        decoder->q_rows,      decoder->attended_rows, decoder->k, decoder->v,      decoder->gate,      decoder->up, decoder->logits,
        decoder->logits_host, decoder->position_rows
    };
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++) obi_buffer_destroy(decoder->device, buffers[i]);
    for (uint32_t i = 0; decoder->k_cache && i < decoder->model->config.layers; i++)
        obi_buffer_destroy(decoder->device, decoder->k_cache[i]);
    for (uint32_t i = 0; decoder->v_cache && i < decoder->model->config.layers; i++)
        obi_buffer_destroy(decoder->device, decoder->v_cache[i]);
    obi_free(decoder->k_cache);
    obi_free(decoder->v_cache);
    obi_free(decoder->positions);
    obi_free(decoder);
}

/* ---- one step -------------------------------------------------------------------------------------------------- */

static obi_view vector(const obi_decoder *decoder, uint32_t param) { return obi_view_of(decoder->model->params[param].w.blocks[0]); }

void obi_decoder_linear(obi_decoder *decoder, obi_view y, obi_view x, const obi_train_linear *linear)
{
    const obi_config *config = &decoder->model->config;
    const obi_weight *weight = &decoder->model->params[linear->weight].w;
    if (!config->onebit) {
        obi_op_dense_fwd(decoder->cmd, y, x, weight, decoder->rows);
        return;
    }
    obi_op_bitlinear_fwd(decoder->cmd, y, x, &linear->signs, vector(decoder, linear->scales), decoder->rows);
    if (config->post_norm) obi_op_layernorm_fwd(decoder->cmd, y, y, decoder->rows, weight->rows, config->post_norm_eps);
}

/* Elements [first, first + count) of a buffer. */
static obi_view part(const obi_buffer *buffer, uint64_t first, uint64_t count) { return (obi_view){ buffer, first * 4, count * 4 }; }

/* Rows that cannot be bound one by one, as they do not start where a binding may, pass through buffers where they do. */
void obi_decoder_attend(obi_decoder *decoder, uint32_t layer, const uint32_t *positions)
{
    const obi_config *config = &decoder->model->config;
    obi_cmd *cmd = decoder->cmd;
    uint32_t H = config->heads, K = config->kv_heads, C = config->head_size, stride = decoder->q_stride;
    uint64_t q_width = (uint64_t)H * C, kv_width = (uint64_t)K * C, cache = decoder->context * kv_width;
    const obi_buffer *q = decoder->q_rows ? decoder->q_rows : decoder->q;
    const obi_buffer *attended = decoder->q_rows ? decoder->attended_rows : decoder->attended;
    for (uint32_t b = 0; b < decoder->rows; b++) {
        uint64_t at = b * cache + positions[b] * kv_width;
        obi_cmd_copy(cmd, part(decoder->k_cache[layer], at, kv_width), part(decoder->k, b * kv_width, kv_width));
        obi_cmd_copy(cmd, part(decoder->v_cache[layer], at, kv_width), part(decoder->v, b * kv_width, kv_width));
        if (decoder->q_rows)
            obi_cmd_copy(cmd, part(decoder->q_rows, (uint64_t)b * stride, q_width), part(decoder->q, b * q_width, q_width));
    }
    for (uint32_t b = 0; b < decoder->rows; b++) {
        obi_kv_cache own = { OBI_KV_F32, part(decoder->k_cache[layer], b * cache, cache), part(decoder->v_cache[layer], b * cache, cache) };
        obi_op_attn_fwd(cmd, part(attended, (uint64_t)b * stride, q_width), part(q, (uint64_t)b * stride, q_width), own, 1, H, K, C,
                        positions[b]);
    }
    for (uint32_t b = 0; decoder->q_rows && b < decoder->rows; b++)
        obi_cmd_copy(cmd, part(decoder->attended, b * q_width, q_width), part(decoder->attended_rows, (uint64_t)b * stride, q_width));
}

static void layer_forward(obi_decoder *decoder, uint32_t index, const uint32_t *positions)
{
    const obi_config *config = &decoder->model->config;
    const obi_train_layer *layer = &decoder->model->layers[index];
    const obi_train_linear *linear = layer->linear;
    obi_cmd *cmd = decoder->cmd;
    uint32_t B = decoder->rows, D = config->width, H = config->heads, K = config->kv_heads, C = config->head_size;
    uint32_t R = config->rope_dimensions;
    obi_view x = obi_view_of(decoder->x), normed = obi_view_of(decoder->normed), projected = obi_view_of(decoder->projected);
    obi_view q = obi_view_of(decoder->q), k = obi_view_of(decoder->k), v = obi_view_of(decoder->v),
             table = obi_view_of(decoder->rope_table);
    obi_view gate = obi_view_of(decoder->gate), up = obi_view_of(decoder->up);

    obi_op_rmsnorm_fwd(cmd, normed, x, vector(decoder, layer->attn_norm), B, D, config->norm_eps);
    obi_decoder_linear(decoder, q, normed, &linear[OBI_LINEAR_Q]);
    obi_decoder_linear(decoder, k, normed, &linear[OBI_LINEAR_K]);
    obi_decoder_linear(decoder, v, normed, &linear[OBI_LINEAR_V]);
    obi_op_rope_fwd(cmd, q, table, B, H, C, R, 0, config->rope_layout); /* row b of the table is row b's position */
    obi_op_rope_fwd(cmd, k, table, B, K, C, R, 0, config->rope_layout);
    obi_decoder_attend(decoder, index, positions);
    obi_decoder_linear(decoder, projected, obi_view_of(decoder->attended), &linear[OBI_LINEAR_O]);
    obi_op_add_fwd(cmd, x, x, projected, (uint64_t)B * D);

    obi_op_rmsnorm_fwd(cmd, normed, x, vector(decoder, layer->ffn_norm), B, D, config->norm_eps);
    obi_decoder_linear(decoder, gate, normed, &linear[OBI_LINEAR_GATE]);
    obi_decoder_linear(decoder, up, normed, &linear[OBI_LINEAR_UP]);
    obi_op_swiglu_fwd(cmd, gate, gate, up, (uint64_t)B * config->ffn);
    obi_decoder_linear(decoder, projected, gate, &linear[OBI_LINEAR_DOWN]);
    obi_op_add_fwd(cmd, x, x, projected, (uint64_t)B * D);
}

/* Where each row stands, for the kernels. */
static obi_status put_positions(obi_decoder *decoder, const uint32_t *positions)
{
    const obi_config *config = &decoder->model->config;
    bool opt = config->family == OBI_FAMILY_OPT;
    obi_buffer *buffer = opt ? decoder->position_rows : decoder->rope_table;
    uint32_t B = decoder->rows, R = config->rope_dimensions;
    for (uint32_t b = 0; b < B; b++) {
        if (positions[b] >= decoder->context)
            return obi_fail(OBI_ERROR_ARGUMENT, "position %u is behind the %u that there is room for", positions[b], decoder->context);
        if (opt) ((uint32_t *)buffer->mapped)[b] = positions[b] + OBI_POSITION_OFFSET;
        else memcpy((float *)buffer->mapped + (uint64_t)b * R, decoder->positions + (uint64_t)positions[b] * R, R * sizeof(float));
    }
    return obi_buffer_flush(decoder->device, buffer, 0, buffer->size);
}

/* Embedding, layers and the last norm: what the head reads. */
static obi_view forward(obi_decoder *decoder, const uint32_t *positions)
{
    const obi_train_model *model = decoder->model;
    const obi_config *config = &model->config;
    obi_view normed = obi_view_of(decoder->normed), x = obi_view_of(decoder->x);
    uint32_t B = decoder->rows;
    if (config->family == OBI_FAMILY_OPT) return obi_decoder_forward_opt(decoder, positions);
    obi_op_embed_gather_fwd(decoder->cmd, x, obi_view_of(decoder->ids), &model->params[model->embedding].w, B);
    for (uint32_t layer = 0; layer < config->layers; layer++) layer_forward(decoder, layer, positions);
    obi_op_rmsnorm_fwd(decoder->cmd, normed, x, vector(decoder, model->output_norm), B, config->width, config->norm_eps);
    return normed;
}

obi_status obi_decoder_step(obi_decoder *decoder, const uint32_t *ids, const uint32_t *positions, const float **logits)
{
    const obi_train_model *model = decoder->model;
    obi_cmd *cmd = decoder->cmd;
    uint32_t B = decoder->rows;
    OBI_TRY(put_positions(decoder, positions));
    memcpy(decoder->ids->mapped, ids, (size_t)B * 4);
    OBI_TRY(obi_buffer_flush(decoder->device, decoder->ids, 0, (uint64_t)B * 4));
    obi_cmd_begin(cmd);
    obi_view result = forward(decoder, positions);
    obi_op_dense_fwd(cmd, obi_view_of(decoder->logits), result, &model->params[model->head].w, B);
    obi_cmd_copy(cmd, obi_view_of(decoder->logits_host), obi_view_of(decoder->logits));
    OBI_TRY(obi_cmd_run(cmd));
    OBI_TRY(obi_buffer_invalidate(decoder->device, decoder->logits_host, 0, decoder->logits_host->size));
    *logits = decoder->logits_host->mapped;
    return OBI_OK;
}
