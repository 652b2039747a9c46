/* op_grid: uniform quantisation of a weight whose grids are being learnt. Failures are kept in the cmd. A grid is a step D > 0 and a
 * whole zero point z (two floats); a row has ceil(n / group) of them, one for every `group` columns. bits from 1 to 8. */
#ifndef OBI_OPS_OP_GRID_H
#define OBI_OPS_OP_GRID_H

#include "ops/tensor.h"

/* y = D (clamp(round(w / D) + z, 0, 2^bits - 1) - z). y's blocks are written, although a weight is immutable elsewhere; they have the
 * rows that w's have. */
void obi_op_grid_round(obi_cmd *cmd, const obi_weight *y /* F32 (m,n) */, const obi_weight *w /* F32 (m,n) */,
                       obi_view grids /* (m,groups,2) */, uint32_t group, uint32_t bits);

/* d = the gradient of every D for dy, by the straight-through estimator (shaders/grid/round_bwd.comp). In an order that n and the group
 * alone decide: the same bits every time. dy becomes 0 where codes were clamped. Groups have at most 65536 columns. */
void obi_op_grid_round_bwd(obi_cmd *cmd, obi_view d /* (m,groups) */, const obi_weight *dy /* F32 (m,n) */,
                           const obi_weight *w /* F32 (m,n) */, obi_view grids /* (m,groups,2) */, uint32_t group, uint32_t bits);

/* What each group spans. Columns are the first that have the value. */
typedef struct obi_grid_extremes {
    float low, high;
    uint32_t low_at, high_at; /* columns of the weight */
} obi_grid_extremes;

void obi_op_grid_extremes(obi_cmd *cmd, obi_view out /* (m,groups) obi_grid_extremes */, const obi_weight *w /* F32 (m,n) */,
                          uint32_t group);

#endif
