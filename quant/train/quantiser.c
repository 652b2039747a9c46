#include "quant/train/quantiser.h"

#include <math.h>

#include "core/alloc.h"

obi_quantiser obi_quantiser_of(const obi_train_options *options)
{
    if (options->method != OBI_METHOD_LLMQAT_SYM && options->method != OBI_METHOD_LLMQAT) return (obi_quantiser){ 0 };
    bool by_mean = options->method == OBI_METHOD_LLMQAT && options->bits <= 2;
    return (obi_quantiser){ by_mean ? OBI_FAKE_QUANT_MEAN : OBI_FAKE_QUANT_MINMAX, options->bits };
}

/* Levels -1, 0, 1: two planes and no offset. */
static bool ternary(const obi_quantiser *quantiser) { return quantiser->kind == OBI_FAKE_QUANT_MINMAX && quantiser->bits == 2; }

void obi_quantiser_config(const obi_quantiser *quantiser, obi_config *config)
{
    config->onebit = true;
    config->post_norm = false;
    config->post_norm_eps = 1e-5f;
    config->planes = quantiser->bits;
    config->no_input_factor = true;
    config->offset = quantiser->kind == OBI_FAKE_QUANT_MINMAX && !ternary(quantiser); /* levels of the mean lie around 0 */
}

obi_status obi_quantiser_create(obi_device *device, const obi_weight *latent, obi_train_linear *linear)
{
    OBI_TRY(obi_weight_create(device, OBI_WEIGHT_F32, latent->rows, latent->columns, 0, &linear->levels));
    return obi_weight_create(device, OBI_WEIGHT_F32, 1, latent->rows, 0, &linear->steps);
}

void obi_quantiser_record(obi_cmd *cmd, const obi_train_model *model)
{
    for (uint32_t i = 0; i < model->config.layers; i++)
        for (int kind = 0; kind < OBI_LINEAR_COUNT; kind++) {
            if (!obi_config_has_linear(&model->config, kind)) continue;
            const obi_train_linear *linear = &model->layers[i].linear[kind];
            obi_op_fake_quant(cmd, &linear->levels, obi_view_of(linear->steps.blocks[0]), &model->params[linear->weight].w,
                              model->quantiser.kind, model->quantiser.bits);
        }
}

/* Steps end at 16376, so weights that have gone astray have levels beyond the form's, and those that are not numbers have none. */
static obi_status check_levels(const obi_quantiser *quantiser, uint32_t m, uint32_t n, const float *levels, const float *steps)
{
    double most = quantiser->kind == OBI_FAKE_QUANT_MEAN ? (ldexp(1, (int)quantiser->bits) - 1) / 2 : ldexp(1, (int)quantiser->bits - 1) - 1;
    for (uint64_t at = 0; at < (uint64_t)m * n; at++)
        if (!(fabs((double)levels[at]) < (most + 0.25) * (double)steps[at / n]))
            return obi_fail(OBI_ERROR_RUNTIME, "the training diverged: a weight has grown to %g, beyond what %u bits hold",
                            (double)levels[at], quantiser->bits);
    return OBI_OK;
}

/* Levels lie at whole or half multiples of the step: k - zero. */
static obi_status pack_codes(const obi_quantiser *quantiser, uint32_t m, uint32_t n, const float *levels, const float *steps,
                             const obi_planes *to)
{
    double zero = quantiser->kind == OBI_FAKE_QUANT_MEAN ? (ldexp(1, (int)quantiser->bits) - 1) / 2 : ldexp(1, (int)quantiser->bits - 1);
    uint8_t *codes = obi_calloc((size_t)m * n, sizeof *codes);
    float *zeros = obi_calloc(m, sizeof *zeros);
    obi_status status = codes && zeros ? OBI_OK : OBI_ERROR_MEMORY;
    for (uint32_t i = 0; i < m && status == OBI_OK; i++) {
        zeros[i] = (float)zero;
        for (uint32_t j = 0; j < n; j++) {
            uint64_t at = (uint64_t)i * n + j;
            codes[at] = (uint8_t)lrint((double)levels[at] / (double)steps[i] + zero);
        }
    }
    if (status == OBI_OK) status = obi_planes_pack(quantiser->bits, m, n, codes, steps, zeros, to);
    obi_free(zeros);
    obi_free(codes);
    return status;
}

obi_status obi_quantiser_pack(const obi_quantiser *quantiser, uint32_t m, uint32_t n, const float *levels, const float *steps,
                              const obi_planes *to)
{
    OBI_TRY(check_levels(quantiser, m, n, levels, steps));
    if (!ternary(quantiser)) return pack_codes(quantiser, m, n, levels, steps, to);
    int8_t *signs = obi_calloc((size_t)m * n, sizeof *signs);
    if (!signs) return OBI_ERROR_MEMORY;
    for (uint64_t at = 0; at < (uint64_t)m * n; at++) signs[at] = (int8_t)((levels[at] > 0) - (levels[at] < 0));
    obi_status status = obi_planes_pack_ternary(m, n, signs, steps, to);
    obi_free(signs);
    return status;
}

double obi_quantiser_bits(const obi_quantiser *quantiser, const obi_config *config)
{
    double bits = 0, weights = 0;
    for (int kind = 0; kind < OBI_LINEAR_COUNT; kind++) {
        uint32_t m, n;
        obi_config_linear_shape(config, kind, &m, &n);
        bits += (double)m * ((double)n * quantiser->bits + 16);
        weights += (double)m * n;
    }
    return bits / weights;
}
