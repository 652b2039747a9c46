#include "ops/op_svid.h"

#include "core/checked.h"
#include "ops/check.h"
#include "ops/flat_straight.h"
#include "ops/matrix.h"
#include "shaders/common/push_svid.h"

#define GROUP_ROWS 4u                       /* rows a workgroup takes */
#define CHUNK_ROWS_MIN 256u                 /* rows of one partial column sum */
#define CHUNK_ROWS_MAX 131072u              /* a quarter of it is the loop of an invocation */
#define CHUNKS_MAX 32768u                   /* of a block: grid axis y; of the weight: the loop of svid/fold */
#define SCRATCH_BYTES_MAX (UINT64_C(64) << 20)
#define DOT_LOOP_MAX 32768u

/* ---- sizes --------------------------------------------------------------------------------------------- */

static uint64_t chunk_count(const obi_weight *w, uint32_t chunk_rows)
{
    uint32_t last_rows = w->rows - (w->block_count - 1) * w->block_rows;
    return (uint64_t)(w->block_count - 1) * obi_div_ceil(w->block_rows, chunk_rows) + obi_div_ceil(last_rows, chunk_rows);
}

/* The fewest rows a chunk that keep the partial sums small. */
static uint32_t chunk_rows_of(const obi_weight *w)
{
    uint32_t chunk_rows = CHUNK_ROWS_MIN;
    while (chunk_rows < CHUNK_ROWS_MAX &&
           (chunk_count(w, chunk_rows) > CHUNKS_MAX || chunk_count(w, chunk_rows) * w->columns * 4 > SCRATCH_BYTES_MAX))
        chunk_rows *= 2;
    return chunk_rows;
}

uint64_t obi_svid_scratch_floats(const obi_weight *w) { return chunk_count(w, chunk_rows_of(w)) * w->columns; }

uint64_t obi_svid_residual_floats(const obi_weight *w) { return chunk_count(w, GROUP_ROWS); }

/* ---- checks -------------------------------------------------------------------------------------------- */

static bool check_weight(obi_cmd *cmd, const char *name, const obi_weight *w)
{
    return obi_check(cmd, w->type == OBI_WEIGHT_F32, name, "its weight must be f32") &&
           obi_check(cmd, w->columns <= OBI_MATRIX_COLUMNS_MAX, name, "rows of more than 65536 columns are too long for its kernels") &&
           obi_check(cmd, chunk_count(w, chunk_rows_of(w)) <= CHUNKS_MAX, name, "its weight has too many rows");
}

static obi_dispatch dispatch_of(const obi_device *device, int kernel, const void *push, uint32_t push_bytes)
{
    obi_dispatch dispatch = { .kernel = kernel, .spec = { obi_workgroup_size(device), GROUP_ROWS }, .spec_count = 1,
                              .groups = { 1, 1, 1 }, .push = push, .push_bytes = push_bytes };
    return dispatch;
}

static void bind(obi_dispatch *dispatch, obi_binding binding)
{
    dispatch->bindings[dispatch->binding_count++] = binding;
    dispatch->bytes += binding.view.size;
}

/* The grid of the kernels that take GROUP_ROWS rows a workgroup. */
static void group_rows(const obi_device *device, obi_dispatch *dispatch, uint32_t row_count)
{
    dispatch->spec_count = 2;
    obi_fold_groups(device, obi_div_ceil(row_count, GROUP_ROWS), dispatch->groups);
}

/* ---- ops ----------------------------------------------------------------------------------------------- */

void obi_op_svid_dot(obi_cmd *cmd, obi_view sum, obi_view v, uint32_t count)
{
    const obi_device *device = obi_cmd_device(cmd);
    if (!obi_matrix_check_view(cmd, "svid_dot", "sum", &sum, 1, 1) || !obi_matrix_check_view(cmd, "svid_dot", "v", &v, 1, count)) return;
    if (!obi_check(cmd, count <= DOT_LOOP_MAX * obi_workgroup_size(device), "svid_dot", "the vector is too long")) return;
    struct obi_push_svid_dot push = { .count = count };
    obi_dispatch dispatch = dispatch_of(device, OBI_KERNEL_SVID_DOT, &push, sizeof push);
    bind(&dispatch, obi_writes(sum));
    bind(&dispatch, obi_reads(v));
    obi_cmd_dispatch(cmd, &dispatch);
}

