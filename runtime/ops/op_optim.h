/* op_optim: the optimiser's step and what it is decided by. Arrays are f32 of `count` elements, up to what one binding
 * holds. Failures are kept in the cmd. Sums are made in a fixed order: the same bits every time. */
#ifndef OBI_OPS_OP_OPTIM_H
#define OBI_OPS_OP_OPTIM_H

#include "ops/tensor.h"

typedef struct obi_adamw {
    float lr, beta1, beta2, eps, weight_decay;
    float c1, c2;     /* 1 - beta1^step and 1 - beta2^step, the step counted from 1 */
    float grad_scale; /* the gradient is grad_scale * dw: clipping, loss scale and accumulation in one factor */
} obi_adamw;

/* m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2; w -= lr weight_decay w + lr (m / c1) / (sqrt(v / c2) + eps) */
void obi_op_adamw(obi_cmd *cmd, obi_view w, obi_view dw, obi_view m, obi_view v, uint64_t count, const obi_adamw *step);

/* out = { sum of the squares of the finite x as f32, how many x are infinite or NaN as u32 }, added to what out holds
 * when `accumulate`, so that calls one after the other make the norm of all parameters. */
void obi_op_sumsq(obi_cmd *cmd, obi_view out /* (2) words */, obi_view scratch, obi_view x, uint64_t count, bool accumulate);
uint64_t obi_op_sumsq_scratch_bytes(uint64_t count);

void obi_op_scale(obi_cmd *cmd, obi_view x, uint64_t count, float factor); /* x *= factor */

/* Each x = the sum of all x: the gradient of one parameter that stands `count` times. All get the same bits. */
void obi_op_tie(obi_cmd *cmd, obi_view x, uint64_t count);

/* Stand-ins for the derivative of sign(w); shaders/common/estimator.glsl has the same numbers. */
typedef enum obi_estimator_kind {
    OBI_ESTIMATOR_ONEBIT = 0,   /* 1.001 - tanh(w)^2 */
    OBI_ESTIMATOR_IDENTITY = 1, /* 1 */
    OBI_ESTIMATOR_CLIP = 2,     /* |w| < alpha ? 1 : 0 */
    OBI_ESTIMATOR_TANH = 3,     /* alpha (1 - tanh(alpha w)^2) */
    OBI_ESTIMATOR_COUNT = 4
} obi_estimator_kind;

/* dw *= e(w): from the gradient of sign(w) to that of w. alpha serves kinds 2 and 3. */
void obi_op_estimator(obi_cmd *cmd, obi_view dw, obi_view w, uint64_t count, obi_estimator_kind kind, float alpha);

/* Evenly spaced levels that a few bits can name, with one step D a row (LLM-QAT, arXiv 2305.17888). */
typedef enum obi_fake_quant_kind {
    OBI_FAKE_QUANT_MINMAX = 0, /* D = max |w| / (2^(bits-1) - 1), levels D {-(2^(bits-1) - 1) .. 2^(bits-1) - 1}; 2 bits and more */
    OBI_FAKE_QUANT_MEAN = 1,   /* 1 bit: D = 2 mean |w|, D {-.5, .5}; 2 bits: D = mean |w|, D {-1.5, -.5, .5, 1.5} */
    OBI_FAKE_QUANT_COUNT = 2
} obi_fake_quant_kind;

/* q (rows,columns) = the nearest level to each w; steps (rows) = D, rounded to what a file of sign planes holds (D and D / 2 are
 * halves) before the levels are chosen, and never below 2^-23. q is cut into blocks as w is. */
void obi_op_fake_quant(obi_cmd *cmd, const obi_weight *q, obi_view steps, const obi_weight *w, obi_fake_quant_kind kind, uint32_t bits);

/* total += the number of differing bits: signs flipped by a step. The caller clears it; it wraps at 2^32. */
void obi_op_flip_count(obi_cmd *cmd, obi_view total /* (1) u32 */, obi_view before, obi_view after, uint64_t words);

#endif
