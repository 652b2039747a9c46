/* push_straight: push constants of the kernels for software drivers (straight.glsl), read by C and by GLSL. */
#ifndef OB_PUSH_STRAIGHT_H
#define OB_PUSH_STRAIGHT_H

#include "push.h"

#define OB_STRAIGHT_KEEP 1u /* c is added to, not written */
#define OB_STRAIGHT_LAST 2u /* the last stretch of k: multiply by the output scales, where the kernel has them */
/* A batch in groups (the sequences of attention, whose heads are the products): this operand of the next group begins so many
 * rows further down, not where another product of the same group would. */
#define OB_STRAIGHT_ROWS_A 4u
#define OB_STRAIGHT_ROWS_B 8u
#define OB_STRAIGHT_ROWS_C 16u
#define OB_STRAIGHT_WORDS_B 32u /* with ROWS_B: so many words further on, not rows */

/* c[p,q] (+)= sum over k of a[p,k] * b[k,q] for a rectangle of c and a stretch of k. Addresses are of the first element of
 * each; strides and c_first are in 32-bit words. */
struct obi_push_straight {
    OB_U32 c_low, c_high, a_low, a_high, b_low, b_high; /* addresses, halves of 64 bits */
    OB_U32 counts;                  /* p's, and q's in the upper 16 bits */
    OB_U32 k_count;
    OB_U32 a_stride, b_stride, c_stride;
    OB_U32 c_first;                 /* the place of c's first element in binding 0 */
    OB_U32 flags;                   /* and, of a batch in groups, products of a group << 8, rows of a group << 16: below */
    /* bitlinear: the address of the input scale of the first k, and words from there to the output scale of the first q;
     * dense: words from a product of a batch to the next, of a, b and c */
    OB_U32 scales_low_or_a_skip, scales_high_or_b_skip, scales_skip_or_c_skip;
    OB_U32 digit[16];               /* 0, 1, 2, ...: straight.glsl says why */
};

#endif
