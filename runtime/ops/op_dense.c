#include "ops/op_dense.h"

#include "core/checked.h"
#include "ops/matmul.h"
#include "ops/matrix.h"

static void gemv(obi_cmd *cmd, obi_view y, obi_view x, const obi_weight *weight, uint32_t block, uint32_t T)
{
    const obi_device *device = obi_cmd_device(cmd);
    struct obi_push_dense_gemv push = { .m = weight->rows, .n = weight->columns, .row_words = weight->row_words };
    obi_view view = obi_weight_block(weight, block, &push.first_row, &push.row_count);
    obi_dispatch dispatch = { .kernel = weight->type == OBI_WEIGHT_F16 ? OBI_KERNEL_DENSE_GEMV_F16 : OBI_KERNEL_DENSE_GEMV_F32,
                              .bindings = { obi_writes(y), obi_reads(x), obi_reads(view) },
                              .binding_count = 3,
                              .bytes = y.size + x.size + view.size };
    uint32_t rows = obi_matrix_group_rows(device, weight->rows); /* of the whole, so that blocks do not change a sum */
    dispatch.spec[0] = obi_workgroup_size(device);
    dispatch.spec[1] = rows;
    dispatch.spec_count = 2;
    obi_fold_groups(device, obi_div_ceil(push.row_count, rows), dispatch.groups);
    dispatch.groups[2] = T;
    dispatch.push = &push;
    dispatch.push_bytes = sizeof push;
    obi_cmd_dispatch(cmd, &dispatch);
}

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
        if (T < OBI_MATRIX_GEMM_TOKENS) gemv(cmd, y, x, weight, block, T);
        else gemm(cmd, y, x, weight, block, T);
    }
}
