/* ref_grid: the specification of the kernels behind uniform quantisation with learnt ends, in plain C.
 *
 * W (m,n) in groups of `group` columns, the last of a row perhaps shorter; grids (m,groups,2) has a step D > 0 and a whole zero point z
 * for each. OmniQuant, arXiv 2308.13137, equation 2. Needs libm only. */
#ifndef OBI_REF_GRID_H
#define OBI_REF_GRID_H

#include <stdint.h>

/* y = D (clamp(round(w / D) + z, 0, 2^bits - 1) - z), ties to even */
void ref_grid_round(float *y, const float *w, const float *grids, uint32_t m, uint32_t n, uint32_t group, uint32_t bits);

/* d (m,groups): the gradient of D for dy (m,n), where round() passes gradients as they are and clamp() none, and z is fixed:
 * sum of dy (round(w/D) - w/D) over elements that are not clamped and of dy (clamped code - z) over those that are. dy of the latter
 * becomes 0: what is left is the gradient of w as far as w does not decide D. */
void ref_grid_round_bwd(float *d, float *dy, const float *w, const float *grids, uint32_t m, uint32_t n, uint32_t group, uint32_t bits);

/* low, high (m,groups): the least and the largest of each group; low_at, high_at: the first columns that have them. */
void ref_grid_extremes(float *low, float *high, uint32_t *low_at, uint32_t *high_at, const float *w, uint32_t m, uint32_t n,
                       uint32_t group);

#endif
