/* gptq: one linear in codes such that its outputs change little for inputs that were seen (GPTQ, arXiv 2210.17323, algorithm 1).
 *
 *   H = (2/N) sum over N inputs of x x^T; where H_jj = 0 the input j was always 0: H_jj = 1, W_:j = 0
 *   columns by H_jj, the largest first (act-order), unless in their natural order
 *   H += damping mean(diag H) I;  R upper with R^T R = H^-1
 *   for each column j: q = the grid's value nearest to W_:j, e = (W_:j - q) / R_jj, W_:k -= e R_jk for the columns k behind it
 *
 * The columns of a block of 128 are updated one by one on the host, those behind the block at once on the device. Grids come from the
 * original rows. A group's grid, as in the authors' code without static groups, comes from its columns as the errors before them have
 * left them, and its columns are those that are next in order: with act-order not ones in a row, which `group_of` keeps. */
#ifndef OBI_QUANT_PTQ_GPTQ_H
#define OBI_QUANT_PTQ_GPTQ_H

#include "ops/tensor.h"
#include "quant/grid.h"
#include "quant/ptq/part.h"

#define OBI_GPTQ_BLOCK 128u /* columns; a group divides it, or is a multiple of it */

typedef struct obi_gptq_options {
    uint32_t bits, group; /* group 0: a grid for each row */
    double damping;
    bool natural_order;
} obi_gptq_options;

/* Accumulates hessian += x^T x; x (T,n). Records. */
void obi_gptq_observe(obi_cmd *cmd, const obi_weight *hessian /* F32 (n,n) */, obi_view x /* (T,n) */, uint32_t T);

typedef struct obi_gptq_result {
    obi_codes codes;                   /* obi_codes_free */
    double error, norm2;               /* ||W - W^||^2, ||W||^2 */
    double output_error, output_norm2; /* ||X (W - W^)^T||^2 / N, ||X W^T||^2 / N */
} obi_gptq_result;

/* w (m,n) on the host, hessian (n,n) on the device with the sum over `inputs` inputs. OBI_ERROR_DATA, without the layer's name, when the
 * Hessian is singular even with the damping, or a weight or input is not finite. One thread. Takes n^2 doubles on the host. `part` is asked
 * at each row of the inversion, at each block of columns and at each strip of rows that is measured: where the whole takes minutes on a GPU,
 * seconds apart at most. */
obi_status obi_gptq_run(obi_device *device, obi_upload *upload, const float *w, uint32_t rows, uint32_t columns, const obi_weight *hessian,
                        uint64_t inputs, const obi_gptq_options *options, obi_part part, obi_gptq_result *out);

/* ||X M^T||^2 of M (m,n) on the host by hessian = X^T X; `part` is told of it. */
obi_status obi_gptq_output_norm2(obi_device *device, obi_upload *upload, const float *m, uint32_t rows, uint32_t columns,
                                 const obi_weight *hessian, obi_part part, double *out);

#endif
