/* direct: the methods that look at a weight and at nothing else. W (m,n) is read from the source row by row.
 *
 *   rtn        W^ = D (k - z) of the row's or group's least and largest values, k round to nearest
 *   xnor       W^_ij = a_i sign(w_ij), a_i = mean_j |w_ij|              (XNOR-Net, arXiv 1603.05279, without its input scales)
 *   bitnet_b1  W^ = mean |W - mean W| sign(W - mean W)                  (BitNet, arXiv 2310.11453, section 2.1)
 *   int8       W^_ij = s_i round(w_ij / s_i), s_i = max_j |w_ij| / 127  (LLM.int8(), arXiv 2208.07339, its rows of W)
 *
 * sign(0) = +1. Scales are rounded to what F16 holds before codes are chosen. */
#ifndef OBI_QUANT_PTQ_DIRECT_H
#define OBI_QUANT_PTQ_DIRECT_H

#include "quant/grid.h"
#include "quant/import/source.h"
#include "quant/ptq/options.h"

typedef struct obi_direct_bytes {
    int8_t *bytes; /* (m,n) */
    float *scales; /* (m) F16 values */
} obi_direct_bytes;

typedef struct obi_direct_errors {
    double error, norm2;
} obi_direct_errors; /* ||W - W^||^2, ||W||^2 */

/* Codes of a weight by rtn, xnor or bitnet_b1, to be freed by obi_codes_free. OBI_ERROR_DATA when a weight is NaN, infinite or too
 * large for F16 scales; the sentence does not name the tensor. */
obi_status obi_direct_codes(const obi_source_tensor *tensor, const obi_ptq_options *options, obi_codes *codes, obi_direct_errors *errors);

/* Bytes of a weight; both arrays are to be freed. Errors likewise. */
obi_status obi_direct_int8(const obi_source_tensor *tensor, obi_direct_bytes *out, obi_direct_errors *errors);

#endif
