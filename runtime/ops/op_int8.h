/* op_int8: linears whose weights are rows of bytes (OBI_WEIGHT_I8), with activations in bytes but for columns of outliers: LLM.int8(),
 * arXiv 2208.07339. runtime/ref/ref_int8.h has the formulas. */
#ifndef OBI_OPS_OP_INT8_H
#define OBI_OPS_OP_INT8_H

#include "ops/tensor.h"

/* Whether the kernels work here. */
bool obi_int8_possible(const obi_device *device);

typedef struct obi_int8_part {
    obi_view y;               /* (T,m) */
    const obi_weight *weight; /* I8 (m,n) */
} obi_int8_part;

/* Writes the y of each part for the same x: x becomes bytes once, in scratch of the cmd. A column with an |x| at or above `threshold`, of
 * any of the T tokens, is multiplied as it is: which columns these are, and so how the others are rounded, depends on all of the
 * tokens. T up to OBI_LOOP_MAX. */
void obi_op_int8_fwd(obi_cmd *cmd, const obi_int8_part *parts, uint32_t count, obi_view x /* (T,n) */, uint32_t T, float threshold);

/* The scratch that this takes. */
uint64_t obi_op_int8_scratch_bytes(uint32_t n, uint32_t T);

/* What it is made of, for their cases: views into one range of that many bytes from multiples of OBI_BUFFER_ALIGNMENT on. */
typedef struct obi_int8_acts {
    obi_view all;                 /* list, steps and bytes, as the products read them */
    obi_view list;                /* (1 + n) */
    obi_view bytes;               /* steps (T), then the bytes (T, ceil(n/4)) at word `bytes_at - steps_at` */
    obi_view flags;               /* (n) */
    uint32_t steps_at, bytes_at;  /* words of `all` */
} obi_int8_acts;
obi_int8_acts obi_int8_acts_of(obi_view range, uint32_t n, uint32_t T);
void obi_int8_prepare(obi_cmd *cmd, const obi_int8_acts *acts, obi_view x, uint32_t n, uint32_t T, float threshold);
void obi_int8_products(obi_cmd *cmd, obi_view y, const obi_int8_acts *acts, obi_view x, const obi_weight *weight, uint32_t T);

#endif
