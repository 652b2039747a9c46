#include "quant/ptq/gptq.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/checked.h"
#include "ops/matrix.h"
#include "ops/op_dense.h"
#include "ops/op_dense_bwd.h"
#include "quant/ptq/cholesky.h"

/* Sums in f32 are good to some 2^-22 of the diagonal; what is left below that is rounding, not an input of its own. */
#define PIVOT_TOLERANCE 0x1p-22
#define STRIP_WORK (UINT64_C(1) << 33) /* products between two questions whether to go on: seconds of a slow device */
#define FEW_ROWS OBI_MATRIX_GEMM_TOKENS /* fewer go through other kernels, which round otherwise */
#define ROWS_AT_ONCE 32u /* of a worker: a strip of 128 columns of them fits its cache */

/* Of the time that a linear takes, about: the inverse of its Hessian, its columns; then its errors are measured. */
#define PART_INVERSE 0.4
#define PART_COLUMNS 0.3
#define PART_ERRORS 0.3

void obi_gptq_observe(obi_cmd *cmd, const obi_weight *hessian, obi_view x, uint32_t T) { obi_op_dense_bwd_w(cmd, hessian, x, x, T); }

typedef struct gptq {
    obi_device *device;
    obi_upload *upload;
    obi_cmd *cmd;
    const obi_gptq_options *options;
    obi_part part;
    uint32_t m, n;
    float *wt;          /* (n,m): columns of W, in the order in which they are taken */
    double *r;          /* (n,n) */
    uint32_t *order;    /* (n) the column of W that is taken as number c */
    float *errors;      /* (block,m) E of the block at hand */
    float *factors;     /* (n,block) what the columns behind the block take off */
    obi_weight columns; /* wt on the device, where all columns behind the block at hand are up to date */
    obi_weight device_errors;
    obi_buffer *device_factors;
    uint32_t first, count; /* the block at hand */
    obi_codes *codes;
} gptq;

/* ---- the Hessian ----------------------------------------------------------------------------------------------- */

static obi_status download_hessian(gptq *work, const obi_weight *hessian, double scale)
{
    for (uint32_t block = 0; block < hessian->block_count; block++) {
        uint32_t first, rows;
        obi_view view = obi_weight_block(hessian, block, &first, &rows);
        uint64_t count = (uint64_t)rows * work->n;
        view.size = count * 4;
        /* The floats come into the second half of the place of the doubles, which are then made from the front. */
        double *to = work->r + (uint64_t)first * work->n;
        float *from = (float *)(void *)to + count;
        OBI_TRY(obi_download_bytes(work->device, view, from, count * 4));
        for (uint64_t i = 0; i < count; i++) {
            float value;
            memcpy(&value, from + i, sizeof value);
            double scaled = (double)value * scale;
            memcpy(to + i, &scaled, sizeof scaled);
        }
    }
    return OBI_OK;
}

typedef struct importance {
    double size;
    uint32_t column;
} importance;

static int larger_first(const void *a, const void *b)
{
    const importance *x = a, *y = b;
    if (x->size != y->size) return x->size < y->size ? 1 : -1;
    return x->column < y->column ? -1 : 1;
}

static obi_status choose_order(gptq *work)
{
    importance *list = obi_calloc(work->n, sizeof *list);
    if (!list) return OBI_ERROR_MEMORY;
    for (uint32_t j = 0; j < work->n; j++) list[j] = (importance){ work->r[(uint64_t)j * work->n + j], j };
    if (!work->options->natural_order) qsort(list, work->n, sizeof *list, larger_first);
    for (uint32_t c = 0; c < work->n; c++) work->order[c] = list[c].column;
    obi_free(list);
    return OBI_OK;
}

