/* svid: W -> sign(W) * (a bT), the start of every 1-bit layer: packed signs, an output scale a (= h) and an input scale b (= g).
 *
 * Sign-value-independent decomposition (OneBit, arXiv 2402.11295, section 3.2). a bT is the best rank-1 approximation of
 * |W|: since ||W - sign(W) * (a bT)|| = || |W| - a bT ||, that is the best pair of scales there is. It is found by
 * alternating least squares, which for one rank is power iteration on |W|; |W| has no negative entry, so a and b have
 * none either. sign(0) = +1.
 *
 * W stays on the device; the host sees vectors, sums, and the packed words one row block at a time. */
#ifndef OBI_QUANT_SVID_H
#define OBI_QUANT_SVID_H

#include "ops/tensor.h"

/* Device buffers and host arrays, kept from one weight to the next. One thread. */
typedef struct obi_svid obi_svid;

typedef struct obi_svid_result {
    const float *a;      /* (m) h: every value is an f16. Owned by the obi_svid; valid until its next run */
    const float *b;      /* (n) g: the same; rms(a) = rms(b) before rounding */
    double norm2;        /* ||W||^2, the sum of squares */
    /* Relative squared errors ||W - approximation||^2 / ||W||^2; 0 when W is all zeros. */
    double error_svid;   /* of sign(W) * (a bT) with the rounded a and b above */
    double error_rank1;  /* of the best a bT for W itself; NaN when it was not asked for */
    double error_xnor;   /* of sign(W) times the mean |W| of each row */
} obi_svid_result;

/* Receives the signs of rows [first, first + count), ceil(n/32) words each, bit 1 = negative, pad bits 0; in order. The
 * words belong to the caller and are gone after the call. A status other than OBI_OK ends the run and is returned. */
typedef obi_status (*obi_svid_words)(void *user, uint32_t first, uint32_t count, const uint32_t *words);

typedef struct obi_svid_options {
    uint32_t rank1_iterations; /* at most, for error_rank1; 0: do not compute it. It costs more than the decomposition */
    uint64_t seed;             /* of the random start of error_rank1 */
    obi_svid_words words;      /* NULL: the signs are not made */
    void *user;
} obi_svid_options;

#define OBI_SVID_RANK1_ITERATIONS 30

/* `upload` is borrowed for vectors and must outlive the obi_svid. */
obi_status obi_svid_create(obi_device *device, obi_upload *upload, obi_svid **out);
void obi_svid_destroy(obi_svid *svid); /* NULL is allowed */

/* Device memory that a run of this shape takes beside the weight itself, roughly. For planning. */
uint64_t obi_svid_bytes(const obi_weight *w);

/* w is F32, (m,n), uploaded. OBI_ERROR_DATA when it holds NaN, infinity or values whose squares overflow f32. Each
 * submit is one pass over w. The same bits on every run of one device and driver. */
obi_status obi_svid_run(obi_svid *svid, const obi_weight *w, const obi_svid_options *options, obi_svid_result *result);

#endif
