#include "quant/train/scales.h"

#include <math.h>
#include <stdio.h>

#include "core/alloc.h"
#include "ops/op_optim.h"
#include "quant/train/quantiser.h"

static const char *const methods[] = { "onebit", "xnor", "bitnet_b1", "llmqat_sym", "llmqat" };
static const char *const starts[] = { "svid", "plain", "random" };

void obi_scales_tell(obi_param *scales, const obi_train_options *options, uint32_t rows, uint32_t columns)
{
    if (!options || options->method == OBI_METHOD_ONEBIT) return;
    scales->first = obi_scales_h_offset(columns);
    scales->count = rows;
    scales->tied = options->method == OBI_METHOD_BITNET_B1;
}

bool obi_scales_by_svid(const obi_train_options *options)
{
    return options->method == OBI_METHOD_ONEBIT && options->scales_init == OBI_SCALES_SVID;
}

bool obi_scales_centred(const obi_train_options *options) { return options->method == OBI_METHOD_BITNET_B1; }

double obi_scales_row_mean(const float *row, uint32_t columns, double center, bool absolute)
{
    double sum = 0;
    for (uint32_t j = 0; j < columns; j++) {
        double value = (double)row[j] - center;
        sum += absolute ? fabs(value) : value;
    }
    return sum / columns;
}

double obi_scales_mean(const double *row_means, uint32_t rows)
{
    double sum = 0;
    for (uint32_t i = 0; i < rows; i++) sum += row_means[i];
    return sum / rows;
}

/* Of the run's seed and the tensor's name, so that the order in which tensors are made does not matter (FNV-1a). */
static obi_rng rng_of(uint64_t seed, const char *name)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (; *name; name++) hash = (hash ^ (unsigned char)*name) * 0x100000001b3u;
    obi_rng rng = obi_rng_seed(seed);
    return obi_rng_seed(obi_rng_next(&rng) ^ hash);
}

void obi_scales_start(const obi_train_options *options, const char *name, const double *sizes, uint32_t rows, uint32_t columns, float *g,
                      float *h)
{
    double mean = obi_scales_mean(sizes, rows);
    bool random = options->method == OBI_METHOD_ONEBIT && options->scales_init == OBI_SCALES_RANDOM;
    double size = sqrt(mean * 1.5707963267948966); /* the mean of |N(0,1)| is sqrt(2/pi), and of two of them the square of that */
    obi_rng rng = rng_of(options->seed, name);
    for (uint32_t j = 0; j < columns; j++) g[j] = random ? (float)(size * fabs(obi_rng_normal(&rng))) : 1;
    for (uint32_t i = 0; i < rows; i++)
        h[i] = (float)(random ? size * fabs(obi_rng_normal(&rng)) : options->method == OBI_METHOD_XNOR ? sizes[i] : mean);
}

/* ---- a packed model to start from ------------------------------------------------------------------------------ */

/* Whether all elements of a vector are the same; *value is the first. */
static obi_status alike(const obi_source *source, uint32_t layer, int kind, const char *suffix, float *value, bool *good)
{
    char name[96];
    snprintf(name, sizeof name, "blk.%u.%s.%s", layer, obi_linear_roles[kind], suffix);
    const obi_source_tensor *tensor = obi_source_find(source, name);
    if (!tensor || tensor->rows != 1 || tensor->columns == 0) return obi_fail(OBI_ERROR_DATA, "the tensor %s is missing", name);
    *value = 0;
    *good = false;
    float *values = obi_calloc((size_t)tensor->columns, sizeof *values);
    if (!values) return OBI_ERROR_MEMORY;
    obi_status status = obi_source_read(tensor, 0, 1, values);
    *value = values[0];
    *good = true;
    for (uint64_t i = 1; i < tensor->columns; i++) *good = *good && values[i] == values[0];
    obi_free(values);
    return status;
}

static obi_status check_form(const obi_train_options *options, const obi_source *source)
{
    const char *method = methods[options->method];
    for (uint32_t layer = 0; layer < source->config.layers; layer++)
        for (int kind = 0; kind < OBI_LINEAR_COUNT; kind++) {
            if (!obi_config_has_linear(&source->config, kind)) continue;
            float value = 0;
            bool good = false;
            OBI_TRY(alike(source, layer, kind, "input_factor", &value, &good));
            if (!good || value != 1)
                return obi_fail(OBI_ERROR_ARGUMENT,
                                "method: %s has g = 1, but %s is packed and has another g in blk.%u.%s; use method: onebit", method,
                                source->name, layer, obi_linear_roles[kind]);
            if (options->method != OBI_METHOD_BITNET_B1) continue;
            OBI_TRY(alike(source, layer, kind, "weight_scale", &value, &good));
            if (!good)
                return obi_fail(
                    OBI_ERROR_ARGUMENT,
                    "method: %s has one h for a matrix, but %s is packed and has several in blk.%u.%s; use method: onebit or xnor", method,
                    source->name, layer, obi_linear_roles[kind]);
        }
    return OBI_OK;
}

obi_status obi_scales_check(const obi_train_options *options, const obi_source *start)
{
    bool packed = start && start->config.onebit, svid = options->scales_init == OBI_SCALES_SVID;
    if (options->method == OBI_METHOD_ONEBIT && svid) return OBI_OK;
    if (!packed && options->stage == OBI_STAGE_KD) return OBI_OK;
    if (!packed)
        return obi_fail(OBI_ERROR_ARGUMENT, "%s: %s is about 1-bit layers, but this run trains an ordinary model",
                        svid ? "method" : "scales_init", svid ? methods[options->method] : starts[options->scales_init]);
    if (!svid)
        return obi_fail(OBI_ERROR_ARGUMENT, "scales_init: %s is for students of ordinary models, but %s is packed and has its g and h",
                        starts[options->scales_init], start->name);
    if (obi_quantiser_of(options).bits > 0)
        return obi_fail(OBI_ERROR_ARGUMENT, "method: %s trains ordinary weights, but %s is packed and has none", methods[options->method],
                        start->name);
    return check_form(options, start);
}

const char *obi_method_name(obi_method method) { return methods[method]; }

double obi_scales_bits(obi_method method, const obi_config *config)
{
    double bits = 0, weights = 0;
    for (int kind = 0; kind < OBI_LINEAR_COUNT; kind++) {
        uint32_t m, n;
        if (!obi_config_has_linear(config, kind)) continue;
        obi_config_linear_shape(config, kind, &m, &n);
        double scales = method == OBI_METHOD_BITNET_B1 ? 1 : method == OBI_METHOD_XNOR ? m : (double)m + n;
        bits += (double)m * n + 16 * scales;
        weights += (double)m * n;
    }
    return bits / weights;
}

/* ---- training -------------------------------------------------------------------------------------------------- */

obi_view obi_param_trained(const obi_param *param, const obi_weight *state, uint32_t block, uint64_t *count)
{
    uint32_t first, rows;
    obi_view view = obi_weight_block(state, block, &first, &rows);
    *count = (uint64_t)rows * state->row_words;
    if (param->count == 0) return view;
    *count = param->count;
    return (obi_view){ view.buffer, view.offset + (uint64_t)param->first * 4, *count * 4 };
}
