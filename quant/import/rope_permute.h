/* rope_permute: the two orders in which the rows of wq and wk may lie within a head of C rows.
 *
 *  HALF   (Hugging Face)          rotation i turns rows i and i + C/2
 *  PAIRS  (Meta, llama2.c, GGUF)  rotation i turns rows 2i and 2i + 1
 * so HALF row i is PAIRS row 2i, and HALF row i + C/2 is PAIRS row 2i + 1. A vector with one value per row (a OneBit
 * weight_scale) moves the same way. When only the first R < C rows of a head are rotated, the others stay. */
#ifndef OBI_QUANT_ROPE_PERMUTE_H
#define OBI_QUANT_ROPE_PERMUTE_H

#include <stdint.h>

#include "core/status.h"
#include "model/config.h"

/* The row in layout `from` that becomes row `row` in layout `to`. `rotated` rows (even, <= head_size) of each head
 * take part. `row` may be any row of the matrix; head_size > 0. */
uint64_t obi_rope_source_row(obi_rope_layout from, obi_rope_layout to, uint32_t head_size, uint32_t rotated, uint64_t row);

/* Reorders a matrix of heads * head_size rows of row_bytes each: out row r = in row obi_rope_source_row(r).
 * `in` and `out` do not overlap. */
void obi_rope_permute_rows(obi_rope_layout from, obi_rope_layout to, uint32_t heads, uint32_t head_size, uint32_t rotated,
                           const void *in, void *out, size_t row_bytes);

#endif
