#include "ops/sign_gemv.h"

#include "core/checked.h"
#include "ops/gemv_int8.h"
#include "ops/gemv_table.h"
#include "ops/matrix.h"
#include "ops/op_bitlinear.h"
#include "ops/sign_family.h"
#include "ops/straight.h"
#include "shaders/common/push_bitlinear.h"

/* ---- any device: bitlinear/gemv, and the same in halves ----------------------------------------------------------- */

static int plain_kernel(const obi_device *device, const obi_weight *weight)
{
    bool half = weight->family == OBI_SIGN_HALF && obi_gemv_half_possible(device);
    return half ? OBI_KERNEL_BITLINEAR_GEMV_HALF : OBI_KERNEL_BITLINEAR_GEMV;
}

static void plain(obi_cmd *cmd, obi_view y, obi_view x, const obi_weight *weight, uint32_t block, obi_view scales, uint32_t T)
{
    struct obi_push_bitlinear_gemv push = { .m = weight->rows, .n = weight->columns, .row_words = weight->row_words,
                                            .h_offset = obi_scales_h_offset(weight->columns), .first_groups = UINT32_MAX };
    obi_view bits = obi_weight_block(weight, block, &push.first_row, &push.row_count);
    obi_dispatch dispatch = { .kernel = plain_kernel(obi_cmd_device(cmd), weight),
                              .push = &push,
                              .push_bytes = sizeof push,
                              .bindings = { obi_writes(y), obi_reads(x), obi_reads(bits), obi_reads(scales) },
                              .binding_count = 4,
                              .bytes = y.size + x.size + bits.size + scales.size };
    obi_matrix_gemv(cmd, &dispatch, weight, push.row_count, T);
}

/* What all parts of a group have; false where it is more than can be bound. The bits are one block. */
static bool spans(const obi_cmd *cmd, const obi_bitlinear_part *parts, uint32_t count, obi_view *y, obi_view *bits, obi_view *scales)
{
    const obi_bitlinear_part *last = &parts[count - 1];
    uint64_t limit = obi_cmd_device(cmd)->caps.storage_range;
    uint32_t first_row, row_count;
    *y = obi_view_span(parts[0].y, last->y);
    *scales = obi_view_span(parts[0].scales, last->scales);
    *bits = obi_view_span(obi_weight_block(parts[0].weight, 0, &first_row, &row_count),
                          obi_weight_block(last->weight, 0, &first_row, &row_count));
    return y->size <= limit && bits->size <= limit && scales->size <= limit;
}

/* A part's words up to where the next one begins. */
static uint32_t bits_skip(const obi_weight *weight)
{
    return (uint32_t)(obi_align_up((uint64_t)weight->rows * weight->row_words * 4, OBI_BUFFER_ALIGNMENT) / 4);
}

/* Tier A adds up in an order that depends on the rows of a workgroup: there they must be the same alone and together. */
bool obi_sign_gemv_plan(const obi_cmd *cmd, const obi_bitlinear_part *parts, uint32_t count, obi_view x, uint32_t T, obi_gemv_plan *plan)
{
    const obi_device *device = obi_cmd_device(cmd);
    const obi_weight *weight = parts[0].weight, *other = parts[count - 1].weight;
    uint64_t all_rows = 0;
    int kernel = plain_kernel(device, weight);
    if (weight->family != OBI_SIGN_XOR && kernel == OBI_KERNEL_BITLINEAR_GEMV) return false;
    for (uint32_t i = 0; i < count; i++) {
        all_rows += parts[i].weight->rows;
        if (parts[i].weight->family != weight->family) return false;
    }
    if (all_rows > UINT32_MAX) return false;
    uint32_t rows = obi_matrix_group_rows(device, (uint32_t)all_rows);
    for (uint32_t i = 0; device->kernel_tier[kernel] == OBI_TIER_A && i < count; i++)
        if (obi_matrix_group_rows(device, parts[i].weight->rows) != rows) return false;
    struct obi_push_bitlinear_gemv push = { .m = weight->rows, .n = weight->columns, .row_words = weight->row_words,
                                            .row_count = weight->rows, .h_offset = obi_scales_h_offset(weight->columns),
                                            .first_groups = (uint32_t)obi_div_ceil(weight->rows, rows),
                                            .other_groups = (uint32_t)obi_div_ceil(other->rows, rows), .other_rows = other->rows,
                                            .bits_skip = bits_skip(weight), .other_bits_skip = bits_skip(other),
                                            .scales_skip = (uint32_t)obi_scales_floats(weight->rows, weight->columns),
                                            .other_scales_skip = (uint32_t)obi_scales_floats(other->rows, other->columns) };
    obi_view y, bits, scales;
    if (!spans(cmd, parts, count, &y, &bits, &scales)) return false;
    obi_dispatch dispatch = { .kernel = kernel,
                              .spec = { obi_workgroup_size(device), rows },
                              .spec_count = 2,
                              .bindings = { obi_writes(y), obi_reads(x), obi_reads(bits), obi_reads(scales) },
                              .binding_count = 4,
                              .bytes = y.size + x.size + bits.size + scales.size };
    obi_fold_groups(device, push.first_groups + (uint64_t)push.other_groups * (count - 1), dispatch.groups);
    if (count < OBI_GROUP_MAX) push.other_groups = UINT32_MAX; /* a folded grid has a few more: none may begin a part that is not there */
    if (count == 1) push.first_groups = UINT32_MAX;
    dispatch.groups[2] = T;
    plan->push = push;
    plan->dispatch = dispatch;
    return true;
}

