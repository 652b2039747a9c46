/* planes: a matrix of few bits a weight as a sum of sign matrices, as docs/format.md has it. C11 only.
 *
 * Codes k of b bits in rows of step D and zero z mean W_ij = D_i (k_ij - z_i). With s_q = +1 where bit q of k is set, else -1, is
 * k = (2^b - 1)/2 + sum_q s_q 2^(q-1), so planes p = 0 .. b-1 with S_p = s_(b-1-p) and h_p = D 2^(b-2-p), and o = ((2^b - 1)/2 - z) /
 * 2^(b-2), give W = sum_p h_p S_p + h_0 o: the same numbers, where h_p and o are halves (obi_planes_step sees to the first). */
#ifndef OBI_QUANT_PLANES_H
#define OBI_QUANT_PLANES_H

#include "core/status.h"
#include "model/config.h"

/* What a file holds of a linear (m,n): words (P*m, ceil(n/32)), row p*m+i being plane p of output i, bit 1 = -1, pad bits 0;
 * scale (P*m) and offset (m) halves; offset NULL where there is none. The caller's. */
typedef struct obi_planes {
    uint32_t *words;
    uint16_t *scale, *offset;
} obi_planes;

/* Elements of each; of a (m,n) linear of `planes` planes. */
uint64_t obi_planes_words(uint32_t planes, uint32_t m, uint32_t n);

/* The step nearest to `step` (finite, >= 0) whose h are halves for codes of 1 to OBI_PLANES_MAX bits. Choose codes with this one: then the
 * file holds exactly what was computed. At least 2^-23, so that no row is without a step. */
float obi_planes_step(float step, uint32_t bits);

/* codes (m,n), step (m), zero (m). OBI_ERROR_ARGUMENT names the row whose step, zero or code cannot be written as it is: a step that
 * obi_planes_step does not give back, a code of more bits, a zero whose o is no half, or any o but 0 where to->offset is NULL. */
obi_status obi_planes_pack(uint32_t bits, uint32_t m, uint32_t n, const uint8_t *codes, const float *step, const float *zero,
                           const obi_planes *to);

/* W_ij = step_i t_ij, t in -1, 0, 1 (m,n): two planes of h = step / 2 and no offset. step is one that obi_planes_step(_, 1) gives. */
obi_status obi_planes_pack_ternary(uint32_t m, uint32_t n, const int8_t *signs, const float *step, const obi_planes *to);

/* W (m,n) of what was packed, or of any such planes; offset NULL: none. Sums are made in double. */
void obi_planes_unpack(uint32_t planes, uint32_t m, uint32_t n, const obi_planes *from, float *w);

#endif
