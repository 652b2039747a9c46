/* flat_straight: the optimiser's passes over long arrays, and the packing of signs, on software drivers (caps.straight).
 * Called by the ops of the same names, which have checked the views. Each takes the first elements, as many as fill its
 * workgroups, and returns how many; the rest is the plain kernel's. 0 on other devices. */
#ifndef OBI_OPS_FLAT_STRAIGHT_H
#define OBI_OPS_FLAT_STRAIGHT_H

#include "ops/op_optim.h"

uint64_t obi_flat_straight_adamw(obi_cmd *cmd, obi_view w, obi_view dw, obi_view m, obi_view v, uint64_t count, const obi_adamw *step);
uint64_t obi_flat_straight_estimator(obi_cmd *cmd, obi_view dw, obi_view w, uint64_t count, obi_estimator_kind kind, float alpha);
/* Partial sums in the first *groups pairs of words of scratch, which has room for all that obi_op_sumsq takes. */
uint64_t obi_flat_straight_sumsq(obi_cmd *cmd, obi_view scratch, obi_view x, uint64_t count, uint32_t *groups);
/* The signs of w, in words of 32 of them; false: nothing was done, as `count` does not fill its workgroups. */
bool obi_flat_straight_sign_pack(obi_cmd *cmd, obi_view words, obi_view w, uint64_t count);

/* `count` elements of a view, from element `first` on, a multiple of 64. */
static inline obi_view obi_view_part(obi_view view, uint64_t first, uint64_t count)
{
    obi_view part = { view.buffer, view.offset + first * 4, count * 4 };
    return part;
}

#endif