static bool plain_group(obi_cmd *cmd, const obi_bitlinear_part *parts, uint32_t count, obi_view x, uint32_t T)
{
    obi_gemv_plan plan;
    if (!obi_sign_gemv_plan(cmd, parts, count, x, T, &plan)) return false;
    plan.dispatch.push = &plan.push;
    plan.dispatch.push_bytes = sizeof plan.push;
    obi_cmd_dispatch(cmd, &plan.dispatch);
    return true;
}

/* ---- software drivers: bitlinear/gemv_straight ------------------------------------------------------------------- */

#define STRETCHES_MAX 64u    /* 32 KiB of shared memory */
#define STRETCH_WORDS_MAX 8u
#define WHOLE_STRETCHES 16u  /* more than these, and some subgroups have no rows to add up */
#define COLUMNS_MAX (STRETCHES_MAX * STRETCH_WORDS_MAX * 32) /* of a dispatch */
#define GRID_SIDE 256u       /* what two digits of the kernel can count */

/* The longest stretch of 1, 2, 4 or 8 words that cuts `words` evenly into as many as the kernel takes; else the shortest that fits.
 * But 4 where 8 would do with few of them: the code for 8 does not fit an instruction cache of 32 KiB. */
static uint32_t stretch_words(uint32_t words)
{
    uint32_t length = STRETCH_WORDS_MAX;
    while (length > 1 && words % length) length /= 2;
    while (obi_div_ceil(words, length) > STRETCHES_MAX) length *= 2;
    return length == 8 && words <= 4 * WHOLE_STRETCHES ? 4 : length;
}

static uint32_t smaller(uint32_t a, uint32_t b) { return a < b ? a : b; }

/* What a dispatch makes: rows [row, row + rows) of a block, or a group whole. */
typedef struct stretch_of_rows {
    uint32_t m, first_row, row, rows; /* m of the matrix, first_row of the block in it, row in the block */
    uint32_t other_rows, tiles;       /* of each further part of a group; of all */
    obi_view y, bits, scales;         /* of all */
} stretch_of_rows;

/* What a kernel need not find out. */
static uint32_t plan_of(const stretch_of_rows *part, uint32_t stretches, uint32_t k, uint32_t T)
{
    uint32_t plan = (T > 1 ? OB_GEMV_TOKENS : 0) | (part->other_rows ? OB_GEMV_PARTS : 0);
    bool whole = part->rows % OBI_TILE_ROWS == 0 && part->other_rows % OBI_TILE_ROWS == 0 && WHOLE_STRETCHES % stretches == 0 && k == 0;
    return plan | (whole ? OB_GEMV_WHOLE : 0);
}

