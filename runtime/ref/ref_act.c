#include "ref/ref_act.h"

#include <math.h>

void ref_act_swiglu(float *out, const float *gate, const float *up, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        double g = (double)gate[i];
        out[i] = (float)(g / (1.0 + exp(-g)) * (double)up[i]);
    }
}

void ref_act_relu(float *out, const float *x, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) out[i] = x[i] < 0 ? 0 : x[i];
}

void ref_act_add(float *out, const float *a, const float *b, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) out[i] = a[i] + b[i];
}

void ref_act_bias(float *out, const float *x, const float *b, uint64_t rows, uint64_t columns)
{
    for (uint64_t i = 0; i < rows * columns; i++) out[i] = x[i] + b[i % columns];
}
