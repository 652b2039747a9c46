#include "quant/train/pass.h"

#include <string.h>

#include "core/alloc.h"
#include "ops/matmul.h"
#include "ops/op_attn_bwd.h"
#include "ops/op_bitlinear_bwd.h"
#include "ops/op_embed_bwd.h"
#include "ops/op_norm_bwd.h"
#include "ops/rows_straight.h"

static obi_status make(obi_pass *pass, obi_buffer **buffer, uint64_t elements, obi_memory_kind kind)
{
    if (elements == 0) elements = 1;
    if (elements * 4 > pass->device->caps.storage_range)
        return obi_fail(OBI_ERROR_MEMORY, "a batch of %u x %u tokens needs %llu MiB in one piece and this device can bind %llu",
                        pass->sequences, pass->T, (unsigned long long)(elements * 4 >> 20),
                        (unsigned long long)(pass->device->caps.storage_range >> 20));
    pass->bytes += elements * 4;
    if (pass->measuring) return OBI_OK;
    return obi_buffer_create(pass->device, elements * 4, kind, buffer);
}

static obi_status make_layer(obi_pass *pass, obi_layer_acts *acts)
{
    const obi_config *config = &pass->model->config;
    uint64_t N = pass->N, D = config->width, F = config->ffn;
    uint64_t q_width = (uint64_t)config->heads * config->head_size;
    uint64_t qkv_bytes = obi_attn_parts_bytes(N, config->heads, config->kv_heads, config->head_size);
    OBI_TRY(make(pass, &acts->normed, N * D, OBI_MEMORY_DEVICE));
    OBI_TRY(make(pass, &acts->qkv, qkv_bytes / 4, OBI_MEMORY_DEVICE));
    OBI_TRY(make(pass, &acts->attended, N * q_width, OBI_MEMORY_DEVICE));
    OBI_TRY(make(pass, &acts->middle, N * D, OBI_MEMORY_DEVICE));
    OBI_TRY(make(pass, &acts->normed_ffn, N * D, OBI_MEMORY_DEVICE));
    if (config->family == OBI_FAMILY_LLAMA) {
        OBI_TRY(make(pass, &acts->gate, N * F, OBI_MEMORY_DEVICE));
        OBI_TRY(make(pass, &acts->up, N * F, OBI_MEMORY_DEVICE));
    }
    OBI_TRY(make(pass, &acts->act, N * F, OBI_MEMORY_DEVICE));
    for (int kind = 0; config->onebit && kind < OBI_LINEAR_COUNT; kind++) {
        uint32_t rows, columns;
        if (!obi_config_has_linear(config, kind)) continue;
        obi_config_linear_shape(config, kind, &rows, &columns);
        OBI_TRY(make(pass, &acts->sums[kind], N * rows, OBI_MEMORY_DEVICE));
    }
    return OBI_OK;
}

static obi_status make_rope_table(obi_pass *pass)
{
    const obi_config *config = &pass->model->config;
    uint64_t per_sequence = (uint64_t)pass->T * config->rope_dimensions, count = per_sequence * pass->sequences;
    obi_upload *upload = NULL;
    if (pass->measuring) return make(pass, &pass->rope_table, count, OBI_MEMORY_DEVICE);
    float *table = obi_calloc(count, sizeof *table);
    if (!table) return OBI_ERROR_MEMORY;
    obi_config_rope_table(config, pass->model->rope_factors, 0, pass->T, table);
    for (uint32_t s = 1; s < pass->sequences; s++) memcpy(table + s * per_sequence, table, per_sequence * sizeof *table);
    obi_status status;
    OBI_TRY_GOTO(make(pass, &pass->rope_table, count, OBI_MEMORY_DEVICE));
    OBI_TRY_GOTO(obi_upload_create(pass->device, &upload));
    OBI_TRY_GOTO(obi_upload_bytes(upload, obi_view_of(pass->rope_table), table, count * 4));
done:
    obi_upload_destroy(upload);
    obi_free(table);
    return status;
}

