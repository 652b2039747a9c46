/* straight: matrix products on software drivers (caps.straight), by the kernels named ..._straight.
 *
 * Such a kernel sums a short stretch of k, for tiles of a fixed size, and adds it to c (shaders/common/straight.glsl). Here a
 * product is cut into the dispatches of that: whole tiles by the fast variant, what is left at two sides by the careful one. */
#ifndef OBI_OPS_STRAIGHT_H
#define OBI_OPS_STRAIGHT_H

#include "ops/tensor.h"

/* c[p,q] = sum over k of a[p,k] * b[k,q]. Places and strides are in 32-bit words from the start of a view. */
typedef struct obi_straight {
    int kernel;
    obi_view c, a, b;
    obi_view scales;               /* of bitlinear, g and h; no buffer: none */
    uint32_t p_count, q_count, k_count;
    uint32_t a_first, a_stride, b_first, b_stride, c_first, c_stride;
    uint32_t h_first;              /* where in `scales` the scale of q = 0 lies */
    bool a_across;                 /* a is [k][p], not [p][k] */
    bool b_across;                 /* b is [k][q], not [q][k]; where a word holds several k's, [k / b_in_word][q] */
    uint32_t b_in_word;            /* elements of b in a word: 1, 2 (of f16, along the inner index) or 32 (signs, along k) */
    bool unless_zero;              /* dot_straight only: a product whose a is 0 counts as 0, whatever b is, NaN too */
    bool accumulate;               /* c is added to */
    uint32_t batch;                /* products side by side, below 256; 0 is 1; dense kernels only */
    uint32_t a_skip, b_skip, c_skip; /* words from a product of the batch to the next */
    uint32_t group, group_rows;      /* products of a group of the batch, below 256, or 0; and its rows, below 65536 */
    bool a_rows, b_rows, c_rows;     /* this operand of the next group begins group_rows rows further, not `group` skips */
    bool b_words;                    /* with b_rows: group_rows words further */
} obi_straight;

/* For the push constants of such kernels: the halves of a view's address (0 without a buffer), and the digits. */
void obi_straight_address(obi_view view, uint32_t *low, uint32_t *high);
void obi_straight_digits(uint32_t digit[16]);

/* Records c[q,p] = a[p,q] for a matrix of rows p and columns q, or a batch of them: of `both` the fields of a, c and batch. */
void obi_straight_turn(obi_cmd *cmd, const obi_straight *both, uint32_t rows, uint32_t columns);

/* Records c[p / 32, q] = bits q of rows p of signs a, as words along p: of `both` the fields of a (rows x words) and c. */
void obi_straight_turn_signs(obi_cmd *cmd, const obi_straight *both, uint32_t rows, uint32_t words);

/* Records it. The caller has checked that the views hold all of it. */
void obi_straight_record(obi_cmd *cmd, const obi_straight *product);

#endif
