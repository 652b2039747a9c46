/* fd: holds a gradient against finite differences of a function. */
#ifndef OB_TESTS_FD_H
#define OB_TESTS_FD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

#include "core/rng.h"

typedef double (*fd_function)(void *context); /* reads the arrays that fd_check moves through its context */

/* Multiples of 2^-12, so that a step of fd_check is exact in float. */
static inline void fd_random(obi_rng *rng, float *x, size_t count, double scale)
{
    for (size_t i = 0; i < count; i++) x[i] = (float)(rint(scale * obi_rng_normal(rng) * 0x1p12) * 0x1p-12);
}

static inline double fd_at(fd_function f, void *context, float *x, float value)
{
    float before = *x;
    *x = value;
    double result = f(context);
    *x = before;
    return result;
}

/* df/dx[i] by the five-point rule with a step of 2^-6 (its error is of the order of the step's fourth power times the
 * fifth derivative) for each i, against gradient[i]. `tolerance` is relative to the largest entry of the gradient. */
static inline void fd_check(const char *name, fd_function f, void *context, float *x, size_t count, const float *gradient, double tolerance)
{
    const float h = 0x1p-6f;
    double largest = 0;
    for (size_t i = 0; i < count; i++) largest = fmax(largest, fabs((double)gradient[i]));
    assert_true(largest > 0); /* a gradient of zeros shows nothing */
    for (size_t i = 0; i < count; i++) {
        double near = fd_at(f, context, &x[i], x[i] + h) - fd_at(f, context, &x[i], x[i] - h);
        double far = fd_at(f, context, &x[i], x[i] + 2 * h) - fd_at(f, context, &x[i], x[i] - 2 * h);
        double slope = (8 * near - far) / (12 * (double)h);
        if (!(fabs(slope - (double)gradient[i]) <= tolerance * largest))
            fail_msg("%s[%zu]: gradient %.9g, finite differences %.9g", name, i, (double)gradient[i], slope);
    }
}

/* sum of cotangent[i] * y[i]: makes one number of an output, whose gradient for y is the cotangent. */
static inline double fd_dot(const float *cotangent, const float *y, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++) sum += (double)cotangent[i] * (double)y[i];
    return sum;
}

#endif
