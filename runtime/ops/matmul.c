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

#define SCRATCH_BYTES (32ull << 20) /* of turned matrices at once */
#define TURN_STEP 256u               /* k's are taken in multiples of it where not all fit */

/* k's at once when each takes `words` words of scratch. */
static uint32_t step_of(uint32_t k_count, uint64_t words)
{
    uint64_t most = SCRATCH_BYTES / 4 / words / TURN_STEP * TURN_STEP;
    if (most < TURN_STEP) most = TURN_STEP;
    return most < k_count ? (uint32_t)most : k_count;
}

/* Words from a row of a turned matrix to the next: an odd number of cache lines, so that the rows of a tile do not all fall
 * into the same sets of a cache, as they would with a power of two. */
static uint32_t turned_stride(uint32_t k_count) { return ((k_count + 15) / 16 | 1) * 16; }

uint64_t obi_matmul_scratch_bytes(const obi_device *device, uint32_t p_count, uint32_t q_count, uint32_t k_count, bool a_across)
{
    if (!device->caps.straight) return 0;
    uint64_t a_words = a_across ? p_count : 0, stride = turned_stride(step_of(k_count, a_words + q_count));
    return obi_align_up(a_words * stride * 4, OBI_BUFFER_ALIGNMENT) + (uint64_t)q_count * stride * 4;
}

/* The products whose k is not the inner index of both inputs: what has it outside is turned first, so that all can be sums
 * over lanes (dot_straight), the fastest way on a software driver. `product` is as for the untouched inputs. */
static void turn_and_multiply(obi_cmd *cmd, const obi_straight *product)
{
    uint64_t a_words = product->a_across ? product->p_count : 0, b_words = product->q_count;
    uint32_t step = step_of(product->k_count, a_words + b_words);
    for (uint32_t k = 0; k < product->k_count; k += step) {
        uint32_t count = product->k_count - k < step ? product->k_count - k : step, stride = turned_stride(count);
        obi_view scratch;
        uint64_t b_offset = obi_align_up(a_words * stride * 4, OBI_BUFFER_ALIGNMENT), bytes = b_offset + b_words * stride * 4;
        if (!obi_cmd_scratch(cmd, bytes, &scratch)) return;
        obi_view a = { scratch.buffer, 0, a_words * stride * 4 }, b = { scratch.buffer, b_offset, b_words * stride * 4 };
        obi_straight part = *product;
        part.kernel = OBI_KERNEL_DENSE_DOT_STRAIGHT;
        part.accumulate = product->accumulate || k > 0;
        part.k_count = count;
        part.a_across = part.b_across = false;
        obi_straight turn = { .c = b, .a = product->b, .c_stride = stride, .a_stride = product->b_stride,
                              .a_first = product->b_first + k * product->b_stride };
        obi_straight_turn(cmd, &turn, count, product->q_count);
        part.b = b;
        part.b_first = 0;
        part.b_stride = stride;
        if (product->a_across) {
            turn.c = a;
            turn.a = product->a;
            turn.a_stride = product->a_stride;
            turn.a_first = product->a_first + k * product->a_stride;
            obi_straight_turn(cmd, &turn, count, product->p_count);
            part.a = a;
            part.a_first = 0;
            part.a_stride = stride;
        } else {
            part.a_first = product->a_first + k;
        }
        obi_straight_record(cmd, &part);
    }
}

static void on_software(obi_cmd *cmd, int kernel, obi_view c, obi_view a, obi_view b, const struct obi_push_dense_gemm *push)
{
    obi_straight product = { .c = c, .a = a, .b = b, .p_count = push->p_count, .q_count = push->q_count, .k_count = push->k_count,
                             .a_first = push->a_first, .a_stride = push->a_stride, .b_first = push->b_first, .b_stride = push->b_stride,
                             .c_first = push->c_first, .c_stride = push->c_stride, .b_in_word = 1, .accumulate = push->accumulate != 0 };
    switch (kernel) {
    case OBI_KERNEL_DENSE_GEMM_F32: product.kernel = OBI_KERNEL_DENSE_DOT_STRAIGHT; break;
    case OBI_KERNEL_DENSE_GEMM_F16:
        product.kernel = OBI_KERNEL_DENSE_GEMM_F16_STRAIGHT;
        product.b_in_word = 2;
        break;
    case OBI_KERNEL_DENSE_BWD_X_F16:
        product.kernel = OBI_KERNEL_DENSE_BWD_X_F16_STRAIGHT;
        product.b_across = true;
        product.b_in_word = 2;
        break;
    default:
        product.a_across = kernel == OBI_KERNEL_DENSE_BWD_W;
        turn_and_multiply(cmd, &product);
        return;
    }
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
