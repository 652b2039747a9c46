#include "ops/op_bitlinear.h"

#include "core/checked.h"
#include "ops/gemv_int8.h"
#include "ops/matrix.h"
#include "ops/sign_family.h"
#include "ops/sign_gemm.h"
#include "ops/sign_gemv.h"
#include "ops/straight.h"
#include "shaders/common/push_bitlinear.h"

#define SCALE_PADDING 64u /* floats: OBI_BUFFER_ALIGNMENT bytes */

uint32_t obi_scales_h_offset(uint32_t n) { return (uint32_t)obi_align_up(n, SCALE_PADDING); }

uint64_t obi_scales_floats(uint32_t m, uint32_t n) { return obi_align_up(n, SCALE_PADDING) + obi_align_up(m, SCALE_PADDING); }

/* A weight of type SIGN. `scales` is any readable view where `scaled` is false. */
static void gemm(obi_cmd *cmd, obi_view y, obi_view x, const obi_weight *weight, uint32_t block, obi_view scales, bool scaled, uint32_t T)
{
    struct obi_push_bitlinear_gemm push = { .m = weight->rows, .n = weight->columns, .row_words = weight->row_words,
                                            .h_offset = obi_scales_h_offset(weight->columns), .tokens = T };
    obi_view bits = obi_weight_block(weight, block, &push.first_row, &push.row_count);
    if (obi_cmd_device(cmd)->caps.straight) {
        obi_straight product = { .kernel = OBI_KERNEL_BITLINEAR_GEMM_STRAIGHT, .c = y, .a = x, .p_count = T, .q_count = push.row_count,
                                 .k_count = push.n, .a_stride = push.n, .c_first = push.first_row, .c_stride = push.m,
                                 .h_first = push.h_offset + push.first_row, .b_across = true, .b_in_word = 32 };
        if (scaled) product.scales = scales;
        if (!obi_cmd_scratch(cmd, (uint64_t)push.row_count * push.row_words * 4, &product.b)) return;
        product.b_stride = push.row_count;
        obi_straight turn = { .c = product.b, .a = bits, .c_stride = push.row_count, .a_stride = push.row_words };
        obi_straight_turn(cmd, &turn, push.row_count, push.row_words);
        obi_straight_record(cmd, &product);
        return;
    }
    obi_dispatch dispatch = { .kernel = OBI_KERNEL_BITLINEAR_GEMM,
                              .bindings = { obi_writes(y), obi_reads(x), obi_reads(bits), obi_reads(scales) },
                              .binding_count = 4,
                              .bytes = y.size + x.size + bits.size + scales.size };
    dispatch.spec[0] = 64;
    dispatch.spec[1] = scaled;
    dispatch.spec_count = 2;
    dispatch.groups[0] = (uint32_t)obi_div_ceil(push.row_count, 64);
    dispatch.groups[1] = (uint32_t)obi_div_ceil(T, 32);
    dispatch.groups[2] = 1;
    dispatch.push = &push;
    dispatch.push_bytes = sizeof push;
    obi_cmd_dispatch(cmd, &dispatch);
}

/* In tiles only where there is a kernel for them. */
static bool check(obi_cmd *cmd, const char *name, obi_view *y, obi_view *x, const obi_weight *weight, uint32_t T)
{
    bool tiles = weight->type == OBI_WEIGHT_SIGN_TILES && obi_cmd_device(cmd)->caps.straight;
    return obi_matrix_check(cmd, name, y, x, weight, tiles ? OBI_WEIGHT_SIGN_TILES : OBI_WEIGHT_SIGN, T);
}

static bool check_scales(obi_cmd *cmd, obi_view *scales, const obi_weight *weight)
{
    return obi_matrix_check_view(cmd, "bitlinear", "scales", scales, 1, (uint64_t)obi_scales_h_offset(weight->columns) + weight->rows);
}

bool obi_bitlinear_check(obi_cmd *cmd, obi_bitlinear_part *part, obi_view *x, uint32_t T)
{
    return check(cmd, "bitlinear", &part->y, x, part->weight, T) && check_scales(cmd, &part->scales, part->weight);
}

