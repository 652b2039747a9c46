#include "engine/session.h"

#include <string.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "core/log.h"
#include "engine/branches.h"
#include "engine/forward.h"
#include "engine/session_buffers.h"
#include "ops/matrix.h"
#include "ops/op_attn.h"

/* Halves take half of the memory and of what decoding reads; tier A promises nothing but 32-bit words. A software driver
 * has no faster way with halves, and who asks for exact arithmetic keeps all digits. */
obi_kv_type obi_session_kv_type(const obi_device *device)
{
    return device->tier > OBI_TIER_A && !device->caps.software && !device->exact ? OBI_KV_F16 : OBI_KV_F32;
}

/* Multiplications of a token; attention is left out. */
static double token_work(const obi_session *session)
{
    const obi_weights *weights = session->weights;
    double work = (double)weights->parameters;
    for (uint32_t i = 0; i < weights->config.layers * OBI_LINEAR_COUNT; i++) { /* a weight of several planes is as many */
        const obi_linear *linear = &weights->layers[i / OBI_LINEAR_COUNT].linear[i % OBI_LINEAR_COUNT];
        work += (double)(linear->weight.rows - obi_linear_rows(linear)) * linear->weight.columns;
    }
    return work;
}

obi_status obi_session_create(const obi_weights *weights, const obi_session_desc *desc, obi_session **out)
{
    *out = NULL;
    const obi_config *config = &weights->config;
    uint32_t context = desc->context;
    if (context == 0) context = config->context < OBI_CONTEXT_DEFAULT_MAX ? config->context : OBI_CONTEXT_DEFAULT_MAX;
    if (context > config->context)
        return obi_fail(OBI_ERROR_ARGUMENT, "a context of %u positions was asked for and this model was trained for %u", context,
                        config->context);
    if (desc->kv_type < 0 || desc->kv_type > OBI_KV_INT8) return obi_fail(OBI_ERROR_ARGUMENT, "there is no cache type %d", desc->kv_type);
    if (desc->kv_type == OBI_KV_INT8 && !obi_kv_int8_possible(weights->device))
        return obi_fail(OBI_ERROR_ARGUMENT, "%s does not keep keys and values as bytes: its kernels for them do not work; take f16 or f32",
                        weights->device->caps.name);
    uint32_t positions = obi_op_attn_positions_max(weights->device, config->head_size);
    if (context > positions)
        return obi_fail(OBI_ERROR_ARGUMENT,
                        "a context of %u positions was asked for and attention can go through %u; use a smaller context (-c)", context,
                        positions);
    obi_session *session = obi_calloc(1, sizeof *session);
    if (!session) return OBI_ERROR_MEMORY;
    session->weights = weights;
    session->device = weights->device;
    session->context = context;
    session->batch = obi_session_batch_that_fits(weights, desc->batch ? desc->batch : OBI_BATCH_DEFAULT);
    if (session->batch > context) session->batch = context;
    session->kv_type = desc->kv_type ? (obi_kv_type)desc->kv_type : obi_session_kv_type(weights->device);
    session->sampling = desc->sampling;
    session->rng = obi_rng_seed(desc->sampling.seed);
    atomic_init(&session->cancelled, false);
    obi_status status;
    OBI_TRY_GOTO(obi_sampling_resolve(&session->sampling));
    session->candidates = obi_sampling_candidates(&session->sampling);
    if (session->candidates > config->vocabulary) session->candidates = config->vocabulary;
    OBI_TRY_GOTO(obi_ahead_choose(session->device, desc->ahead, &session->ahead.on));
    session->ahead.on = session->ahead.on && session->candidates == 1; /* then the device's choice is the session's */
    session->history = obi_calloc(context, sizeof *session->history);
    session->cuts = obi_calloc(context, sizeof *session->cuts);
    session->k_cache = obi_calloc(config->layers, sizeof(obi_buffer *));
    session->v_cache = obi_calloc(config->layers, sizeof(obi_buffer *));
    if (!session->history || !session->cuts || !session->k_cache || !session->v_cache) {
        status = OBI_ERROR_MEMORY;
        goto done;
    }
    OBI_TRY_GOTO(obi_cmd_create(session->device, &session->cmd));
    session->slow = obi_pace_slow(session->device, &session->token_pace, token_work(session));
    session->ahead.on &= !session->slow;
    OBI_TRY_GOTO(obi_session_buffers_create(session));
    if (desc->stepped) OBI_TRY_GOTO(obi_step_prepare(session));
done:
    if (status != OBI_OK) obi_session_destroy(session);
    else *out = session;
    return status;
}

