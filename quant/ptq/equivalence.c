#include "quant/ptq/equivalence.h"

#include <math.h>
#include <string.h>

#include "core/alloc.h"
#include "core/checked.h"
#include "core/half.h"

#define LEAST 1e-2  /* what c is kept above, as the authors' code does */
#define LARGEST 1e4 /* and below, so that F16 holds 1/c with all its digits */

static uint64_t offset_of(uint32_t n) { return obi_align_up((uint64_t)n * 4, OBI_BUFFER_ALIGNMENT); }

obi_status obi_equivalence_create(obi_device *device, uint32_t n, const float *inputs, const float *weights, obi_equivalence *out)
{
    memset(out, 0, sizeof *out);
    out->n = n;
    out->c = obi_calloc(n, sizeof *out->c);
    out->factors = obi_calloc(2 * (size_t)n, sizeof *out->factors);
    out->gradient = obi_calloc(n, sizeof *out->gradient);
    if (!out->c || !out->factors || !out->gradient) return OBI_ERROR_MEMORY;
    for (uint32_t j = 0; j < n; j++) {
        bool known = inputs[j] > 0 && weights[j] > 0; /* an input that is always 0 is as good with any c */
        out->c[j].value = known ? sqrt((double)inputs[j] / (double)weights[j]) : 1;
    }
    return obi_buffer_create(device, 2 * offset_of(n), OBI_MEMORY_UPLOAD, &out->buffer);
}

void obi_equivalence_free(obi_device *device, obi_equivalence *equivalence)
{
    obi_buffer_destroy(device, equivalence->buffer);
    obi_free(equivalence->c);
    obi_free(equivalence->factors);
    obi_free(equivalence->gradient);
    memset(equivalence, 0, sizeof *equivalence);
}

obi_status obi_equivalence_write(obi_device *device, obi_equivalence *equivalence)
{
    uint32_t n = equivalence->n;
    for (uint32_t j = 0; j < n; j++) {
        double c = fmin(fmax(equivalence->c[j].value, LEAST), LARGEST);
        float inverse = obi_half_to_float(obi_float_to_half((float)(1 / c)));
        equivalence->c[j].value = c;
        equivalence->factors[j] = 1 / inverse;
        equivalence->factors[n + j] = inverse;
    }
    memcpy(equivalence->buffer->mapped, equivalence->factors, (size_t)n * 4);
    memcpy((char *)equivalence->buffer->mapped + offset_of(n), equivalence->factors + n, (size_t)n * 4);
    return obi_buffer_flush(device, equivalence->buffer, 0, equivalence->buffer->size);
}

obi_view obi_equivalence_c(const obi_equivalence *equivalence)
{
    return (obi_view){ equivalence->buffer, 0, (uint64_t)equivalence->n * 4 };
}

obi_view obi_equivalence_inverse(const obi_equivalence *equivalence)
{
    return (obi_view){ equivalence->buffer, offset_of(equivalence->n), (uint64_t)equivalence->n * 4 };
}

void obi_equivalence_learn(obi_equivalence *equivalence, double rate, uint64_t step)
{
    for (uint32_t j = 0; j < equivalence->n; j++) {
        obi_learnt_step(&equivalence->c[j], (double)equivalence->gradient[j], rate, step);
        equivalence->gradient[j] = 0;
    }
}
