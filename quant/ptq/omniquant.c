#include "quant/ptq/omniquant.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/alloc.h"
#include "core/checked.h"
#include "core/log.h"
#include "ops/op_grid.h"
#include "ops/op_loss.h"
#include "quant/ptq/gptq.h"
#include "quant/train/pass_views.h"

#define START 4.0 /* sigmoid of it is 0.982 */
#define BETA1 0.9
#define BETA2 0.999
#define EPS 1e-8
#define PART_TARGETS 0.04 /* of the layer's time, roughly */
#define PART_LEARNT 0.95

/* One end of a grid: high = sigmoid(raw) * extent. */
typedef struct end { double raw, m, v; float extent; } end;

/* The grids of a linear. */
typedef struct learnt {
    uint32_t group, groups;
    uint64_t count;      /* m groups */
    end *low, *high;     /* (count) */
    obi_weight original; /* on the device */
    uint64_t grids_at, steps_at; /* where this linear's lie in the buffers of all, in bytes */
} learnt;

typedef struct omniquant {
    obi_calibrated *calibrated;
    obi_block *block;
    learnt linears[OBI_LINEAR_COUNT];
    obi_buffer *grids;       /* all linears' D and z, written by the host */
    obi_buffer *steps;       /* the gradients of all D, read by the host */
    obi_buffer *targets[2];  /* F(x), F(x^) of a window */
    obi_buffer *losses[2];   /* (T + 1) */
    obi_buffer *scratch;     /* of a loss */
    uint64_t taken;          /* steps of AdamW */
} omniquant;

/* ---- making ---------------------------------------------------------------------------------------------------- */

static obi_status find_extents(learnt *linear, const float *w, uint32_t m, uint32_t n)
{
    linear->low = obi_calloc(linear->count, sizeof *linear->low);
    linear->high = obi_calloc(linear->count, sizeof *linear->high);
    if (!linear->low || !linear->high) return OBI_ERROR_MEMORY;
    for (uint32_t i = 0; i < m; i++)
        for (uint32_t g = 0; g < linear->groups; g++) {
            const float *row = w + (uint64_t)i * n;
            uint32_t first = g * linear->group, behind = n - first < linear->group ? n : first + linear->group;
            end low = { START, 0, 0, row[first] }, high = { START, 0, 0, row[first] };
            for (uint32_t j = first; j < behind; j++) {
                low.extent = row[j] < low.extent ? row[j] : low.extent;
                high.extent = row[j] > high.extent ? row[j] : high.extent;
            }
            linear->low[(uint64_t)i * linear->groups + g] = low;
            linear->high[(uint64_t)i * linear->groups + g] = high;
        }
    return OBI_OK;
}

static obi_status make_linears(omniquant *work, uint64_t *grid_bytes, uint64_t *step_bytes)
{
    *grid_bytes = *step_bytes = 0;
    for (int kind = 0; kind < OBI_LINEAR_COUNT; kind++) {
        if (!obi_block_has(work->block, kind)) continue;
        learnt *linear = &work->linears[kind];
        const obi_weight *weight = obi_block_weight(work->block, kind);
        uint32_t group = work->calibrated->options->group;
        linear->group = group > 0 && group < weight->columns ? group : weight->columns;
        linear->groups = (uint32_t)obi_div_ceil(weight->columns, linear->group);
        linear->count = (uint64_t)weight->rows * linear->groups;
        linear->grids_at = *grid_bytes;
        linear->steps_at = *step_bytes;
        *grid_bytes += obi_align_up(linear->count * 8, OBI_BUFFER_ALIGNMENT);
        *step_bytes += obi_align_up(linear->count * 4, OBI_BUFFER_ALIGNMENT);
        OBI_TRY(find_extents(linear, work->block->weights[kind], weight->rows, weight->columns));
        OBI_TRY(obi_weight_create(work->block->device, OBI_WEIGHT_F32, weight->rows, weight->columns, 0, &linear->original));
        OBI_TRY(obi_weight_upload(work->block->upload, &linear->original, 0, weight->rows, work->block->weights[kind]));
        OBI_TRY(obi_upload_finish(work->block->upload));
    }
    return OBI_OK;
}