static void straight_rows(obi_cmd *cmd, const stretch_of_rows *part, obi_view x, uint32_t n, uint32_t T)
{
    uint32_t tile_words = (uint32_t)obi_div_ceil(n, 32) * OBI_TILE_ROWS;
    for (uint32_t k = 0; k < n; k += COLUMNS_MAX) {
        uint32_t k_count = smaller(n - k, COLUMNS_MAX);
        uint32_t words = (uint32_t)obi_div_ceil(k_count, 32), length = stretch_words(words);
        uint32_t stretches = (uint32_t)obi_div_ceil(words, length);
        struct obi_push_bitlinear_gemv_straight push = { .m = part->m, .n = n, .k_count = k_count, .tile_words = tile_words,
                                                         .first_row = part->first_row + part->row, .row_count = part->rows,
                                                         .h_skip = obi_scales_h_offset(n) + part->first_row + part->row - k,
                                                         .other_rows = part->other_rows,
                                                         .scales_skip = (uint32_t)obi_scales_floats(part->m, n),
                                                         .other_scales_skip = (uint32_t)obi_scales_floats(part->other_rows, n) };
        obi_view x_k = x, g_k = part->scales, bits_k = part->bits;
        x_k.offset += (uint64_t)k * 4;
        g_k.offset += (uint64_t)k * 4;
        bits_k.offset += ((uint64_t)part->row / OBI_TILE_ROWS * tile_words + (uint64_t)k / 32 * OBI_TILE_ROWS) * 4;
        obi_straight_address(x_k, &push.x_low, &push.x_high);
        obi_straight_address(g_k, &push.g_low, &push.g_high);
        obi_straight_address(bits_k, &push.bits_low, &push.bits_high);
        obi_straight_digits(push.digit);
        obi_dispatch dispatch = { .kernel = OBI_KERNEL_BITLINEAR_GEMV_STRAIGHT,
                                  .spec = { 8 * stretches, stretches, length, k_count % (32 * length) != 0, k > 0, plan_of(part, stretches, k, T) },
                                  .spec_count = 6,
                                  .groups = { part->tiles, T, 1 },
                                  .push = &push,
                                  .push_bytes = sizeof push,
                                  .bindings = { k > 0 ? obi_updates(part->y) : obi_writes(part->y), obi_reads(x), obi_reads(part->bits),
                                                obi_reads(part->scales) },
                                  .binding_count = 4,
                                  .bytes = part->y.size + x.size + part->bits.size + part->scales.size };
        obi_cmd_dispatch(cmd, &dispatch);
    }
}

static void straight(obi_cmd *cmd, obi_view y, obi_view x, const obi_weight *weight, uint32_t block, obi_view scales, uint32_t T)
{
    uint32_t row_count;
    stretch_of_rows part = { .m = weight->rows, .y = y, .scales = scales };
    part.bits = obi_weight_block(weight, block, &part.first_row, &row_count);
    for (; part.row < row_count; part.row += GRID_SIDE * OBI_TILE_ROWS) {
        part.rows = smaller(row_count - part.row, GRID_SIDE * OBI_TILE_ROWS);
        part.tiles = (uint32_t)obi_div_ceil(part.rows, OBI_TILE_ROWS);
        straight_rows(cmd, &part, x, weight->columns, T);
    }
}

static bool straight_group(obi_cmd *cmd, const obi_bitlinear_part *parts, uint32_t count, obi_view x, uint32_t T)
{
    const obi_weight *weight = parts[0].weight;
    uint64_t tiles = 0;
    for (uint32_t i = 0; i < count; i++) tiles += obi_div_ceil(parts[i].weight->rows, OBI_TILE_ROWS);
    stretch_of_rows all = { .m = weight->rows, .rows = weight->rows, .other_rows = parts[count - 1].weight->rows, .tiles = (uint32_t)tiles };
    if (tiles > GRID_SIDE || !spans(cmd, parts, count, &all.y, &all.bits, &all.scales)) return false;
    straight_rows(cmd, &all, x, weight->columns, T);
    return true;
}

bool obi_sign_gemv_group(obi_cmd *cmd, const obi_bitlinear_part *parts, uint32_t count, obi_view x, uint32_t T)
{
    return parts[0].weight->type == OBI_WEIGHT_SIGN_TILES ? straight_group(cmd, parts, count, x, T) : plain_group(cmd, parts, count, x, T);
}

bool obi_gemv_half_possible(const obi_device *device)
{
    return device->kernel_tier[OBI_KERNEL_BITLINEAR_GEMV_HALF] >= OBI_TIER_C && !device->kernel_off[OBI_KERNEL_BITLINEAR_GEMV_HALF];
}

bool obi_gemv_straight_possible(const obi_device *device)
{
    return device->caps.straight && device->caps.workgroup_size >= 8 * STRETCHES_MAX;
}

void obi_sign_gemv(obi_cmd *cmd, obi_view y, obi_view x, const obi_weight *weight, uint32_t block, obi_view scales, uint32_t T)
{
    if (weight->type == OBI_WEIGHT_SIGN_TILES) {
        straight(cmd, y, x, weight, block, scales, T);
        return;
    }
    /* A family may have been dropped since the weight was made; the plain kernels read the same layout. */
    const obi_device *device = obi_cmd_device(cmd);
    if (weight->family == OBI_SIGN_TABLE && obi_gemv_table_possible(device)) obi_gemv_table(cmd, y, x, weight, block, scales, T);
    else if (weight->family == OBI_SIGN_INT8 && obi_gemv_int8_possible(device)) obi_gemv_int8(cmd, y, x, weight, block, scales, T);
    else plain(cmd, y, x, weight, block, scales, T);
}
