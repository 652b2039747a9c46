#include "ref/ref_rate.h"

void ref_rate_multiply_add(float *out, uint64_t count, uint32_t turns, float factor, float term)
{
    for (uint64_t i = 0; i < count; i++) {
        double sum = 0;
        for (uint32_t c = 0; c < 12; c++) {
            double x = (double)(i % 256) / 256 + c;
            for (uint64_t step = 0; step < (uint64_t)turns * 4; step++) x = (double)factor * x + (double)term;
            sum += x;
        }
        out[i] = (float)sum;
    }
}
