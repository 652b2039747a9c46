#include "quant/ptq/omniquant.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/alloc.h"
#include "core/checked.h"
#include "core/log.h"
#include "ops/op_bitlinear_bwd.h"
#include "ops/op_grid.h"
#include "ops/op_loss.h"
#include "quant/ptq/equivalence.h"
#include "quant/ptq/gptq.h"
#include "quant/train/pass_views.h"

#define START 4.0         /* sigmoid of it is 0.982 */
#define PART_TARGETS 0.04 /* of the layer's time, roughly */
#define PART_LEARNT 0.95

/* The scales of inputs that are learnt: of q, k and v together, of o, of what leads into the feed-forward half. */
enum { SCALED_QKV, SCALED_O, SCALED_FFN, SCALED_COUNT };

/* One end of a grid: high = sigmoid(raw) * extent. */
typedef struct end {
    obi_learnt raw;
    float extent;
    uint32_t column; /* where that is */
} end;

/* The grids of a linear. */
typedef struct linear_grids {
    uint32_t group, groups;
    uint64_t count;                                    /* m groups */
    end *low, *high;                                   /* (count) */
    obi_weight original;                               /* on the device */
    obi_weight scaled;                                 /* W diag(c); empty where no c is learnt */
    uint64_t grids_at, steps_at, extremes_at, sums_at; /* where this linear's lie in the buffers of all, in bytes */
} linear_grids;

typedef struct omniquant {
    obi_calibrated *calibrated;
    obi_block *block;
    linear_grids linears[OBI_LINEAR_COUNT];
    obi_equivalence scales[SCALED_COUNT];
    obi_buffer *grids;    /* all linears' D and z, written by the host */
    obi_buffer *steps;    /* the gradients of all D, read by the host */
    obi_buffer *extremes; /* what rows of W diag(c) span, read by the host; this and the next two only with scales */
    obi_buffer *sums;     /* of columns, two a linear, read by the host: G Ŵ, and dŴ W of what was not clamped */
    obi_buffer *folds;
    obi_buffer *targets[2]; /* F(x), F(x^) of a window */
    obi_buffer *losses[2];  /* (T + 1) */
    obi_buffer *scratch;    /* of a loss */
    uint64_t taken;         /* steps of AdamW */
} omniquant;

static bool learns_scales(const omniquant *work) { return obi_ptq_transforms(work->calibrated->options, &work->block->source->config); }

/* The scale of a linear's inputs, or NULL. */
static obi_equivalence *scale_of(omniquant *work, int kind)
{
    static const int of[OBI_LINEAR_COUNT] = { SCALED_QKV, SCALED_QKV, SCALED_QKV, SCALED_O, SCALED_FFN, SCALED_FFN, SCALED_COUNT };
    return learns_scales(work) && of[kind] != SCALED_COUNT ? &work->scales[of[kind]] : NULL;
}

/* What is quantised on the device. */
static const obi_weight *unrounded(const linear_grids *linear)
{
    return linear->scaled.block_count > 0 ? &linear->scaled : &linear->original;
}

/* ---- making ---------------------------------------------------------------------------------------------------- */

static obi_status find_extents(linear_grids *linear, const float *w, uint32_t m, uint32_t n)
{
    linear->low = obi_calloc(linear->count, sizeof *linear->low);
    linear->high = obi_calloc(linear->count, sizeof *linear->high);
    if (!linear->low || !linear->high) return OBI_ERROR_MEMORY;
    for (uint32_t i = 0; i < m; i++)
        for (uint32_t g = 0; g < linear->groups; g++) {
            const float *row = w + (uint64_t)i * n;
            uint32_t first = g * linear->group, behind = n - first < linear->group ? n : first + linear->group;
            end low = { { START, 0, 0 }, row[first], first }, high = low;
            for (uint32_t j = first; j < behind; j++) {
                if (row[j] < low.extent) low.extent = row[j], low.column = j;
                if (row[j] > high.extent) high.extent = row[j], high.column = j;
            }
            linear->low[(uint64_t)i * linear->groups + g] = low;
            linear->high[(uint64_t)i * linear->groups + g] = high;
        }
    return OBI_OK;
}

/* Bytes of the buffers that all linears share. */
typedef struct shared_bytes {
    uint64_t grids, steps, extremes, sums, folds;
} shared_bytes;

