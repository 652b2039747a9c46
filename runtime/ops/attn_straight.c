#include "ops/attn_straight.h"

#include <math.h>

#include "core/checked.h"
#include "ops/straight.h"
#include "shaders/common/push_attn.h"

#define SCRATCH_BYTES (16ull << 20) /* as long as one key head fits */
#define BLOCK 128u                 /* rows that are done up to the same column: what lies right of the diagonal costs little */
#define WORKGROUP 128u
#define ROWS_OF_GROUP 16u
#define STATS_WORDS 4u
#define GROUPS_MAX 255u /* of a grid's axis: what two digits of the kernels count */

bool obi_attn_straight_takes(const obi_device *device, const obi_attn_shape *shape)
{
    return device->caps.straight && shape->T % 32 == 0 && shape->T < 4096 && shape->C % 8 == 0 && shape->H < 256;
}

static uint64_t head_bytes(uint64_t T) { return 2 * T * T * 4; } /* weights and their gradients */

static uint32_t smaller(uint32_t a, uint32_t b) { return a < b ? a : b; }

/* Key heads at a time. */
static uint32_t round_heads(const obi_attn_shape *shape)
{
    uint64_t bytes = head_bytes(shape->T) * (shape->H / shape->K), count = SCRATCH_BYTES / bytes;
    return count < 1 ? 1 : count > shape->K ? shape->K : (uint32_t)count;
}

/* Sequences at a time: more than one where all their heads fit, and a grid's axis counts them. */
static uint32_t round_sequences(const obi_attn_shape *shape)
{
    uint64_t count = SCRATCH_BYTES / (head_bytes(shape->T) * shape->H);
    if (count > GROUPS_MAX / shape->H) count = GROUPS_MAX / shape->H;
    return round_heads(shape) < shape->K || count < 1 ? 1 : smaller((uint32_t)count, shape->B);
}

/* Key heads of all sequences of a round. */
static uint64_t round_size(const obi_attn_shape *shape) { return (uint64_t)round_heads(shape) * round_sequences(shape); }

static uint64_t matrix_bytes(const obi_attn_shape *shape)
{
    return round_size(shape) * (shape->H / shape->K) * shape->T * shape->T * 4; /* a multiple of 4096, as T is of 32 */
}

static uint64_t stats_bytes(const obi_attn_shape *shape)
{
    return round_size(shape) * (shape->H / shape->K) * shape->T * STATS_WORDS * 4;
}

static uint64_t turned_bytes(const obi_attn_shape *shape) { return round_size(shape) * shape->C * shape->T * 4; }

uint64_t obi_attn_straight_bytes(const obi_attn_shape *shape)
{
    return 2 * matrix_bytes(shape) + stats_bytes(shape) + turned_bytes(shape); /* all multiples of OBI_BUFFER_ALIGNMENT, as T is of 32 */
}

/* Of some sequences the key heads [first, first + count), with all `shared` query heads of each. Matrices of scratch are
 * (sequences, count, shared, T, T). */
typedef struct heads {
    obi_cmd *cmd;
    const obi_attn_shape *shape;
    obi_view weights, slopes, stats, turned; /* turned: (sequences, count, C, T) */
    uint32_t sequence, sequences, first, count, shared;
} heads;

static heads heads_of(obi_cmd *cmd, const obi_attn_shape *shape, obi_view scratch, uint32_t sequence, uint32_t first)
{
    uint64_t bytes = matrix_bytes(shape);
    heads some = { .cmd = cmd,
                   .shape = shape,
                   .weights = { scratch.buffer, scratch.offset, bytes },
                   .slopes = { scratch.buffer, scratch.offset + bytes, bytes },
                   .stats = { scratch.buffer, scratch.offset + 2 * bytes, stats_bytes(shape) },
                   .turned = { scratch.buffer, scratch.offset + 2 * bytes + stats_bytes(shape), turned_bytes(shape) },
                   .sequence = sequence,
                   .sequences = smaller(round_sequences(shape), shape->B - sequence),
                   .first = first,
                   .count = smaller(round_heads(shape), shape->K - first),
                   .shared = shape->H / shape->K };
    return some;
}

/* ---- products ------------------------------------------------------------------------------------------------------------ */

/* One operand of a product for all key heads of `some`: where the first head's begins, the words of a row, those from one key
 * head to the next, and whether the next sequence's is T rows further (else it follows the last head's). `j` counts the query
 * heads that share a key head. */
typedef struct operand {
    obi_view view;
    uint32_t first, stride, skip;
    bool rows;
} operand;

