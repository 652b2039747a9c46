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

/* A workgroup a row; w and b only for the affine kernel. */
static void layernorm(obi_cmd *cmd, int kernel, obi_view y, obi_view x, const obi_view affine[2], uint32_t T, uint32_t n, float eps)
{
    struct obi_push_norm_layernorm push = { T, n, eps };
    obi_dispatch dispatch = { .kernel = kernel,
                              .spec = { obi_workgroup_size(obi_cmd_device(cmd)) },
                              .spec_count = 1,
                              .push = &push,
                              .push_bytes = sizeof push,
                              .bindings = { obi_writes(y), obi_reads(x) },
                              .binding_count = 2,
                              .bytes = (uint64_t)T * n * 8 };
    for (int i = 0; affine && i < 2; i++) dispatch.bindings[dispatch.binding_count++] = obi_reads(affine[i]);
    if (affine) dispatch.bytes += (uint64_t)n * 8;
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
    layernorm(cmd, OBI_KERNEL_NORM_LAYERNORM_FWD, y, x, NULL, T, n, eps);
}

void obi_op_layernorm_affine_fwd(obi_cmd *cmd, obi_view y, obi_view x, obi_view w, obi_view b, uint32_t T, uint32_t n, float eps)
{
    const char *op = "layernorm with weights";
    if (!obi_check_words(cmd, op, "y", y, T, n) || !obi_check_words(cmd, op, "x", x, T, n) || !obi_check_words(cmd, op, "w", w, 1, n) ||
        !obi_check_words(cmd, op, "b", b, 1, n) || !fits(cmd, op, n))
        return;
    layernorm(cmd, OBI_KERNEL_NORM_LAYERNORM_AFFINE_FWD, y, x, (obi_view[]){ w, b }, T, n, eps);
}
