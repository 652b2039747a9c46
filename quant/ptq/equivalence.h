/* equivalence: a scale c for each input of linears that share their inputs, which leaves W as it is and helps its quantised form: with
 * Ŵ = Q(W diag(c)) diag(1/c) the layer computes what it did but for the error of Q, which c moves to where the inputs are small.
 *
 * OmniQuant's learnable equivalent transformation (arXiv 2308.13137, equation 3) for weights alone, so without shifts: it divides the
 * norm before q, k, v and before the first linear behind attention by such an s, and v's outputs by the s of o's inputs. Its s between q
 * and k and the division of v's rows scale rows of a weight, which a grid for each row follows exactly, so they are left out here. 1/c is
 * what files hold (`input_factor`), rounded to F16; c is 1 over that. */
#ifndef OBI_QUANT_PTQ_EQUIVALENCE_H
#define OBI_QUANT_PTQ_EQUIVALENCE_H

#include "ops/tensor.h"
#include "quant/ptq/learnt.h"

typedef struct obi_equivalence {
    uint32_t n;
    obi_learnt *c;      /* (n) as it is learnt */
    float *factors;     /* (n) c as rounding leaves it, then (n) 1/c, which F16 holds */
    float *gradient;    /* (n) of c, of a step */
    obi_buffer *buffer; /* both on the device, 1/c behind it, where a binding may begin */
} obi_equivalence;

/* c = sqrt(a / w) at first, of the largest |x_j| and the largest |W_ij| of each input j. Free with obi_equivalence_free. */
obi_status obi_equivalence_create(obi_device *device, uint32_t n, const float *inputs, const float *weights, obi_equivalence *out);
void obi_equivalence_free(obi_device *device, obi_equivalence *equivalence); /* also fine on a zeroed struct */

/* c rounded, to the host's arrays and the device; the device must be done with the last ones. */
obi_status obi_equivalence_write(obi_device *device, obi_equivalence *equivalence);

obi_view obi_equivalence_c(const obi_equivalence *equivalence);       /* (n) */
obi_view obi_equivalence_inverse(const obi_equivalence *equivalence); /* (n) */

/* A step of AdamW with `gradient`, which then is 0. */
void obi_equivalence_learn(obi_equivalence *equivalence, double rate, uint64_t step);

#endif
