#include "ops/op_dense_bwd.h"

#include "ops/check.h"
#include "ops/matmul.h"
#include "ops/matrix.h"

static uint32_t smaller(uint32_t a, uint32_t b) { return a < b ? a : b; }

void obi_op_dense_bwd_x(obi_cmd *cmd, obi_view dx, obi_view dy, const obi_weight *w, uint32_t T, bool accumulate)
{
    obi_weight_type type = w->type == OBI_WEIGHT_F16 ? OBI_WEIGHT_F16 : OBI_WEIGHT_F32;
    if (!obi_matrix_check(cmd, "dense_bwd_x", &dy, &dx, w, type, T)) return; /* the sizes of y = W x */
    int kernel = type == OBI_WEIGHT_F16 ? OBI_KERNEL_DENSE_BWD_X_F16 : OBI_KERNEL_DENSE_BWD_X_F32;
    for (uint32_t block = 0; block < w->block_count; block++) {
        uint32_t first, count;
        obi_view rows = obi_weight_block(w, block, &first, &count);
        for (uint32_t row = 0; row < count; row += OBI_MATMUL_TERMS_MAX) {
            struct obi_push_dense_gemm push = { .p_count = T, .q_count = w->columns, .k_count = smaller(count - row, OBI_MATMUL_TERMS_MAX),
                                                .a_first = first + row, .a_stride = w->rows, .b_first = row * w->row_words,
                                                .b_stride = w->row_words, .c_stride = w->columns,
                                                .accumulate = accumulate || first + row > 0 };
            obi_matmul(cmd, kernel, dx, dy, rows, &push);
        }
    }
}

void obi_op_dense_bwd_w(obi_cmd *cmd, const obi_weight *dw, obi_view dy, obi_view x, uint32_t T)
{
    if (!obi_matrix_check(cmd, "dense_bwd_w", &dy, &x, dw, OBI_WEIGHT_F32, T)) return;
    for (uint32_t block = 0; block < dw->block_count; block++) {
        uint32_t first, count;
        obi_view rows = obi_weight_block(dw, block, &first, &count);
        for (uint32_t t = 0; t < T; t += OBI_MATMUL_TERMS_MAX) {
            struct obi_push_dense_gemm push = { .p_count = count, .q_count = dw->columns, .k_count = smaller(T - t, OBI_MATMUL_TERMS_MAX),
                                                .a_first = t * dw->rows + first, .a_stride = dw->rows, .b_first = t * dw->columns,
                                                .b_stride = dw->columns, .c_stride = dw->columns, .accumulate = 1 };
            obi_matmul(cmd, OBI_KERNEL_DENSE_BWD_W, rows, dy, x, &push);
        }
    }
}