void obi_op_svid_rows(obi_cmd *cmd, obi_view a, const obi_weight *w, obi_view b, obi_view bb, bool absolute)
{
    const obi_device *device = obi_cmd_device(cmd);
    if (!check_weight(cmd, "svid_rows", w) || !obi_matrix_check_view(cmd, "svid_rows", "a", &a, 1, w->rows) ||
        !obi_matrix_check_view(cmd, "svid_rows", "b", &b, 1, w->columns) || !obi_matrix_check_view(cmd, "svid_rows", "b.b", &bb, 1, 1))
        return;
    for (uint32_t i = 0; i < w->block_count; i++) {
        struct obi_push_svid_rows push = { .n = w->columns, .absolute = absolute };
        obi_view rows = obi_weight_block(w, i, &push.first_row, &push.row_count);
        obi_dispatch dispatch = dispatch_of(device, OBI_KERNEL_SVID_ROWS, &push, sizeof push);
        bind(&dispatch, obi_writes(a));
        bind(&dispatch, obi_reads(b));
        bind(&dispatch, obi_reads(rows));
        bind(&dispatch, obi_reads(bb));
        group_rows(device, &dispatch, push.row_count);
        obi_cmd_dispatch(cmd, &dispatch);
    }
}

void obi_op_svid_columns(obi_cmd *cmd, obi_view b, obi_view scratch, const obi_weight *w, obi_view a, obi_view aa, bool absolute)
{
    const obi_device *device = obi_cmd_device(cmd);
    if (!check_weight(cmd, "svid_columns", w) || !obi_matrix_check_view(cmd, "svid_columns", "b", &b, 1, w->columns) ||
        !obi_matrix_check_view(cmd, "svid_columns", "scratch", &scratch, 1, obi_svid_scratch_floats(w)) ||
        !obi_matrix_check_view(cmd, "svid_columns", "a", &a, 1, w->rows) || !obi_matrix_check_view(cmd, "svid_columns", "a.a", &aa, 1, 1))
        return;
    uint32_t chunk_rows = chunk_rows_of(w), lanes = obi_workgroup_size(device), chunks = 0;
    for (uint32_t i = 0; i < w->block_count; i++) {
        struct obi_push_svid_columns push = { .n = w->columns, .absolute = absolute, .chunk_rows = chunk_rows, .chunk_first = chunks };
        obi_view rows = obi_weight_block(w, i, &push.first_row, &push.row_count);
        obi_dispatch dispatch = dispatch_of(device, OBI_KERNEL_SVID_COLUMNS, &push, sizeof push);
        bind(&dispatch, obi_writes(scratch));
        bind(&dispatch, obi_reads(a));
        bind(&dispatch, obi_reads(rows));
        dispatch.groups[0] = (uint32_t)obi_div_ceil(w->columns, lanes);
        dispatch.groups[1] = (uint32_t)obi_div_ceil(push.row_count, chunk_rows);
        chunks += dispatch.groups[1];
        obi_cmd_dispatch(cmd, &dispatch);
    }
    struct obi_push_svid_fold push = { .n = w->columns, .chunks = chunks };
    obi_dispatch dispatch = dispatch_of(device, OBI_KERNEL_SVID_FOLD, &push, sizeof push);
    bind(&dispatch, obi_writes(b));
    bind(&dispatch, obi_reads(scratch));
    bind(&dispatch, obi_reads(aa));
    dispatch.groups[0] = (uint32_t)obi_div_ceil(w->columns, lanes);
    obi_cmd_dispatch(cmd, &dispatch);
}

