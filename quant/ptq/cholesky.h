/* cholesky: the triangle that GPTQ walks along, in double on the host. */
#ifndef OBI_QUANT_PTQ_CHOLESKY_H
#define OBI_QUANT_PTQ_CHOLESKY_H

#include <stdbool.h>
#include <stdint.h>

#include "quant/ptq/part.h"

/* Replaces the symmetric positive definite A (n,n), row-major, by the upper triangle R with R^T R = A^-1; what is below the diagonal
 * becomes 0. OBI_ERROR_DATA, without a sentence and with *singular, when A is singular or not finite: a pivot is no more than `tolerance`
 * times the diagonal that it is left of. `part` is asked after every row; what it returns comes back without *singular. A is undefined
 * after a failure. About 2 n^3 / 3 operations.
 *
 * With J the reversal of rows and columns and J A J = L L^T, A = U U^T for the upper U = J L J, so R = U^-1 = J L^-1 J: one
 * factorisation and one inverse of a triangle, where inverting A and factorising that would take twice as much. */
obi_status obi_cholesky_inverse_upper(double *a, uint32_t n, double tolerance, obi_part part, bool *singular);

#endif
