#include "ops/op_dense.h"

#include "core/checked.h"
#include "ops/matmul.h"
#include "ops/matrix.h"
#include "ops/straight.h"

/* Rows of a block that one dispatch takes: all, or where pieces of a list are recorded a number of bytes. A multiple of 64, so that a
 * part begins where a binding may, and where a workgroup's rows do. */
static uint32_t part_rows(const obi_cmd *cmd, const obi_weight *weight, uint32_t row_count)
{
    uint64_t rows = obi_cmd_part_bytes(cmd) / ((uint64_t)weight->row_words * 4) / 64 * 64;
    if (rows == 0) rows = 64;
    return rows < row_count ? (uint32_t)rows : row_count;
}

static void gemv(obi_cmd *cmd, obi_view y, obi_view x, const obi_weight *weight, uint32_t block, uint32_t T)
{
    uint32_t first_row, row_count;
    obi_view view = obi_weight_block(weight, block, &first_row, &row_count);
    uint32_t part = part_rows(cmd, weight, row_count);
    for (uint32_t row = 0; row < row_count; row += part) {
        struct obi_push_dense_gemv push = { .m = weight->rows, .n = weight->columns, .row_words = weight->row_words,
                                            .first_row = first_row + row, .row_count = row_count - row < part ? row_count - row : part };
        obi_view from = view;
        from.offset += (uint64_t)row * weight->row_words * 4;
        from.size -= (uint64_t)row * weight->row_words * 4;
        obi_dispatch dispatch = { .kernel = weight->type == OBI_WEIGHT_F16 ? OBI_KERNEL_DENSE_GEMV_F16 : OBI_KERNEL_DENSE_GEMV_F32,
                                  .push = &push,
                                  .push_bytes = sizeof push,
                                  .bindings = { obi_writes(y), obi_reads(x), obi_reads(from) },
                                  .binding_count = 3,
                                  .bytes = y.size + x.size + (uint64_t)push.row_count * weight->row_words * 4 };
        obi_matrix_gemv(cmd, &dispatch, weight, push.row_count, T);
    }
}

/* ---- software drivers -------------------------------------------------------------------------------------------- */

#define GROUP_ROWS 16u
#define GROUPS_SIDE 256u /* what two digits of the kernel can count */
#define GROUPS_MAX (16u * GROUPS_SIDE)
#define STRETCHES_MAX 32u
#define STEPS_MIN 4u
#define STEPS_MAX 64u
#define STEP_WORDS 8u

/* How many steps a stretch of a row has: the longest that fills rows with whole stretches; 0 if none does. */
static uint32_t stretch_steps(const obi_weight *weight)
{
    uint32_t steps = weight->row_words / STEP_WORDS;
    if (weight->row_words % STEP_WORDS || (weight->type == OBI_WEIGHT_F16 && weight->columns % 2)) return 0;
    for (uint32_t length = STEPS_MAX; length >= STEPS_MIN; length--)
        if (steps % length == 0 && steps / length <= STRETCHES_MAX) return length;
    return 0;
}

static bool on_software(const obi_device *device, const obi_weight *weight)
{
    return device->caps.straight && device->caps.workgroup_size >= 32 * STRETCHES_MAX && stretch_steps(weight) > 0;
}

static void gemv_straight(obi_cmd *cmd, obi_view y, obi_view x, const obi_weight *weight, uint32_t block, uint32_t T)
{
    uint32_t first_row, row_count, steps = stretch_steps(weight);
    obi_view view = obi_weight_block(weight, block, &first_row, &row_count);
    uint32_t stretches = weight->row_words / (steps * STEP_WORDS), part = part_rows(cmd, weight, row_count);
    if (part > GROUPS_MAX * GROUP_ROWS) part = GROUPS_MAX * GROUP_ROWS;
    for (uint32_t row = 0; row < row_count; row += part) {
        uint32_t rows = row_count - row < part ? row_count - row : part;
        uint32_t groups = (uint32_t)obi_div_ceil(rows, GROUP_ROWS), side = groups < GROUPS_SIDE ? groups : GROUPS_SIDE;
        struct obi_push_dense_gemv_straight push = { .m = weight->rows, .n = weight->columns, .row_words = weight->row_words,
                                                     .first_row = first_row + row, .row_count = rows };
        obi_view from = view;
        from.offset += (uint64_t)row * weight->row_words * 4;
        from.size -= (uint64_t)row * weight->row_words * 4;
        obi_straight_address(x, &push.x_low, &push.x_high);
        obi_straight_address(from, &push.w_low, &push.w_high);
        obi_straight_digits(push.digit);
        obi_dispatch dispatch = { .kernel = weight->type == OBI_WEIGHT_F16 ? OBI_KERNEL_DENSE_GEMV_F16_STRAIGHT
                                                                           : OBI_KERNEL_DENSE_GEMV_F32_STRAIGHT,
                                  .spec = { 32 * stretches, stretches, steps },
                                  .spec_count = 3,
                                  .groups = { side, T, (uint32_t)obi_div_ceil(groups, side) },
                                  .push = &push,
                                  .push_bytes = sizeof push,
                                  .bindings = { obi_writes(y), obi_reads(x), obi_reads(view) },
                                  .binding_count = 3,
                                  .bytes = y.size + x.size + (uint64_t)rows * weight->row_words * 4 };
        obi_cmd_dispatch(cmd, &dispatch);
    }
}

/* ---- the op ------------------------------------------------------------------------------------------------------ */

static void gemm(obi_cmd *cmd, obi_view y, obi_view x, const obi_weight *weight, uint32_t block, uint32_t T)
{
    struct obi_push_dense_gemm push = { .p_count = T, .k_count = weight->columns, .a_stride = weight->columns,
                                        .b_stride = weight->row_words, .c_stride = weight->rows };
    obi_view view = obi_weight_block(weight, block, &push.c_first, &push.q_count);
    obi_matmul(cmd, weight->type == OBI_WEIGHT_F16 ? OBI_KERNEL_DENSE_GEMM_F16 : OBI_KERNEL_DENSE_GEMM_F32, y, x, view, &push);
}

void obi_op_dense_fwd(obi_cmd *cmd, obi_view y, obi_view x, const obi_weight *weight, uint32_t T)
{
    obi_weight_type type = weight->type == OBI_WEIGHT_F16 ? OBI_WEIGHT_F16 : OBI_WEIGHT_F32;
    if (!obi_matrix_check(cmd, "dense", &y, &x, weight, type, T)) return;
    for (uint32_t block = 0; block < weight->block_count; block++) {
        if (T < OBI_MATRIX_GEMM_TOKENS && on_software(obi_cmd_device(cmd), weight)) gemv_straight(cmd, y, x, weight, block, T);
        else if (T < OBI_MATRIX_GEMM_TOKENS) gemv(cmd, y, x, weight, block, T);
        else gemm(cmd, y, x, weight, block, T);
    }
}
