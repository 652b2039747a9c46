/* ref_util: scalar references of shaders/util. */
#ifndef OBI_REF_UTIL_H
#define OBI_REF_UTIL_H

#include <stdint.h>

/* The ids of the k largest values, largest first, the lower id first among equals (0 equals -0), NaN after everything.
 * k <= count. */
void ref_util_topk(uint32_t *ids /* (k) */, const float *values /* (count) */, uint64_t count, uint64_t k);

#endif
