/* op_loss: training losses and their gradients, in nats. Failures are kept in the cmd.
 *
 * `scale` multiplies the gradient and not the loss: weight / tokens, times the loss scale where there is one. T here is any
 * number of tokens, of one sequence or many. Logits are taken a tile of tokens at a time, so that they need to exist for
 * that tile only. Losses and gradients are sums in a fixed order: the same bits every time. */
#ifndef OBI_OPS_OP_LOSS_H
#define OBI_OPS_OP_LOSS_H

#include "ops/tensor.h"

#define OBI_NO_TARGET 0xffffffffu /* of a token that is not trained on */

/* loss[t] = -log softmax(logits[t])[targets[t]]; logits become (softmax - onehot) * scale. Both 0 for OBI_NO_TARGET, and
 * for any target that is no column. */
void obi_op_xent(obi_cmd *cmd, obi_view loss /* (T) */, obi_view logits /* (T,V) in place */, obi_view targets /* (T) u32 */, uint32_t T,
                 uint32_t V, float scale);

/* Distillation at temperature 1 with p of the teacher and q of the student: loss[t] = { KL(p || q), entropy of p }, student
 * logits become (q - p) * scale. All 0 where mask[t] is OBI_NO_TARGET (targets serve as a mask). Gives exactly 0 when the
 * logits are equal. */
void obi_op_kd_xent(obi_cmd *cmd, obi_view loss /* (T,2) */, obi_view student /* (T,V) in place */, obi_view teacher /* (T,V) */,
                    obi_view mask /* (T) u32 */, uint32_t T, uint32_t V, float scale);

typedef enum obi_hidden_kind {
    OBI_HIDDEN_COS = 0, /* loss[t] = 2 - 2 cos(student, teacher); 0 where either has no direction */
    OBI_HIDDEN_MSE = 1  /* loss[t] = |student - teacher|^2 / mean over t of |teacher|^2 */
} obi_hidden_kind;

/* Compares hidden states and adds the gradient for the student's, times scale, to dh. */
void obi_op_hidden(obi_cmd *cmd, obi_view loss /* (T + 1), the last for the op itself */, obi_view dh /* (T,D) += */,
                   obi_view student /* (T,D) */, obi_view teacher /* (T,D) */, obi_view scratch, uint32_t T, uint32_t D, float scale,
                   obi_hidden_kind kind);
uint64_t obi_op_hidden_scratch_bytes(uint32_t T, uint32_t D);

#endif