static obi_status make_scaled(omniquant *work, int kind, shared_bytes *bytes)
{
    linear_grids *linear = &work->linears[kind];
    const obi_weight *weight = obi_block_weight(work->block, kind);
    if (!scale_of(work, kind)) return OBI_OK;
    uint64_t folds = obi_column_dot_floats(weight->rows, weight->columns) * 4;
    linear->extremes_at = bytes->extremes;
    linear->sums_at = bytes->sums;
    bytes->extremes += obi_align_up(linear->count * sizeof(obi_grid_extremes), OBI_BUFFER_ALIGNMENT);
    bytes->sums += 2 * obi_align_up((uint64_t)weight->columns * 4, OBI_BUFFER_ALIGNMENT);
    if (folds > bytes->folds) bytes->folds = folds;
    return obi_weight_create(work->block->device, OBI_WEIGHT_F32, weight->rows, weight->columns, 0, &linear->scaled);
}

static obi_status make_linears(omniquant *work, shared_bytes *bytes)
{
    for (int kind = 0; kind < OBI_LINEAR_COUNT; kind++) {
        if (!obi_block_has(work->block, kind)) continue;
        linear_grids *linear = &work->linears[kind];
        const obi_weight *weight = obi_block_weight(work->block, kind);
        uint32_t group = work->calibrated->options->group;
        linear->group = group > 0 && group < weight->columns ? group : weight->columns;
        linear->groups = (uint32_t)obi_div_ceil(weight->columns, linear->group);
        linear->count = (uint64_t)weight->rows * linear->groups;
        linear->grids_at = bytes->grids;
        linear->steps_at = bytes->steps;
        bytes->grids += obi_align_up(linear->count * 8, OBI_BUFFER_ALIGNMENT);
        bytes->steps += obi_align_up(linear->count * 4, OBI_BUFFER_ALIGNMENT);
        OBI_TRY(find_extents(linear, work->block->weights[kind], weight->rows, weight->columns));
        OBI_TRY(obi_weight_create(work->block->device, OBI_WEIGHT_F32, weight->rows, weight->columns, 0, &linear->original));
        OBI_TRY(obi_weight_upload(work->block->upload, &linear->original, 0, weight->rows, work->block->weights[kind]));
        OBI_TRY(obi_upload_finish(work->block->upload));
        OBI_TRY(make_scaled(work, kind, bytes));
    }
    return OBI_OK;
}

static obi_status make(omniquant *work)
{
    obi_device *device = work->block->device;
    uint32_t T = work->block->T, D = work->block->model->config.width;
    shared_bytes bytes = { 0 };
    OBI_TRY(make_linears(work, &bytes));
    OBI_TRY(obi_buffer_create(device, bytes.grids, OBI_MEMORY_UPLOAD, &work->grids));
    OBI_TRY(obi_buffer_create(device, bytes.steps, OBI_MEMORY_READBACK, &work->steps));
    if (bytes.sums > 0) {
        OBI_TRY(obi_buffer_create(device, bytes.extremes, OBI_MEMORY_READBACK, &work->extremes));
        OBI_TRY(obi_buffer_create(device, bytes.sums, OBI_MEMORY_READBACK, &work->sums));
        OBI_TRY(obi_buffer_create(device, bytes.folds, OBI_MEMORY_DEVICE, &work->folds));
    }
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
        obi_weight_destroy(device, &work->linears[kind].scaled);
        obi_free(work->linears[kind].low);
        obi_free(work->linears[kind].high);
    }
    for (int i = 0; i < SCALED_COUNT; i++) obi_equivalence_free(device, &work->scales[i]);
    obi_buffer *buffers[] = { work->grids,   work->steps,      work->extremes,   work->sums,      work->folds,
                              work->scratch, work->targets[0], work->targets[1], work->losses[0], work->losses[1] };
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++) obi_buffer_destroy(device, buffers[i]);
}

/* ---- grids and their ends -------------------------------------------------------------------------------------- */

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }

