/* op_svid: the steps of SVID (sign-value-independent decomposition) on the device; quant/svid.c makes the loop.
 *
 * W is an F32 weight (m,n); V stands for |W| when `absolute`, else for W. Alternating least squares for V ~ a bT:
 *     a = V b / (b.b),   b = VT a / (a.a)          (OneBit, arXiv 2402.11295, section 3.2)
 * A vector of zeros gives zeros, never NaN. Everything is summed in a fixed order: the same bits on every run. */
#ifndef OBI_OPS_OP_SVID_H
#define OBI_OPS_OP_SVID_H

#include "ops/tensor.h"

/* Floats of the scratch view that obi_op_svid_columns needs for this weight, and of the partial sums that
 * obi_op_svid_residual writes. */
uint64_t obi_svid_scratch_floats(const obi_weight *w);
uint64_t obi_svid_residual_floats(const obi_weight *w);

/* sum = v.v   (one float) */
void obi_op_svid_dot(obi_cmd *cmd, obi_view sum /* (1) */, obi_view v /* (count) */, uint32_t count);

/* a = V b / bb, with bb = b.b from obi_op_svid_dot. */
void obi_op_svid_rows(obi_cmd *cmd, obi_view a /* (m) */, const obi_weight *w, obi_view b /* (n) */, obi_view bb /* (1) */, bool absolute);

/* b = VT a / aa, with aa = a.a. Sums of row chunks go to `scratch` first; no atomics. */
void obi_op_svid_columns(obi_cmd *cmd, obi_view b /* (n) */, obi_view scratch, const obi_weight *w, obi_view a /* (m) */,
                         obi_view aa /* (1) */, bool absolute);

/* partials: obi_svid_residual_floats(w) sums of (V[i,j] - a[i] b[j])^2, which the host adds in double. */
void obi_op_svid_residual(obi_cmd *cmd, obi_view partials, const obi_weight *w, obi_view a /* (m) */, obi_view b /* (n) */, bool absolute);

/* sums[i] = sum over j of |W[i,j]|, squares[i] = sum over j of W[i,j]^2. NaN or infinity anywhere shows in them. */
void obi_op_svid_stats(obi_cmd *cmd, obi_view sums /* (m) */, obi_view squares /* (m) */, const obi_weight *w);

/* The signs of row block `block` of w: row_count rows of ceil(n/32) words, bit 1 = negative; zeros of either sign and
 * NaN count as positive, pad bits are 0. */
void obi_op_sign_pack(obi_cmd *cmd, obi_view words, const obi_weight *w, uint32_t block);

#endif