/* Rows and columns of r in the order of work->order. */
static obi_status reorder(gptq *work)
{
    uint32_t n = work->n;
    double *moved = obi_calloc(n, sizeof *moved);
    bool *done = obi_calloc(n, sizeof *done);
    obi_status status = moved && done ? OBI_OK : OBI_ERROR_MEMORY;
    for (uint32_t i = 0; i < n && status == OBI_OK; i++) { /* columns, in each row */
        double *row = work->r + (uint64_t)i * n;
        for (uint32_t c = 0; c < n; c++) moved[c] = row[work->order[c]];
        memcpy(row, moved, n * sizeof *row);
    }
    for (uint32_t start = 0; start < n && status == OBI_OK; start++) { /* rows, along the cycles of the order */
        if (done[start]) continue;
        memcpy(moved, work->r + (uint64_t)start * n, n * sizeof *moved);
        uint32_t to = start;
        for (uint32_t from = work->order[to]; from != start; from = work->order[to]) {
            memcpy(work->r + (uint64_t)to * n, work->r + (uint64_t)from * n, n * sizeof *moved);
            done[to] = true;
            to = from;
        }
        memcpy(work->r + (uint64_t)to * n, moved, n * sizeof *moved);
        done[to] = true;
    }
    obi_free(moved);
    obi_free(done);
    return status;
}

/* Dead inputs, the order, damping and the triangle. */
static obi_status prepare_hessian(gptq *work, const obi_weight *hessian, uint64_t inputs, bool *dead)
{
    uint32_t n = work->n;
    OBI_TRY(download_hessian(work, hessian, 2.0 / (double)inputs));
    double mean = 0;
    for (uint32_t j = 0; j < n; j++) {
        double *diagonal = &work->r[(uint64_t)j * n + j];
        if (!isfinite(*diagonal)) return obi_fail(OBI_ERROR_DATA, "the inputs are NaN, infinite or too large to square");
        dead[j] = *diagonal == 0;
        if (dead[j]) *diagonal = 1;
        mean += *diagonal / n;
    }
    OBI_TRY(choose_order(work));
    OBI_TRY(reorder(work));
    for (uint32_t j = 0; j < n; j++) work->r[(uint64_t)j * n + j] += work->options->damping * mean;
    obi_part_share inverse = { work->part, 0, PART_INVERSE, NULL };
    bool singular; /* and not an error of whoever is told */
    obi_status status = obi_cholesky_inverse_upper(work->r, n, PIVOT_TOLERANCE, obi_part_of(&inverse), &singular);
    if (!singular) return status;
    return obi_fail(OBI_ERROR_DATA,
                    "the Hessian of its %u inputs is singular, from %llu tokens and with a damping of %g; give more text or more damping",
                    n, (unsigned long long)inputs, work->options->damping);
}

/* ---- the columns ----------------------------------------------------------------------------------------------- */

static obi_status make_device_side(gptq *work)
{
    uint64_t strip = (uint64_t)OBI_GPTQ_BLOCK * work->m * 4; /* of a block of columns: each lies in one piece of `columns` */
    if (work->n <= OBI_GPTQ_BLOCK) return OBI_OK;
    uint64_t bytes = work->device->caps.storage_range / strip * strip;
    if (bytes == 0) return obi_fail(OBI_ERROR_MEMORY, "a weight of %u rows is too large for this device", work->m);
    OBI_TRY(obi_weight_create(work->device, OBI_WEIGHT_F32, work->n, work->m, bytes, &work->columns));
    OBI_TRY(obi_weight_create(work->device, OBI_WEIGHT_F32, OBI_GPTQ_BLOCK, work->m, 0, &work->device_errors));
    OBI_TRY(obi_buffer_create(work->device, (uint64_t)work->n * OBI_GPTQ_BLOCK * 4, OBI_MEMORY_DEVICE, &work->device_factors));
    OBI_TRY(obi_weight_upload(work->upload, &work->columns, 0, work->n, work->wt));
    return obi_upload_finish(work->upload);
}

/* Columns [first, first + count) come back, as the blocks before have left them. */
static obi_status fetch(gptq *work, uint32_t first, uint32_t count)
{
    while (count > 0) {
        const obi_weight *columns = &work->columns;
        uint32_t block = first / columns->block_rows, inside = first % columns->block_rows;
        uint32_t part = columns->block_rows - inside < count ? columns->block_rows - inside : count;
        obi_view view = obi_view_rows(columns->blocks[block], inside, part, work->m);
        OBI_TRY(obi_download_bytes(work->device, view, work->wt + (uint64_t)first * work->m, view.size));
        first += part;
        count -= part;
    }
    return OBI_OK;
}

