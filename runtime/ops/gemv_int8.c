#include "ops/gemv_int8.h"

#include "core/checked.h"
#include "ops/matrix.h"
#include "ops/op_bitlinear.h"
#include "shaders/common/push_bitlinear.h"

#define RECORD_BYTES 48u /* of 32 columns */

/* What a driver makes of a dot product that its device has not is longer than the kernel without it. */
static int kernel_of(const obi_device *device)
{
    bool dot = device->caps.integer_dot_fast && !device->kernel_off[OBI_KERNEL_BITLINEAR_GEMV_INT8_DOT];
    return dot ? OBI_KERNEL_BITLINEAR_GEMV_INT8_DOT : OBI_KERNEL_BITLINEAR_GEMV_INT8;
}

bool obi_gemv_int8_possible(const obi_device *device)
{
    return !device->kernel_off[OBI_KERNEL_BITLINEAR_QUANTISE] && !device->kernel_off[kernel_of(device)];
}

uint64_t obi_quantise_bytes(uint32_t n, uint32_t T) { return obi_div_ceil(n, 32) * RECORD_BYTES * T; }

void obi_quantise(obi_cmd *cmd, obi_view records, obi_view x, obi_view scales, uint32_t n, uint32_t T)
{
    const obi_device *device = obi_cmd_device(cmd);
    struct obi_push_bitlinear_quantise push = { .n = n, .row_words = (uint32_t)obi_div_ceil(n, 32) };
    obi_dispatch dispatch = { .kernel = OBI_KERNEL_BITLINEAR_QUANTISE,
                              .spec = { 64 },
                              .spec_count = 1,
                              .push = &push,
                              .push_bytes = sizeof push,
                              .bindings = { obi_writes(records), obi_reads(x), obi_reads(scales) },
                              .binding_count = 3,
                              .bytes = records.size + x.size + (uint64_t)n * 4 };
    obi_fold_groups(device, obi_div_ceil(push.row_words, 64 / 8), dispatch.groups);
    dispatch.groups[2] = T;
    obi_cmd_dispatch(cmd, &dispatch);
}

void obi_gemv_int8(obi_cmd *cmd, obi_view y, obi_view x, const obi_weight *weight, uint32_t block, obi_view scales, uint32_t T)
{
    const obi_device *device = obi_cmd_device(cmd);
    obi_view records;
    if (!obi_cmd_scratch(cmd, obi_quantise_bytes(weight->columns, T), &records)) return;
    if (block == 0) obi_quantise(cmd, records, x, scales, weight->columns, T);

    struct obi_push_bitlinear_gemv push = { .m = weight->rows, .n = weight->columns, .row_words = weight->row_words,
                                            .h_offset = obi_scales_h_offset(weight->columns) };
    obi_view bits = obi_weight_block(weight, block, &push.first_row, &push.row_count);
    obi_dispatch dispatch = { .kernel = kernel_of(device),
                              .push = &push,
                              .push_bytes = sizeof push,
                              .bindings = { obi_writes(y), obi_reads(records), obi_reads(bits), obi_reads(scales) },
                              .binding_count = 4,
                              .bytes = y.size + records.size + bits.size + (uint64_t)weight->rows * 4 };
    obi_matrix_gemv(cmd, &dispatch, weight, push.row_count, T);
}
