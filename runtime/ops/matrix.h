/* matrix: what the ops on a weight matrix share: size checks and the shape of their grids. */
#ifndef OBI_OPS_MATRIX_H
#define OBI_OPS_MATRIX_H

#include "ops/tensor.h"

/* The longest row the kernels take: keeps the loops of an invocation below OBI_LOOP_MAX. */
#define OBI_MATRIX_COLUMNS_MAX 65536u

/* With fewer tokens than this, one pass of the matrix-vector kernel for each token beats a tile of the matrix-matrix one. */
#define OBI_MATRIX_GEMM_TOKENS 8u

/* Rows that one workgroup of a matrix-vector kernel makes, for a whole weight of m rows: as many as leave the device enough
 * workgroups (16, 8 or 4). */
uint32_t obi_matrix_group_rows(const obi_device *device, uint32_t m);

/* Records a matrix-vector kernel for `row_count` rows of a weight, a block of it, and T tokens: workgroup, rows and grid of
 * `dispatch` are filled in. The rows of a workgroup are those of the whole weight, so that blocks do not change a sum. */
void obi_matrix_gemv(obi_cmd *cmd, obi_dispatch *dispatch, const obi_weight *weight, uint32_t row_count, uint32_t T);

/* y = W x for T tokens: checks the weight's type and size and the two views, and cuts the views to what is used.
 * On failure the cmd has failed with a sentence that begins with `name`. */
bool obi_matrix_check(obi_cmd *cmd, const char *name, obi_view *y /* (T,m) */, obi_view *x /* (T,n) */, const obi_weight *weight,
                      obi_weight_type type, uint32_t T);

/* The same for one view: it must hold rows x columns elements of 32 bits, and is cut to them. */
bool obi_matrix_check_view(obi_cmd *cmd, const char *name, const char *what, obi_view *view, uint64_t rows, uint64_t columns);

#endif