/* W_:,rest -= E R_block,rest, as W^T += (-R^T) E. */
static obi_status update_rest(gptq *work)
{
    uint32_t next = work->first + work->count, rest = work->n - next;
    for (uint32_t k = 0; k < rest; k++)
        for (uint32_t j = 0; j < work->count; j++)
            work->factors[(uint64_t)k * work->count + j] = -(float)work->r[(uint64_t)(work->first + j) * work->n + next + k];
    obi_view factors = { work->device_factors, 0, (uint64_t)rest * work->count * 4 };
    OBI_TRY(obi_upload_bytes(work->upload, factors, work->factors, factors.size));
    OBI_TRY(obi_weight_upload(work->upload, &work->device_errors, 0, work->count, work->errors));
    OBI_TRY(obi_upload_finish(work->upload));
    obi_cmd_begin(work->cmd);
    for (uint32_t first = next; first < work->n;) {
        const obi_weight *columns = &work->columns;
        uint32_t inside = first % columns->block_rows, left = work->n - first;
        uint32_t part = columns->block_rows - inside < left ? columns->block_rows - inside : left;
        obi_op_dense_bwd_x(work->cmd, obi_view_rows(columns->blocks[first / columns->block_rows], inside, part, work->m),
                           obi_view_rows(work->device_factors, first - next, part, work->count), &work->device_errors, part, true);
        first += part;
    }
    return obi_cmd_run(work->cmd);
}

/* A group begins at column c: its grid, of a row. What cannot be a grid is seen when the block is done. */
static void begin_group(const gptq *work, uint32_t c, uint32_t row)
{
    obi_codes *codes = work->codes;
    uint32_t count = work->n - c < codes->group ? work->n - c : codes->group;
    obi_grid *grid = &codes->grids[(uint64_t)row * codes->groups + c / codes->group];
    if (obi_grid_fit(work->wt + (uint64_t)c * work->m + row, count, work->m, codes->bits, grid) != OBI_OK) grid->scale = INFINITY;
}

/* The columns of the block at hand, for some rows, which do not depend on each other. */
static void walk_rows(void *user, uint32_t first_row, uint32_t rows)
{
    const gptq *work = user;
    obi_codes *codes = work->codes;
    for (uint32_t j = 0; j < work->count; j++) {
        uint32_t c = work->first + j;
        float *w = work->wt + (uint64_t)c * work->m, *e = work->errors + (uint64_t)j * work->m;
        const double *r = work->r + (uint64_t)c * work->n + work->first; /* of the block's columns */
        float inverse = (float)(1 / r[j]);
        bool begins = work->options->group > 0 && c % codes->group == 0;
        for (uint32_t i = first_row; i < first_row + rows; i++) {
            if (begins) begin_group(work, c, i);
            obi_grid grid = codes->grids[(uint64_t)i * codes->groups + c / codes->group];
            uint8_t code = obi_grid_code(grid, codes->bits, w[i]);
            codes->codes[(uint64_t)i * work->n + work->order[c]] = code;
            e[i] = (w[i] - obi_grid_value(grid, code)) * inverse;
        }
        for (uint32_t k = j + 1; k < work->count; k++) {
            float factor = (float)r[k], *behind = work->wt + (uint64_t)(work->first + k) * work->m;
            for (uint32_t i = first_row; i < first_row + rows; i++) behind[i] -= factor * e[i];
        }
    }
}

static obi_status check_grids(const obi_codes *codes)
{
    for (uint64_t i = 0; i < (uint64_t)codes->rows * codes->groups; i++)
        if (!isfinite(codes->grids[i].scale))
            return obi_fail(OBI_ERROR_DATA, "its weights have grown beyond what F16 scales hold; give more text or more damping");
    return OBI_OK;
}

