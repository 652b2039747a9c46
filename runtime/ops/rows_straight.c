#include "ops/rows_straight.h"

#include "ops/straight.h"
#include "shaders/common/push_rows.h"

#define WORKGROUP 128u
#define GROUP_ROWS 16u
#define ROWS_MAX (255u * GROUP_ROWS) /* of a dispatch: what two digits of the kernels can count */
#define CHUNK_MAX 256u
#define STATS_BYTES 32u
#define CHUNKS_MAX 255u /* side by side in a dispatch */

bool obi_rows_straight_takes(const obi_device *device, uint64_t rows, uint64_t columns)
{
    return device->caps.straight && rows % GROUP_ROWS == 0 && columns % 8 == 0 && rows * columns <= UINT32_MAX / 4;
}

/* The steps, as in the shaders. */
enum { RMS_STATS, RMS, RMS_BWD_STATS, RMS_BWD, LAYER_STATS, LAYER, LAYER_BWD };
enum { HIDDEN_SQUARES, HIDDEN_DISTANCE, HIDDEN_GRADIENT };
enum { KD_TOPS, KD_SUMS, KD_GRADIENT };
enum { ADD, SWIGLU, SWIGLU_BWD, SCALE, SCALE_BOTH };

typedef struct job {
    int kernel;
    obi_view out, more, a, b, w, stats; /* `more`, `b`, `w` and `stats` may have no buffer */
    uint32_t rows, columns;
    float eps;
    bool accumulate;
    uint32_t kind; /* the kernel's last spec constant */
} job;

static void record_chunk(obi_cmd *cmd, const job *task, uint32_t step, bool to_stats, uint32_t row, uint32_t rows, uint32_t column,
                         uint32_t columns, uint32_t count)
{
    struct obi_push_rows push = { .columns = task->columns,
                                  .first_row = row,
                                  .first_column = column,
                                  .eps = task->eps,
                                  .rows = task->rows,
                                  .flags = (column == 0 ? OB_ROWS_FRESH : 0) | (task->accumulate ? OB_ROWS_ACCUMULATE : 0) };
    obi_straight_address(task->a, &push.a_low, &push.a_high);
    obi_straight_address(task->b, &push.b_low, &push.b_high);
    obi_straight_address(task->w, &push.w_low, &push.w_high);
    obi_straight_address(task->out, &push.out_low, &push.out_high);
    obi_straight_address(task->stats, &push.stats_low, &push.stats_high);
    obi_straight_digits(push.digit);
    obi_dispatch dispatch = { .kernel = task->kernel,
                              .spec = { WORKGROUP, step, columns, task->kind },
                              .spec_count = 4,
                              .groups = { rows / GROUP_ROWS, count, 1 },
                              .push = &push,
                              .push_bytes = sizeof push,
                              .bindings = { obi_updates(to_stats ? task->stats : task->out) },
                              .binding_count = 1,
                              .bytes = 12ull * rows * columns * count };
    if (task->more.buffer) dispatch.bindings[dispatch.binding_count++] = obi_updates(task->more);
    else if (task->w.buffer) dispatch.bindings[dispatch.binding_count++] = obi_reads(task->w);
    if (!to_stats && task->stats.buffer) dispatch.bindings[dispatch.binding_count++] = obi_reads(task->stats);
    const obi_view inputs[] = { task->a, task->b };
    for (int i = 0; i < 2; i++)
        if (inputs[i].buffer && dispatch.binding_count < OBI_BINDINGS_MAX)
            dispatch.bindings[dispatch.binding_count++] = obi_reads(inputs[i]);
    obi_cmd_dispatch(cmd, &dispatch);
}

static void record(obi_cmd *cmd, const job *task, uint32_t step, bool to_stats)
{
    for (uint32_t row = 0; row < task->rows; row += ROWS_MAX) {
        uint32_t rows = task->rows - row < ROWS_MAX ? task->rows - row : ROWS_MAX;
        for (uint32_t column = 0; column < task->columns;) {
            uint32_t left = task->columns - column;
            uint32_t chunk = left < CHUNK_MAX ? left : CHUNK_MAX, count = to_stats ? 1 : left / chunk; /* stats: one after the other */
            if (count > CHUNKS_MAX) count = CHUNKS_MAX;
            record_chunk(cmd, task, step, to_stats, row, rows, column, chunk, count);
            column += chunk * count;
        }
    }
}

/* ---- norms ------------------------------------------------------------------------------------------------------------- */

uint64_t obi_rows_straight_bytes(uint32_t rows) { return (uint64_t)rows * STATS_BYTES; }

static void norm(obi_cmd *cmd, job *task, uint32_t stats_step, uint32_t step)
{
    task->kernel = OBI_KERNEL_NORM_ROWS_STRAIGHT;
    if (!obi_cmd_scratch(cmd, obi_rows_straight_bytes(task->rows), &task->stats)) return;
    record(cmd, task, stats_step, true);
    record(cmd, task, step, false);
}

void obi_rows_straight_rmsnorm(obi_cmd *cmd, obi_view y, obi_view x, obi_view w, uint32_t rows, uint32_t columns, float eps)
{
    job task = { .out = y, .a = x, .w = w, .rows = rows, .columns = columns, .eps = eps };
    norm(cmd, &task, RMS_STATS, RMS);
}

