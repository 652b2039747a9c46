/* ref_act: scalar references of the element-wise operations: the specification of shaders/act. */
#ifndef OBI_REF_ACT_H
#define OBI_REF_ACT_H

#include <stdint.h>

/* out[i] = gate[i] * sigmoid(gate[i]) * up[i]   (Shazeer 2020) */
void ref_act_swiglu(float *out, const float *gate, const float *up, uint64_t count);
/* out[i] = x[i] < 0 ? 0 : x[i]; NaN stays NaN */
void ref_act_relu(float *out, const float *x, uint64_t count);
/* out[i] = a[i] + b[i], rounded once */
void ref_act_add(float *out, const float *a, const float *b, uint64_t count);
/* out[r,i] = x[r,i] + b[i], rounded once; out may be x */
void ref_act_bias(float *out /* (rows,columns) */, const float *x /* (rows,columns) */, const float *b /* (columns) */, uint64_t rows,
                  uint64_t columns);

#endif
