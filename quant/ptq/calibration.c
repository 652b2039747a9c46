#include "quant/ptq/calibration.h"

#include <string.h>

#include "core/alloc.h"
#include "core/rng.h"

static obi_status choose(const obi_config *config, const obi_ptq_options *options, const uint32_t *ids, size_t count, obi_calibration *out)
{
    uint32_t T = options->window > 0 ? options->window : config->context < 2048 ? config->context : 2048;
    if (T > config->context)
        return obi_fail(OBI_ERROR_ARGUMENT, "calibration windows of %u tokens are longer than the model's context of %u", T,
                        config->context);
    if (count < T)
        return obi_fail(OBI_ERROR_DATA,
                        "the calibration text has %zu token%s, less than one window of %u; give more text or shorter windows", count,
                        count == 1 ? "" : "s", T);
    bool scattered = count / T > options->windows;
    out->T = T;
    out->windows = scattered ? options->windows : (uint32_t)(count / T);
    out->ids = obi_calloc((size_t)out->windows * T, sizeof *out->ids);
    if (!out->ids) return OBI_ERROR_MEMORY;
    obi_rng rng = obi_rng_seed(options->seed);
    for (uint32_t i = 0; i < out->windows; i++) {
        size_t start = scattered ? (size_t)(obi_rng_uniform(&rng) * (double)(count - T + 1)) : (size_t)i * T;
        memcpy(out->ids + (size_t)i * T, ids + start, T * sizeof *ids);
    }
    return OBI_OK;
}

obi_status obi_calibration_make(const obi_config *config, const obi_tokenizer *tokenizer, const obi_ptq_options *options,
                                obi_calibration *out)
{
    uint32_t *ids;
    size_t count;
    memset(out, 0, sizeof *out);
    if (options->calibration_bytes == 0) return obi_fail(OBI_ERROR_DATA, "the calibration text is empty");
    OBI_TRY(obi_tokenizer_encode(tokenizer, options->calibration, options->calibration_bytes, OBI_ENCODE_BOS, &ids, &count));
    obi_status status = OBI_OK;
    for (size_t i = 0; i < count && status == OBI_OK; i++)
        if (ids[i] >= config->vocabulary)
            status = obi_fail(OBI_ERROR_DATA, "the tokenizer gives token %u, which the model's %u do not have", ids[i], config->vocabulary);
    if (status == OBI_OK) status = choose(config, options, ids, count, out);
    obi_free(ids);
    return status;
}

void obi_calibration_free(obi_calibration *calibration)
{
    obi_free(calibration->ids);
    memset(calibration, 0, sizeof *calibration);
}