static obi_status grid_of(const omniquant *work, int kind, uint64_t i, obi_grid *grid)
{
    const end *low = &work->linears[kind].low[i], *high = &work->linears[kind].high[i];
    return obi_grid_span(sigmoid(low->raw.value) * (double)low->extent, sigmoid(high->raw.value) * (double)high->extent,
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

/* What one linear's step says of the scale of its inputs: W^ / c falls as c grows, Q(W c) moves with W where it is not clamped, and D
 * with the weights at the ends. */
static void add_scale_gradient(omniquant *work, int kind, uint64_t i, double d_low, double d_high)
{
    const linear_grids *linear = &work->linears[kind];
    obi_equivalence *scale = scale_of(work, kind);
    if (!scale) return;
    const float *row = work->block->weights[kind] + i / linear->groups * scale->n;
    uint32_t low = linear->low[i].column, high = linear->high[i].column;
    scale->gradient[low] += (float)(d_low * (double)row[low]);
    scale->gradient[high] += (float)(d_high * (double)row[high]);
}

static void add_column_sums(omniquant *work, int kind)
{
    obi_equivalence *scale = scale_of(work, kind);
    if (!scale) return;
    uint32_t n = scale->n;
    const char *at = (const char *)work->sums->mapped + work->linears[kind].sums_at;
    const float *direct = (const float *)(const void *)at;
    const float *through = (const float *)(const void *)(at + obi_align_up((uint64_t)n * 4, OBI_BUFFER_ALIGNMENT));
    for (uint32_t j = 0; j < n; j++) scale->gradient[j] += through[j] - direct[j] / scale->factors[j];
}

/* From dL/dD to the ends: D = (sigmoid(c) max - sigmoid(b) min) / (2^bits - 1); and to the scales of inputs. */
static void learn(omniquant *work)
{
    const obi_ptq_options *options = work->calibrated->options;
    double top = (double)((1u << options->bits) - 1);
    work->taken++;
    for (int kind = 0; kind < OBI_LINEAR_COUNT; kind++) {
        linear_grids *linear = &work->linears[kind];
        const float *steps = (const float *)(const void *)((const char *)work->steps->mapped + linear->steps_at);
        if (linear->count > 0) add_column_sums(work, kind);
        for (uint64_t i = 0; i < linear->count; i++) {
            end *low = &linear->low[i], *high = &linear->high[i];
            double share_low = sigmoid(low->raw.value), share_high = sigmoid(high->raw.value), d = (double)steps[i] / top;
            add_scale_gradient(work, kind, i, -d * share_low, d * share_high);
            obi_learnt_step(&low->raw, -d * share_low * (1 - share_low) * (double)low->extent, options->learning_rate, work->taken);
            obi_learnt_step(&high->raw, d * share_high * (1 - share_high) * (double)high->extent, options->learning_rate, work->taken);
        }
    }
    for (int i = 0; i < SCALED_COUNT; i++) obi_equivalence_learn(&work->scales[i], options->scale_rate, work->taken);
}

/* ---- a step ---------------------------------------------------------------------------------------------------- */

/* to = from diag(by), block by block. */
static void scale_weight(obi_cmd *cmd, const obi_weight *to, const obi_weight *from, obi_view by)
{
    for (uint32_t block = 0; block < to->block_count; block++) {
        uint32_t first, rows;
        obi_view y = obi_weight_block(to, block, &first, &rows), x = obi_weight_block(from, block, &first, &rows);
        obi_op_scale_columns(cmd, y, x, by, rows, to->columns, false);
    }
}

/* out (n) += the sums over rows of a b. */
static void sum_columns(const omniquant *work, obi_cmd *cmd, obi_view out, const obi_weight *a, const obi_weight *b)
{
    for (uint32_t block = 0; block < a->block_count; block++) {
        uint32_t first, rows;
        obi_view x = obi_weight_block(a, block, &first, &rows), y = obi_weight_block(b, block, &first, &rows);
        obi_op_column_dot(cmd, out, obi_view_of(work->folds), x, y, rows, a->columns);
    }
}

/* W diag(c) of the linears whose inputs are scaled, and what its rows span now. */
static obi_status scale_inputs(omniquant *work)
{
    obi_device *device = work->block->device;
    obi_cmd *cmd = work->block->cmd;
    if (!work->extremes) return OBI_OK;
    for (int i = 0; i < SCALED_COUNT; i++) OBI_TRY(obi_equivalence_write(device, &work->scales[i]));
    obi_cmd_begin(cmd);
    for (int kind = 0; kind < OBI_LINEAR_COUNT; kind++) {
        linear_grids *linear = &work->linears[kind];
        obi_view out = { work->extremes, linear->extremes_at, linear->count * sizeof(obi_grid_extremes) };
        if (linear->scaled.block_count == 0) continue;
        scale_weight(cmd, &linear->scaled, &linear->original, obi_equivalence_c(scale_of(work, kind)));
        obi_op_grid_extremes(cmd, out, &linear->scaled, linear->group);
    }
    OBI_TRY(obi_cmd_run(cmd));
    OBI_TRY(obi_buffer_invalidate(device, work->extremes, 0, work->extremes->size));
    for (int kind = 0; kind < OBI_LINEAR_COUNT; kind++) {
        linear_grids *linear = &work->linears[kind];
        const obi_grid_extremes *of = (const obi_grid_extremes *)(const void *)((const char *)work->extremes->mapped + linear->extremes_at);
        for (uint64_t i = 0; linear->scaled.block_count > 0 && i < linear->count; i++) {
            linear->low[i].extent = of[i].low;
            linear->low[i].column = of[i].low_at;
            linear->high[i].extent = of[i].high;
            linear->high[i].column = of[i].high_at;
        }
    }
    return OBI_OK;
}

static void record_weights(omniquant *work, obi_cmd *cmd)
{
    for (int kind = 0; kind < OBI_LINEAR_COUNT; kind++) {
        const linear_grids *linear = &work->linears[kind];
        if (!obi_block_has(work->block, kind)) continue;
        const obi_weight *weight = obi_block_weight(work->block, kind);
        obi_op_grid_round(cmd, weight, unrounded(linear), grids_view(work, kind), linear->group, work->calibrated->options->bits);
        if (linear->scaled.block_count > 0) scale_weight(cmd, weight, weight, obi_equivalence_inverse(scale_of(work, kind)));
    }
}

/* From the gradient G of the numbers that the layer used to those of D and of the scale. */
static void record_gradients(omniquant *work, obi_cmd *cmd, int kind)
{
    const linear_grids *linear = &work->linears[kind];
    const obi_weight *gradient = obi_block_gradient(work->block, kind);
    obi_view d = { work->steps, linear->steps_at, linear->count * 4 };
    bool scaled = linear->scaled.block_count > 0;
    uint64_t bytes = (uint64_t)gradient->columns * 4;
    obi_view direct = { work->sums, linear->sums_at, bytes },
             through = { work->sums, linear->sums_at + obi_align_up(bytes, OBI_BUFFER_ALIGNMENT), bytes };
    if (scaled) {
        obi_cmd_fill(cmd, direct, 0);
        obi_cmd_fill(cmd, through, 0);
        sum_columns(work, cmd, direct, gradient, obi_block_weight(work->block, kind));
        scale_weight(cmd, gradient, gradient, obi_equivalence_inverse(scale_of(work, kind)));
    }
    obi_op_grid_round_bwd(cmd, d, gradient, unrounded(linear), grids_view(work, kind), linear->group, work->calibrated->options->bits);
    if (scaled) sum_columns(work, cmd, through, gradient, &linear->original);
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
    const float *of[2] = { obi_calibrated_window(calibrated, calibrated->exact, w),
                           obi_calibrated_window(calibrated, calibrated->answers, w) };
    double power[2] = { 0 };
    obi_view input = { pass->x[0], 0, bytes };
    OBI_TRY(scale_inputs(work));
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
    for (int kind = 0; kind < OBI_LINEAR_COUNT; kind++)
        if (obi_block_has(block, kind)) record_gradients(work, cmd, kind);
    OBI_TRY(obi_cmd_run(cmd));
    *loss = 0;
    for (int i = 0; i < targets; i++) OBI_TRY(read_loss(work, i, power[i], loss));
    if (!isfinite(*loss))
        return obi_fail(OBI_ERROR_RUNTIME, "layer %u: the loss is not finite any more; a smaller learning rate may help",
                        calibrated->layers_done);
    OBI_TRY(obi_buffer_invalidate(block->device, work->steps, 0, work->steps->size));
    if (work->sums) OBI_TRY(obi_buffer_invalidate(block->device, work->sums, 0, work->sums->size));
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
            OBI_TRY(obi_part_tell(part, PART_TARGETS + (PART_LEARNT - PART_TARGETS) * done, what));
            OBI_TRY(step(work, w, &loss));
            sum += loss / windows;
        }
        if (epoch == 0) losses->first = sum;
        losses->last = sum;
    }
    obi_log(OBI_LOG_INFO, "layer %u: mean loss %.6g in the first epoch, %.6g in the last", calibrated->layers_done, losses->first,
            losses->last);
    return OBI_OK;
}

