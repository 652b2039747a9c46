#include "ops/op_norm.h"

#include "ops/check.h"
#include "ops/rows_straight.h"
#include "shaders/common/push_norm.h"

/* A kernel goes over its row at most three times, and a lane's loops must stay below OBI_LOOP_MAX in all. */
static bool fits(obi_cmd *cmd, const char *op, uint32_t n)
{
    return obi_check(cmd, n / obi_workgroup_size(obi_cmd_device(cmd)) < OBI_LOOP_MAX / 4, op,
                     "the rows are longer than a million elements");
}

void obi_op_rmsnorm_fwd(obi_cmd *cmd, obi_view y, obi_view x, obi_view w, uint32_t T, uint32_t n, float eps)
{
    if (!obi_check_words(cmd, "rmsnorm", "y", y, T, n) || !obi_check_words(cmd, "rmsnorm", "x", x, T, n) ||
        !obi_check_words(cmd, "rmsnorm", "w", w, 1, n) || !fits(cmd, "rmsnorm", n))
        return;
    if (obi_rows_straight_takes(obi_cmd_device(cmd), T, n)) {
        obi_rows_straight_rmsnorm(cmd, y, x, w, T, n, eps);
        return;
    }
    struct obi_push_norm_rmsnorm push = { T, n, eps };
    obi_dispatch dispatch = { .kernel = OBI_KERNEL_NORM_RMSNORM_FWD,
                              .spec = { obi_workgroup_size(obi_cmd_device(cmd)) },
                              .spec_count = 1,
                              .push = &push,
                              .push_bytes = sizeof push,
                              .bindings = { obi_writes(y), obi_reads(x), obi_reads(w) },
                              .binding_count = 3,
                              .bytes = ((uint64_t)T * 2 + 1) * n * 4 };
    obi_fold_groups(obi_cmd_device(cmd), T, dispatch.groups);
    obi_cmd_dispatch(cmd, &dispatch);
}

/* A workgroup a row, of what is bound already: y and x, and behind them vectors. */
static void layernorm(obi_cmd *cmd, obi_dispatch dispatch, uint32_t T, uint32_t n, float eps)
{
    struct obi_push_norm_layernorm push = { T, n, eps };
    dispatch.spec[0] = obi_workgroup_size(obi_cmd_device(cmd));
    if (dispatch.spec_count == 0) dispatch.spec_count = 1;
    dispatch.push = &push;
    dispatch.push_bytes = sizeof push;
    dispatch.bytes += (uint64_t)T * n * 8 + (dispatch.binding_count - 2) * (uint64_t)n * 4;
    obi_fold_groups(obi_cmd_device(cmd), T, dispatch.groups);
    obi_cmd_dispatch(cmd, &dispatch);
}

void obi_op_layernorm_fwd(obi_cmd *cmd, obi_view y, obi_view x, uint32_t T, uint32_t n, float eps)
{
    if (!obi_check_words(cmd, "layernorm", "y", y, T, n) || !obi_check_words(cmd, "layernorm", "x", x, T, n) || !fits(cmd, "layernorm", n))
        return;
    if (obi_rows_straight_takes(obi_cmd_device(cmd), T, n)) {
        obi_rows_straight_layernorm(cmd, y, x, T, n, eps);
        return;
    }
    obi_dispatch dispatch = { .kernel = OBI_KERNEL_NORM_LAYERNORM_FWD, .bindings = { obi_writes(y), obi_reads(x) }, .binding_count = 2 };
    layernorm(cmd, dispatch, T, n, eps);
}

void obi_op_layernorm_affine_fwd(obi_cmd *cmd, obi_view y, obi_view x, obi_view w, obi_view b, uint32_t T, uint32_t n, float eps)
{
    const char *op = "layernorm with weights";
    if (!obi_check_words(cmd, op, "y", y, T, n) || !obi_check_words(cmd, op, "x", x, T, n) || !obi_check_words(cmd, op, "w", w, 1, n) ||
        !obi_check_words(cmd, op, "b", b, 1, n) || !fits(cmd, op, n))
        return;
    obi_dispatch dispatch = { .kernel = OBI_KERNEL_NORM_LAYERNORM_AFFINE_FWD,
                              .bindings = { obi_writes(y), obi_reads(x), obi_reads(w), obi_reads(b) },
                              .binding_count = 4 };
    layernorm(cmd, dispatch, T, n, eps);
}

void obi_op_layernorm_bias_fwd(obi_cmd *cmd, obi_view y, obi_view x, obi_view b, uint32_t T, uint32_t n, float eps, obi_bias_then then)
{
    const char *op = "layernorm with a bias";
    if (!obi_check_words(cmd, op, "y", y, T, n) || !obi_check_words(cmd, op, "x", x, T, n) || !obi_check_words(cmd, op, "b", b, 1, n) ||
        !fits(cmd, op, n))
        return;
    if (obi_rows_straight_takes(obi_cmd_device(cmd), T, n)) {
        obi_rows_straight_layernorm(cmd, x, x, T, n, eps);
        obi_op_bias_fwd(cmd, y, x, b, T, n, then);
        return;
    }
    obi_dispatch dispatch = { .kernel = OBI_KERNEL_NORM_LAYERNORM_BIAS_FWD,
                              .spec = { 0, then },
                              .spec_count = 2,
                              .bindings = { then == OBI_BIAS_ADD ? obi_updates(y) : obi_writes(y), obi_reads(x), obi_reads(b) },
                              .binding_count = 3,
                              .bytes = then == OBI_BIAS_ADD ? (uint64_t)T * n * 4 : 0 };
    layernorm(cmd, dispatch, T, n, eps);
}
