/* ref_act_bwd: scalar references of the activations' gradients: the specification of shaders/act's backward kernels. */
#ifndef OBI_REF_ACT_BWD_H
#define OBI_REF_ACT_BWD_H

#include <stdint.h>

/* For y = gate s up with s = 1 / (1 + exp(-gate)): gate becomes dy up s (1 + gate (1 - s)), up becomes dy gate s. */
void ref_act_swiglu_bwd(float *gate, float *up, const float *dy, uint64_t count);
/* dx[i] = x[i] > 0 ? dy[i] : 0; dx may be dy */
void ref_act_relu_bwd(float *dx, const float *dy, const float *x, uint64_t count);

#endif