static operand query_like(const heads *some, obi_view view, uint32_t token, uint32_t j) /* (B,T,H,C) */
{
    const obi_attn_shape *s = some->shape;
    operand of = { view, ((some->sequence * s->T + token) * s->H + some->first * some->shared + j) * s->C, s->H * s->C, some->shared * s->C, true };
    return of;
}

static operand key_like(const heads *some, obi_view view, uint32_t token) /* (B,T,K,C) */
{
    const obi_attn_shape *s = some->shape;
    operand of = { view, ((some->sequence * s->T + token) * s->K + some->first) * s->C, s->K * s->C, s->C, true };
    return of;
}

static operand matrix(const heads *some, obi_view view, uint32_t row, uint32_t column, uint32_t j)
{
    uint32_t T = some->shape->T;
    operand of = { view, (j * T + row) * T + column, T, some->shared * T * T, false };
    return of;
}

static void multiply(const heads *some, int kernel, operand c, operand a, operand b, uint32_t p, uint32_t q, uint32_t k, bool accumulate)
{
    obi_straight product = { .kernel = kernel, .c = c.view, .a = a.view, .b = b.view, .p_count = p, .q_count = q, .k_count = k,
                             .a_first = a.first, .a_stride = a.stride, .b_first = b.first, .b_stride = b.stride, .c_first = c.first,
                             .c_stride = c.stride, .a_across = kernel == OBI_KERNEL_DENSE_OUTER_STRAIGHT,
                             .b_across = kernel == OBI_KERNEL_DENSE_OUTER_STRAIGHT, .b_in_word = 1, .accumulate = accumulate,
                             .batch = some->count * some->sequences, .a_skip = a.skip, .b_skip = b.skip, .c_skip = c.skip,
                             .group = some->count, .group_rows = some->shape->T, .a_rows = a.rows, .b_rows = b.rows, .c_rows = c.rows };
    obi_straight_record(some->cmd, &product);
}

static uint32_t block_end(uint32_t T, uint32_t first) { return T - first < BLOCK ? T : first + BLOCK; }

/* matrix[t,p] = x[t] . y[p] up to the diagonal's block. */
static void pair(const heads *some, obi_view to, obi_view x, obi_view y)
{
    uint32_t T = some->shape->T, C = some->shape->C;
    for (uint32_t j = 0; j < some->shared; j++)
        for (uint32_t t = 0, end; t < T; t = end) {
            end = block_end(T, t);
            multiply(some, OBI_KERNEL_DENSE_DOT_STRAIGHT, matrix(some, to, t, 0, j), query_like(some, x, t, j), key_like(some, y, 0),
                     end - t, end, C, false);
        }
}

/* y[t] = sum over p of matrix[t,p] x[p]. */
static void gather(const heads *some, obi_view y, obi_view from, obi_view x)
{
    uint32_t T = some->shape->T, C = some->shape->C;
    operand lying = key_like(some, x, 0), turned = { some->turned, 0, T, C * T, false };
    obi_straight turn = { .c = turned.view, .c_stride = turned.stride, .c_skip = turned.skip, .a = x, .a_first = lying.first,
                          .a_stride = lying.stride, .a_skip = lying.skip, .batch = some->count * some->sequences,
                          .group = some->count, .group_rows = T, .a_rows = lying.rows };
    obi_straight_turn(some->cmd, &turn, T, C);
    for (uint32_t j = 0; j < some->shared; j++)
        for (uint32_t t = 0, end; t < T; t = end) {
            end = block_end(T, t);
            multiply(some, OBI_KERNEL_DENSE_DOT_STRAIGHT, query_like(some, y, t, j), matrix(some, from, t, 0, j), turned, end - t, C, end,
                     false);
        }
}

/* y[p] = sum over t and the query heads of matrix[t,p] x[t]. */
static void scatter(const heads *some, obi_view y, obi_view from, obi_view x)
{
    uint32_t T = some->shape->T, C = some->shape->C;
    for (uint32_t j = 0; j < some->shared; j++)
        for (uint32_t p = 0, end; p < T; p = end) {
            end = block_end(T, p);
            multiply(some, OBI_KERNEL_DENSE_OUTER_STRAIGHT, key_like(some, y, p), matrix(some, from, p, p, j), query_like(some, x, p, j),
                     end - p, C, T - p, j > 0);
        }
}

/* ---- rows ---------------------------------------------------------------------------------------------------------------- */

typedef enum step { STATS, WEIGHTS, SLOPE, SLOPES, WHOLE_WEIGHTS, WHOLE_SLOPES } step; /* as in the shader */

