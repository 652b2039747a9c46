#include "quant/planes.h"

#include <math.h>
#include <string.h>

#include "core/half.h"

static uint64_t row_words(uint32_t n) { return n / 32 + (n % 32 != 0); }

uint64_t obi_planes_words(uint32_t planes, uint32_t m, uint32_t n) { return (uint64_t)planes * m * row_words(n); }

static bool is_half(double value) { return (double)obi_half_to_float(obi_float_to_half((float)value)) == value; }

float obi_planes_step(float step, uint32_t bits)
{
    const float least = 0x1p-23f;                        /* its half is the smallest of halves, */
    float most = ldexpf(65504, 2 - (int)bits);           /* and 2^(bits - 2) of it the largest */
    if (bits == 1) most = 65504;                         /* a step is a half itself, too */
    if (!(step > least)) return least;
    if (step >= most) return most;
    if (step < 0x1p-13f) return rintf(step * 0x1p23f) * least; /* where its half has no more digits to lose */
    return obi_half_to_float(obi_float_to_half(step));
}

static obi_status refuse(uint32_t row, const char *what, double value)
{
    return obi_fail(OBI_ERROR_ARGUMENT, "row %u: %s %g cannot be written in planes as it is", row, what, value);
}

/* Sign words of a row, bit 1 where `negative` of the column's code. */
static void pack_row(const uint8_t *codes, uint32_t n, uint32_t bit, uint32_t *words)
{
    memset(words, 0, row_words(n) * sizeof *words);
    for (uint32_t j = 0; j < n; j++) words[j / 32] |= (uint32_t)(~codes[j] >> bit & 1) << j % 32;
}

obi_status obi_planes_pack(uint32_t bits, uint32_t m, uint32_t n, const uint8_t *codes, const float *step, const float *zero,
                           const obi_planes *to)
{
    if (bits < 1 || bits > OBI_PLANES_MAX) return obi_fail(OBI_ERROR_ARGUMENT, "there are no planes for codes of %u bits", bits);
    for (uint32_t i = 0; i < m; i++) {
        const uint8_t *row = codes + (uint64_t)i * n;
        double unit = ldexp(1, (int)bits - 2), offset = ((ldexp(1, (int)bits) - 1) / 2 - (double)zero[i]) / unit;
        if (!(step[i] > 0) || obi_planes_step(step[i], bits) != step[i]) return refuse(i, "the step", (double)step[i]);
        if (!is_half(offset) || (!to->offset && offset != 0)) return refuse(i, "the zero", (double)zero[i]);
        for (uint32_t j = 0; j < n; j++)
            if (row[j] >> bits) return refuse(i, "the code", row[j]);
        for (uint32_t p = 0; p < bits; p++) {
            uint64_t at = (uint64_t)p * m + i;
            pack_row(row, n, bits - 1 - p, to->words + at * row_words(n));
            to->scale[at] = obi_float_to_half(ldexpf(step[i], (int)bits - 2 - (int)p));
        }
        if (to->offset) to->offset[i] = obi_float_to_half((float)offset);
    }
    return OBI_OK;
}

obi_status obi_planes_pack_ternary(uint32_t m, uint32_t n, const int8_t *signs, const float *step, const obi_planes *to)
{
    for (uint32_t i = 0; i < m; i++) {
        const int8_t *row = signs + (uint64_t)i * n;
        if (!(step[i] > 0) || obi_planes_step(step[i], 1) != step[i]) return refuse(i, "the step", (double)step[i]);
        for (uint32_t p = 0; p < 2; p++) {
            uint64_t at = (uint64_t)p * m + i;
            uint32_t *words = to->words + at * row_words(n);
            memset(words, 0, row_words(n) * sizeof *words);
            to->scale[at] = obi_float_to_half(step[i] / 2);
            for (uint32_t j = 0; j < n; j++) {
                if (row[j] < -1 || row[j] > 1) return refuse(i, "the sign", row[j]);
                bool negative = p == 0 ? row[j] < 0 : row[j] <= 0; /* 0 is + and - */
                words[j / 32] |= (uint32_t)negative << j % 32;
            }
        }
        if (to->offset) to->offset[i] = 0;
    }
    return OBI_OK;
}

void obi_planes_unpack(uint32_t planes, uint32_t m, uint32_t n, const obi_planes *from, float *w)
{
    for (uint32_t i = 0; i < m; i++)
        for (uint32_t j = 0; j < n; j++) {
            double sum = from->offset ? (double)obi_half_to_float(from->scale[i]) * (double)obi_half_to_float(from->offset[i]) : 0;
            for (uint32_t p = 0; p < planes; p++) {
                uint64_t at = (uint64_t)p * m + i;
                double h = (double)obi_half_to_float(from->scale[at]);
                sum += from->words[at * row_words(n) + j / 32] >> j % 32 & 1 ? -h : h;
            }
            w[(uint64_t)i * n + j] = (float)sum;
        }
}
