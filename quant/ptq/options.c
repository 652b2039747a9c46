#include "quant/ptq/options.h"

#include <math.h>

#include "quant/grid.h"

const char *const obi_ptq_names[OBI_PTQ_COUNT] = { "svid", "xnor", "bitnet_b1", "rtn", "gptq", "omniquant", "int8" };

static bool has_bits(obi_ptq_method method) { return method == OBI_PTQ_RTN || obi_ptq_calibrated(method); }

static obi_status check_bits(obi_ptq_options *options)
{
    const char *name = obi_ptq_names[options->method];
    uint32_t only = options->method == OBI_PTQ_INT8 ? 8 : 1;
    if (!has_bits(options->method)) {
        if (options->bits != 0 && options->bits != only)
            return obi_fail(OBI_ERROR_ARGUMENT, "the method %s has %u bit%s a weight, not %u", name, only, only == 1 ? "" : "s",
                            options->bits);
        if (options->group != 0) return obi_fail(OBI_ERROR_ARGUMENT, "the method %s has no groups of columns", name);
        options->bits = only;
        return OBI_OK;
    }
    if (options->bits == 0) options->bits = 2;
    if (options->bits > OBI_GRID_BITS_MAX)
        return obi_fail(OBI_ERROR_ARGUMENT, "the method %s has 1 to %u bits a weight, not %u", name, OBI_GRID_BITS_MAX, options->bits);
    return OBI_OK;
}

/* Settings of another method would be taken for ones that did something. */
static obi_status check_owners(const obi_ptq_options *options)
{
    const char *name = obi_ptq_names[options->method];
    bool learns = options->epochs != 0 || options->learning_rate != 0 || options->augmented != 0 || options->transform != 0 ||
                  options->scale_rate != 0;
    if (options->method != OBI_PTQ_GPTQ && (options->damping != 0 || options->natural_order))
        return obi_fail(OBI_ERROR_ARGUMENT, "damping and the order of columns are gptq's; the method %s has none", name);
    if (options->method != OBI_PTQ_OMNIQUANT && learns)
        return obi_fail(OBI_ERROR_ARGUMENT,
                        "epochs, learning rates, augmented loss and scales of inputs are omniquant's; the method %s has none", name);
    if (options->method != OBI_PTQ_INT8 && options->threshold != 0)
        return obi_fail(OBI_ERROR_ARGUMENT, "a threshold of inputs is int8's; the method %s has none", name);
    if (!obi_ptq_calibrated(options->method) && (options->windows != 0 || options->window != 0))
        return obi_fail(OBI_ERROR_ARGUMENT, "windows of a text are for gptq and omniquant; the method %s looks at none", name);
    return OBI_OK;
}

obi_status obi_ptq_options_complete(obi_ptq_options *options)
{
    if (options->method < 0 || options->method >= OBI_PTQ_COUNT)
        return obi_fail(OBI_ERROR_ARGUMENT, "there is no method %d", (int)options->method);
    OBI_TRY(check_bits(options));
    OBI_TRY(check_owners(options));
    if (options->windows == 0) options->windows = 128;
    if (options->damping == 0) options->damping = 0.01;
    if (options->damping < 0) options->damping = 0;
    if (options->epochs == 0) options->epochs = options->bits <= 2 ? 40 : 20;
    if (options->learning_rate == 0) options->learning_rate = 0.01;
    if (options->scale_rate == 0) options->scale_rate = 0.005;
    if (options->augmented == 0) options->augmented = options->bits <= 2 ? 1 : -1;
    if (options->threshold == 0) options->threshold = 6;
    if (!isfinite(options->damping) || options->damping > 1e6)
        return obi_fail(OBI_ERROR_ARGUMENT, "a damping of %g is no share of the diagonal", options->damping);
    if (!isfinite(options->learning_rate) || options->learning_rate < 0)
        return obi_fail(OBI_ERROR_ARGUMENT, "a learning rate of %g cannot be", options->learning_rate);
    if (!isfinite(options->scale_rate) || options->scale_rate < 0)
        return obi_fail(OBI_ERROR_ARGUMENT, "a learning rate of %g cannot be", options->scale_rate);
    if (!isfinite(options->threshold) || options->threshold < 0)
        return obi_fail(OBI_ERROR_ARGUMENT, "a threshold of %g cannot be", options->threshold);
    return OBI_OK;
}
