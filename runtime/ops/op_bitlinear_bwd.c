#include "ops/op_bitlinear_bwd.h"

#include "core/checked.h"
#include "ops/check.h"
#include "ops/matmul.h"
#include "ops/matrix.h"
#include "ops/rows_straight.h"
#include "ops/straight.h"
#include "shaders/common/push_bitlinear.h"

/* ---- dU = dV S ----------------------------------------------------------------------------------------------- */

static void sum_rows(obi_cmd *cmd, obi_view du, obi_view dv, obi_view bits, const struct obi_push_bitlinear_bwd_x *push)
{
    if (obi_cmd_device(cmd)->caps.straight) {
        uint32_t columns = 32 * push->row_words;
        obi_view turned;
        if (!obi_cmd_scratch(cmd, obi_div_ceil(push->row_count, 32) * columns * 4, &turned)) return;
        obi_straight turn = { .c = turned, .a = bits, .c_stride = columns, .a_first = push->block_row * push->row_words,
                              .a_stride = push->row_words };
        obi_straight_turn_signs(cmd, &turn, push->row_count, push->row_words);
        obi_straight product = { .kernel = OBI_KERNEL_BITLINEAR_GEMM_STRAIGHT, .c = du, .a = dv, .b = turned, .p_count = push->tokens,
                                 .q_count = push->n, .k_count = push->row_count, .a_first = push->first_row, .a_stride = push->m,
                                 .b_stride = columns, .c_stride = push->n, .b_across = true, .b_in_word = 32,
                                 .accumulate = push->accumulate != 0 };
        obi_straight_record(cmd, &product);
        return;
    }
    obi_dispatch dispatch = { .kernel = OBI_KERNEL_BITLINEAR_BWD_X,
                              .spec = { 64 },
                              .spec_count = 1,
                              .groups = { (uint32_t)obi_div_ceil(push->n, 64), (uint32_t)obi_div_ceil(push->tokens, 32), 1 },
                              .push = push,
                              .push_bytes = sizeof *push,
                              .bindings = { push->accumulate ? obi_updates(du) : obi_writes(du), obi_reads(dv), obi_reads(bits) },
                              .binding_count = 3,
                              .bytes = du.size + dv.size + bits.size };
    obi_cmd_dispatch(cmd, &dispatch);
}

void obi_op_bitlinear_bwd_x(obi_cmd *cmd, obi_view du, obi_view dv, const obi_weight *signs, uint32_t T)
{
    if (!obi_matrix_check(cmd, "bitlinear_bwd_x", &dv, &du, signs, OBI_WEIGHT_SIGN, T)) return; /* the sizes of y = W x */
    for (uint32_t block = 0; block < signs->block_count; block++) {
        uint32_t first, count;
        obi_view bits = obi_weight_block(signs, block, &first, &count);
        for (uint32_t row = 0; row < count; row += OBI_MATMUL_TERMS_MAX) {
            struct obi_push_bitlinear_bwd_x push = { .m = signs->rows, .n = signs->columns, .row_words = signs->row_words,
                                                     .first_row = first + row, .block_row = row, .row_count = count - row,
                                                     .tokens = T, .accumulate = first + row > 0 };
            if (push.row_count > OBI_MATMUL_TERMS_MAX) push.row_count = OBI_MATMUL_TERMS_MAX;
            sum_rows(cmd, du, dv, bits, &push);
        }
    }
}

/* ---- columns ------------------------------------------------------------------------------------------------- */

void obi_op_scale_columns(obi_cmd *cmd, obi_view y, obi_view x, obi_view s, uint32_t T, uint32_t n, bool accumulate)
{
    static const char *const name = "scale_columns";
    uint32_t workgroup = obi_workgroup_size(obi_cmd_device(cmd)), groups[3];
    uint64_t count = (uint64_t)T * n;
    if (!obi_matrix_check_view(cmd, name, "y", &y, T, n) || !obi_matrix_check_view(cmd, name, "x", &x, T, n) ||
        !obi_matrix_check_view(cmd, name, "s", &s, 1, n) || !obi_check_lanes(cmd, name, count, workgroup, groups))
        return;
    if (obi_rows_straight_takes(obi_cmd_device(cmd), T, n)) {
        obi_rows_straight_scale(cmd, y, x, s, T, n, accumulate);
        return;
    }
    struct obi_push_bitlinear_scale_columns push = { .n = n, .count = (uint32_t)count, .accumulate = accumulate };
    obi_dispatch dispatch = { .kernel = OBI_KERNEL_BITLINEAR_SCALE_COLUMNS,
                              .spec = { workgroup },
                              .spec_count = 1,
                              .groups = { groups[0], groups[1], groups[2] },
                              .push = &push,
                              .push_bytes = sizeof push,
                              .bindings = { accumulate ? obi_updates(y) : obi_writes(y), obi_reads(x), obi_reads(s) },
                              .binding_count = 3,
                              .bytes = y.size + x.size + s.size };
    obi_cmd_dispatch(cmd, &dispatch);
}

#define CHUNK_ROWS_MIN 32u
#define CHUNKS_MAX 1024u

static uint32_t chunk_rows(uint32_t T)
{
    uint32_t rows = (uint32_t)obi_div_ceil(T, CHUNKS_MAX);
    return rows < CHUNK_ROWS_MIN ? CHUNK_ROWS_MIN : rows;
}

uint64_t obi_column_dot_floats(uint32_t T, uint32_t n) { return obi_div_ceil(T, chunk_rows(T)) * n; }

/* ---- column sums on software drivers --------------------------------------------------------------------------- */

#define STRAIGHT_ROWS 64u    /* of a chunk, at most */
#define STRAIGHT_CHUNKS 255u /* of a dispatch */