void obi_op_bitlinear_fwd(obi_cmd *cmd, obi_view y, obi_view x, const obi_weight *weight, obi_view scales, uint32_t T)
{
    if (!check(cmd, "bitlinear", &y, &x, weight, T) || !check_scales(cmd, &scales, weight)) return;
    for (uint32_t block = 0; block < weight->block_count; block++) {
        if (T < OBI_MATRIX_GEMM_TOKENS) obi_sign_gemv(cmd, y, x, weight, block, scales, T);
        else if (weight->type == OBI_WEIGHT_SIGN_TILES) obi_sign_gemm(cmd, y, x, weight, block, scales, T);
        else gemm(cmd, y, x, weight, block, scales, true, T);
    }
}

/* Whether `next` begins where the one before it ends. */
static bool follows(obi_view next, obi_view before, uint64_t bytes)
{
    return next.buffer == before.buffer && next.offset == before.offset + obi_align_up(bytes, OBI_BUFFER_ALIGNMENT);
}

bool obi_bitlinear_in_order(const obi_bitlinear_part *parts, uint32_t count, uint32_t T)
{
    for (uint32_t i = 1; i < count; i++) {
        const obi_bitlinear_part *before = &parts[i - 1], *part = &parts[i];
        const obi_weight *weight = before->weight;
        if (part->weight->columns != weight->columns || part->weight->bytes == 0 || part->weight->blocks[0] != weight->blocks[0] ||
            part->weight->offset != obi_align_up(weight->offset + weight->bytes, OBI_BUFFER_ALIGNMENT) ||
            !follows(part->scales, before->scales, obi_scales_floats(weight->rows, weight->columns) * 4) ||
            !follows(part->y, before->y, (uint64_t)weight->rows * T * 4))
            return false;
    }
    return count < 3 || parts[1].weight->rows == parts[2].weight->rows;
}

void obi_op_bitlinear_group_fwd(obi_cmd *cmd, const obi_bitlinear_part *parts, uint32_t count, obi_view x, uint32_t T)
{
    obi_bitlinear_part cut[OBI_GROUP_MAX];
    bool together = count > 1 && count <= OBI_GROUP_MAX && obi_bitlinear_in_order(parts, count, T);
    for (uint32_t i = 0; together && i < count; i++) {
        cut[i] = parts[i];
        if (!obi_bitlinear_check(cmd, &cut[i], &x, T)) return;
    }
    if (together && T < OBI_MATRIX_GEMM_TOKENS && obi_sign_gemv_group(cmd, cut, count, x, T)) return;
    if (together && T >= OBI_MATRIX_GEMM_TOKENS && obi_sign_gemm_group(cmd, cut, count, x, T)) return;
    for (uint32_t i = 0; i < count; i++) obi_op_bitlinear_fwd(cmd, parts[i].y, x, parts[i].weight, parts[i].scales, T);
}

uint64_t obi_op_bitlinear_scratch_bytes(const obi_device *device, const obi_weight *weight, uint32_t T)
{
    bool many = T >= OBI_MATRIX_GEMM_TOKENS;
    if (weight->type == OBI_WEIGHT_SIGN_TILES) return many ? obi_sign_gemm_bytes(weight->columns, T, OBI_GROUP_MAX) : 0;
    uint64_t few = weight->family == OBI_SIGN_INT8 ? obi_quantise_bytes(weight->columns, many ? OBI_MATRIX_GEMM_TOKENS - 1 : T) : 0;
    uint64_t turned = many && device->caps.straight ? (uint64_t)weight->block_rows * weight->row_words * 4 : 0;
    return few > turned ? few : turned;
}

void obi_op_sign_gemm(obi_cmd *cmd, obi_view v, obi_view u, const obi_weight *signs, uint32_t T)
{
    if (!obi_matrix_check(cmd, "sign_gemm", &v, &u, signs, OBI_WEIGHT_SIGN, T)) return;
    for (uint32_t block = 0; block < signs->block_count; block++) gemm(cmd, v, u, signs, block, u, false, T);
}