void obi_op_svid_residual(obi_cmd *cmd, obi_view partials, const obi_weight *w, obi_view a, obi_view b, bool absolute)
{
    const obi_device *device = obi_cmd_device(cmd);
    if (!check_weight(cmd, "svid_residual", w) ||
        !obi_matrix_check_view(cmd, "svid_residual", "partials", &partials, 1, obi_svid_residual_floats(w)) ||
        !obi_matrix_check_view(cmd, "svid_residual", "a", &a, 1, w->rows) ||
        !obi_matrix_check_view(cmd, "svid_residual", "b", &b, 1, w->columns))
        return;
    uint32_t groups = 0;
    for (uint32_t i = 0; i < w->block_count; i++) {
        struct obi_push_svid_residual push = { .n = w->columns, .absolute = absolute, .group_first = groups };
        obi_view rows = obi_weight_block(w, i, &push.first_row, &push.row_count);
        obi_dispatch dispatch = dispatch_of(device, OBI_KERNEL_SVID_RESIDUAL, &push, sizeof push);
        bind(&dispatch, obi_writes(partials));
        bind(&dispatch, obi_reads(a));
        bind(&dispatch, obi_reads(rows));
        bind(&dispatch, obi_reads(b));
        group_rows(device, &dispatch, push.row_count);
        groups += (uint32_t)obi_div_ceil(push.row_count, GROUP_ROWS);
        obi_cmd_dispatch(cmd, &dispatch);
    }
}

void obi_op_svid_stats(obi_cmd *cmd, obi_view sums, obi_view squares, const obi_weight *w)
{
    const obi_device *device = obi_cmd_device(cmd);
    if (!check_weight(cmd, "svid_stats", w) || !obi_matrix_check_view(cmd, "svid_stats", "sums", &sums, 1, w->rows) ||
        !obi_matrix_check_view(cmd, "svid_stats", "squares", &squares, 1, w->rows))
        return;
    for (uint32_t i = 0; i < w->block_count; i++) {
        struct obi_push_svid_stats push = { .n = w->columns };
        obi_view rows = obi_weight_block(w, i, &push.first_row, &push.row_count);
        obi_dispatch dispatch = dispatch_of(device, OBI_KERNEL_SVID_STATS, &push, sizeof push);
        bind(&dispatch, obi_writes(sums));
        bind(&dispatch, obi_writes(squares));
        bind(&dispatch, obi_reads(rows));
        group_rows(device, &dispatch, push.row_count);
        obi_cmd_dispatch(cmd, &dispatch);
    }
}

void obi_op_sign_pack(obi_cmd *cmd, obi_view words, const obi_weight *w, uint32_t block)
{
    const obi_device *device = obi_cmd_device(cmd);
    if (!check_weight(cmd, "sign_pack", w) || !obi_check(cmd, block < w->block_count, "sign_pack", "there is no such row block")) return;
    uint32_t first_row, row_count;
    obi_view rows = obi_weight_block(w, block, &first_row, &row_count);
    struct obi_push_svid_sign_pack push = { .n = w->columns, .row_words = obi_weight_row_words(OBI_WEIGHT_SIGN, w->columns) };
    push.word_count = row_count * push.row_words; /* fits: the block itself has fewer than 2^30 words */
    if (!obi_matrix_check_view(cmd, "sign_pack", "words", &words, 1, push.word_count)) return;
    if (w->columns % 32 == 0 && obi_flat_straight_sign_pack(cmd, words, rows, 32ull * push.word_count)) return;
    obi_dispatch dispatch = dispatch_of(device, OBI_KERNEL_SVID_SIGN_PACK, &push, sizeof push);
    bind(&dispatch, obi_writes(words));
    bind(&dispatch, obi_reads(rows));
    obi_fold_groups(device, obi_div_ceil(push.word_count, dispatch.spec[0]), dispatch.groups);
    obi_cmd_dispatch(cmd, &dispatch);
}
