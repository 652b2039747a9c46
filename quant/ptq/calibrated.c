#include "quant/ptq/calibrated.h"

#include <stdio.h>
#include <string.h>

#include "core/alloc.h"
#include "core/checked.h"
#include "quant/ptq/gptq.h"
#include "quant/ptq/omniquant.h"

/* Of the time that a layer takes with GPTQ, roughly: looking at the inputs, and the linears; the rest is running it again. */
#define PART_OBSERVED 0.4
#define PART_LINEARS 0.5

/* ---- streams --------------------------------------------------------------------------------------------------- */

float *obi_calibrated_window(const obi_calibrated *calibrated, float *stream, uint32_t w)
{
    return stream + (uint64_t)w * calibrated->calibration.T * calibrated->block->model->config.width;
}

static obi_status make_stream(const obi_calibrated *calibrated, float **stream)
{
    uint64_t count;
    if (!obi_checked_mul((uint64_t)calibrated->calibration.windows * calibrated->calibration.T, calibrated->block->model->config.width,
                         &count))
        return obi_fail(OBI_ERROR_MEMORY, "the calibration has too many tokens");
    *stream = obi_calloc(count, sizeof **stream);
    return *stream ? OBI_OK : OBI_ERROR_MEMORY;
}

static obi_status make_streams(obi_calibrated *calibrated)
{
    const obi_calibration *calibration = &calibrated->calibration;
    OBI_TRY(make_stream(calibrated, &calibrated->x));
    for (uint32_t w = 0; w < calibration->windows; w++)
        OBI_TRY(obi_block_embed(calibrated->block, calibration->ids + (uint64_t)w * calibration->T,
                                obi_calibrated_window(calibrated, calibrated->x, w)));
    if (calibrated->options->method != OBI_PTQ_OMNIQUANT) return OBI_OK;
    OBI_TRY(make_stream(calibrated, &calibrated->exact));
    OBI_TRY(make_stream(calibrated, &calibrated->answers));
    memcpy(calibrated->exact, calibrated->x,
           (size_t)calibration->windows * calibration->T * calibrated->block->model->config.width * sizeof(float));
    return OBI_OK;
}

/* ---- inputs ---------------------------------------------------------------------------------------------------- */

/* The first linear that has the same inputs. */
static int leader(const obi_block *block, int kind)
{
    if (kind == OBI_LINEAR_K || kind == OBI_LINEAR_V) return OBI_LINEAR_Q;
    return kind == OBI_LINEAR_UP && obi_block_has(block, OBI_LINEAR_GATE) ? OBI_LINEAR_GATE : kind;
}

static bool leads(const obi_block *block, int kind) { return obi_block_has(block, kind) && leader(block, kind) == kind; }

const obi_weight *obi_calibrated_hessian(const obi_calibrated *calibrated, int kind)
{
    return &calibrated->hessians[leader(calibrated->block, kind)];
}

static obi_status make_hessians(obi_calibrated *calibrated)
{
    for (int kind = 0; kind < OBI_LINEAR_COUNT; kind++) {
        if (!leads(calibrated->block, kind)) continue;
        uint32_t n = obi_block_weight(calibrated->block, kind)->columns;
        OBI_TRY(obi_weight_create(calibrated->block->device, OBI_WEIGHT_F32, n, n, 0, &calibrated->hessians[kind]));
    }
    return OBI_OK;
}

static void observe_inputs(void *user, obi_cmd *cmd)
{
    const obi_calibrated *calibrated = user;
    for (int kind = 0; kind < OBI_LINEAR_COUNT; kind++)
        if (leads(calibrated->block, kind))
            obi_gptq_observe(cmd, &calibrated->hessians[kind], obi_block_inputs(calibrated->block, kind), calibrated->block->T);
}

static obi_status clear_hessians(obi_calibrated *calibrated)
{
    obi_cmd *cmd = calibrated->block->cmd;
    obi_cmd_begin(cmd);
    for (int kind = 0; kind < OBI_LINEAR_COUNT; kind++)
        for (uint32_t i = 0; leads(calibrated->block, kind) && i < calibrated->hessians[kind].block_count; i++)
            obi_cmd_fill(cmd, obi_view_of(calibrated->hessians[kind].blocks[i]), 0);
    return obi_cmd_run(cmd);
}

obi_status obi_calibrated_observe(obi_calibrated *calibrated, float *outputs, obi_part part)
{
    uint32_t windows = calibrated->calibration.windows;
    char what[64];
    snprintf(what, sizeof what, "layer %u: looking at its inputs", calibrated->layers_done);
    OBI_TRY(clear_hessians(calibrated));
    for (uint32_t w = 0; w < windows; w++) {
        float *y = outputs ? obi_calibrated_window(calibrated, outputs, w) : NULL;
        OBI_TRY(obi_part_tell(part, (double)w / windows, what));
        OBI_TRY(obi_block_forward(calibrated->block, obi_calibrated_window(calibrated, calibrated->x, w), y, observe_inputs, calibrated));
    }
    return OBI_OK;
}

/* ---- GPTQ ------------------------------------------------------------------------------------------------------ */

static obi_status set_codes(obi_calibrated *calibrated, int kind)
{
    const obi_codes *codes = &calibrated->codes[kind];
    float *w = calibrated->block->weights[kind]; /* the original has served */
    for (uint32_t i = 0; i < codes->rows; i++) obi_codes_row(codes, i, w + (uint64_t)i * codes->columns);
    return obi_block_set(calibrated->block, kind, w);
}