/* What OPT has in place of rotary positions, and around its embedding. */
static obi_status make_opt(obi_pass *pass, uint64_t widest)
{
    const obi_config *config = &pass->model->config;
    bool backward = pass->keeping != OBI_PASS_FORWARD;
    uint64_t N = pass->N;
    uint32_t distinct;
    OBI_TRY(make(pass, &pass->position_rows, N, OBI_MEMORY_UPLOAD));
    if (backward) OBI_TRY(make(pass, &pass->position_plan, OBI_EMBED_PLAN_WORDS(N), OBI_MEMORY_UPLOAD));
    if (backward) OBI_TRY(make(pass, &pass->ones, N * widest, OBI_MEMORY_DEVICE));
    if (config->embedding_width) OBI_TRY(make(pass, &pass->embedded, N * config->embedding_width, OBI_MEMORY_DEVICE));
    if (config->embedding_width) OBI_TRY(make(pass, &pass->normed_last, N * config->width, OBI_MEMORY_DEVICE));
    if (pass->measuring) return OBI_OK;
    uint32_t *rows = pass->position_rows->mapped;
    for (uint64_t t = 0; t < N; t++) rows[t] = (uint32_t)(t % pass->T) + OBI_POSITION_OFFSET;
    OBI_TRY(obi_buffer_flush(pass->device, pass->position_rows, 0, N * 4));
    if (!backward) return OBI_OK;
    OBI_TRY(obi_embed_plan(pass->position_plan->mapped, &distinct, rows, pass->N, obi_config_position_rows(config)));
    return obi_buffer_flush(pass->device, pass->position_plan, 0, pass->position_plan->size);
}

/* Sets of acts. */
static uint32_t layer_sets(const obi_pass *pass) { return pass->keeping == OBI_PASS_KEEP ? pass->model->config.layers : 1; }

static obi_status make_all(obi_pass *pass)
{
    const obi_config *config = &pass->model->config;
    uint64_t N = pass->N, D = config->width, E = obi_config_embedding_width(config), widest = D > E ? D : E;
    for (int kind = 0; kind < OBI_LINEAR_COUNT; kind++) {
        uint32_t rows, columns;
        obi_config_linear_shape(config, kind, &rows, &columns);
        if (rows > widest) widest = rows;
        if (columns > widest) widest = columns;
    }
    pass->x = obi_calloc((size_t)config->layers + 1, sizeof *pass->x);
    pass->layers = obi_calloc(layer_sets(pass), sizeof *pass->layers);
    if (!pass->x || !pass->layers) return OBI_ERROR_MEMORY;
    OBI_TRY(make(pass, &pass->ids, N, OBI_MEMORY_UPLOAD));
    if (config->family == OBI_FAMILY_LLAMA) OBI_TRY(make_rope_table(pass));
    else OBI_TRY(make_opt(pass, widest));
    for (uint32_t i = 0; i <= config->layers; i++) OBI_TRY(make(pass, &pass->x[i], N * D, OBI_MEMORY_DEVICE));
    OBI_TRY(make(pass, &pass->final, N * E, OBI_MEMORY_DEVICE));
    for (uint32_t i = 0; i < layer_sets(pass); i++) OBI_TRY(make_layer(pass, &pass->layers[i]));
    for (int i = 0; i < (pass->keeping == OBI_PASS_FORWARD ? 3 : 4); i++)
        OBI_TRY(make(pass, &pass->wide[i], N * widest, OBI_MEMORY_DEVICE));
    if (pass->keeping == OBI_PASS_FORWARD) return OBI_OK;
    uint64_t qkv_bytes = obi_attn_parts_bytes(N, config->heads, config->kv_heads, config->head_size);
    OBI_TRY(make(pass, &pass->dx, N * D, OBI_MEMORY_DEVICE));
    OBI_TRY(make(pass, &pass->dnormed, N * D, OBI_MEMORY_DEVICE));
    OBI_TRY(make(pass, &pass->dqkv, qkv_bytes / 4, OBI_MEMORY_DEVICE));
    OBI_TRY(make(pass, &pass->stats, obi_attn_stats_bytes(N, config->heads) / 4 + 1, OBI_MEMORY_DEVICE));
    uint64_t folds = obi_column_dot_floats(pass->N, (uint32_t)widest);
    uint64_t norm_folds = obi_op_rmsnorm_bwd_w_scratch_bytes(pass->N, config->width) / 4 + 1;
    return make(pass, &pass->folds, folds > norm_folds ? folds : norm_folds, OBI_MEMORY_DEVICE);
}

static obi_status create(const obi_train_model *model, uint32_t sequences, uint32_t T, obi_pass_keeping keeping, bool measuring,
                         obi_pass **out)
{
    *out = NULL;
    obi_pass *pass = obi_calloc(1, sizeof *pass);
    if (!pass) return OBI_ERROR_MEMORY;
    pass->device = model->device;
    pass->model = model;
    pass->sequences = sequences;
    pass->T = T;
    pass->N = sequences * T;
    pass->keeping = keeping;
    pass->measuring = measuring;
    obi_status status = make_all(pass);
    if (status != OBI_OK) obi_pass_destroy(pass);
    else *out = pass;
    return status;
}

