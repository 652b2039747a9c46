/* gemv_int8: products with signs for a few tokens, of activations rounded to signed bytes (ref_bitlinear.h says how): twice to
 * eight times as many weights an instruction as with floats. Two dispatches: bytes first, then sums. */
#ifndef OBI_OPS_GEMV_INT8_H
#define OBI_OPS_GEMV_INT8_H

#include "ops/tensor.h"

/* Whether the kernels can run here, with or without the device's dot products of bytes. */
bool obi_gemv_int8_possible(const obi_device *device);

/* Bytes of the records of (T,n) activations, as bitlinear/quantise writes them. */
uint64_t obi_quantise_bytes(uint32_t n, uint32_t T);

/* Records bitlinear/quantise: `records` holds obi_quantise_bytes. */
void obi_quantise(obi_cmd *cmd, obi_view records, obi_view x /* (T,n) */, obi_view scales, uint32_t n, uint32_t T);

/* As obi_sign_gemv, for a block of a weight of type OBI_WEIGHT_SIGN. Block 0 comes first: it makes the bytes for all. */
void obi_gemv_int8(obi_cmd *cmd, obi_view y, obi_view x, const obi_weight *weight, uint32_t block, obi_view scales, uint32_t T);

#endif