/* ---- the layer ------------------------------------------------------------------------------------------------- */

/* The codes of row i of W diag(c); W becomes what Ŵ is off by, and Ŵ is left in `numbers`. */
static void encode_row(obi_codes *codes, uint32_t i, const obi_equivalence *scale, float *w, float *numbers, double *error, double *norm2)
{
    uint8_t *out = codes->codes + (uint64_t)i * codes->columns;
    for (uint32_t j = 0; j < codes->columns; j++) {
        obi_grid grid = obi_codes_grid(codes, i, j);
        out[j] = obi_grid_code(grid, codes->bits, scale ? w[j] * scale->factors[j] : w[j]);
        numbers[j] = obi_grid_value(grid, out[j]) * (scale ? scale->factors[scale->n + j] : 1);
        double off = (double)w[j] - (double)numbers[j];
        *norm2 += (double)w[j] * (double)w[j];
        *error += off * off;
        w[j] = (float)off;
    }
}

static obi_status keep_factors(obi_calibrated *calibrated, int kind, const obi_equivalence *scale)
{
    if (!scale) return OBI_OK;
    float *factors = calibrated->factors[kind] = obi_calloc(scale->n, sizeof *factors);
    if (!factors) return OBI_ERROR_MEMORY;
    memcpy(factors, scale->factors + scale->n, scale->n * sizeof *factors);
    return OBI_OK;
}

