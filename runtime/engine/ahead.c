#include "engine/ahead.h"

#include <stdlib.h>
#include <string.h>

#include "engine/forward.h"
#include "engine/session.h"

obi_status obi_ahead_choose(const obi_device *device, int wish, bool *on)
{
    const char *forced = getenv("ONEBIT_OVERLAP");
    *on = wish ? wish > 0 : !device->caps.software;
    if (wish || !forced || !forced[0]) return OBI_OK;
    if (strcmp(forced, "0") != 0 && strcmp(forced, "1") != 0)
        return obi_fail(OBI_ERROR_ARGUMENT, "ONEBIT_OVERLAP is \"%.40s\", which is neither 0 nor 1", forced);
    *on = forced[0] == '1';
    return OBI_OK;
}

obi_status obi_ahead_create(obi_session *session, uint64_t scratch)
{
    obi_ahead *ahead = &session->ahead;
    for (int r = 0; r < 2; r++) {
        OBI_TRY(obi_cmd_create(session->device, &ahead->cmd[r]));
        OBI_TRY(obi_cmd_reserve(ahead->cmd[r], scratch));
    }
    return OBI_OK;
}

void obi_ahead_destroy(obi_session *session)
{
    for (int r = 0; r < 2; r++) obi_cmd_destroy(session->ahead.cmd[r]);
    session->ahead = (obi_ahead){ .on = false };
}

/* The whole token, as the session records it for an id of the host's. */
static void record(obi_session *session, uint32_t r, obi_view position)
{
    obi_cmd *own = session->cmd;
    obi_forward_inputs inputs = { .ids = { session->result[1 - r].topk, 0, 4 }, /* the first of a candidate's two words */
                                  .position = position,
                                  .position_rows = obi_session_position_rows(session, 1 + r, 1) };
    session->cmd = session->ahead.cmd[r];
    obi_cmd_begin_kept(session->cmd);
    obi_forward_layers(session, 1, &inputs);
    obi_forward_choice(session, 1, r);
    session->cmd = own;
}

static obi_status submit(obi_session *session)
{
    obi_ahead *ahead = &session->ahead;
    uint32_t r = 1 - session->current, reach = obi_session_reach(session);
    obi_view place = { session->ids, ((uint64_t)session->batch + 1 + r) * 4, 4 }; /* that of the token still at work is the other's */
    float position = (float)session->position;
    memcpy((char *)session->ids->mapped + place.offset, &position, 4);
    OBI_TRY(obi_buffer_flush(session->device, session->ids, place.offset, 4));
    OBI_TRY(obi_session_put_position_rows(session, 1 + r, 1));
    if (ahead->reach[r] == reach && obi_cmd_kept(ahead->cmd[r])) return obi_cmd_again(ahead->cmd[r]);
    ahead->reach[r] = reach;
    record(session, r, place);
    return obi_cmd_submit(ahead->cmd[r]);
}

void obi_ahead_submit(obi_session *session)
{
    obi_ahead *ahead = &session->ahead;
    if (!ahead->on || session->position == session->context) return;
    ahead->flying = submit(session) == OBI_OK;
    ahead->on = ahead->flying; /* what fails once, for memory most likely, is not tried for every token */
}

void obi_ahead_drop(obi_session *session)
{
    obi_ahead *ahead = &session->ahead;
    if (ahead->flying) (void)obi_cmd_wait(ahead->cmd[1 - session->current]); /* a lost device is found by what comes next */
    ahead->flying = false;
}
