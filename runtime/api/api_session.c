#include <stdlib.h>

#include "api/api_internal.h"
#include "core/alloc.h"
#include "engine/agree.h"
#include "engine/score.h"
#include "engine/state.h"

_Static_assert((int)OB_CACHE_AUTO == 0 && (int)OB_CACHE_F32 == (int)OBI_KV_F32 && (int)OB_CACHE_F16 == (int)OBI_KV_F16 &&
                   (int)OB_CACHE_INT8 == (int)OBI_KV_INT8,
               "ob_session_create passes these on as numbers");

ob_status ob_session_create(ob_session **out, ob_model *model, const ob_session_desc *desc)
{
    static const ob_session_desc usual = { 0 };
    *out = NULL;
    if (!desc) desc = &usual;
    ob_session *session = obi_calloc(1, sizeof *session);
    if (!session) return OB_ERROR_MEMORY;
    session->model = model;
    const ob_sampling *sampling = &desc->sampling;
    obi_session_desc engine = { .context = desc->context,
                                .batch = desc->batch,
                                .kv_type = (int)desc->cache_type, /* the same numbers */
                                .stepped = desc->stepped,
                                .sampling = { .repeat_penalty = sampling->repeat_penalty,
                                              .repeat_last = sampling->repeat_last,
                                              .top_k = sampling->top_k,
                                              .top_p = sampling->top_p,
                                              .min_p = sampling->min_p,
                                              .temperature = sampling->temperature,
                                              .seed = sampling->seed } };
    obi_status status = obi_session_create(model->weights, &engine, &session->engine);
    if (status != OBI_OK) obi_free(session);
    else *out = session;
    return obi_public(status);
}

void ob_session_destroy(ob_session *session)
{
    if (!session) return;
    obi_session_destroy(session->engine);
    obi_free(session);
}

uint32_t ob_session_context(const ob_session *session) { return session->engine->context; }
uint32_t ob_session_position(const ob_session *session) { return session->engine->position; }
ob_status ob_session_feed(ob_session *session, const uint32_t *ids, size_t count)
{
    return obi_public(obi_session_feed(session->engine, ids, count));
}
void ob_session_cancel(ob_session *session) { obi_session_cancel(session->engine); }
ob_status ob_session_rewind(ob_session *session, uint32_t position)
{
    atomic_store(&session->engine->cancelled, false); /* what is asked for from here on is for what follows */
    return obi_public(obi_session_rewind(session->engine, position));
}

ob_status ob_session_sample(ob_session *session, uint32_t *id) { return obi_public(obi_session_sample(session->engine, id)); }
ob_status ob_session_logits(ob_session *session, float *logits) { return obi_public(obi_session_logits(session->engine, logits)); }

ob_status ob_session_push(ob_session *session, const uint32_t *ids, size_t count)
{
    return obi_public(obi_session_push(session->engine, ids, count));
}

ob_status ob_session_step(ob_session *session, uint32_t microseconds, ob_step *step)
{
    _Static_assert((int)OB_STEP_IDLE == (int)OBI_STEP_IDLE && (int)OB_STEP_BUSY == (int)OBI_STEP_BUSY &&
                       (int)OB_STEP_TOKEN == (int)OBI_STEP_TOKEN && (int)OB_STEP_FULL == (int)OBI_STEP_FULL, "the same numbers");
    obi_step_result result;
    obi_status status = obi_session_step(session->engine, microseconds * 1e-6, &result);
    *step = (ob_step){ (ob_step_state)result.state, result.id, result.device_seconds };
    return obi_public(status);
}

ob_status ob_session_score(ob_session *session, const uint32_t *ids, size_t count, double *nll)
{
    return obi_public(obi_session_score(session->engine, ids, count, nll));
}

ob_status ob_session_score_next(ob_session *session, const uint32_t *ids, size_t count, double *nll)
{
    return obi_public(obi_session_score_next(session->engine, ids, count, nll));
}

ob_status ob_session_score_continuations(ob_session *session, const ob_continuation *continuations, size_t count)
{
    obi_branch *branches = obi_calloc(count, sizeof *branches);
    if (!branches) return OB_ERROR_MEMORY;
    for (size_t i = 0; i < count; i++) branches[i] = (obi_branch){ continuations[i].ids, continuations[i].count, continuations[i].nll };
    obi_status status = obi_session_score_branches(session->engine, branches, count);
    obi_free(branches);
    return obi_public(status);
}

ob_status ob_session_agree(ob_session *student, ob_session *teacher, const uint32_t *ids, size_t count, ob_agreement *agreements)
{
    size_t room = count <= student->engine->context ? count : 0; /* more is refused before anything is found */
    obi_agreement *found = obi_calloc(room, sizeof *found);
    if (!found) return OB_ERROR_MEMORY;
    obi_status status = obi_session_agree(student->engine, teacher->engine, ids, count, found);
    for (size_t i = 0; status == OBI_OK && i + 1 < count; i++)
        agreements[i] = (ob_agreement){ found[i].nll, found[i].teacher_nll, found[i].kl, found[i].same };
    obi_free(found);
    return obi_public(status);
}

ob_status ob_session_save(const ob_session *session, void *bytes, size_t room, size_t *count)
{
    return obi_public(obi_session_save(session->engine, bytes, room, count));
}

ob_status ob_session_restore(ob_session *session, const void *bytes, size_t count, unsigned flags)
{
    if (flags & ~(unsigned)OB_RESTORE_FAST) return obi_public(obi_fail(OBI_ERROR_ARGUMENT, "there are no restore flags 0x%x", flags));
    return obi_public(obi_session_restore(session->engine, bytes, count, flags & OB_RESTORE_FAST));
}

void ob_session_profile(ob_session *session, bool on) { obi_cmd_profile(session->engine->cmd, on); }

static int by_falling_seconds(const void *left, const void *right)
{
    const obi_profile_row *a = left, *b = right;
    return a->seconds < b->seconds ? 1 : a->seconds > b->seconds ? -1 : 0;
}

uint32_t ob_session_kernel_times(const ob_session *session, ob_kernel_time *rows, uint32_t room)
{
    obi_profile_row found[OBI_KERNEL_COUNT];
    uint32_t count = obi_cmd_profile_rows(session->engine->cmd, found);
    qsort(found, count, sizeof *found, by_falling_seconds);
    for (uint32_t i = 0; i < count && i < room; i++)
        rows[i] = (ob_kernel_time){ obi_kernels[found[i].kernel].name, found[i].calls, found[i].seconds, found[i].bytes };
    return count;
}
