#include "quant/ptq/cholesky.h"

#include <math.h>

/* In four sums that do not wait for each other. */
static double dot(const double *a, const double *b, uint32_t count)
{
    double sums[4] = { 0 };
    uint32_t i = 0;
    for (; i + 4 <= count; i += 4)
        for (uint32_t k = 0; k < 4; k++) sums[k] += a[i + k] * b[i + k];
    for (; i < count; i++) sums[0] += a[i] * b[i];
    return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

static void reverse(double *a, uint32_t n)
{
    uint64_t last = (uint64_t)n * n - 1;
    for (uint64_t i = 0; i < last - i; i++) {
        double other = a[last - i];
        a[last - i] = a[i];
        a[i] = other;
    }
}

/* `rows` of one of the two halves are done; a row takes time like the square of its number. */
static obi_status tell_rows(obi_part part, double first, uint32_t rows, uint32_t n)
{
    double share = (double)rows / n;
    return obi_part_tell(part, first + share * share * share / 2, "the inverse of its Hessian");
}

/* The lower triangle becomes L with L L^T = A. */
static obi_status factorise(double *a, uint32_t n, double tolerance, obi_part part, bool *singular)
{
    for (uint32_t i = 0; i < n; i++) {
        double *row = a + (uint64_t)i * n;
        for (uint32_t j = 0; j < i; j++) {
            const double *other = a + (uint64_t)j * n;
            row[j] = (row[j] - dot(row, other, j)) / other[j];
        }
        double pivot = row[i] - dot(row, row, i);
        *singular = !isfinite(pivot) || !(pivot > tolerance * row[i]);
        if (*singular) return OBI_ERROR_DATA;
        row[i] = sqrt(pivot);
        OBI_TRY(tell_rows(part, 0, i + 1, n));
    }
    return OBI_OK;
}

/* The lower triangle L becomes L^-1, row by row from those above: row i = (e_i - sum over k < i of L_ik row k) / L_ii. */
static obi_status invert(double *a, uint32_t n, obi_part part)
{
    for (uint32_t i = 0; i < n; i++) {
        double *row = a + (uint64_t)i * n, scale = 1 / row[i];
        for (uint32_t k = 0; k < i; k++) {
            /* What is left of k in this row is of the inverse already; L_ik itself is still there. */
            const double *other = a + (uint64_t)k * n;
            double factor = -row[k];
            row[k] = 0;
            for (uint32_t j = 0; j <= k; j++) row[j] += factor * other[j];
        }
        for (uint32_t j = 0; j < i; j++) row[j] *= scale;
        row[i] = scale;
        OBI_TRY(tell_rows(part, 0.5, i + 1, n));
    }
    return OBI_OK;
}

obi_status obi_cholesky_inverse_upper(double *a, uint32_t n, double tolerance, obi_part part, bool *singular)
{
    *singular = false;
    if (n == 0) return OBI_OK;
    reverse(a, n);
    OBI_TRY(factorise(a, n, tolerance, part, singular));
    OBI_TRY(invert(a, n, part));
    reverse(a, n);
    for (uint32_t i = 1; i < n; i++)
        for (uint32_t j = 0; j < i; j++) a[(uint64_t)i * n + j] = 0;
    return OBI_OK;
}