void obi_session_destroy(obi_session *session)
{
    if (!session) return;
    obi_device *device = session->device;
    if (session->cmd)
        obi_log(OBI_LOG_DEBUG, "the longest submission of the session took %.0f ms", obi_cmd_longest(session->cmd) * 1e3);
    obi_step_destroy(session);
    obi_ahead_destroy(session);
    obi_cmd_destroy(session->cmd);
    obi_buffer *buffers[] = { session->ids,
                              session->position_rows,
                              session->rope_table,
                              session->x,
                              session->normed,
                              session->qkv,
                              session->attended,
                              session->gate_up,
                              session->projected,
                              session->stack,
                              session->last,
                              session->result[0].logits,
                              session->result[0].topk,
                              session->result[0].topk_host,
                              session->result[1].logits,
                              session->result[1].topk,
                              session->result[1].topk_host,
                              session->logits_host,
                              session->topk_scratch,
                              session->score_logits,
                              session->score_host,
                              session->branches.room };
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++) obi_buffer_destroy(device, buffers[i]);
    for (uint32_t i = 0; i < session->weights->config.layers; i++) {
        if (session->k_cache) obi_buffer_destroy(device, session->k_cache[i]);
        if (session->v_cache) obi_buffer_destroy(device, session->v_cache[i]);
    }
    obi_free(session->k_cache);
    obi_free(session->v_cache);
    obi_free(session->history);
    obi_free(session->cuts);
    obi_text_free(&session->generation.text);
    obi_free(session);
}

obi_status obi_session_check_ids(const obi_session *session, const uint32_t *ids, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (ids[i] >= session->weights->config.vocabulary)
            return obi_fail(OBI_ERROR_ARGUMENT, "token %u is not in the model's vocabulary of %u", ids[i],
                            session->weights->config.vocabulary);
    return OBI_OK;
}

obi_view obi_session_position_rows(const obi_session *session, uint32_t slot, uint32_t T)
{
    uint64_t offset = slot == 0 ? 0 : obi_session_position_slot(session) + (slot - 1) * (uint64_t)OBI_BUFFER_ALIGNMENT;
    return (obi_view){ session->position_rows, offset, T * 4ull };
}

obi_status obi_session_put_position_rows(obi_session *session, uint32_t slot, uint32_t T)
{
    if (!session->position_rows) return OBI_OK;
    obi_view view = obi_session_position_rows(session, slot, T);
    for (uint32_t t = 0; t < T; t++) {
        uint32_t row = obi_branches_position(session, t) + OBI_POSITION_OFFSET;
        memcpy((char *)session->position_rows->mapped + view.offset + t * 4ull, &row, 4);
    }
    return obi_buffer_flush(session->device, session->position_rows, view.offset, view.size);
}

obi_status obi_session_put_ids(obi_session *session, const uint32_t *ids, uint32_t T)
{
    float position = (float)session->position; /* exact: positions end long before 2^24 */
    memcpy(session->ids->mapped, ids, (size_t)T * 4);
    memcpy((char *)session->ids->mapped + (size_t)session->batch * 4, &position, 4);
    OBI_TRY(obi_session_put_position_rows(session, 0, T));
    return obi_buffer_flush(session->device, session->ids, 0, (uint64_t)session->batch * 4 + 4);
}

uint32_t obi_session_reach(const obi_session *session)
{
    uint64_t reach = 1;
    while (reach < (uint64_t)session->position + 1) reach *= 2;
    return reach < session->context ? (uint32_t)reach : session->context;
}

void obi_session_record(obi_session *session, uint32_t T, bool last)
{
    obi_forward_inputs inputs = obi_forward_inputs_of(session, T);
    obi_forward_layers(session, T, &inputs);
    if (last) obi_forward_choice(session, T, 0);
}

