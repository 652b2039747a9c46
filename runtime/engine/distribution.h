/* distribution: what a row of logits says of the next token: p(i) = exp(logits[i] - log partition). On the host, in double. */
#ifndef OBI_ENGINE_DISTRIBUTION_H
#define OBI_ENGINE_DISTRIBUTION_H

#include <stdint.h>

/* ln of the sum of exp(logits[i]); NaN when one of them is. */
double obi_log_partition(const float *logits, uint32_t V);

/* The first of the largest. */
uint32_t obi_likeliest(const float *logits, uint32_t V);

/* Sum over i of p(i) (ln p(i) - ln q(i)), in nats, given the log partitions; never below 0, and 0 for equal logits. */
double obi_divergence(const float *p_logits, double p_partition, const float *q_logits, double q_partition, uint32_t V);

#endif
