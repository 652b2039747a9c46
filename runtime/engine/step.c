#include "engine/step.h"

#include <string.h>

#include "core/alloc.h"
#include "engine/ahead.h"
#include "engine/session.h"
#include "ops/matrix.h"

#define BATCH_FIRST OBI_MATRIX_GEMM_TOKENS
#define BATCH_MAX 32u /* more make dispatches that no frame has time for, but for the smallest models */
#define MARGIN 0.8    /* of what a piece may take is filled with what it will take, as it goes */

static uint32_t batch_max(const obi_session *session) { return session->batch < BATCH_MAX ? session->batch : BATCH_MAX; }

void obi_step_destroy(obi_session *session)
{
    obi_step *step = &session->step;
    obi_step_drop(session);
    obi_slice_destroy(session->device, step->slice);
    obi_free(step->pending);
    memset(step, 0, sizeof *step);
}

void obi_step_drop(obi_session *session)
{
    obi_step *step = &session->step;
    if (step->flying) (void)obi_cmd_wait(session->cmd); /* a lost device is found by what comes next */
    step->flying = false;
    step->count = step->fed = 0;
    step->T = 0;
}

/* ---- what is pending ------------------------------------------------------------------------------------------------ */

/* Room for `more` ids behind those not yet in the cache, which move to the front. */
static obi_status make_room(obi_step *step, size_t more)
{
    size_t left = step->count - step->fed;
    if (step->fed > 0) memmove(step->pending, step->pending + step->fed, left * sizeof *step->pending);
    step->count = left;
    step->fed = 0;
    if (left + more <= step->room) return OBI_OK;
    size_t room = left + more + 64;
    uint32_t *grown = obi_realloc(step->pending, room, sizeof *grown);
    if (!grown) return OBI_ERROR_MEMORY;
    step->pending = grown;
    step->room = room;
    return OBI_OK;
}

static obi_status make_slice(obi_session *session)
{
    obi_step *step = &session->step;
    if (step->slice) return OBI_OK;
    step->batch = session->batch < BATCH_FIRST ? session->batch : BATCH_FIRST;
    return obi_slice_create(session->device, &step->slice);
}

obi_status obi_session_push(obi_session *session, const uint32_t *ids, size_t count)
{
    obi_step *step = &session->step;
    if (count == 0) return obi_fail(OBI_ERROR_ARGUMENT, "there is no token to feed");
    size_t taken = (size_t)session->position + (step->count - step->fed);
    if (count > session->context - taken)
        return obi_fail(OBI_ERROR_ARGUMENT, "%zu tokens do not fit: the context has %u positions and %zu are taken or waited for", count,
                        session->context, taken);
    OBI_TRY(obi_session_check_ids(session, ids, count));
    obi_generation_forget(&session->generation);
    OBI_TRY(make_slice(session));
    OBI_TRY(make_room(step, count));
    if (!step->flying && step->T == 0) obi_ahead_drop(session);
    memcpy(step->pending + step->count, ids, count * sizeof *ids);
    step->count += count;
    return OBI_OK;
}

/* ---- a piece ---------------------------------------------------------------------------------------------------------- */

static obi_status submit_piece(obi_session *session, double seconds)
{
    obi_step *step = &session->step;
    bool last = step->fed + step->T == step->count;
    unsigned kernels = atomic_load(&session->device->kernels_changed);
    if (kernels != step->kernels) step->next = 0; /* by a self-test, or a load that found a kernel wrong: from the start again */
    step->kernels = kernels;
    obi_slice_set(step->slice, step->next, seconds * MARGIN);
    obi_cmd_begin_slice(session->cmd, step->slice);
    obi_session_record(session, step->T, last);
    OBI_TRY(obi_cmd_submit(session->cmd));
    step->flying = true;
    return OBI_OK;
}

static obi_status begin_batch(obi_session *session)
{
    obi_step *step = &session->step;
    if (step->T > 0) return OBI_OK; /* it has begun */
    size_t left = step->count - step->fed;
    OBI_TRY(obi_session_put_ids(session, step->pending + step->fed, left < step->batch ? (uint32_t)left : step->batch));
    step->T = left < step->batch ? (uint32_t)left : step->batch;
    step->next = 0;
    step->longest = 0;
    session->current = 0;
    session->ready = session->chose = false;
    return OBI_OK;
}

/* As many tokens at once as the longest command of a batch allows. A short rest of a prompt says nothing. */
static void adapt_batch(obi_session *session, double seconds)
{
    obi_step *step = &session->step;
    if (step->T != step->batch) return;
    bool late = step->longest > seconds;
    if (late && step->late && step->batch > 1) step->batch /= 2; /* once may be chance */
    step->late = late;
    if (!(step->longest > 0) || step->longest > seconds / 4 || step->batch * 2 > batch_max(session)) return;
    step->batch *= 2;
    obi_slice_scale(step->slice, 2); /* a batch reads the same weights, and the bytes say little about it */
}