/* Before the first token, the first few and the first many, which take different kernels: all their pipelines at once. */
static void prepare(obi_session *session, uint32_t T)
{
    bool *prepared = &session->prepared[T == 1 ? 0 : T < OBI_MATRIX_GEMM_TOKENS ? 1 : 2];
    if (*prepared) return;
    *prepared = true;
    obi_cmd_begin_noting(session->cmd);
    obi_session_record(session, T, true); /* the choice, too, which a long prompt's first part is not followed by */
    (void)obi_cmd_prepare(session->cmd); /* what fails here fails again below */
}

/* Submits T tokens, whose ids are in place; `last`: of those fed, so that a choice follows. The commands of a single one are recorded
 * once and submitted again for each token after it. */
static obi_status submit_tokens(obi_session *session, uint32_t T, bool last)
{
    bool keep = T == 1 && last && !session->slow;
    uint32_t reach = obi_session_reach(session);
    if (keep && session->kept_reach == reach && obi_cmd_kept(session->cmd)) return obi_cmd_again(session->cmd);
    prepare(session, T);
    if (keep) obi_cmd_begin_kept(session->cmd);
    else obi_cmd_begin(session->cmd);
    session->kept_reach = reach;
    obi_session_record(session, T, last);
    return obi_cmd_submit(session->cmd);
}

void obi_session_cancel(obi_session *session) { atomic_store(&session->cancelled, true); }

obi_status obi_session_take_cancel(obi_session *session)
{
    return atomic_exchange(&session->cancelled, false) ? obi_fail(OBI_ERROR_CANCELLED, "the call was cancelled") : OBI_OK;
}

obi_status obi_session_end_call(obi_session *session, obi_status status)
{
    if (status == OBI_ERROR_CANCELLED) atomic_store(&session->cancelled, false);
    return status;
}

void obi_session_fed(obi_session *session, const uint32_t *ids, uint32_t T)
{
    uint32_t at = session->position;
    memcpy(session->history + at, ids, (size_t)T * 4);
    memset(session->cuts + at, 0, (size_t)T * 4);
    session->cuts[at] = T;
    session->position += T;
    session->repeats = false;
}

/* After a token alone: one that took long twice in a row is cut from then on, until what its parts take says otherwise. */
static void learn_token(obi_session *session, double seconds)
{
    bool whole = !session->slow, late = seconds > OBI_PACE_SECONDS;
    if (whole && late && session->late) obi_pace_learn(&session->token_pace, token_work(session), seconds);
    session->late = late;
    if (!whole || late) session->slow = obi_pace_slow(session->device, &session->token_pace, token_work(session));
}

static obi_status feed_many(obi_session *session, const uint32_t *ids, size_t count,
                            bool (*progress)(double fraction, const char *what, void *user), void *user)
{
    obi_ahead_drop(session);
    session->current = 0;
    for (size_t done = 0; done < count;) {
        uint32_t T = count - done < session->batch ? (uint32_t)(count - done) : session->batch;
        if (done > 0) OBI_TRY(obi_session_take_cancel(session));
        OBI_TRY(obi_session_put_ids(session, ids + done, T));
        bool first = !session->prepared[0]; /* its pipelines are made, too */
        double start = obi_clock_seconds();
        OBI_TRY(submit_tokens(session, T, done + T == count));
        OBI_TRY(obi_cmd_wait(session->cmd));
        if (T == 1 && !first) learn_token(session, obi_clock_seconds() - start);
        obi_session_fed(session, ids + done, T);
        done += T;
        if (progress && !progress((double)done / (double)count, "reading the prompt", user))
            return obi_fail(OBI_ERROR_CANCELLED, "reading the prompt was cancelled");
    }
    return OBI_OK;
}

/* The session's own choice: submitted ahead already, or now; and before it is waited for, the next. */
static obi_status feed_chosen(obi_session *session)
{
    obi_cmd *cmd = session->cmd;
    if (session->ahead.flying) {
        session->current = 1 - session->current;
        session->ahead.flying = false;
        cmd = session->ahead.cmd[session->current];
    } else {
        session->current = 0;
        OBI_TRY(obi_session_put_ids(session, &session->chosen, 1));
        OBI_TRY(submit_tokens(session, 1, true));
    }
    obi_session_fed(session, &session->chosen, 1);
    obi_ahead_submit(session);
    double start = obi_clock_seconds();
    obi_status status = obi_cmd_wait(cmd);
    if (status == OBI_OK) learn_token(session, obi_clock_seconds() - start);
    if (status != OBI_OK) obi_ahead_drop(session);
    return status;
}