static obi_status make(omniquant *work)
{
    obi_device *device = work->block->device;
    uint32_t T = work->block->T, D = work->block->model->config.width;
    uint64_t grid_bytes, step_bytes;
    OBI_TRY(make_linears(work, &grid_bytes, &step_bytes));
    OBI_TRY(obi_buffer_create(device, grid_bytes, OBI_MEMORY_UPLOAD, &work->grids));
    OBI_TRY(obi_buffer_create(device, step_bytes, OBI_MEMORY_READBACK, &work->steps));
    OBI_TRY(obi_buffer_create(device, obi_op_hidden_scratch_bytes(T, D), OBI_MEMORY_DEVICE, &work->scratch));
    for (int i = 0; i < 2; i++) {
        OBI_TRY(obi_buffer_create(device, (uint64_t)T * D * 4, OBI_MEMORY_DEVICE, &work->targets[i]));
        OBI_TRY(obi_buffer_create(device, ((uint64_t)T + 1) * 4, OBI_MEMORY_READBACK, &work->losses[i]));
    }
    return OBI_OK;
}

static void destroy(omniquant *work)
{
    obi_device *device = work->block->device;
    for (int kind = 0; kind < OBI_LINEAR_COUNT; kind++) {
        obi_weight_destroy(device, &work->linears[kind].original);
        obi_free(work->linears[kind].low);
        obi_free(work->linears[kind].high);
    }
    obi_buffer *buffers[] = { work->grids, work->steps, work->scratch, work->targets[0], work->targets[1], work->losses[0], work->losses[1] };
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++) obi_buffer_destroy(device, buffers[i]);
}

/* ---- grids and their ends -------------------------------------------------------------------------------------- */

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }

static obi_status grid_of(const omniquant *work, int kind, uint64_t i, obi_grid *grid)
{
    const end *low = &work->linears[kind].low[i], *high = &work->linears[kind].high[i];
    return obi_grid_span(sigmoid(low->raw) * (double)low->extent, sigmoid(high->raw) * (double)high->extent,
                         work->calibrated->options->bits, grid);
}

static obi_view grids_view(const omniquant *work, int kind)
{
    return (obi_view){ work->grids, work->linears[kind].grids_at, work->linears[kind].count * 8 };
}

static obi_status write_grids(const omniquant *work)
{
    for (int kind = 0; kind < OBI_LINEAR_COUNT; kind++) {
        obi_grid *to = (obi_grid *)(void *)((char *)work->grids->mapped + work->linears[kind].grids_at);
        for (uint64_t i = 0; i < work->linears[kind].count; i++) OBI_TRY(grid_of(work, kind, i, &to[i]));
    }
    return obi_buffer_flush(work->block->device, work->grids, 0, work->grids->size);
}

static void adamw(const omniquant *work, end *of, double gradient)
{
    double c1 = 1 - pow(BETA1, (double)work->taken), c2 = 1 - pow(BETA2, (double)work->taken);
    of->m = BETA1 * of->m + (1 - BETA1) * gradient;
    of->v = BETA2 * of->v + (1 - BETA2) * gradient * gradient;
    of->raw -= work->calibrated->options->learning_rate * (of->m / c1) / (sqrt(of->v / c2) + EPS);
}

/* From dL/dD to the ends: D = (sigmoid(c) max - sigmoid(b) min) / (2^bits - 1). */
static void learn(omniquant *work)
{
    double top = (double)((1u << work->calibrated->options->bits) - 1);
    work->taken++;
    for (int kind = 0; kind < OBI_LINEAR_COUNT; kind++) {
        learnt *linear = &work->linears[kind];
        const float *steps = (const float *)(const void *)((const char *)work->steps->mapped + linear->steps_at);
        for (uint64_t i = 0; i < linear->count; i++) {
            end *low = &linear->low[i], *high = &linear->high[i];
            double slope_low = sigmoid(low->raw), slope_high = sigmoid(high->raw), d = (double)steps[i] / top;
            slope_low *= 1 - slope_low;
            slope_high *= 1 - slope_high;
            adamw(work, low, -d * slope_low * (double)low->extent);
            adamw(work, high, d * slope_high * (double)high->extent);
        }
    }
}

/* ---- a step ---------------------------------------------------------------------------------------------------- */

static void record_weights(omniquant *work, obi_cmd *cmd)
{
    for (int kind = 0; kind < OBI_LINEAR_COUNT; kind++)
        if (obi_block_has(work->block, kind))
            obi_op_grid_round(cmd, obi_block_weight(work->block, kind), &work->linears[kind].original, grids_view(work, kind),
                              work->linears[kind].group, work->calibrated->options->bits);
}

