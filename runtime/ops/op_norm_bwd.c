#include "ops/op_norm_bwd.h"

#include "core/checked.h"
#include "ops/check.h"
#include "ops/rows_straight.h"
#include "shaders/common/push_norm.h"

#define CHUNK_ROWS 64u      /* rows of one partial sum, while there are not too many */
#define CHUNKS_MAX 32768u   /* grid axis y, and the loop of norm/fold_bwd */

/* A kernel goes over its row at most three times, and counts elements in 32 bits. */
static bool fits(obi_cmd *cmd, const char *op, uint32_t T, uint32_t n)
{
    return obi_check(cmd, n / obi_workgroup_size(obi_cmd_device(cmd)) < OBI_LOOP_MAX / 4, op,
                     "the rows are longer than a million elements") &&
           obi_check(cmd, (uint64_t)T * n <= UINT32_MAX, op, "there are more elements than a kernel can count; take fewer tokens");
}

void obi_op_rmsnorm_bwd(obi_cmd *cmd, obi_view dx, obi_view dy, obi_view x, obi_view w, uint32_t T, uint32_t n, float eps, bool accumulate)
{
    if (!obi_check_words(cmd, "rmsnorm_bwd", "dx", dx, T, n) || !obi_check_words(cmd, "rmsnorm_bwd", "dy", dy, T, n) ||
        !obi_check_words(cmd, "rmsnorm_bwd", "x", x, T, n) || !obi_check_words(cmd, "rmsnorm_bwd", "w", w, 1, n) ||
        !fits(cmd, "rmsnorm_bwd", T, n))
        return;
    if (obi_rows_straight_takes(obi_cmd_device(cmd), T, n)) {
        obi_rows_straight_rmsnorm_bwd(cmd, dx, dy, x, w, T, n, eps, accumulate);
        return;
    }
    struct obi_push_norm_rmsnorm push = { T, n, eps };
    obi_dispatch dispatch = { .kernel = OBI_KERNEL_NORM_RMSNORM_BWD,
                              .spec = { obi_workgroup_size(obi_cmd_device(cmd)), accumulate },
                              .spec_count = 2,
                              .push = &push,
                              .push_bytes = sizeof push,
                              .bindings = { accumulate ? obi_updates(dx) : obi_writes(dx), obi_reads(dy), obi_reads(x), obi_reads(w) },
                              .binding_count = 4,
                              .bytes = (uint64_t)T * n * (accumulate ? 16 : 12) };
    obi_fold_groups(obi_cmd_device(cmd), T, dispatch.groups);
    obi_cmd_dispatch(cmd, &dispatch);
}

/* ---- the gradient for w: scales of the rows, partial column sums, their sum ---------------------------------- */

static uint32_t chunk_rows_of(uint32_t T)
{
    uint32_t rows = CHUNK_ROWS;
    while (obi_div_ceil(T, rows) > CHUNKS_MAX) rows *= 2;
    return rows;
}

static uint64_t scale_bytes(uint32_t T) { return obi_align_up((uint64_t)T * 4, OBI_BUFFER_ALIGNMENT); }

uint64_t obi_op_rmsnorm_bwd_w_scratch_bytes(uint32_t T, uint32_t n)
{
    return scale_bytes(T) + obi_div_ceil(T, chunk_rows_of(T)) * n * 4;
}

