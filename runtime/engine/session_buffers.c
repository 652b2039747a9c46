#include "engine/session_buffers.h"

#include <inttypes.h>

#include "core/alloc.h"
#include "core/checked.h"
#include "engine/linear.h"
#include "ops/matrix.h"
#include "ops/op_attn.h"
#include "ops/op_bitlinear.h"
#include "ops/op_int8.h"
#include "ops/op_util.h"

static obi_status make(obi_session *session, obi_buffer **buffer, uint64_t elements, obi_memory_kind kind)
{
    return obi_buffer_create(session->device, elements * 4, kind, buffer);
}

static obi_status make_rope_table(obi_session *session)
{
    const obi_config *config = &session->weights->config;
    uint64_t count = (uint64_t)session->context * config->rope_dimensions;
    if (count == 0) return OBI_OK; /* of a model whose positions are not rotary */
    obi_upload *upload = NULL;
    float *table = obi_calloc(count, sizeof *table);
    if (!table) return OBI_ERROR_MEMORY;
    obi_config_rope_table(config, session->weights->rope_factors, 0, session->context, table);
    obi_status status;
    OBI_TRY_GOTO(make(session, &session->rope_table, count, OBI_MEMORY_DEVICE));
    OBI_TRY_GOTO(obi_upload_create(session->device, &upload));
    OBI_TRY_GOTO(obi_upload_bytes(upload, obi_view_of(session->rope_table), table, count * 4));
done:
    obi_upload_destroy(upload);
    obi_free(table);
    return status;
}

/* What the ops of T tokens or fewer take of the cmd's scratch, one after the other: the most counts. */
static uint64_t scratch_needed(const obi_session *session, uint32_t T)
{
    const obi_config *config = &session->weights->config;
    uint64_t most = obi_op_attn_fwd_bytes(session->device, session->kv_type, T, config->heads, config->kv_heads,
                                          config->head_size, session->context);
    for (uint32_t i = 0; i < config->layers * OBI_LINEAR_COUNT; i++) {
        const obi_linear *linear = &session->weights->layers[i / OBI_LINEAR_COUNT].linear[i % OBI_LINEAR_COUNT];
        uint64_t bytes = linear->planes > 0 ? obi_op_bitlinear_scratch_bytes(session->device, &linear->weight, T) : 0;
        if (linear->weight.type == OBI_WEIGHT_I8) bytes = obi_op_int8_scratch_bytes(linear->weight.columns, T);
        if (bytes > most) most = bytes;
    }
    return most;
}

/* Of the wider of the residual stream and the embedding. */
static uint64_t stream_width(const obi_config *config)
{
    return config->embedding_width > config->width ? config->embedding_width : config->width;
}

uint64_t obi_session_position_slot(const obi_session *session) { return obi_align_up(session->batch * 4ull, OBI_BUFFER_ALIGNMENT); }

/* Memory of a session: what its context costs for each position, and the rest. */
static void memory_needed(const obi_session *session, uint64_t *position, uint64_t *rest)
{
    const obi_config *config = &session->weights->config;
    uint64_t B = session->batch, q_width = (uint64_t)config->heads * config->head_size,
             kv_width = (uint64_t)config->kv_heads * config->head_size;
    *position = 4 * (2 * config->layers * obi_kv_words(session->kv_type, kv_width, config->head_size) + config->rope_dimensions);
    *rest = 4 * (B * (config->width + 2 * stream_width(config) + q_width + 2 * (uint64_t)config->ffn + 1) + stream_width(config) +
                 2 * (uint64_t)config->vocabulary) +
            obi_attn_parts_bytes(B, config->heads, config->kv_heads, config->head_size) + scratch_needed(session, session->batch) +
            obi_linear_stack_bytes(session->weights, session->batch);
    if (session->ahead.on) *rest += 4 * (uint64_t)config->vocabulary + 2 * scratch_needed(session, 1);
}

/* Refuses, before anything is allocated, a context that the device cannot bind or has no memory for, and names the largest that fits. */
static obi_status check_context(const obi_session *session)
{
    const obi_config *config = &session->weights->config;
    obi_device *device = session->device;
    uint64_t row = 4 * obi_kv_words(session->kv_type, (uint64_t)config->kv_heads * config->head_size, config->head_size),
             range = device->caps.storage_range;
    uint64_t position, rest, left = obi_memory_left(device);
    const char *halves = session->kv_type == OBI_KV_F32   ? "; keys and values as f16 (--cache-type) take half, as int8 about a quarter"
                         : session->kv_type == OBI_KV_F16 ? "; keys and values as int8 (--cache-type) take about half"
                                                          : "";
    memory_needed(session, &position, &rest);
    if (session->context * row > range)
        return obi_fail(
            OBI_ERROR_ARGUMENT,
            "a context of %u positions needs %.1f MiB for the keys of one layer and this device can bind %.1f MiB: at most %" PRIu64
            " positions (-c)%s",
            session->context, (double)(session->context * row) / 1048576.0, (double)range / 1048576.0, range / row, halves);
    uint64_t needed = session->context * position + rest;
    if (needed <= left) return OBI_OK;
    if (left < rest + position) return obi_memory_fits(device, needed, "the context and its working buffers");
    return obi_fail(OBI_ERROR_MEMORY,
                    "a context of %u positions and its working buffers need %.1f MiB and %s has %.1f MiB left: at most %" PRIu64
                    " positions fit (-c)%s",
                    session->context, (double)needed / 1048576.0, device->caps.unified ? "this machine" : device->caps.name,
                    (double)left / 1048576.0, (left - rest) / position, halves);
}

