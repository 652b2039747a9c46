/* ref_loss: scalar references of the training losses and their gradients: the specification of shaders/loss. */
#ifndef OBI_REF_LOSS_H
#define OBI_REF_LOSS_H

#include <stdint.h>

/* Next-token loss of each row: loss[t] = -log softmax(logits[t])[targets[t]] in nats;
 * dlogits[t] = (softmax(logits[t]) - onehot(targets[t])) * scale. Both are 0 where targets[t] >= V (no target). dlogits may
 * be logits. */
void ref_loss_xent(double *loss /* (T) */, float *dlogits /* (T,V) */, const float *logits /* (T,V) */, const uint32_t *targets /* (T) */,
                   uint64_t T, uint64_t V, double scale);

/* Distillation (Hinton et al. 2015, temperature 1) with p = softmax(teacher[t]) and q = softmax(student[t]), in nats:
 * loss[t] = { KL(p || q), entropy of p }; dstudent[t] = (q - p) * scale. All are 0 where mask[t] = 0xFFFFFFFF. The cross
 * entropy is the sum of the two losses; its gradient is the same. dstudent may be student. */
void ref_loss_kd_xent(double *loss /* (T,2) */, float *dstudent /* (T,V) */, const float *student /* (T,V) */,
                      const float *teacher /* (T,V) */, const uint32_t *mask /* (T) */, uint64_t T, uint64_t V, double scale);

/* Hidden states by direction: with s, t the rows of student and teacher divided by their norms, loss[r] = |s - t|^2 = 2 - 2 cos,
 * dh[r] += -2 scale (t - (t.s) s) / |student row|. A row whose student or teacher has a squared norm below 1e-30 gives 0. */
void ref_loss_hidden_cos(double *loss /* (T) */, float *dh /* (T,D) */, const float *student /* (T,D) */, const float *teacher /* (T,D) */,
                         uint64_t T, uint64_t D, double scale);

/* Hidden states by distance: with M = mean over the rows of |teacher row|^2, loss[r] = |student - teacher|^2 / M and
 * dh[r] += 2 scale (student - teacher) / M. M below 1e-30 gives 0. */
void ref_loss_hidden_mse(double *loss /* (T) */, float *dh /* (T,D) */, const float *student /* (T,D) */, const float *teacher /* (T,D) */,
                         uint64_t T, uint64_t D, double scale);

#endif