/* The loss against target i of the window, and what it adds to dx: obi_op_hidden divides by the mean square of a row of targets. */
static obi_status record_loss(omniquant *work, obi_cmd *cmd, int i, const float *target, double *power)
{
    obi_pass *pass = work->block->pass;
    uint32_t T = work->block->T, D = work->block->model->config.width;
    *power = 0;
    for (uint64_t k = 0; k < (uint64_t)T * D; k++) *power += (double)target[k] * (double)target[k];
    *power /= T;
    obi_op_hidden(cmd, obi_view_of(work->losses[i]), obi_view_rows(pass->dx, 0, T, D), obi_view_rows(pass->x[1], 0, T, D),
                  obi_view_of(work->targets[i]), obi_view_of(work->scratch), T, D, (float)(*power / ((double)T * D)), OBI_HIDDEN_MSE);
    return obi_cmd_status(cmd);
}

static obi_status read_loss(const omniquant *work, int i, double power, double *loss)
{
    uint32_t T = work->block->T;
    const float *rows = work->losses[i]->mapped;
    double sum = 0;
    OBI_TRY(obi_buffer_invalidate(work->block->device, work->losses[i], 0, work->losses[i]->size));
    for (uint32_t t = 0; t < T; t++) sum += (double)rows[t];
    *loss += sum * power / ((double)T * work->block->model->config.width);
    return OBI_OK;
}

static obi_status step(omniquant *work, uint32_t w, double *loss)
{
    obi_calibrated *calibrated = work->calibrated;
    obi_block *block = work->block;
    obi_pass *pass = block->pass;
    obi_cmd *cmd = block->cmd;
    int targets = calibrated->options->augmented > 0 ? 2 : 1;
    uint64_t bytes = (uint64_t)block->T * block->model->config.width * 4;
    const float *of[2] = { obi_calibrated_window(calibrated, calibrated->exact, w), obi_calibrated_window(calibrated, calibrated->answers, w) };
    double power[2] = { 0 };
    obi_view input = { pass->x[0], 0, bytes };
    OBI_TRY(write_grids(work));
    OBI_TRY(obi_upload_bytes(block->upload, input, obi_calibrated_window(calibrated, calibrated->x, w), bytes));
    for (int i = 0; i < targets; i++) OBI_TRY(obi_upload_bytes(block->upload, obi_view_of(work->targets[i]), of[i], bytes));
    obi_cmd_begin(cmd);
    record_weights(work, cmd);
    for (int kind = 0; kind < OBI_LINEAR_COUNT; kind++)
        for (uint32_t i = 0; obi_block_has(block, kind) && i < obi_block_gradient(block, kind)->block_count; i++)
            obi_cmd_fill(cmd, obi_view_of(obi_block_gradient(block, kind)->blocks[i]), 0);
    obi_cmd_fill(cmd, obi_view_of(pass->dx), 0);
    obi_pass_layer_forward(pass, cmd, 0);
    for (int i = 0; i < targets; i++) OBI_TRY(record_loss(work, cmd, i, of[i], &power[i]));
    obi_pass_layer_backward(pass, cmd, 0);
    for (int kind = 0; kind < OBI_LINEAR_COUNT; kind++) {
        const learnt *linear = &work->linears[kind];
        if (!obi_block_has(block, kind)) continue;
        obi_view d = { work->steps, linear->steps_at, linear->count * 4 };
        obi_op_grid_round_bwd(cmd, d, obi_block_gradient(block, kind), &linear->original, grids_view(work, kind), linear->group,
                              calibrated->options->bits);
    }
    OBI_TRY(obi_cmd_run(cmd));
    *loss = 0;
    for (int i = 0; i < targets; i++) OBI_TRY(read_loss(work, i, power[i], loss));
    if (!isfinite(*loss))
        return obi_fail(OBI_ERROR_RUNTIME, "layer %u: the loss is not finite any more; a smaller learning rate may help",
                        calibrated->layers_done);
    OBI_TRY(obi_buffer_invalidate(block->device, work->steps, 0, work->steps->size));
    learn(work);
    return OBI_OK;
}

static obi_status learn_ends(omniquant *work, obi_part part, obi_omniquant_losses *losses)
{
    const obi_calibrated *calibrated = work->calibrated;
    uint32_t windows = calibrated->calibration.windows, epochs = calibrated->options->epochs;
    char what[64];
    for (uint32_t epoch = 0; epoch < epochs; epoch++) {
        double sum = 0, loss;
        snprintf(what, sizeof what, "layer %u: epoch %u of %u", calibrated->layers_done, epoch + 1, epochs);
        for (uint32_t w = 0; w < windows; w++) {
            double done = ((double)epoch * windows + w) / ((double)epochs * windows);
            OBI_TRY(part.tell(part.user, PART_TARGETS + (PART_LEARNT - PART_TARGETS) * done, what));
            OBI_TRY(step(work, w, &loss));
            sum += loss / windows;
        }
        if (epoch == 0) losses->first = sum;
        losses->last = sum;
    }
    obi_log(OBI_LOG_INFO, "layer %u: mean loss %.6g in the first epoch, %.6g in the last", calibrated->layers_done, losses->first, losses->last);
    return OBI_OK;
}