static obi_status encode(omniquant *work, int kind, obi_part part)
{
    obi_calibrated *calibrated = work->calibrated;
    obi_block *block = work->block;
    const obi_weight *weight = obi_block_weight(block, kind), *hessian = obi_calibrated_hessian(calibrated, kind);
    const obi_equivalence *scale = scale_of(work, kind);
    obi_codes *codes = &calibrated->codes[kind];
    float *w = block->weights[kind];
    double error = 0, norm2 = 0, outputs, off;
    OBI_TRY(obi_codes_create(codes, weight->rows, weight->columns, calibrated->options->bits, calibrated->options->group));
    OBI_TRY(keep_factors(calibrated, kind, scale));
    for (uint64_t i = 0; i < work->linears[kind].count; i++) OBI_TRY(grid_of(work, kind, i, &codes->grids[i]));
    OBI_TRY(obi_gptq_output_norm2(block->device, block->upload, w, weight->rows, weight->columns, hessian, part, &outputs));
    float *numbers = obi_calloc((size_t)weight->rows * weight->columns, sizeof *numbers);
    if (!numbers) return OBI_ERROR_MEMORY;
    for (uint32_t i = 0; i < weight->rows; i++) {
        uint64_t at = (uint64_t)i * weight->columns;
        encode_row(codes, i, scale, w + at, numbers + at, &error, &norm2);
    }
    obi_status status = obi_gptq_output_norm2(block->device, block->upload, w, weight->rows, weight->columns, hessian, part, &off);
    if (status == OBI_OK) status = obi_block_set(block, kind, numbers);
    obi_free(numbers);
    OBI_TRY(status);
    calibrated->made[kind] = (obi_made_linear){
        .codes = codes,
        .factors = calibrated->factors[kind],
        .norm2 = norm2,
        .error = norm2 > 0 ? error / norm2 : 0,
        .output_error = outputs > 0 ? off / outputs : 0,
    };
    return OBI_OK;
}

/* ---- the sizes that scales begin with -------------------------------------------------------------------------- */

/* The largest |x_j| of the inputs of each scale, over the windows so far. */
static obi_status measure_inputs(omniquant *work, float *largest[SCALED_COUNT])
{
    static const int leaders[SCALED_COUNT] = { OBI_LINEAR_Q, OBI_LINEAR_O, OBI_LINEAR_UP };
    obi_block *block = work->block;
    for (int i = 0; i < SCALED_COUNT; i++) {
        obi_view view = obi_block_inputs(block, leaders[i]);
        uint32_t n = obi_block_weight(block, leaders[i])->columns;
        float *x = obi_calloc((size_t)block->T * n, sizeof *x);
        if (!x) return OBI_ERROR_MEMORY;
        obi_status status = obi_download_bytes(block->device, view, x, view.size);
        for (uint64_t k = 0; status == OBI_OK && k < (uint64_t)block->T * n; k++) largest[i][k % n] = fmaxf(largest[i][k % n], fabsf(x[k]));
        obi_free(x);
        OBI_TRY(status);
    }
    return OBI_OK;
}