static obi_status walk(gptq *work)
{
    obi_codes *codes = work->codes;
    for (work->first = 0; work->first < work->n; work->first += work->count) {
        uint32_t left = work->n - work->first;
        OBI_TRY(obi_part_tell(work->part, PART_INVERSE + PART_COLUMNS * work->first / work->n, "its columns"));
        work->count = left < OBI_GPTQ_BLOCK ? left : OBI_GPTQ_BLOCK;
        uint32_t needed = work->count; /* a group that begins here is looked at whole */
        if (work->options->group > needed && work->first % codes->group == 0) needed = left < codes->group ? left : codes->group;
        if (work->first > 0) OBI_TRY(fetch(work, work->first, needed));
        obi_workers_run(obi_upload_workers(work->upload), walk_rows, work, work->m, ROWS_AT_ONCE);
        if (left > work->count) OBI_TRY(update_rest(work));
    }
    return check_grids(codes);
}

/* ---- the whole ------------------------------------------------------------------------------------------------- */

static obi_status make_grids(gptq *work, const float *w)
{
    const obi_gptq_options *options = work->options;
    obi_codes *codes = work->codes;
    OBI_TRY(obi_codes_create(codes, work->m, work->n, options->bits, options->group));
    if (options->group > 0) {
        if (options->natural_order || codes->groups == 1) return OBI_OK;
        codes->group_of = obi_calloc(work->n, sizeof *codes->group_of);
        if (!codes->group_of) return OBI_ERROR_MEMORY;
        for (uint32_t c = 0; c < work->n; c++) codes->group_of[work->order[c]] = c / codes->group;
        return OBI_OK;
    }
    for (uint32_t i = 0; i < work->m; i++) OBI_TRY(obi_grid_fit(w + (uint64_t)i * work->n, work->n, 1, options->bits, &codes->grids[i]));
    return OBI_OK;
}

static obi_status measure(gptq *work, const float *w, const obi_weight *hessian, uint64_t inputs, obi_gptq_result *out)
{
    uint64_t n = work->n;
    float *off = work->wt; /* it has served */
    for (uint32_t i = 0; i < work->m; i++) {
        obi_codes_error(work->codes, i, w + i * n, &out->error, &out->norm2);
        obi_codes_row(work->codes, i, off + i * n);
        for (uint64_t j = 0; j < n; j++) off[i * n + j] = w[i * n + j] - off[i * n + j];
    }
    obi_part_share first = { work->part, 1 - PART_ERRORS, PART_ERRORS / 2, NULL }, second = first;
    second.first += PART_ERRORS / 2;
    OBI_TRY(obi_gptq_output_norm2(work->device, work->upload, off, work->m, work->n, hessian, obi_part_of(&first), &out->output_error));
    OBI_TRY(obi_gptq_output_norm2(work->device, work->upload, w, work->m, work->n, hessian, obi_part_of(&second), &out->output_norm2));
    out->output_error /= (double)inputs;
    out->output_norm2 /= (double)inputs;
    return OBI_OK;
}

static obi_status check_group(uint32_t group, uint32_t columns)
{
    if (group == 0 || group >= columns || OBI_GPTQ_BLOCK % group == 0 || group % OBI_GPTQ_BLOCK == 0) return OBI_OK;
    return obi_fail(OBI_ERROR_ARGUMENT, "gptq has groups of 1, 2, 4, ... %u columns or multiples of %u, not %u", OBI_GPTQ_BLOCK,
                    OBI_GPTQ_BLOCK, group);
}