/* ---- the layer ------------------------------------------------------------------------------------------------- */

static obi_status encode(omniquant *work, int kind)
{
    obi_calibrated *calibrated = work->calibrated;
    obi_block *block = work->block;
    const obi_weight *weight = obi_block_weight(block, kind);
    obi_codes *codes = &calibrated->codes[kind];
    obi_made_linear *made = &calibrated->made[kind];
    float *w = block->weights[kind];
    double error = 0, norm2 = 0, outputs, off;
    OBI_TRY(obi_codes_create(codes, weight->rows, weight->columns, calibrated->options->bits, calibrated->options->group));
    for (uint64_t i = 0; i < work->linears[kind].count; i++) OBI_TRY(grid_of(work, kind, i, &codes->grids[i]));
    OBI_TRY(obi_gptq_output_norm2(block->device, block->upload, w, weight->rows, weight->columns, obi_calibrated_hessian(calibrated, kind), &outputs));
    float *row = obi_calloc(weight->columns, sizeof *row);
    if (!row) return OBI_ERROR_MEMORY;
    for (uint32_t i = 0; i < weight->rows; i++) {
        float *of = w + (uint64_t)i * weight->columns;
        for (uint32_t j = 0; j < weight->columns; j++)
            codes->codes[(uint64_t)i * weight->columns + j] = obi_grid_code(obi_codes_grid(codes, i, j), codes->bits, of[j]);
        obi_codes_error(codes, i, of, &error, &norm2);
        obi_codes_row(codes, i, row);
        for (uint32_t j = 0; j < weight->columns; j++) of[j] -= row[j]; /* what is off, in the place of W */
    }
    obi_free(row);
    OBI_TRY(obi_gptq_output_norm2(block->device, block->upload, w, weight->rows, weight->columns, obi_calibrated_hessian(calibrated, kind), &off));
    *made = (obi_made_linear){ .codes = codes, .norm2 = norm2, .error = norm2 > 0 ? error / norm2 : 0, .output_error = outputs > 0 ? off / outputs : 0 };
    for (uint32_t i = 0; i < weight->rows; i++) obi_codes_row(codes, i, w + (uint64_t)i * weight->columns);
    return obi_block_set(block, kind, w);
}

static obi_status run_layer(omniquant *work, obi_part part, obi_omniquant_losses *losses)
{
    obi_calibrated *calibrated = work->calibrated;
    uint32_t windows = calibrated->calibration.windows;
    char what[64];
    snprintf(what, sizeof what, "layer %u: what it gives", calibrated->layers_done);
    OBI_TRY(obi_calibrated_observe(calibrated, calibrated->answers, (obi_part){ NULL, NULL }));
    for (uint32_t w = 0; w < windows; w++) {
        float *exact = obi_calibrated_window(calibrated, calibrated->exact, w);
        OBI_TRY(part.tell(part.user, PART_TARGETS * w / windows, what));
        OBI_TRY(obi_block_forward(work->block, exact, exact, NULL, NULL));
    }
    OBI_TRY(make(work));
    OBI_TRY(learn_ends(work, part, losses));
    for (int kind = 0; kind < OBI_LINEAR_COUNT; kind++)
        if (obi_block_has(work->block, kind)) OBI_TRY(encode(work, kind));
    for (uint32_t w = 0; w < windows; w++) {
        float *x = obi_calibrated_window(calibrated, calibrated->x, w);
        OBI_TRY(part.tell(part.user, PART_LEARNT + (1 - PART_LEARNT) * w / windows, what));
        OBI_TRY(obi_block_forward(work->block, x, x, NULL, NULL));
    }
    return OBI_OK;
}

obi_status obi_omniquant_layer(obi_calibrated *calibrated, obi_part part, obi_omniquant_losses *losses)
{
    omniquant work = { .calibrated = calibrated, .block = calibrated->block };
    *losses = (obi_omniquant_losses){ 0 };
    obi_status status = run_layer(&work, part, losses);
    destroy(&work);
    return status;
}
