/* matmul: the matrix product that the dense forward and backward passes share (shaders/dense/gemm.comp). */
#ifndef OBI_OPS_MATMUL_H
#define OBI_OPS_MATMUL_H

#include "ops/tensor.h"
#include "shaders/common/push_dense.h"

/* The most products one sum of a dispatch may have: keeps the loops of an invocation below OBI_LOOP_MAX. */
#define OBI_MATMUL_TERMS_MAX 65536u

/* Records c[p,q] (+)= sum over k of a[p,k] b[q,k], sizes and places as in `push`. The kernel says how a and b lie:
 * OBI_KERNEL_DENSE_GEMM_F32/F16, _BWD_X_F32/F16 or _BWD_W. The caller has checked that the views hold all of it. */
void obi_matmul(obi_cmd *cmd, int kernel, obi_view c, obi_view a, obi_view b, const struct obi_push_dense_gemm *push);

/* What it takes of the cmd's scratch (obi_cmd_reserve) for such sizes; a_across as of OBI_KERNEL_DENSE_BWD_W, otherwise of _BWD_X. */
uint64_t obi_matmul_scratch_bytes(const obi_device *device, uint32_t p_count, uint32_t q_count, uint32_t k_count, bool a_across);

#endif
