#include "quant/ptq/direct.h"

#include <math.h>
#include <string.h>

#include "core/alloc.h"
#include "core/half.h"

#define LEAST_SCALE 0x1p-24f /* of F16 */

/* ---- grids of one row ------------------------------------------------------------------------------------------ */

static obi_status fit_row(const obi_ptq_options *options, const float *row, uint32_t i, obi_codes *codes)
{
    for (uint32_t g = 0; g < codes->groups; g++) {
        uint32_t first = g * codes->group, count = codes->columns - first < codes->group ? codes->columns - first : codes->group;
        OBI_TRY(obi_grid_fit(row + first, count, 1, options->bits, &codes->grids[(uint64_t)i * codes->groups + g]));
    }
    return OBI_OK;
}

static void encode_row(const float *row, uint32_t i, obi_codes *codes)
{
    uint8_t *out = codes->codes + (uint64_t)i * codes->columns;
    for (uint32_t j = 0; j < codes->columns; j++) out[j] = obi_grid_code(obi_codes_grid(codes, i, j), codes->bits, row[j]);
}

/* Signs of row - center with one value: D = 2 value, so that the codes 0 and 1 stand for -value and value. */
static obi_status sign_row(const float *row, uint32_t i, double center, double value, obi_codes *codes)
{
    uint8_t *out = codes->codes + (uint64_t)i * codes->columns;
    obi_grid *grid = &codes->grids[i];
    if (!isfinite(value)) return obi_fail(OBI_ERROR_DATA, "a weight is NaN or infinite; it cannot be quantised");
    grid->scale = obi_grid_step(2 * value, 1);
    grid->zero = 0.5f;
    if (!isfinite(grid->scale)) return obi_fail(OBI_ERROR_DATA, "weights of about %g are too large for scales in F16", value);
    for (uint32_t j = 0; j < codes->columns; j++) out[j] = (double)row[j] - center >= 0;
    return OBI_OK;
}

/* ---- sizes ----------------------------------------------------------------------------------------------------- */

static double mean_of_row(const float *row, uint32_t columns, double center, bool absolute)
{
    double sum = 0;
    for (uint32_t j = 0; j < columns; j++) {
        double value = (double)row[j] - center;
        sum += absolute ? fabs(value) : value;
    }
    return sum / columns;
}

static obi_status mean_of(const obi_source_tensor *tensor, double center, bool absolute, float *row, double *mean)
{
    double sum = 0;
    for (uint64_t i = 0; i < tensor->rows; i++) {
        OBI_TRY(obi_source_read(tensor, i, 1, row));
        sum += mean_of_row(row, (uint32_t)tensor->columns, center, absolute);
    }
    *mean = sum / (double)tensor->rows;
    return OBI_OK;
}

/* ---- whole weights --------------------------------------------------------------------------------------------- */

obi_status obi_direct_codes(const obi_source_tensor *tensor, const obi_ptq_options *options, obi_codes *codes, obi_direct_errors *errors)
{
    uint32_t rows = (uint32_t)tensor->rows, columns = (uint32_t)tensor->columns;
    double center = 0, value = 0;
    obi_status status;
    *errors = (obi_direct_errors){ 0 };
    float *row = obi_calloc(columns, sizeof *row);
    if (!row) return OBI_ERROR_MEMORY;
    OBI_TRY_GOTO(obi_codes_create(codes, rows, columns, options->bits, options->group));
    bool signs = options->method != OBI_PTQ_RTN, one_scale = options->method == OBI_PTQ_BITNET_B1;
    if (one_scale) {
        OBI_TRY_GOTO(mean_of(tensor, 0, false, row, &center));
        OBI_TRY_GOTO(mean_of(tensor, center, true, row, &value));
    }
    for (uint32_t i = 0; i < rows; i++) {
        OBI_TRY_GOTO(obi_source_read(tensor, i, 1, row));
        if (signs) {
            OBI_TRY_GOTO(sign_row(row, i, center, one_scale ? value : mean_of_row(row, columns, 0, true), codes));
        } else {
            OBI_TRY_GOTO(fit_row(options, row, i, codes));
            encode_row(row, i, codes);
        }
        obi_codes_error(codes, i, row, &errors->error, &errors->norm2);
    }
    obi_source_release(tensor);
done:
    obi_free(row);
    if (status != OBI_OK) obi_codes_free(codes);
    return status;
}

static obi_status int8_row(const float *row, uint32_t columns, int8_t *bytes, float *scale)
{
    float largest = 0, sum = 0;
    for (uint32_t j = 0; j < columns; j++) {
        float size = fabsf(row[j]);
        largest = size > largest ? size : largest;
        sum += row[j] * 0;
    }
    if (!isfinite(sum)) return obi_fail(OBI_ERROR_DATA, "a weight is NaN or infinite; it cannot be quantised");
    *scale = fmaxf(obi_half_to_float(obi_float_to_half(largest / 127)), LEAST_SCALE);
    if (!isfinite(*scale)) return obi_fail(OBI_ERROR_DATA, "a weight of %g is too large for scales in F16", (double)largest);
    for (uint32_t j = 0; j < columns; j++) {
        float code = rintf(row[j] / *scale);
        bytes[j] = (int8_t)(code < -127 ? -127 : code > 127 ? 127 : code);
    }
    return OBI_OK;
}

obi_status obi_direct_int8(const obi_source_tensor *tensor, obi_direct_bytes *out, obi_direct_errors *errors)
{
    uint32_t columns = (uint32_t)tensor->columns;
    obi_status status = OBI_OK;
    *errors = (obi_direct_errors){ 0 };
    float *row = obi_calloc(columns, sizeof *row);
    out->bytes = obi_calloc((size_t)tensor->rows, columns);
    out->scales = obi_calloc((size_t)tensor->rows, sizeof *out->scales);
    if (!row || !out->bytes || !out->scales) status = OBI_ERROR_MEMORY;
    for (uint64_t i = 0; i < tensor->rows && status == OBI_OK; i++) {
        int8_t *bytes = out->bytes + i * columns;
        OBI_TRY_GOTO(obi_source_read(tensor, i, 1, row));
        OBI_TRY_GOTO(int8_row(row, columns, bytes, &out->scales[i]));
        for (uint32_t j = 0; j < columns; j++) {
            double value = (double)row[j], off = value - (double)out->scales[i] * bytes[j];
            errors->error += off * off;
            errors->norm2 += value * value;
        }
    }
    obi_source_release(tensor);
done:
    obi_free(row);
    if (status == OBI_OK) return OBI_OK;
    obi_free(out->bytes);
    obi_free(out->scales);
    *out = (obi_direct_bytes){ 0 };
    return status;
}