static obi_status make_scales(omniquant *work, float *inputs[SCALED_COUNT])
{
    static const int leaders[SCALED_COUNT] = { OBI_LINEAR_Q, OBI_LINEAR_O, OBI_LINEAR_UP };
    for (int i = 0; i < SCALED_COUNT; i++) {
        uint32_t n = obi_block_weight(work->block, leaders[i])->columns;
        float *weights = obi_calloc(n, sizeof *weights);
        if (!weights) return OBI_ERROR_MEMORY;
        for (int kind = 0; kind < OBI_LINEAR_COUNT; kind++) {
            if (!obi_block_has(work->block, kind) || scale_of(work, kind) != &work->scales[i]) continue;
            uint64_t count = (uint64_t)obi_block_weight(work->block, kind)->rows * n;
            for (uint64_t k = 0; k < count; k++) weights[k % n] = fmaxf(weights[k % n], fabsf(work->block->weights[kind][k]));
        }
        obi_status status = obi_equivalence_create(work->block->device, n, inputs[i], weights, &work->scales[i]);
        obi_free(weights);
        OBI_TRY(status);
    }
    return OBI_OK;
}

/* What the original layer makes of x, in the place of x; and the scales that its inputs begin with. */
static obi_status run_exact(omniquant *work, obi_part part, const char *what)
{
    obi_calibrated *calibrated = work->calibrated;
    uint32_t windows = calibrated->calibration.windows;
    float *largest[SCALED_COUNT] = { NULL };
    obi_status status = OBI_OK;
    bool scales = learns_scales(work);
    for (int i = 0; scales && i < SCALED_COUNT; i++) {
        largest[i] = obi_calloc(obi_block_weight(work->block, i == SCALED_O ? OBI_LINEAR_O : OBI_LINEAR_Q)->columns, sizeof(float));
        if (!largest[i]) status = OBI_ERROR_MEMORY;
    }
    for (uint32_t w = 0; w < windows && status == OBI_OK; w++) {
        float *exact = obi_calibrated_window(calibrated, calibrated->exact, w);
        OBI_TRY_GOTO(obi_part_tell(part, PART_TARGETS * w / windows, what));
        OBI_TRY_GOTO(obi_block_forward(work->block, exact, exact, NULL, NULL));
        if (scales) OBI_TRY_GOTO(measure_inputs(work, largest));
    }
    if (status == OBI_OK && scales) status = make_scales(work, largest);
done:
    for (int i = 0; i < SCALED_COUNT; i++) obi_free(largest[i]);
    return status;
}

static obi_status run_layer(omniquant *work, obi_part part, obi_omniquant_losses *losses)
{
    obi_calibrated *calibrated = work->calibrated;
    uint32_t windows = calibrated->calibration.windows;
    char what[64];
    snprintf(what, sizeof what, "layer %u: what it gives", calibrated->layers_done);
    obi_part_share observing = { part, 0, 0, what },
                   encoding = { part, PART_LEARNT, 0, what }; /* takes no time to speak of, but may be ended */
    OBI_TRY(obi_calibrated_observe(calibrated, calibrated->answers, obi_part_of(&observing)));
    OBI_TRY(run_exact(work, part, what));
    OBI_TRY(make(work));
    OBI_TRY(learn_ends(work, part, losses));
    OBI_TRY(scale_inputs(work)); /* as the last step has left them */
    for (int kind = 0; kind < OBI_LINEAR_COUNT; kind++)
        if (obi_block_has(work->block, kind)) OBI_TRY(encode(work, kind, obi_part_of(&encoding)));
    for (uint32_t w = 0; w < windows; w++) {
        float *x = obi_calibrated_window(calibrated, calibrated->x, w);
        OBI_TRY(obi_part_tell(part, PART_LEARNT + (1 - PART_LEARNT) * w / windows, what));
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
