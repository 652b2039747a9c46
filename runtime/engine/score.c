#include "engine/score.h"

#include <string.h>

#include "core/alloc.h"
#include "engine/branches.h"
#include "engine/distribution.h"
#include "engine/forward.h"

/* Logits that scoring keeps on the device at once. */
#define SCORE_BYTES_MAX (64ull << 20)

static obi_status prepare_scoring(obi_session *session)
{
    if (session->score_logits) return OBI_OK;
    uint64_t V = session->weights->config.vocabulary, limit = SCORE_BYTES_MAX;
    if (limit > session->device->caps.storage_range) limit = session->device->caps.storage_range;
    uint64_t rows = limit / (V * 4);
    if (rows > session->batch) rows = session->batch;
    if (rows == 0) rows = 1;
    session->score_rows = (uint32_t)rows;
    if (!session->score_host) /* kept if the next failed */
        OBI_TRY(obi_buffer_create(session->device, rows * V * 4, OBI_MEMORY_READBACK, &session->score_host));
    return obi_buffer_create(session->device, rows * V * 4, OBI_MEMORY_DEVICE, &session->score_logits);
}

obi_status obi_session_score_begin(obi_session *session, const uint32_t *ids, size_t count)
{
    if (count < 2) return obi_fail(OBI_ERROR_ARGUMENT, "scoring needs at least two tokens");
    if (count > session->context)
        return obi_fail(OBI_ERROR_ARGUMENT, "%zu tokens do not fit into a context of %u positions", count, session->context);
    OBI_TRY(obi_session_check_ids(session, ids, count));
    OBI_TRY(obi_session_take_cancel(session));
    OBI_TRY(prepare_scoring(session));
    obi_session_forget_choice(session);
    session->position = 0;
    return OBI_OK;
}

/* Runs T tokens, whose ids are in place, up to their logits on the host. */
static obi_status run_rows(obi_session *session, uint32_t T, const float **rows)
{
    const obi_config *config = &session->weights->config;
    obi_view logits = obi_view_rows(session->score_logits, 0, T, config->vocabulary);
    obi_view host = obi_view_rows(session->score_host, 0, T, config->vocabulary);
    obi_cmd_begin(session->cmd);
    obi_forward_inputs inputs = obi_forward_inputs_of(session, T);
    obi_forward_layers(session, T, &inputs);
    obi_forward_head(session, logits, obi_view_rows(session->normed, 0, T, obi_config_embedding_width(config)), T);
    obi_cmd_copy(session->cmd, host, logits);
    OBI_TRY(obi_cmd_run(session->cmd));
    OBI_TRY(obi_buffer_invalidate(session->device, session->score_host, 0, host.size));
    *rows = session->score_host->mapped;
    return OBI_OK;
}

obi_status obi_session_score_rows(obi_session *session, const uint32_t *ids, uint32_t T, const float **rows)
{
    obi_status status;
    OBI_TRY_GOTO(obi_session_take_cancel(session));
    OBI_TRY_GOTO(obi_session_put_ids(session, ids, T));
    OBI_TRY_GOTO(run_rows(session, T, rows));
    obi_session_fed(session, ids, T);
done:
    if (status != OBI_OK) session->position = 0;
    return obi_session_end_call(session, status);
}

static double nll_of(const float *logits, uint32_t V, uint32_t id) { return obi_log_partition(logits, V) - (double)logits[id]; }

/* The rows of ids[0 .. count-2] in batches, and what each says of the id behind it. */
static obi_status score_ids(obi_session *session, const uint32_t *ids, size_t count, double *nll)
{
    uint32_t V = session->weights->config.vocabulary;
    for (size_t done = 0; done < count - 1;) { /* the last id is only predicted, never fed */
        size_t left = count - 1 - done;
        uint32_t T = left < session->score_rows ? (uint32_t)left : session->score_rows;
        const float *rows;
        OBI_TRY(obi_session_score_rows(session, ids + done, T, &rows));
        for (uint32_t t = 0; t < T; t++) {
            nll[done + t] = nll_of(rows + (uint64_t)t * V, V, ids[done + t + 1]);
        }
        done += T;
    }
    return OBI_OK;
}

obi_status obi_session_score(obi_session *session, const uint32_t *ids, size_t count, double *nll)
{
    OBI_TRY(obi_session_score_begin(session, ids, count));
    return score_ids(session, ids, count, nll);
}