/* What a piece that is done leaves to do. */
static void finish_piece(obi_session *session, double seconds)
{
    obi_step *step = &session->step;
    step->flying = false;
    step->next = obi_slice_end(step->slice);
    if (obi_slice_longest(step->slice) > step->longest) step->longest = obi_slice_longest(step->slice);
    if (!obi_slice_at_end(step->slice)) return;
    obi_session_fed(session, step->pending + step->fed, step->T);
    step->fed += step->T;
    adapt_batch(session, seconds);
    step->T = 0;
    if (step->fed < step->count) return;
    session->ready = true;
    session->on_host = session->candidates == 0;
}

static obi_status go_on(obi_session *session, double seconds, obi_step_result *result)
{
    obi_step *step = &session->step;
    if (step->flying) {
        bool done;
        OBI_TRY(obi_cmd_poll(session->cmd, &done));
        if (!done) return OBI_OK;
        finish_piece(session, seconds);
        result->device_seconds = obi_slice_seconds(step->slice);
    }
    if (step->T == 0 && step->fed == step->count) { /* all is fed: the next token */
        OBI_TRY(make_room(step, 1));
        OBI_TRY(obi_session_sample(session, &result->id));
        result->state = OBI_STEP_TOKEN;
        if (session->position == session->context) return OBI_OK;
        step->pending[step->count++] = result->id;
    }
    obi_status status = begin_batch(session);
    if (status == OBI_OK) status = submit_piece(session, seconds);
    return result->state == OBI_STEP_TOKEN ? OBI_OK : status; /* the token is there; what failed will fail again */
}

obi_status obi_session_step(obi_session *session, double seconds, obi_step_result *result)
{
    obi_step *step = &session->step;
    *result = (obi_step_result){ .state = OBI_STEP_IDLE };
    if (!step->slice || (!step->flying && step->T == 0 && step->fed == step->count)) {
        if (session->position == session->context) result->state = OBI_STEP_FULL;
        return OBI_OK;
    }
    result->state = OBI_STEP_BUSY;
    obi_status status = obi_session_take_cancel(session);
    if (status == OBI_OK) status = go_on(session, seconds, result);
    if (status != OBI_OK) {
        obi_step_drop(session);
        session->ready = session->chose = false;
        result->state = OBI_STEP_IDLE;
    }
    return status;
}

/* ---- pipelines -------------------------------------------------------------------------------------------------------- */

/* Runs T tokens, whatever they are, as if `position` were fed: nothing stays of it. In long pieces, as they are waited for. */
static obi_status rehearse(obi_session *session, uint32_t T, uint32_t position)
{
    obi_slice *slice = session->step.slice;
    obi_status status = OBI_OK;
    uint32_t next = 0;
    session->position = position;
    const uint32_t zeros[BATCH_MAX] = { 0 };
    status = obi_session_put_ids(session, zeros, T);
    do {
        if (status == OBI_OK) {
            obi_slice_set(slice, next, OBI_PACE_SECONDS);
            obi_cmd_begin_slice(session->cmd, slice);
            obi_session_record(session, T, true);
            status = obi_cmd_run(session->cmd);
            next = obi_slice_end(slice);
        }
    } while (status == OBI_OK && !obi_slice_at_end(slice));
    session->position = 0;
    return status;
}

/* Each twice, as the first time of a kernel is not like the others. A software driver compiles a kernel when it first runs, so there all of
 * them do. */
static obi_status rehearse_all(obi_session *session)
{
    bool software = session->device->caps.software;
    for (uint32_t T = 1; T <= batch_max(session) && (software || T <= BATCH_FIRST); T = T == 1 ? 2 : T == 2 ? BATCH_FIRST : T * 2)
        for (int round = 0; round < 2; round++) OBI_TRY(rehearse(session, T, 0));
    for (uint64_t reach = 2; software && reach <= session->context; reach *= 2) OBI_TRY(rehearse(session, 1, (uint32_t)reach - 1));
    return OBI_OK;
}

obi_status obi_step_prepare(obi_session *session)
{
    OBI_TRY(make_slice(session));
    obi_cmd_begin_noting(session->cmd);
    for (uint64_t reach = 1; reach <= session->context; reach *= 2) /* what attention takes depends on the position */
        for (uint32_t T = 1; T <= batch_max(session); T = T < OBI_MATRIX_GEMM_TOKENS ? T + 1 : T * 2) {
            session->position = (uint32_t)reach - 1;
            if (session->position + T > session->context) continue;
            obi_session_record(session, T, true);
        }
    session->position = 0;
    OBI_TRY(obi_cmd_prepare(session->cmd));
    return rehearse_all(session);
}