obi_status obi_session_feed(obi_session *session, const uint32_t *ids, size_t count)
{
    return obi_session_feed_part(session, ids, count, NULL, NULL);
}

obi_status obi_session_feed_part(obi_session *session, const uint32_t *ids, size_t count,
                                 bool (*progress)(double fraction, const char *what, void *user), void *user)
{
    if (count == 0) return obi_fail(OBI_ERROR_ARGUMENT, "there is no token to feed");
    if (count > session->context - session->position)
        return obi_fail(
            OBI_ERROR_ARGUMENT,
            "%zu tokens do not fit: the context has %u positions and %u are taken; use a larger context (-c) or a shorter prompt", count,
            session->context, session->position);
    OBI_TRY(obi_session_check_ids(session, ids, count));
    OBI_TRY(obi_session_take_cancel(session));
    obi_step_drop(session);
    uint32_t start = session->position;
    bool chosen = count == 1 && session->chose && ids[0] == session->chosen && session->ahead.on && !session->slow &&
                  !obi_cmd_profiled(session->cmd);
    bool chose = session->chose, repeats = session->repeats;
    session->ready = session->chose = false;
    obi_status status = chosen ? feed_chosen(session) : feed_many(session, ids, count, progress, user);
    session->ready = status == OBI_OK;
    session->on_host = session->candidates == 0;
    if (status != OBI_OK) { /* what was stored beyond it will be overwritten, and what was chosen is still to be fed */
        session->position = start;
        session->chose = chose;
        session->repeats = repeats;
    }
    return obi_session_end_call(session, status);
}

void obi_session_forget_choice(obi_session *session)
{
    obi_step_drop(session);
    obi_ahead_drop(session);
    obi_generation_forget(&session->generation);
    session->ready = session->chose = session->repeats = false;
}

obi_status obi_session_rewind(obi_session *session, uint32_t position)
{
    if (position > session->position)
        return obi_fail(OBI_ERROR_ARGUMENT, "cannot rewind to position %u: only %u tokens were fed", position, session->position);
    obi_session_forget_choice(session);
    session->position = position;
    return OBI_OK;
}

/* Makes the logits available in logits_host. */
static obi_status fetch_logits(obi_session *session)
{
    if (!session->ready) return obi_fail(OBI_ERROR_ARGUMENT, "feed at least one token before asking for the next");
    if (!session->on_host) {
        obi_cmd_begin(session->cmd);
        obi_cmd_copy(session->cmd, obi_view_of(session->logits_host), obi_view_of(session->result[session->current].logits));
        OBI_TRY(obi_cmd_run(session->cmd));
        session->on_host = true;
    }
    return obi_buffer_invalidate(session->device, session->logits_host, 0, session->logits_host->size);
}

obi_status obi_session_logits(obi_session *session, float *logits)
{
    OBI_TRY(fetch_logits(session));
    memcpy(logits, session->logits_host->mapped, (size_t)session->logits_host->size);
    return OBI_OK;
}

static obi_status sample(obi_session *session, uint32_t *id)
{
    if (session->candidates > 0) {
        if (!session->ready) return obi_fail(OBI_ERROR_ARGUMENT, "feed at least one token before asking for the next");
        const obi_buffer *best = session->result[session->current].topk_host;
        OBI_TRY(obi_buffer_invalidate(session->device, best, 0, best->size));
        return obi_sample_candidates(&session->sampling, &session->rng, best->mapped, session->candidates, id);
    }
    uint32_t V = session->weights->config.vocabulary;
    float *logits = obi_calloc(V, sizeof *logits);
    if (!logits) return OBI_ERROR_MEMORY;
    obi_status status = obi_session_logits(session, logits);
    if (status == OBI_OK) status = obi_sample_logits(&session->sampling, &session->rng, logits, V, session->history, session->position, id);
    obi_free(logits);
    return status;
}

obi_status obi_session_sample(obi_session *session, uint32_t *id)
{
    if (!session->repeats) OBI_TRY(sample(session, id));
    else *id = session->chosen;
    session->chosen = *id;
    session->chose = true;
    session->repeats = false;
    return OBI_OK;
}