obi_status obi_session_buffers_create(obi_session *session)
{
    const obi_config *config = &session->weights->config;
    uint64_t B = session->batch, D = config->width, V = config->vocabulary, wide = stream_width(config);
    uint64_t q_width = (uint64_t)config->heads * config->head_size, kv_width = (uint64_t)config->kv_heads * config->head_size;
    uint64_t cache = obi_kv_words(session->kv_type, (uint64_t)session->context * kv_width, config->head_size);
    uint64_t qkv = obi_attn_parts_bytes(B, config->heads, config->kv_heads, config->head_size);
    OBI_TRY(check_context(session));
    OBI_TRY(make(session, &session->ids, B + 3, OBI_MEMORY_UPLOAD));
    if (config->family == OBI_FAMILY_OPT)
        OBI_TRY(obi_buffer_create(session->device, obi_session_position_slot(session) + 2 * OBI_BUFFER_ALIGNMENT, OBI_MEMORY_UPLOAD,
                                  &session->position_rows));
    OBI_TRY(make(session, &session->x, B * D, OBI_MEMORY_DEVICE));
    OBI_TRY(make(session, &session->normed, B * wide, OBI_MEMORY_DEVICE));
    OBI_TRY(make(session, &session->projected, B * wide, OBI_MEMORY_DEVICE));
    OBI_TRY(obi_buffer_create(session->device, qkv + OBI_BUFFER_ALIGNMENT, OBI_MEMORY_DEVICE, &session->qkv));
    OBI_TRY(make(session, &session->attended, B * q_width, OBI_MEMORY_DEVICE));
    OBI_TRY(make(session, &session->gate_up, obi_align_up(B * config->ffn, OBI_BUFFER_ALIGNMENT / 4) * 2, OBI_MEMORY_DEVICE));
    uint64_t stack = obi_linear_stack_bytes(session->weights, session->batch);
    if (stack > 0) OBI_TRY(obi_buffer_create(session->device, stack, OBI_MEMORY_DEVICE, &session->stack));
    OBI_TRY(make(session, &session->last, wide, OBI_MEMORY_DEVICE));
    OBI_TRY(make(session, &session->logits_host, V, OBI_MEMORY_READBACK));
    for (int r = 0; r <= session->ahead.on; r++) {
        OBI_TRY(make(session, &session->result[r].logits, V, OBI_MEMORY_DEVICE));
        OBI_TRY(make(session, &session->result[r].topk, OBI_CANDIDATES_MAX * 2, OBI_MEMORY_DEVICE));
        OBI_TRY(make(session, &session->result[r].topk_host, OBI_CANDIDATES_MAX * 2, OBI_MEMORY_READBACK));
    }
    OBI_TRY(obi_buffer_create(session->device, obi_op_topk_scratch_bytes(config->vocabulary, OBI_CANDIDATES_MAX), OBI_MEMORY_DEVICE,
                              &session->topk_scratch));
    for (uint32_t i = 0; i < config->layers; i++) {
        OBI_TRY(make(session, &session->k_cache[i], cache, OBI_MEMORY_DEVICE));
        OBI_TRY(make(session, &session->v_cache[i], cache, OBI_MEMORY_DEVICE));
    }
    OBI_TRY(obi_cmd_reserve(session->cmd, scratch_needed(session, session->batch))); /* so that it never grows to more than was counted */
    if (session->ahead.on) OBI_TRY(obi_ahead_create(session, scratch_needed(session, 1)));
    return make_rope_table(session);
}

uint32_t obi_session_batch_that_fits(const obi_weights *weights, uint32_t batch)
{
    const obi_config *config = &weights->config;
    uint64_t widest = (uint64_t)config->heads * config->head_size, most;
    if (widest < stream_width(config)) widest = stream_width(config);
    if (widest < config->ffn) widest = config->ffn;
    if (widest < obi_linear_stack_bytes(weights, 1) / 4) widest = obi_linear_stack_bytes(weights, 1) / 4; /* a little more than a token's */
    most = weights->device->caps.storage_range / (widest * 4);
    if (config->int8_rows && most > OBI_LOOP_MAX) most = OBI_LOOP_MAX;
    return batch <= most ? batch : most > 0 ? (uint32_t)most : 1;
}