static obi_status gptq_linear(obi_calibrated *calibrated, int kind, obi_part part)
{
    const obi_ptq_options *options = calibrated->options;
    const obi_block *block = calibrated->block;
    const obi_weight *weight = obi_block_weight(block, kind);
    obi_gptq_options settings = {
        .bits = options->bits, .group = options->group, .damping = options->damping, .natural_order = options->natural_order
    };
    obi_gptq_result result;
    uint64_t inputs = (uint64_t)calibrated->calibration.windows * calibrated->calibration.T;
    obi_status status = obi_gptq_run(block->device, block->upload, block->weights[kind], weight->rows, weight->columns,
                                     obi_calibrated_hessian(calibrated, kind), inputs, &settings, part, &result);
    if (status == OBI_ERROR_CANCELLED) return status;
    if (status != OBI_OK) return obi_fail_prefix(status, "the tensor blk.%u.%s.weight", calibrated->layers_done, obi_linear_roles[kind]);
    calibrated->codes[kind] = result.codes;
    calibrated->made[kind] = (obi_made_linear){
        .codes = &calibrated->codes[kind],
        .norm2 = result.norm2,
        .error = result.norm2 > 0 ? result.error / result.norm2 : 0,
        .output_error = result.output_norm2 > 0 ? result.output_error / result.output_norm2 : 0,
    };
    return set_codes(calibrated, kind);
}

static obi_status gptq_layer(obi_calibrated *calibrated, obi_part part)
{
    uint32_t windows = calibrated->calibration.windows;
    char what[64];
    obi_part_share observing = { part, 0, PART_OBSERVED, NULL };
    OBI_TRY(obi_calibrated_observe(calibrated, NULL, obi_part_of(&observing)));
    for (int kind = 0; kind < OBI_LINEAR_COUNT; kind++) {
        if (!obi_block_has(calibrated->block, kind)) continue;
        snprintf(what, sizeof what, "blk.%u.%s.weight", calibrated->layers_done, obi_linear_roles[kind]);
        obi_part_share linear = { part, PART_OBSERVED + PART_LINEARS * kind / OBI_LINEAR_COUNT, PART_LINEARS / OBI_LINEAR_COUNT, what };
        OBI_TRY(gptq_linear(calibrated, kind, obi_part_of(&linear)));
    }
    if (calibrated->layers_done + 1 == calibrated->block->source->config.layers) return OBI_OK;
    snprintf(what, sizeof what, "layer %u: its outputs", calibrated->layers_done);
    for (uint32_t w = 0; w < windows; w++) {
        float *x = obi_calibrated_window(calibrated, calibrated->x, w);
        double done = PART_OBSERVED + PART_LINEARS;
        OBI_TRY(obi_part_tell(part, done + (1 - done) * w / windows, what));
        OBI_TRY(obi_block_forward(calibrated->block, x, x, NULL, NULL));
    }
    return OBI_OK;
}

/* ---- the whole ------------------------------------------------------------------------------------------------- */

obi_status obi_calibrated_create(obi_device *device, const obi_source *source, obi_calibration *calibration, const obi_ptq_options *options,
                                 obi_calibrated **out)
{
    *out = NULL;
    obi_calibrated *calibrated = obi_calloc(1, sizeof *calibrated);
    if (!calibrated) {
        obi_calibration_free(calibration);
        return OBI_ERROR_MEMORY;
    }
    calibrated->options = options;
    calibrated->calibration = *calibration;
    memset(calibration, 0, sizeof *calibration);
    obi_status status;
    OBI_TRY_GOTO(obi_block_create(device, source, calibrated->calibration.T, options->method == OBI_PTQ_OMNIQUANT, &calibrated->block));
    OBI_TRY_GOTO(make_streams(calibrated));
    status = make_hessians(calibrated);
done:
    if (status != OBI_OK) obi_calibrated_destroy(calibrated);
    else *out = calibrated;
    return status;
}

static void forget_layer(obi_calibrated *calibrated)
{
    for (int kind = 0; kind < OBI_LINEAR_COUNT; kind++) {
        obi_codes_free(&calibrated->codes[kind]);
        obi_free(calibrated->factors[kind]);
        calibrated->factors[kind] = NULL;
    }
    memset(calibrated->made, 0, sizeof calibrated->made);
}

void obi_calibrated_destroy(obi_calibrated *calibrated)
{
    if (!calibrated) return;
    forget_layer(calibrated);
    for (int kind = 0; calibrated->block && kind < OBI_LINEAR_COUNT; kind++)
        obi_weight_destroy(calibrated->block->device, &calibrated->hessians[kind]);
    obi_block_destroy(calibrated->block);
    obi_calibration_free(&calibrated->calibration);
    obi_free(calibrated->x);
    obi_free(calibrated->exact);
    obi_free(calibrated->answers);
    obi_free(calibrated);
}

obi_status obi_calibrated_layer(obi_calibrated *calibrated, obi_part part)
{
    if (calibrated->broken) return obi_fail(OBI_ERROR_ARGUMENT, "the layers were ended before; they cannot go on");
    calibrated->broken = true; /* until this layer is done */
    forget_layer(calibrated);
    OBI_TRY(obi_block_load(calibrated->block, calibrated->layers_done));
    if (calibrated->options->method == OBI_PTQ_GPTQ) {
        OBI_TRY(gptq_layer(calibrated, part));
    } else {
        obi_omniquant_losses losses;
        OBI_TRY(obi_omniquant_layer(calibrated, part, &losses));
    }
    calibrated->layers_done++;
    calibrated->broken = false;
    return OBI_OK;
}
