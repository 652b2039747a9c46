#include "engine/linear.h"

#include "core/checked.h"
#include "ops/op_bitlinear.h"
#include "ops/op_dense.h"
#include "ops/op_int8.h"
#include "ops/op_planes.h"

double obi_linear_work(const obi_linear *linear, uint32_t count, uint32_t T)
{
    double work = 0;
    for (uint32_t i = 0; i < count; i++) work += (double)linear[i].weight.rows * linear[i].weight.columns * T;
    return work;
}

/* ---- sign planes ------------------------------------------------------------------------------------------------ */

/* Whether its products lie in the session's stack before they are outputs. */
static bool is_stacked(const obi_linear *linear) { return linear->planes > 1 || linear->offset.buffer; }

/* Of T tokens; products of a group each begin where a binding may. */
static uint64_t stacked_bytes(const obi_linear *linear, uint32_t T)
{
    return obi_align_up((uint64_t)linear->weight.rows * T * 4, OBI_BUFFER_ALIGNMENT);
}

uint64_t obi_linear_stack_bytes(const obi_weights *weights, uint32_t T)
{
    static const int groups[][2] = { { OBI_LINEAR_Q, 3 }, { OBI_LINEAR_O, 1 }, { OBI_LINEAR_GATE, 2 }, { OBI_LINEAR_DOWN, 1 } };
    uint64_t most = 0;
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) { /* layers are all alike */
        const obi_linear *linear = &weights->layers[0].linear[groups[i][0]];
        uint64_t bytes = 0;
        for (int j = 0; j < groups[i][1]; j++) bytes += is_stacked(&linear[j]) ? stacked_bytes(&linear[j], T) : 0;
        if (bytes > most) most = bytes;
    }
    return most;
}

static void planes_forward(obi_session *session, const obi_view *y, obi_view x, const obi_linear *linear, uint32_t count, uint32_t T)
{
    obi_bitlinear_part parts[OBI_GROUP_MAX] = { 0 }; /* gcc 12 with sanitizers cannot see that count is not 0 */
    obi_planes_part sums[OBI_PLANES_PARTS];
    uint64_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        obi_view products = { session->stack, at, (uint64_t)linear[i].weight.rows * T * 4 };
        parts[i] = (obi_bitlinear_part){ products, linear[i].scales, &linear[i].weight };
        sums[i] = (obi_planes_part){ y[i], products, linear[i].offset, obi_linear_rows(&linear[i]) };
        at += stacked_bytes(&linear[i], T);
    }
    obi_op_bitlinear_group_fwd(session->cmd, parts, count, x, T);
    obi_op_planes_fwd(session->cmd, sums, count, linear[0].planes, T);
}

/* Of one plane each, whose products are outputs. */
static void signs_forward(obi_session *session, const obi_view *y, obi_view x, const obi_linear *linear, uint32_t count, uint32_t T)
{
    obi_bitlinear_part parts[OBI_GROUP_MAX];
    for (uint32_t i = 0; i < count; i++) parts[i] = (obi_bitlinear_part){ y[i], linear[i].scales, &linear[i].weight };
    obi_op_bitlinear_group_fwd(session->cmd, parts, count, x, T);
}

/* ---- bytes ------------------------------------------------------------------------------------------------------ */

static bool is_bytes(const obi_linear *linear) { return linear->weight.type == OBI_WEIGHT_I8; }

static void bytes_forward(obi_session *session, const obi_view *y, obi_view x, const obi_linear *linear, uint32_t count, uint32_t T)
{
    obi_int8_part parts[OBI_GROUP_MAX];
    for (uint32_t i = 0; i < count; i++) parts[i] = (obi_int8_part){ y[i], &linear[i].weight };
    obi_op_int8_fwd(session->cmd, parts, count, x, T, session->weights->config.int8_threshold);
}

/* ---- any form --------------------------------------------------------------------------------------------------- */

typedef void (*group_forward)(obi_session *session, const obi_view *y, obi_view x, const obi_linear *linear, uint32_t count, uint32_t T);

/* How linears of this form are multiplied, several of one x at once; NULL: one after the other. */
static group_forward group_of(const obi_linear *linear)
{
    if (is_stacked(linear)) return planes_forward;
    if (linear->planes > 0) return signs_forward;
    return is_bytes(linear) ? bytes_forward : NULL;
}

void obi_linear_forward(obi_session *session, obi_view y, obi_view x, const obi_linear *linear, uint32_t T, obi_pace *pace)
{
    group_forward forward = group_of(linear);
    obi_pace_before(pace, obi_linear_work(linear, 1, T));
    if (forward) forward(session, &y, x, linear, 1, T);
    else obi_op_dense_fwd(session->cmd, y, x, &linear->weight, T);
}

void obi_linear_group_forward(obi_session *session, const obi_view *y, obi_view x, const obi_linear *linear, uint32_t count, uint32_t T,
                              obi_pace *pace)
{
    double work = obi_linear_work(linear, count, T);
    group_forward forward = group_of(&linear[0]);
    for (uint32_t i = 1; i < count; i++)
        if (group_of(&linear[i]) != forward) forward = NULL;
    if (forward && work <= pace->budget) {
        obi_pace_before(pace, work);
        forward(session, y, x, linear, count, T);
        return;
    }
    for (uint32_t i = 0; i < count; i++) obi_linear_forward(session, y[i], x, &linear[i], T, pace);
}

bool obi_linear_in_one_step(const obi_linear *linear, uint32_t count, uint32_t T, obi_pace *pace)
{
    double work = obi_linear_work(linear, count, T);
    for (uint32_t i = 0; i < count; i++)
        if (linear[i].planes != 1 || is_stacked(&linear[i])) return false;
    if (count > 1 && work > pace->budget) return false;
    obi_pace_before(pace, work);
    return true;
}
