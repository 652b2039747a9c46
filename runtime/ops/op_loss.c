#include "ops/op_loss.h"

#include "core/checked.h"
#include "ops/check.h"
#include "ops/op_optim.h"
#include "ops/rows_straight.h"
#include "shaders/common/push_loss.h"

/* A kernel goes over its row at most three times, and counts elements in 32 bits. */
static bool fits(obi_cmd *cmd, const char *op, uint32_t T, uint32_t columns)
{
    return obi_check(cmd, columns / obi_workgroup_size(obi_cmd_device(cmd)) < OBI_LOOP_MAX / 4, op,
                     "the rows are longer than a million elements") &&
           obi_check(cmd, (uint64_t)T * columns <= UINT32_MAX, op, "there are more elements than a kernel can count; take fewer tokens");
}

static obi_dispatch dispatch_of(const obi_device *device, int kernel, const struct obi_push_loss_rows *push)
{
    obi_dispatch dispatch = { .kernel = kernel,
                              .spec = { obi_workgroup_size(device) },
                              .spec_count = 1,
                              .push = push,
                              .push_bytes = sizeof *push };
    obi_fold_groups(device, push->rows, dispatch.groups);
    return dispatch;
}

void obi_op_xent(obi_cmd *cmd, obi_view loss, obi_view logits, obi_view targets, uint32_t T, uint32_t V, float scale)
{
    if (!obi_check_words(cmd, "xent", "loss", loss, T, 1) || !obi_check_words(cmd, "xent", "logits", logits, T, V) ||
        !obi_check_words(cmd, "xent", "targets", targets, T, 1) || !fits(cmd, "xent", T, V))
        return;
    struct obi_push_loss_rows push = { T, V, scale };
    obi_dispatch dispatch = dispatch_of(obi_cmd_device(cmd), OBI_KERNEL_LOSS_XENT, &push);
    dispatch.bindings[0] = obi_writes(loss);
    dispatch.bindings[1] = obi_updates(logits);
    dispatch.bindings[2] = obi_reads(targets);
    dispatch.binding_count = 3;
    dispatch.bytes = (uint64_t)T * V * 8;
    obi_cmd_dispatch(cmd, &dispatch);
}

void obi_op_kd_xent(obi_cmd *cmd, obi_view loss, obi_view student, obi_view teacher, obi_view mask, uint32_t T, uint32_t V, float scale)
{
    if (!obi_check_words(cmd, "kd_xent", "loss", loss, T, 2) || !obi_check_words(cmd, "kd_xent", "the student's logits", student, T, V) ||
        !obi_check_words(cmd, "kd_xent", "the teacher's logits", teacher, T, V) || !obi_check_words(cmd, "kd_xent", "mask", mask, T, 1) ||
        !fits(cmd, "kd_xent", T, V))
        return;
    if (obi_rows_straight_takes(obi_cmd_device(cmd), T, V)) {
        obi_rows_straight_kd(cmd, loss, student, teacher, mask, T, V, scale);
        return;
    }
    struct obi_push_loss_rows push = { T, V, scale };
    obi_dispatch dispatch = dispatch_of(obi_cmd_device(cmd), OBI_KERNEL_LOSS_KD_XENT, &push);
    dispatch.bindings[0] = obi_writes(loss);
    dispatch.bindings[1] = obi_updates(student);
    dispatch.bindings[2] = obi_reads(teacher);
    dispatch.bindings[3] = obi_reads(mask);
    dispatch.binding_count = 4;
    dispatch.bytes = (uint64_t)T * V * 12;
    obi_cmd_dispatch(cmd, &dispatch);
}

/* The sum and the partial sums of obi_op_sumsq, each on a boundary. */
uint64_t obi_op_hidden_scratch_bytes(uint32_t T, uint32_t D)
{
    return OBI_BUFFER_ALIGNMENT + obi_op_sumsq_scratch_bytes((uint64_t)T * D);
}

void obi_op_hidden(obi_cmd *cmd, obi_view loss, obi_view dh, obi_view student, obi_view teacher, obi_view scratch, uint32_t T, uint32_t D,
                   float scale, obi_hidden_kind kind)
{
    uint64_t scratch_bytes = obi_op_hidden_scratch_bytes(T, D);
    if (!obi_check_words(cmd, "hidden", "loss", loss, (uint64_t)T + 1, 1) || !obi_check_words(cmd, "hidden", "dh", dh, T, D) ||
        !obi_check_words(cmd, "hidden", "the student's states", student, T, D) ||
        !obi_check_words(cmd, "hidden", "the teacher's states", teacher, T, D) ||
        !obi_check(cmd, kind == OBI_HIDDEN_COS || kind == OBI_HIDDEN_MSE, "hidden", "there is no such kind") || !fits(cmd, "hidden", T, D))
        return;
    if (kind == OBI_HIDDEN_MSE) {
        if (!obi_check_words(cmd, "hidden", "scratch", scratch, scratch_bytes / 4, 1)) return;
        obi_view sum = { scratch.buffer, scratch.offset, 8 };
        obi_view partial = { scratch.buffer, scratch.offset + OBI_BUFFER_ALIGNMENT, scratch_bytes - OBI_BUFFER_ALIGNMENT };
        obi_op_sumsq(cmd, sum, partial, teacher, (uint64_t)T * D, false);
        obi_view last = { loss.buffer, loss.offset + (uint64_t)T * 4, 4 };
        obi_cmd_copy(cmd, last, sum);
    }
    if (obi_rows_straight_takes(obi_cmd_device(cmd), T, D)) {
        obi_rows_straight_hidden(cmd, loss, dh, student, teacher, T, D, scale, kind == OBI_HIDDEN_COS);
        return;
    }
    struct obi_push_loss_rows push = { T, D, scale };
    obi_dispatch dispatch = dispatch_of(obi_cmd_device(cmd), OBI_KERNEL_LOSS_HIDDEN, &push);
    dispatch.spec[dispatch.spec_count++] = (uint32_t)kind;
    dispatch.bindings[0] = obi_updates(loss);
    dispatch.bindings[1] = obi_updates(dh);
    dispatch.bindings[2] = obi_reads(student);
    dispatch.bindings[3] = obi_reads(teacher);
    dispatch.binding_count = 4;
    dispatch.bytes = (uint64_t)T * D * 16;
    obi_cmd_dispatch(cmd, &dispatch);
}