void obi_op_rmsnorm_bwd_w(obi_cmd *cmd, obi_view dw, obi_view scratch, obi_view dy, obi_view x, uint32_t T, uint32_t n, float eps)
{
    obi_device *device = obi_cmd_device(cmd);
    uint32_t workgroup = obi_workgroup_size(device);
    if (!obi_check_words(cmd, "rmsnorm_bwd_w", "dw", dw, 1, n) || !obi_check_words(cmd, "rmsnorm_bwd_w", "dy", dy, T, n) ||
        !obi_check_words(cmd, "rmsnorm_bwd_w", "x", x, T, n) ||
        !obi_check_words(cmd, "rmsnorm_bwd_w", "scratch", scratch, obi_op_rmsnorm_bwd_w_scratch_bytes(T, n) / 4, 1) ||
        !fits(cmd, "rmsnorm_bwd_w", T, n))
        return;
    uint32_t chunk_rows = chunk_rows_of(T), chunks = (uint32_t)obi_div_ceil(T, chunk_rows);
    obi_view scale = { scratch.buffer, scratch.offset, (uint64_t)T * 4 };
    obi_view partial = { scratch.buffer, scratch.offset + scale_bytes(T), (uint64_t)chunks * n * 4 };

    struct obi_push_norm_rmsnorm rows = { T, n, eps };
    obi_dispatch dispatch = { .kernel = OBI_KERNEL_NORM_RMS_SCALE,
                              .spec = { workgroup },
                              .spec_count = 1,
                              .push = &rows,
                              .push_bytes = sizeof rows,
                              .bindings = { obi_writes(scale), obi_reads(x) },
                              .binding_count = 2,
                              .bytes = (uint64_t)T * n * 4 };
    obi_fold_groups(device, T, dispatch.groups);
    obi_cmd_dispatch(cmd, &dispatch);

    struct obi_push_norm_columns columns = { T, n, chunk_rows };
    dispatch = (obi_dispatch){ .kernel = OBI_KERNEL_NORM_RMSNORM_BWD_W,
                               .spec = { workgroup },
                               .spec_count = 1,
                               .groups = { (uint32_t)obi_div_ceil(n, workgroup), chunks, 1 },
                               .push = &columns,
                               .push_bytes = sizeof columns,
                               .bindings = { obi_writes(partial), obi_reads(dy), obi_reads(x), obi_reads(scale) },
                               .binding_count = 4,
                               .bytes = (uint64_t)T * n * 8 };
    obi_cmd_dispatch(cmd, &dispatch);

    struct obi_push_norm_fold fold = { chunks, n };
    dispatch = (obi_dispatch){ .kernel = OBI_KERNEL_NORM_FOLD_BWD,
                               .spec = { workgroup },
                               .spec_count = 1,
                               .groups = { (uint32_t)obi_div_ceil(n, workgroup), 1, 1 },
                               .push = &fold,
                               .push_bytes = sizeof fold,
                               .bindings = { obi_updates(dw), obi_reads(partial) },
                               .binding_count = 2,
                               .bytes = (uint64_t)chunks * n * 4 };
    obi_cmd_dispatch(cmd, &dispatch);
}

void obi_op_layernorm_bwd(obi_cmd *cmd, obi_view dx, obi_view dy, obi_view x, uint32_t T, uint32_t n, float eps)
{
    if (!obi_check_words(cmd, "layernorm_bwd", "dx", dx, T, n) || !obi_check_words(cmd, "layernorm_bwd", "dy", dy, T, n) ||
        !obi_check_words(cmd, "layernorm_bwd", "x", x, T, n) || !fits(cmd, "layernorm_bwd", T, n))
        return;
    if (obi_rows_straight_takes(obi_cmd_device(cmd), T, n)) {
        obi_rows_straight_layernorm_bwd(cmd, dx, dy, x, T, n, eps);
        return;
    }
    struct obi_push_norm_layernorm push = { T, n, eps };
    obi_dispatch dispatch = { .kernel = OBI_KERNEL_NORM_LAYERNORM_BWD,
                              .spec = { obi_workgroup_size(obi_cmd_device(cmd)) },
                              .spec_count = 1,
                              .push = &push,
                              .push_bytes = sizeof push,
                              .bindings = { obi_writes(dx), obi_reads(dy), obi_reads(x) },
                              .binding_count = 3,
                              .bytes = (uint64_t)T * n * 12 };
    obi_fold_groups(obi_cmd_device(cmd), T, dispatch.groups);
    obi_cmd_dispatch(cmd, &dispatch);
}