obi_status obi_pass_create(const obi_train_model *model, uint32_t sequences, uint32_t T, obi_pass_keeping keeping, obi_pass **out)
{
    return create(model, sequences, T, keeping, false, out);
}

obi_status obi_pass_measure(const obi_train_model *model, uint32_t sequences, uint32_t T, obi_pass_keeping keeping, uint64_t *bytes)
{
    obi_pass *pass;
    OBI_TRY(create(model, sequences, T, keeping, true, &pass));
    *bytes = pass->bytes;
    obi_pass_destroy(pass);
    return OBI_OK;
}

uint64_t obi_pass_scratch_bytes(const obi_train_model *model, uint32_t sequences, uint32_t T, uint32_t tile)
{
    const obi_device *device = model->device;
    const obi_config *config = &model->config;
    uint32_t N = sequences * T, D = config->width, V = config->vocabulary, E = obi_config_embedding_width(config);
    uint64_t bytes[2 * OBI_LINEAR_COUNT + 8], most = 0;
    size_t count = 0;
    for (int kind = 0; kind < OBI_LINEAR_COUNT; kind++) {
        uint32_t rows, columns;
        if (!obi_config_has_linear(config, kind)) continue;
        obi_config_linear_shape(config, kind, &rows, &columns);
        bytes[count++] = obi_matmul_scratch_bytes(device, rows, columns, N, true);
        bytes[count++] = config->onebit ? 0 : obi_matmul_scratch_bytes(device, N, columns, rows, false);
    }
    bytes[count++] = obi_matmul_scratch_bytes(device, V, E, tile, true);
    bytes[count++] = obi_matmul_scratch_bytes(device, tile, E, V, false);
    for (int out = 0; config->embedding_width && out < 2; out++) {
        bytes[count++] = obi_matmul_scratch_bytes(device, out ? E : D, out ? D : E, N, true);
        bytes[count++] = obi_matmul_scratch_bytes(device, N, out ? D : E, out ? E : D, false);
    }
    bytes[count++] = obi_op_attn_scratch_bytes(device, sequences, T, config->heads, config->kv_heads, config->head_size);
    if (device->caps.straight) bytes[count++] = obi_rows_straight_bytes(N);
    for (size_t i = 0; i < count; i++)
        if (bytes[i] > most) most = bytes[i];
    return most;
}

static void destroy_layer(obi_device *device, obi_layer_acts *acts)
{
    obi_buffer *buffers[] = { acts->normed, acts->qkv, acts->attended, acts->middle, acts->normed_ffn, acts->gate, acts->up, acts->act };
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++) obi_buffer_destroy(device, buffers[i]);
    for (int kind = 0; kind < OBI_LINEAR_COUNT; kind++) obi_buffer_destroy(device, acts->sums[kind]);
}

void obi_pass_destroy(obi_pass *pass)
{
    if (!pass) return;
    obi_device *device = pass->device;
    uint32_t layers = pass->model->config.layers;
    for (uint32_t i = 0; pass->layers && i < layer_sets(pass); i++) destroy_layer(device, &pass->layers[i]);
    for (uint32_t i = 0; pass->x && i <= layers; i++) obi_buffer_destroy(device, pass->x[i]);
    obi_buffer *buffers[] = { pass->ids,           pass->rope_table,    pass->final,    pass->wide[0],     pass->wide[1], pass->wide[2],
                              pass->wide[3],       pass->dx,            pass->dnormed,  pass->dqkv,        pass->stats,   pass->folds,
                              pass->position_rows, pass->position_plan, pass->embedded, pass->normed_last, pass->ones };
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++) obi_buffer_destroy(device, buffers[i]);
    obi_free(pass->layers);
    obi_free(pass->x);
    obi_free(pass);
}

obi_status obi_pass_set_ids(obi_pass *pass, uint32_t sequence, const uint32_t *ids)
{
    memcpy((uint32_t *)pass->ids->mapped + (uint64_t)sequence * pass->T, ids, (size_t)pass->T * 4);
    return obi_buffer_flush(pass->device, pass->ids, (uint64_t)sequence * pass->T * 4, (uint64_t)pass->T * 4);
}