obi_status obi_gptq_run(obi_device *device, obi_upload *upload, const float *w, uint32_t rows, uint32_t columns, const obi_weight *hessian,
                        uint64_t inputs, const obi_gptq_options *options, obi_part part, obi_gptq_result *out)
{
    memset(out, 0, sizeof *out);
    gptq work = { .device = device, .upload = upload, .options = options, .part = part, .m = rows, .n = columns, .codes = &out->codes };
    uint64_t elements = (uint64_t)rows * columns;
    bool *dead = NULL;
    obi_status status;
    OBI_TRY_GOTO(check_group(options->group, columns));
    dead = obi_calloc(columns, sizeof *dead);
    work.wt = obi_calloc(elements, sizeof *work.wt);
    work.r = obi_calloc((size_t)columns * columns, sizeof *work.r);
    work.order = obi_calloc(columns, sizeof *work.order);
    work.errors = obi_calloc((size_t)OBI_GPTQ_BLOCK * rows, sizeof *work.errors);
    work.factors = obi_calloc((size_t)OBI_GPTQ_BLOCK * columns, sizeof *work.factors);
    if (!dead || !work.wt || !work.r || !work.order || !work.errors || !work.factors) {
        status = OBI_ERROR_MEMORY;
        goto done;
    }
    OBI_TRY_GOTO(prepare_hessian(&work, hessian, inputs, dead));
    OBI_TRY_GOTO(make_grids(&work, w));
    for (uint32_t c = 0; c < columns; c++)
        for (uint32_t i = 0; i < rows; i++)
            work.wt[(uint64_t)c * rows + i] = dead[work.order[c]] ? 0 : w[(uint64_t)i * columns + work.order[c]];
    OBI_TRY_GOTO(obi_cmd_create(device, &work.cmd));
    OBI_TRY_GOTO(make_device_side(&work));
    OBI_TRY_GOTO(walk(&work));
    status = measure(&work, w, hessian, inputs, out);
done:
    obi_cmd_destroy(work.cmd);
    obi_weight_destroy(device, &work.columns);
    obi_weight_destroy(device, &work.device_errors);
    obi_buffer_destroy(device, work.device_factors);
    obi_free(dead);
    obi_free(work.wt);
    obi_free(work.r);
    obi_free(work.order);
    obi_free(work.errors);
    obi_free(work.factors);
    if (status != OBI_OK) obi_codes_free(&out->codes);
    return status;
}

obi_status obi_gptq_output_norm2(obi_device *device, obi_upload *upload, const float *m, uint32_t rows, uint32_t columns,
                                 const obi_weight *hessian, obi_part part, double *out)
{
    uint32_t at_once = (uint32_t)(device->caps.storage_range / 4 / columns);
    uint64_t quick = STRIP_WORK / ((uint64_t)columns * columns) / FEW_ROWS * FEW_ROWS;
    if (quick < FEW_ROWS) quick = FEW_ROWS;
    if (at_once > 512) at_once = 512;
    if (at_once > quick) at_once = (uint32_t)quick;
    if (at_once > rows) at_once = rows;
    uint64_t bytes = (uint64_t)at_once * columns * 4;
    obi_buffer *x = NULL, *y = NULL;
    obi_cmd *cmd = NULL;
    obi_status status;
    *out = 0;
    float *product = obi_calloc((size_t)at_once * columns, sizeof *product);
    if (!product) return OBI_ERROR_MEMORY;
    OBI_TRY_GOTO(obi_cmd_create(device, &cmd));
    OBI_TRY_GOTO(obi_buffer_create(device, bytes, OBI_MEMORY_DEVICE, &x));
    OBI_TRY_GOTO(obi_buffer_create(device, bytes, OBI_MEMORY_DEVICE, &y));
    for (uint32_t first = 0; first < rows; first += at_once) {
        uint32_t count = rows - first < at_once ? rows - first : at_once;
        const float *strip = m + (uint64_t)first * columns;
        OBI_TRY_GOTO(obi_part_tell(part, (double)first / rows, "its errors"));
        obi_view from = obi_view_rows(x, 0, count, columns), to = obi_view_rows(y, 0, count, columns);
        OBI_TRY_GOTO(obi_upload_bytes(upload, from, strip, from.size));
        obi_cmd_begin(cmd);
        obi_op_dense_fwd(cmd, to, from, hessian, count);
        OBI_TRY_GOTO(obi_cmd_run(cmd));
        OBI_TRY_GOTO(obi_download_bytes(device, to, product, to.size));
        for (uint64_t i = 0; i < (uint64_t)count * columns; i++) *out += (double)product[i] * (double)strip[i];
    }
    *out = fmax(*out, 0);
done:
    obi_cmd_destroy(cmd);
    obi_buffer_destroy(device, x);
    obi_buffer_destroy(device, y);
    obi_free(product);
    return status;
}
