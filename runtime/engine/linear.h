/* linear: one projection of a layer, of whatever form its weight has. What follows it (OneBit's norm, a bias) is the layer's. */
#ifndef OBI_ENGINE_LINEAR_H
#define OBI_ENGINE_LINEAR_H

#include "engine/pace.h"
#include "engine/session.h"

/* Multiplications of `count` projections that follow each other, for T tokens. */
double obi_linear_work(const obi_linear *linear, uint32_t count, uint32_t T);

/* Records y (T,m) = the projection of x (T,n), without its post-norm and its bias. Its work is noted in `pace`, which may submit what was
 * recorded before. A failure stays in the session's cmd. */
void obi_linear_forward(obi_session *session, obi_view y, obi_view x, const obi_linear *linear, uint32_t T, obi_pace *pace);

/* The same for `count` projections of one x, at most OBI_GROUP_MAX, that follow each other; signs of them all are one dispatch where
 * obi_op_bitlinear_group_fwd has one, and for weights in bytes x becomes bytes once. */
void obi_linear_group_forward(obi_session *session, const obi_view *y, obi_view x, const obi_linear *linear, uint32_t count, uint32_t T,
                              obi_pace *pace);

/* What obi_session.stack has to hold for T tokens; 0 where no linear has several planes or an offset. */
uint64_t obi_linear_stack_bytes(const obi_weights *weights, uint32_t T);

/* Whether the `count` projections from `linear` on can be one step with each other and with what follows (ops/op_bitlinear_post): of one
 * sign matrix each, and not too much work for one submission. Notes their work when they can. */
bool obi_linear_in_one_step(const obi_linear *linear, uint32_t count, uint32_t T, obi_pace *pace);

#endif