obi_status obi_session_score_next(obi_session *session, const uint32_t *ids, size_t count, double *nll)
{
    if (count < 2) return obi_fail(OBI_ERROR_ARGUMENT, "scoring needs at least two tokens");
    if (count - 1 > session->context - session->position)
        return obi_fail(OBI_ERROR_ARGUMENT, "%zu tokens do not fit: the context has %u positions and %u are taken", count - 1,
                        session->context, session->position);
    OBI_TRY(obi_session_check_ids(session, ids, count));
    OBI_TRY(obi_session_take_cancel(session));
    OBI_TRY(prepare_scoring(session));
    uint32_t start = session->position;
    obi_session_forget_choice(session);
    obi_status status = score_ids(session, ids, count, nll);
    if (status != OBI_OK) session->position = start; /* what was stored beyond it will be overwritten */
    return status;
}

/* ---- several continuations --------------------------------------------------------------------------------------------- */

static obi_status check_branches(const obi_session *session, const obi_branch *branches, size_t count)
{
    if (count == 0) return obi_fail(OBI_ERROR_ARGUMENT, "there is no continuation to score");
    for (size_t i = 0; i < count; i++) {
        if (branches[i].count == 0) return obi_fail(OBI_ERROR_ARGUMENT, "continuation %zu has no token", i);
        if (branches[i].count - 1 > session->context - session->position)
            return obi_fail(OBI_ERROR_ARGUMENT, "%zu tokens of continuation %zu do not fit: the context has %u positions and %u are taken",
                            branches[i].count - 1, i, session->context, session->position);
        OBI_TRY(obi_session_check_ids(session, branches[i].ids, branches[i].count));
    }
    return OBI_OK;
}

/* How many from the first on go into a pass; *tokens is what they feed. 0: the first has more than a pass takes. And none where a token's
 * result depends on those beside it (ops/op_int8.h). */
static uint32_t group_of(const obi_session *session, const obi_branch *branches, size_t count, uint32_t *tokens)
{
    uint32_t some = 0;
    *tokens = 0;
    if (session->weights->config.int8_rows) return 0;
    while (some < count && some < OBI_BRANCHES_MAX && branches[some].count - 1 <= session->score_rows - *tokens)
        *tokens += (uint32_t)branches[some++].count - 1;
    return some;
}

/* One pass of `count` branches, all of which have something to feed. */
static obi_status score_group(obi_session *session, const obi_branch *const *branches, uint32_t count, uint32_t T, uint32_t *ids)
{
    uint32_t V = session->weights->config.vocabulary, tokens[OBI_BRANCHES_MAX], at = 0;
    const float *rows;
    for (uint32_t i = 0; i < count; at += tokens[i++]) {
        tokens[i] = (uint32_t)branches[i]->count - 1;
        memcpy(ids + at, branches[i]->ids, tokens[i] * sizeof *ids);
    }
    OBI_TRY(obi_session_take_cancel(session));
    obi_branches_begin(session, tokens, count);
    obi_status status = obi_session_put_ids(session, ids, T);
    if (status == OBI_OK) status = run_rows(session, T, &rows);
    obi_branches_end(session);
    if (status != OBI_OK) return status;
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t t = 0; t < tokens[i]; t++, rows += V) branches[i]->nll[t] = nll_of(rows, V, branches[i]->ids[t + 1]);
    return OBI_OK;
}

/* Those of a pass that feed anything; a single one needs nothing of the rest. */
static obi_status score_some(obi_session *session, const obi_branch *branches, uint32_t count, uint32_t T, uint32_t *ids)
{
    const obi_branch *feeding[OBI_BRANCHES_MAX];
    uint32_t some = 0;
    for (uint32_t i = 0; i < count; i++)
        if (branches[i].count > 1) feeding[some++] = &branches[i];
    if (some == 0) return OBI_OK;
    if (some == 1) return score_ids(session, feeding[0]->ids, feeding[0]->count, feeding[0]->nll);
    return score_group(session, feeding, some, T, ids);
}

obi_status obi_session_score_branches(obi_session *session, const obi_branch *branches, size_t count)
{
    OBI_TRY(check_branches(session, branches, count));
    OBI_TRY(obi_session_take_cancel(session));
    OBI_TRY(prepare_scoring(session));
    OBI_TRY(obi_branches_prepare(session));
    uint32_t start = session->position, *ids = obi_calloc(session->score_rows, sizeof *ids);
    if (!ids) return OBI_ERROR_MEMORY;
    obi_session_forget_choice(session);
    obi_status status = OBI_OK;
    for (size_t done = 0; done < count && status == OBI_OK;) {
        uint32_t T, some = group_of(session, branches + done, count - done, &T);
        if (some > 0) status = score_some(session, branches + done, some, T, ids);
        else status = score_ids(session, branches[done].ids, branches[done].count, branches[done].nll);
        session->position = start; /* what was stored beyond it will be overwritten */
        done += some > 0 ? some : 1;
    }
    obi_free(ids);
    return obi_session_end_call(session, status);
}
