#include "ops/sign_gemv.h"

#include "core/checked.h"
#include "ops/gemv_int8.h"
#include "ops/gemv_table.h"
#include "ops/matrix.h"
#include "ops/op_bitlinear.h"
#include "ops/sign_family.h"
#include "ops/straight.h"
#include "shaders/common/push_bitlinear.h"

/* ---- any device: bitlinear/gemv ---------------------------------------------------------------------------------- */

static void plain(obi_cmd *cmd, obi_view y, obi_view x, const obi_weight *weight, uint32_t block, obi_view scales, uint32_t T)
{
    struct obi_push_bitlinear_gemv push = { .m = weight->rows, .n = weight->columns, .row_words = weight->row_words,
                                            .h_offset = obi_scales_h_offset(weight->columns) };
    obi_view bits = obi_weight_block(weight, block, &push.first_row, &push.row_count);
    obi_dispatch dispatch = { .kernel = OBI_KERNEL_BITLINEAR_GEMV,
                              .push = &push,
                              .push_bytes = sizeof push,
                              .bindings = { obi_writes(y), obi_reads(x), obi_reads(bits), obi_reads(scales) },
                              .binding_count = 4,
                              .bytes = y.size + x.size + bits.size + scales.size };
    obi_matrix_gemv(cmd, &dispatch, weight, push.row_count, T);
}

/* ---- software drivers: bitlinear/gemv_straight ------------------------------------------------------------------- */

#define STRETCHES_MAX 64u    /* 32 KiB of shared memory */
#define STRETCH_WORDS_MAX 8u
#define COLUMNS_MAX (STRETCHES_MAX * STRETCH_WORDS_MAX * 32) /* of a dispatch */
#define GRID_SIDE 256u       /* what two digits of the kernel can count */

/* The longest stretch of 1, 2, 4 or 8 words that cuts `words` evenly into as many as the kernel takes; else the shortest that fits. */
static uint32_t stretch_words(uint32_t words)
{
    uint32_t length = STRETCH_WORDS_MAX;
    while (length > 1 && words % length) length /= 2;
    while (obi_div_ceil(words, length) > STRETCHES_MAX) length *= 2;
    return length;
}

static uint32_t smaller(uint32_t a, uint32_t b) { return a < b ? a : b; }

static void straight(obi_cmd *cmd, obi_view y, obi_view x, const obi_weight *weight, uint32_t block, obi_view scales, uint32_t T)
{
    uint32_t first_row, row_count, tile_words = weight->row_words * OBI_TILE_ROWS;
    obi_view bits = obi_weight_block(weight, block, &first_row, &row_count);
    for (uint32_t k = 0; k < weight->columns; k += COLUMNS_MAX) {
        uint32_t k_count = smaller(weight->columns - k, COLUMNS_MAX);
        uint32_t words = (uint32_t)obi_div_ceil(k_count, 32), length = stretch_words(words);
        uint32_t stretches = (uint32_t)obi_div_ceil(words, length);
        for (uint32_t row = 0; row < row_count; row += GRID_SIDE * OBI_TILE_ROWS) {
            uint32_t rows = smaller(row_count - row, GRID_SIDE * OBI_TILE_ROWS);
            struct obi_push_bitlinear_gemv_straight push = { .m = weight->rows, .n = weight->columns, .k_count = k_count,
                                                             .tile_words = tile_words, .first_row = first_row + row, .row_count = rows,
                                                             .h_skip = obi_scales_h_offset(weight->columns) + first_row + row - k };
            obi_view x_k = x, g_k = scales, bits_k = bits;
            x_k.offset += (uint64_t)k * 4;
            g_k.offset += (uint64_t)k * 4;
            bits_k.offset += ((uint64_t)row / OBI_TILE_ROWS * tile_words + (uint64_t)k / 32 * OBI_TILE_ROWS) * 4;
            obi_straight_address(x_k, &push.x_low, &push.x_high);
            obi_straight_address(g_k, &push.g_low, &push.g_high);
            obi_straight_address(bits_k, &push.bits_low, &push.bits_high);
            obi_straight_digits(push.digit);
            obi_dispatch dispatch = { .kernel = OBI_KERNEL_BITLINEAR_GEMV_STRAIGHT,
                                      .spec = { 8 * stretches, stretches, length, k_count % (32 * length) != 0, k > 0 },
                                      .spec_count = 5,
                                      .groups = { (uint32_t)obi_div_ceil(rows, OBI_TILE_ROWS), T, 1 },
                                      .push = &push,
                                      .push_bytes = sizeof push,
                                      .bindings = { k > 0 ? obi_updates(y) : obi_writes(y), obi_reads(x), obi_reads(bits),
                                                    obi_reads(scales) },
                                      .binding_count = 4,
                                      .bytes = y.size + x.size + bits.size + scales.size };
            obi_cmd_dispatch(cmd, &dispatch);
        }
    }
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
    switch (weight->family) {
    case OBI_SIGN_TABLE: obi_gemv_table(cmd, y, x, weight, block, scales, T); break;
    case OBI_SIGN_INT8: obi_gemv_int8(cmd, y, x, weight, block, scales, T); break;
    default: plain(cmd, y, x, weight, block, scales, T); break;
    }
}