typedef struct column_sum {
    int kernel;
    obi_view out, a, b; /* b: none in the second pass, which adds to out */
    uint32_t n;
} column_sum;

static uint64_t address_of(obi_view view, uint64_t floats) { return view.buffer->address + view.offset + floats * 4; }

/* `chunks` chunks of `chunk_rows` rows from row `row` on; their sums are rows `chunk` and after of out. */
static void sum_chunks(obi_cmd *cmd, const column_sum *task, uint32_t row, uint32_t chunk_rows, uint32_t chunk, uint32_t chunks)
{
    bool fold = task->b.buffer == NULL;
    for (uint32_t column = 0; column < task->n;) {
        uint32_t width = task->n - column >= 16 ? 16 : 8, blocks = (task->n - column) / width;
        if (blocks > 16 * 255) blocks = 16 * 255;
        uint64_t first = (uint64_t)row * task->n + column, out_first = (uint64_t)chunk * task->n + column;
        uint64_t a = address_of(task->a, first), b = fold ? address_of(task->out, out_first) : address_of(task->b, first);
        struct obi_push_bitlinear_column_dot_straight push = { .a_low = (uint32_t)a, .a_high = (uint32_t)(a >> 32), .b_low = (uint32_t)b,
                                                               .b_high = (uint32_t)(b >> 32), .n = task->n,
                                                               .out_first = (uint32_t)out_first, .last_block = blocks - 1 };
        obi_straight_digits(push.digit);
        obi_dispatch dispatch = { .kernel = task->kernel,
                                  .spec = { 128, width, chunk_rows },
                                  .spec_count = 3,
                                  .groups = { (uint32_t)obi_div_ceil(blocks, 16), chunks, 1 },
                                  .push = &push,
                                  .push_bytes = sizeof push,
                                  .bindings = { fold ? obi_updates(task->out) : obi_writes(task->out), obi_reads(task->a) },
                                  .binding_count = 2,
                                  .bytes = 4ull * blocks * width * chunks * (chunk_rows * (fold ? 1 : 2) + 1) };
        if (!fold) dispatch.bindings[dispatch.binding_count++] = obi_reads(task->b);
        obi_cmd_dispatch(cmd, &dispatch);
        column += blocks * width;
    }
}

static void column_dot_straight(obi_cmd *cmd, obi_view out, obi_view scratch, obi_view a, obi_view b, uint32_t T, uint32_t n)
{
    column_sum dot = { OBI_KERNEL_BITLINEAR_COLUMN_DOT_STRAIGHT, scratch, a, b, n };
    uint32_t chunks = 0;
    for (uint32_t row = 0; row < T;) {
        uint32_t rows = T - row < STRAIGHT_ROWS ? T - row : STRAIGHT_ROWS, count = (T - row) / rows;
        if (count > STRAIGHT_CHUNKS) count = STRAIGHT_CHUNKS;
        sum_chunks(cmd, &dot, row, rows, chunks, count);
        chunks += count;
        row += rows * count;
    }
    column_sum fold = { .kernel = OBI_KERNEL_BITLINEAR_COLUMN_FOLD_STRAIGHT, .out = out, .a = scratch, .n = n };
    for (uint32_t row = 0; row < chunks; row += STRAIGHT_ROWS)
        sum_chunks(cmd, &fold, row, chunks - row < STRAIGHT_ROWS ? chunks - row : STRAIGHT_ROWS, 0, 1);
}

void obi_op_column_dot(obi_cmd *cmd, obi_view out, obi_view scratch, obi_view a, obi_view b, uint32_t T, uint32_t n)
{
    static const char *const name = "column_dot";
    if (!obi_matrix_check_view(cmd, name, "out", &out, 1, n) || !obi_matrix_check_view(cmd, name, "a", &a, T, n) ||
        !obi_matrix_check_view(cmd, name, "b", &b, T, n) ||
        !obi_matrix_check_view(cmd, name, "scratch", &scratch, obi_column_dot_floats(T, n), 1))
        return;
    if (obi_cmd_device(cmd)->caps.straight && n % 8 == 0 && chunk_rows(T) <= STRAIGHT_ROWS && (uint64_t)T * n <= UINT32_MAX / 4) {
        column_dot_straight(cmd, out, scratch, a, b, T, n);
        return;
    }
    uint32_t workgroup = obi_workgroup_size(obi_cmd_device(cmd));
    uint32_t columns = (uint32_t)obi_div_ceil(n, workgroup), chunks = (uint32_t)obi_div_ceil(T, chunk_rows(T));
    struct obi_push_bitlinear_column_dot push = { .n = n, .rows = T, .chunk_rows = chunk_rows(T) };
    obi_dispatch dot = { .kernel = OBI_KERNEL_BITLINEAR_COLUMN_DOT,
                         .spec = { workgroup },
                         .spec_count = 1,
                         .groups = { columns, chunks, 1 },
                         .push = &push,
                         .push_bytes = sizeof push,
                         .bindings = { obi_writes(scratch), obi_reads(a), obi_reads(b) },
                         .binding_count = 3,
                         .bytes = scratch.size + a.size + b.size };
    obi_cmd_dispatch(cmd, &dot);
    push.rows = push.chunk_rows = chunks;
    obi_dispatch fold = { .kernel = OBI_KERNEL_BITLINEAR_COLUMN_FOLD,
                          .spec = { workgroup },
                          .spec_count = 1,
                          .groups = { columns, 1, 1 },
                          .push = &push,
                          .push_bytes = sizeof push,
                          .bindings = { obi_updates(out), obi_reads(scratch) },
                          .binding_count = 2,
                          .bytes = 2 * out.size + scratch.size };
    obi_cmd_dispatch(cmd, &fold);
}
