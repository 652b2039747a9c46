#include "engine/distribution.h"

#include <math.h>

double obi_log_partition(const float *logits, uint32_t V)
{
    double largest = -INFINITY, sum = 0;
    for (uint32_t i = 0; i < V; i++)
        if (!(logits[i] <= largest)) largest = logits[i]; /* a NaN wins, and shows */
    for (uint32_t i = 0; i < V; i++) sum += exp((double)logits[i] - largest);
    return largest + log(sum);
}

uint32_t obi_likeliest(const float *logits, uint32_t V)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < V; i++)
        if (logits[i] > logits[best]) best = i;
    return best;
}

double obi_divergence(const float *p_logits, double p_partition, const float *q_logits, double q_partition, uint32_t V)
{
    double sum = 0;
    for (uint32_t i = 0; i < V; i++) {
        double log_p = (double)p_logits[i] - p_partition, p = exp(log_p);
        if (p != 0) sum += p * (log_p - ((double)q_logits[i] - q_partition)); /* 0 ln 0 = 0 */
    }
    return sum < 0 ? 0 : sum; /* by rounding; a NaN stays */
}
