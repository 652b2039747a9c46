#include "ops/matmul.h"

#include "core/checked.h"
#include "ops/straight.h"

/* Vectors of four that a lane makes along each side: 2, a tile of 64 x 64, has twice the work for a load; 1, 32 x 32, is
 * for products so small that the larger tiles would leave most of the device idle. */
static uint32_t tile_vectors(uint32_t p_count, uint32_t q_count)
{
    uint64_t large_tiles = obi_div_ceil(p_count, 64) * obi_div_ceil(q_count, 64);
    return large_tiles >= 128 ? 2 : 1;
}

static void on_software(obi_cmd *cmd, int kernel, obi_view c, obi_view a, obi_view b, const struct obi_push_dense_gemm *push)
{
    obi_straight product = { .c = c, .a = a, .b = b, .p_count = push->p_count, .q_count = push->q_count, .k_count = push->k_count,
                             .a_first = push->a_first, .a_stride = push->a_stride, .b_first = push->b_first, .b_stride = push->b_stride,
                             .c_first = push->c_first, .c_stride = push->c_stride, .b_across = true, .b_in_word = 1,
                             .accumulate = push->accumulate != 0 };
    if (kernel == OBI_KERNEL_DENSE_GEMM_F32 || kernel == OBI_KERNEL_DENSE_GEMM_F16) product.b_across = false;
    if (kernel == OBI_KERNEL_DENSE_GEMM_F16 || kernel == OBI_KERNEL_DENSE_BWD_X_F16) product.b_in_word = 2;
    if (kernel == OBI_KERNEL_DENSE_BWD_W) product.a_across = true;
    product.kernel = kernel == OBI_KERNEL_DENSE_GEMM_F32    ? OBI_KERNEL_DENSE_GEMM_F32_STRAIGHT
                     : kernel == OBI_KERNEL_DENSE_GEMM_F16  ? OBI_KERNEL_DENSE_GEMM_F16_STRAIGHT
                     : kernel == OBI_KERNEL_DENSE_BWD_X_F32 ? OBI_KERNEL_DENSE_BWD_X_F32_STRAIGHT
                     : kernel == OBI_KERNEL_DENSE_BWD_X_F16 ? OBI_KERNEL_DENSE_BWD_X_F16_STRAIGHT
                                                            : OBI_KERNEL_DENSE_BWD_W_STRAIGHT;
    obi_straight_record(cmd, &product);
}

void obi_matmul(obi_cmd *cmd, int kernel, obi_view c, obi_view a, obi_view b, const struct obi_push_dense_gemm *push)
{
    if (obi_cmd_device(cmd)->caps.straight) {
        on_software(cmd, kernel, c, a, b, push);
        return;
    }
    uint32_t vectors = tile_vectors(push->p_count, push->q_count), tile = 32 * vectors;
    obi_dispatch dispatch = { .kernel = kernel,
                              .spec = { 64, vectors },
                              .spec_count = 2,
                              .groups = { (uint32_t)obi_div_ceil(push->q_count, tile), (uint32_t)obi_div_ceil(push->p_count, tile), 1 },
                              .push = push,
                              .push_bytes = sizeof *push,
                              .bindings = { push->accumulate ? obi_updates(c) : obi_writes(c), obi_reads(a), obi_reads(b) },
                              .binding_count = 3,
                              .bytes = c.size + a.size + b.size };
    obi_cmd_dispatch(cmd, &dispatch);
}