void obi_rows_straight_rmsnorm_bwd(obi_cmd *cmd, obi_view dx, obi_view dy, obi_view x, obi_view w, uint32_t rows, uint32_t columns,
                                   float eps, bool accumulate)
{
    job task = { .out = dx, .a = x, .b = dy, .w = w, .rows = rows, .columns = columns, .eps = eps, .accumulate = accumulate };
    norm(cmd, &task, RMS_BWD_STATS, RMS_BWD);
}

void obi_rows_straight_layernorm(obi_cmd *cmd, obi_view y, obi_view x, uint32_t rows, uint32_t columns, float eps)
{
    job task = { .out = y, .a = x, .b = x, .rows = rows, .columns = columns, .eps = eps };
    norm(cmd, &task, LAYER_STATS, LAYER);
}

void obi_rows_straight_layernorm_bwd(obi_cmd *cmd, obi_view dx, obi_view dz, obi_view x, uint32_t rows, uint32_t columns, float eps)
{
    job task = { .out = dx, .a = x, .b = dz, .rows = rows, .columns = columns, .eps = eps };
    norm(cmd, &task, LAYER_STATS, LAYER_BWD);
}

/* ---- losses ------------------------------------------------------------------------------------------------------------ */

void obi_rows_straight_hidden(obi_cmd *cmd, obi_view loss, obi_view dh, obi_view student, obi_view teacher, uint32_t rows, uint32_t columns,
                              float scale, bool direction)
{
    job task = { .kernel = OBI_KERNEL_LOSS_HIDDEN_STRAIGHT,
                 .out = dh,
                 .a = student,
                 .b = teacher,
                 .w = loss,
                 .rows = rows,
                 .columns = columns,
                 .eps = scale,
                 .kind = direction ? 0 : 1 };
    if (!obi_cmd_scratch(cmd, obi_rows_straight_bytes(rows), &task.stats)) return;
    if (direction) record(cmd, &task, HIDDEN_SQUARES, true);
    task.more = loss;
    record(cmd, &task, HIDDEN_DISTANCE, true);
    obi_view none = { 0 };
    task.more = none;
    record(cmd, &task, HIDDEN_GRADIENT, false);
}

void obi_rows_straight_kd(obi_cmd *cmd, obi_view loss, obi_view student, obi_view teacher, obi_view mask, uint32_t rows, uint32_t columns,
                          float scale)
{
    job task = { .kernel = OBI_KERNEL_LOSS_KD_STRAIGHT,
                 .out = student,
                 .a = student,
                 .b = teacher,
                 .w = mask,
                 .rows = rows,
                 .columns = columns,
                 .eps = scale };
    if (!obi_cmd_scratch(cmd, obi_rows_straight_bytes(rows), &task.stats)) return;
    record(cmd, &task, KD_TOPS, true);
    task.more = loss;
    record(cmd, &task, KD_SUMS, true);
    obi_view none = { 0 };
    task.more = none;
    record(cmd, &task, KD_GRADIENT, false);
}

/* ---- element by element ------------------------------------------------------------------------------------------------ */

static void elements(obi_cmd *cmd, job *task, uint32_t step)
{
    task->kernel = OBI_KERNEL_ACT_ROWS_STRAIGHT;
    record(cmd, task, step, false);
}

void obi_rows_straight_scale(obi_cmd *cmd, obi_view y, obi_view x, obi_view s, uint32_t rows, uint32_t columns, bool accumulate)
{
    job task = { .out = y, .a = x, .w = s, .rows = rows, .columns = columns, .accumulate = accumulate };
    elements(cmd, &task, SCALE);
}

void obi_rows_straight_scale_both(obi_cmd *cmd, obi_view y, obi_view x, obi_view h, obi_view g, uint32_t rows, uint32_t columns)
{
    job task = { .out = y, .a = x, .b = h, .w = g, .rows = rows, .columns = columns };
    elements(cmd, &task, SCALE_BOTH);
}

void obi_rows_straight_add(obi_cmd *cmd, obi_view y, obi_view a, obi_view b, uint64_t count)
{
    job task = { .out = y, .a = a, .b = b, .rows = (uint32_t)(count / OBI_FLAT_COLUMNS), .columns = OBI_FLAT_COLUMNS };
    elements(cmd, &task, ADD);
}

void obi_rows_straight_swiglu(obi_cmd *cmd, obi_view y, obi_view gate, obi_view up, uint64_t count)
{
    job task = { .out = y, .a = gate, .b = up, .rows = (uint32_t)(count / OBI_FLAT_COLUMNS), .columns = OBI_FLAT_COLUMNS };
    elements(cmd, &task, SWIGLU);
}

void obi_rows_straight_swiglu_bwd(obi_cmd *cmd, obi_view gate, obi_view up, obi_view dy, uint64_t count)
{
    job task = {
        .out = gate, .more = up, .a = gate, .b = dy, .w = up, .rows = (uint32_t)(count / OBI_FLAT_COLUMNS), .columns = OBI_FLAT_COLUMNS
    };
    elements(cmd, &task, SWIGLU_BWD);
}
