#include "ref/ref_act_bwd.h"

#include <math.h>

void ref_act_swiglu_bwd(float *gate, float *up, const float *dy, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        double g = (double)gate[i], u = (double)up[i], d = (double)dy[i], s = 1 / (1 + exp(-g));
        gate[i] = (float)(d * u * s * (1 + g * (1 - s)));
        up[i] = (float)(d * g * s);
    }
}

void ref_act_relu_bwd(float *dx, const float *dy, const float *x, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) dx[i] = x[i] > 0 ? dy[i] : 0;
}