static void rows_chunk(const heads *some, step what, uint32_t first_row, uint32_t column, uint32_t columns)
{
    uint32_t T = some->shape->T;
    uint64_t weights = some->weights.buffer->address + some->weights.offset, slopes = some->slopes.buffer->address + some->slopes.offset,
             stats = some->stats.buffer->address + some->stats.offset;
    struct obi_push_attn_rows push = { .weights_low = (uint32_t)weights, .weights_high = (uint32_t)(weights >> 32),
                                       .slopes_low = (uint32_t)slopes, .slopes_high = (uint32_t)(slopes >> 32),
                                       .stats_low = (uint32_t)stats, .stats_high = (uint32_t)(stats >> 32), .tokens = T,
                                       .first_row = first_row, .first_column = column, .fresh = column == 0,
                                       .scale = (float)(1.0 / sqrt((double)some->shape->C)) };
    obi_straight_digits(push.digit);
    bool weights_too = what == WEIGHTS || what == WHOLE_WEIGHTS, slopes_too = what == SLOPES || what == WHOLE_SLOPES;
    obi_binding result = obi_updates(weights_too ? some->weights : slopes_too ? some->slopes : some->stats);
    obi_dispatch dispatch = { .kernel = OBI_KERNEL_ATTN_ROWS_STRAIGHT,
                              .spec = { WORKGROUP, what, columns },
                              .spec_count = 3,
                              .groups = { (T - first_row) / ROWS_OF_GROUP, some->sequences * some->count * some->shared, 1 },
                              .push = &push,
                              .push_bytes = sizeof push,
                              .bindings = { result },
                              .binding_count = 1,
                              .bytes = 8ull * (T - first_row) * columns * some->sequences * some->count * some->shared };
    if (!weights_too) dispatch.bindings[dispatch.binding_count++] = obi_reads(some->weights);
    if (what == SLOPE) dispatch.bindings[dispatch.binding_count++] = obi_reads(some->slopes);
    if (what == WEIGHTS || what == SLOPES) dispatch.bindings[dispatch.binding_count++] = obi_reads(some->stats);
    obi_cmd_dispatch(some->cmd, &dispatch);
}

/* Two steps in one where a chunk is a whole row: of 32, 128 or 256. */
static bool whole_rows(uint32_t T) { return T == 32 || T == BLOCK || T == 2 * BLOCK; }

/* All chunks, each for the rows of its block and below. */
static void rows(const heads *some, step what)
{
    uint32_t T = some->shape->T;
    if (whole_rows(T)) {
        if (what == WEIGHTS) rows_chunk(some, WHOLE_WEIGHTS, 0, 0, T);
        if (what == SLOPES) rows_chunk(some, WHOLE_SLOPES, 0, 0, T);
        return;
    }
    for (uint32_t column = 0; column < T;) {
        uint32_t columns = T - column < BLOCK ? 32 : BLOCK;
        rows_chunk(some, what, column - column % BLOCK, column, columns);
        column += columns;
    }
}

/* softmax(q k^T) in `weights`. */
static void find_weights(const heads *some, obi_view q, obi_view k)
{
    pair(some, some->weights, q, k);
    rows(some, STATS);
    rows(some, WEIGHTS);
}

/* ---- forward and backward ------------------------------------------------------------------------------------------------ */

void obi_attn_straight_fwd(obi_cmd *cmd, const obi_attn_shape *shape, obi_view out, obi_view q, obi_view k, obi_view v)
{
    obi_view scratch;
    if (!obi_cmd_scratch(cmd, obi_attn_straight_bytes(shape), &scratch)) return;
    for (uint32_t sequence = 0; sequence < shape->B; sequence += round_sequences(shape))
        for (uint32_t first = 0; first < shape->K; first += round_heads(shape)) {
            heads some = heads_of(cmd, shape, scratch, sequence, first);
            find_weights(&some, q, k);
            gather(&some, out, some.weights, v);
        }
}

void obi_attn_straight_bwd(obi_cmd *cmd, const obi_attn_shape *shape, obi_attn_parts gradients, obi_attn_parts parts, obi_view dout)
{
    obi_view scratch;
    if (!obi_cmd_scratch(cmd, obi_attn_straight_bytes(shape), &scratch)) return;
    for (uint32_t sequence = 0; sequence < shape->B; sequence += round_sequences(shape))
        for (uint32_t first = 0; first < shape->K; first += round_heads(shape)) {
            heads some = heads_of(cmd, shape, scratch, sequence, first);
            find_weights(&some, parts.q, parts.k);
            pair(&some, some.slopes, dout, parts.v);
            rows(&some, SLOPE);
            scatter(&some, gradients.v, some.weights, dout);
            rows(&some, SLOPES);
            gather(&some, gradients.q, some.slopes, parts.k);
            scatter(&some, gradients.k, some.slopes, parts.q);
        }
}
