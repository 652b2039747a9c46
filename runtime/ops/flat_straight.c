#include "ops/flat_straight.h"

#include "ops/straight.h"
#include "shaders/common/push_optim.h"
#include "shaders/common/push_svid.h"

#define WORKGROUP 128u
#define GROUP_ELEMENTS 1024u /* 16 subgroups of 64 */
#define PACK_ELEMENTS 4096u  /* 16 subgroups of 8 words */
#define SUM_ELEMENTS 1024u   /* of a subgroup */
#define SUM_GROUPS 1024u     /* subgroups of a dispatch */
#define AXIS 256u            /* workgroups along x, and along y: what two digits of the kernels can count */

/* The elements of the dispatch, `elements` a workgroup, that begins at `first`: one row of workgroups, or whole rows
 * of AXIS of them. 0: no workgroup is left. */
static uint64_t next(const obi_cmd *cmd, uint64_t first, uint64_t count, uint32_t elements, uint32_t groups[3])
{
    uint64_t left = (count - first) / elements;
    if (!obi_cmd_device(cmd)->caps.straight || left == 0) return 0;
    groups[0] = left < AXIS ? (uint32_t)left : AXIS;
    groups[1] = left < AXIS ? 1 : left / AXIS < AXIS ? (uint32_t)(left / AXIS) : AXIS;
    groups[2] = 1;
    return (uint64_t)groups[0] * groups[1] * elements;
}

uint64_t obi_flat_straight_adamw(obi_cmd *cmd, obi_view w, obi_view dw, obi_view m, obi_view v, uint64_t count, const obi_adamw *step)
{
    uint64_t done = 0, some;
    obi_dispatch dispatch = { .kernel = OBI_KERNEL_OPTIM_ADAMW_STRAIGHT, .spec = { WORKGROUP }, .spec_count = 1, .binding_count = 4 };
    while ((some = next(cmd, done, count, GROUP_ELEMENTS, dispatch.groups)) > 0) {
        obi_view w_part = obi_view_part(w, done, some), dw_part = obi_view_part(dw, done, some), m_part = obi_view_part(m, done, some),
                 v_part = obi_view_part(v, done, some);
        struct obi_push_optim_adamw_straight push = { .lr = step->lr,
                                                      .beta1 = step->beta1,
                                                      .beta2 = step->beta2,
                                                      .eps = step->eps,
                                                      .lr_decay = step->lr * step->weight_decay,
                                                      .c1 = step->c1,
                                                      .c2 = step->c2,
                                                      .grad_scale = step->grad_scale };
        obi_straight_address(w_part, &push.w_low, &push.w_high);
        obi_straight_address(dw_part, &push.dw_low, &push.dw_high);
        obi_straight_address(m_part, &push.m_low, &push.m_high);
        obi_straight_address(v_part, &push.v_low, &push.v_high);
        obi_straight_digits(push.digit);
        dispatch.push = &push;
        dispatch.push_bytes = sizeof push;
        dispatch.bindings[0] = obi_updates(w_part);
        dispatch.bindings[1] = obi_updates(m_part);
        dispatch.bindings[2] = obi_updates(v_part);
        dispatch.bindings[3] = obi_reads(dw_part);
        dispatch.bytes = 28 * some;
        obi_cmd_dispatch(cmd, &dispatch);
        done += some;
    }
    return done;
}

uint64_t obi_flat_straight_estimator(obi_cmd *cmd, obi_view dw, obi_view w, uint64_t count, obi_estimator_kind kind, float alpha)
{
    uint64_t done = 0, some;
    obi_dispatch dispatch = {
        .kernel = OBI_KERNEL_OPTIM_ESTIMATOR_STRAIGHT, .spec = { WORKGROUP, (uint32_t)kind }, .spec_count = 2, .binding_count = 2
    };
    while ((some = next(cmd, done, count, GROUP_ELEMENTS, dispatch.groups)) > 0) {
        obi_view w_part = obi_view_part(w, done, some), dw_part = obi_view_part(dw, done, some);
        struct obi_push_optim_estimator_straight push = { .alpha = alpha };
        obi_straight_address(w_part, &push.w_low, &push.w_high);
        obi_straight_address(dw_part, &push.dw_low, &push.dw_high);
        obi_straight_digits(push.digit);
        dispatch.push = &push;
        dispatch.push_bytes = sizeof push;
        dispatch.bindings[0] = obi_updates(dw_part);
        dispatch.bindings[1] = obi_reads(w_part);
        dispatch.bytes = 12 * some;
        obi_cmd_dispatch(cmd, &dispatch);
        done += some;
    }
    return done;
}

uint64_t obi_flat_straight_sumsq(obi_cmd *cmd, obi_view scratch, obi_view x, uint64_t count, uint32_t *groups)
{
    uint64_t blocks = obi_cmd_device(cmd)->caps.straight ? count / SUM_ELEMENTS : 0;
    *groups = (uint32_t)(blocks < SUM_GROUPS ? (blocks + 15) / 16 * 16 : SUM_GROUPS);
    for (uint64_t block = 0; block < blocks; block += SUM_GROUPS) { /* later ones add to the same sums */
        uint32_t some = blocks - block < SUM_GROUPS ? (uint32_t)(blocks - block) : SUM_GROUPS;
        obi_view sums = obi_view_part(scratch, 0, 2ull * *groups);
        obi_view part = obi_view_part(x, block * SUM_ELEMENTS, (uint64_t)some * SUM_ELEMENTS);
        struct obi_push_optim_sumsq_straight push = { .blocks = some, .accumulate = block > 0 };
        obi_straight_address(sums, &push.partial_low, &push.partial_high);
        obi_straight_address(part, &push.x_low, &push.x_high);
        obi_straight_digits(push.digit);
        obi_dispatch dispatch = { .kernel = OBI_KERNEL_OPTIM_SUMSQ_STRAIGHT,
                                  .spec = { WORKGROUP },
                                  .spec_count = 1,
                                  .groups = { (some + 15) / 16, 1, 1 },
                                  .push = &push,
                                  .push_bytes = sizeof push,
                                  .bindings = { obi_updates(sums), obi_reads(part) },
                                  .binding_count = 2,
                                  .bytes = part.size };
        obi_cmd_dispatch(cmd, &dispatch);
    }
    return blocks * SUM_ELEMENTS;
}

bool obi_flat_straight_sign_pack(obi_cmd *cmd, obi_view words, obi_view w, uint64_t count)
{
    if (!obi_cmd_device(cmd)->caps.straight || count % PACK_ELEMENTS != 0) return false;
    obi_dispatch dispatch = { .kernel = OBI_KERNEL_SVID_SIGN_PACK_STRAIGHT, .spec = { WORKGROUP }, .spec_count = 1, .binding_count = 2 };
    uint64_t done = 0, some;
    while ((some = next(cmd, done, count, PACK_ELEMENTS, dispatch.groups)) > 0) {
        obi_view words_part = obi_view_part(words, done / 32, some / 32), w_part = obi_view_part(w, done, some);
        struct obi_push_svid_sign_pack_straight push = { 0 };
        obi_straight_address(w_part, &push.w_low, &push.w_high);
        obi_straight_digits(push.digit);
        dispatch.push = &push;
        dispatch.push_bytes = sizeof push;
        dispatch.bindings[0] = obi_writes(words_part);
        dispatch.bindings[1] = obi_reads(w_part);
        dispatch.bytes = w_part.size + words_part.size;
        obi_cmd_dispatch(cmd, &dispatch);
        done += some;
    }
    return true;
}
