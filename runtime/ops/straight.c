#include "ops/straight.h"

#include "core/checked.h"
#include "shaders/common/push_straight.h"

#define WORKGROUP 128u  /* 16 subgroups */
#define GROUPS_MAX 255u /* of an axis: what two digits of the kernels can count */
#define STRETCHES 4
#define DOT_STEP 8u   /* dot_straight, where it is not careful, takes any multiple of it */
#define DOT_MOST 256u /* up to this one */

/* What a workgroup makes, and the stretches of k that its kernel offers, longest first, with their spec constant. */
typedef struct shape {
    uint32_t tile_p, tile_q;   /* of a subgroup */
    uint32_t group_p, group_q; /* of a workgroup */
    struct {
        uint32_t length, spec;
    } stretch[STRETCHES];
} shape;

static const shape dense_shape = { 8, 8, 32, 32, { { 128, 128 }, { 64, 64 }, { 32, 32 } } };
static const shape dot_shape = { 4, 8, 64, 8, { { 32, 32 } } }; /* and DOT_STEP, ... DOT_MOST */
static const shape turn_shape = { 16, 8, 64, 32, { { 1, 0 } } };
static const shape outer_shape = { 16, 8, 64, 32, { { 64, 64 }, { 32, 32 } } };
static const shape turn_signs_shape = { 32, 1, 256, 2, { { 1, 0 } } };
static const shape gemm_shape = { 2, 32, 16, 64, { { 128, 4 }, { 64, 2 }, { 32, 1 } } };

static const shape *shape_of(int kernel)
{
    switch (kernel) {
    case OBI_KERNEL_BITLINEAR_GEMM_STRAIGHT: return &gemm_shape;
    case OBI_KERNEL_BITLINEAR_TURN_STRAIGHT: return &turn_signs_shape;
    case OBI_KERNEL_DENSE_OUTER_STRAIGHT: return &outer_shape;
    case OBI_KERNEL_DENSE_DOT_STRAIGHT: return &dot_shape;
    case OBI_KERNEL_DENSE_TURN_STRAIGHT: return &turn_shape;
    default: return &dense_shape;
    }
}

void obi_straight_address(obi_view view, uint32_t *low, uint32_t *high)
{
    uint64_t address = view.buffer ? view.buffer->address + view.offset : 0;
    *low = (uint32_t)address;
    *high = (uint32_t)(address >> 32);
}

void obi_straight_digits(uint32_t digit[16])
{
    for (uint32_t i = 0; i < 16; i++) digit[i] = i;
}

static uint32_t smaller(uint32_t a, uint32_t b) { return a < b ? a : b; }

/* One dispatch: p's from p on, q's from q on, k's from k on. */
static void record(obi_cmd *cmd, const obi_straight *product, const shape *form, uint32_t p, uint32_t p_count, uint32_t q, uint32_t q_count,
                   uint32_t k, uint32_t k_count, uint32_t spec, bool careful)
{
    uint64_t a = product->a_first + (product->a_across ? (uint64_t)k * product->a_stride + p : (uint64_t)p * product->a_stride + k);
    uint64_t b = product->b_first + (form == &gemm_shape ? (uint64_t)(k / 32) * product->b_stride + q
                                     : product->b_across ? (uint64_t)k * product->b_stride + q / product->b_in_word
                                                         : (uint64_t)q * product->b_stride + k / product->b_in_word);
    uint64_t c = product->c_first + (uint64_t)p * product->c_stride + q;
    if (form == &turn_shape) {
        a = product->a_first + (uint64_t)p * product->a_stride + q;
        c = product->c_first + (uint64_t)q * product->c_stride + p;
    }
    if (form == &turn_signs_shape) {
        a = product->a_first + (uint64_t)p * product->a_stride + q;
        c = product->c_first + (uint64_t)(p / 32) * product->c_stride + 32 * (uint64_t)q;
    }
    a = product->a.buffer->address + product->a.offset + 4 * a;
    b = product->b.buffer ? product->b.buffer->address + product->b.offset + 4 * b : 0;
    uint64_t c_address = product->c.buffer->address + product->c.offset + 4 * c;
    bool scaled = product->scales.buffer != NULL;
    uint64_t scales = scaled ? product->scales.buffer->address + product->scales.offset + 4 * (uint64_t)k : 0;
    struct obi_push_straight push = { .c_low = (uint32_t)c_address,
                                      .c_high = (uint32_t)(c_address >> 32),
                                      .a_low = (uint32_t)a,
                                      .a_high = (uint32_t)(a >> 32),
                                      .b_low = (uint32_t)b,
                                      .b_high = (uint32_t)(b >> 32),
                                      .counts = p_count | q_count << 16,
                                      .k_count = k_count,
                                      .a_stride = product->a_stride,
                                      .b_stride = product->b_stride,
                                      .c_stride = product->c_stride,
                                      .c_first = (uint32_t)c,
                                      .flags = (k > 0 || product->accumulate ? OB_STRAIGHT_KEEP : 0) |
                                               (k + k_count == product->k_count ? OB_STRAIGHT_LAST : 0) |
                                               (product->a_rows ? OB_STRAIGHT_ROWS_A : 0) | (product->b_rows ? OB_STRAIGHT_ROWS_B : 0) |
                                               (product->c_rows ? OB_STRAIGHT_ROWS_C : 0) | (product->b_words ? OB_STRAIGHT_WORDS_B : 0) |
                                               product->group << 8 | product->group_rows << 16,
                                      .scales_low_or_a_skip = product->a_skip,
                                      .scales_high_or_b_skip = product->b_skip,
                                      .scales_skip_or_c_skip = product->c_skip };
    if (form == &gemm_shape) {
        push.scales_low_or_a_skip = (uint32_t)scales;
        push.scales_high_or_b_skip = (uint32_t)(scales >> 32);
        push.scales_skip_or_c_skip = product->h_first + q - k;
    }
    obi_straight_digits(push.digit);
    obi_dispatch dispatch = { .kernel = product->kernel,
                              .spec = { WORKGROUP, careful, spec, form == &gemm_shape ? scaled : product->unless_zero },
                              .spec_count = form == &gemm_shape || form == &dot_shape ? 4 : 3,
                              .groups = { (uint32_t)obi_div_ceil(q_count, form->group_q), (uint32_t)obi_div_ceil(p_count, form->group_p),
                                          product->batch ? product->batch : 1 },
                              .push = &push,
                              .push_bytes = sizeof push,
                              .bindings = { obi_updates(product->c), obi_reads(product->a) },
                              .binding_count = 2,
                              .bytes = 4 * ((uint64_t)p_count * q_count * 2 + (uint64_t)p_count * k_count) +
                                       4 * (uint64_t)q_count * k_count / product->b_in_word };
    if (product->b.buffer) dispatch.bindings[dispatch.binding_count++] = obi_reads(product->b);
    if (scaled) dispatch.bindings[dispatch.binding_count++] = obi_reads(product->scales);
    obi_cmd_dispatch(cmd, &dispatch);
}

/* All of k for a rectangle of c. Careful dispatches take one unit, the shortest stretch. */
static void record_rectangle(obi_cmd *cmd, const obi_straight *product, const shape *form, uint32_t p, uint32_t p_count, uint32_t q,
                             uint32_t q_count, bool careful)
{
    if (p_count == 0 || q_count == 0) return;
    int unit = STRETCHES - 1;
    while (form->stretch[unit].length == 0) unit--;
    for (uint32_t k = 0; k < product->k_count;) {
        uint32_t left = product->k_count - k;
        int i = careful ? unit : 0;
        while (i < unit && form->stretch[i].length > left) i++;
        uint32_t whole = form->stretch[i].length, spec = form->stretch[i].spec;
        if (form == &dot_shape && !careful && left >= DOT_STEP) whole = spec = smaller(left, DOT_MOST) / DOT_STEP * DOT_STEP;
        if (form == &dot_shape && left < DOT_STEP) whole = spec = DOT_STEP; /* a careful end */
        uint32_t length = smaller(whole, left);
        record(cmd, product, form, p, p_count, q, q_count, k, length, spec, careful || length < whole);
        k += length;
    }
}

static void record_turn(obi_cmd *cmd, int kernel, const obi_straight *both, uint32_t rows, uint32_t columns)
{
    obi_straight turn = *both;
    obi_view none = { 0 };
    turn.kernel = kernel;
    turn.b = turn.scales = none;
    turn.p_count = rows;
    turn.q_count = columns;
    turn.k_count = turn.b_in_word = 1;
    turn.accumulate = false;
    obi_straight_record(cmd, &turn);
}

void obi_straight_turn(obi_cmd *cmd, const obi_straight *both, uint32_t rows, uint32_t columns)
{
    record_turn(cmd, OBI_KERNEL_DENSE_TURN_STRAIGHT, both, rows, columns);
}

void obi_straight_turn_signs(obi_cmd *cmd, const obi_straight *both, uint32_t rows, uint32_t words)
{
    record_turn(cmd, OBI_KERNEL_BITLINEAR_TURN_STRAIGHT, both, rows, words);
}

void obi_straight_record(obi_cmd *cmd, const obi_straight *product)
{
    const shape *form = shape_of(product->kernel);
    uint32_t p_step = GROUPS_MAX * form->group_p, q_step = GROUPS_MAX * form->group_q;
    for (uint32_t p = 0; p < product->p_count; p += p_step) {
        uint32_t p_count = smaller(p_step, product->p_count - p), p_whole = p_count - p_count % form->tile_p;
        for (uint32_t q = 0; q < product->q_count; q += q_step) {
            uint32_t q_count = smaller(q_step, product->q_count - q), q_whole = q_count - q_count % form->tile_q;
            record_rectangle(cmd, product, form, p, p_whole, q, q_whole, false);
            record_rectangle(cmd, product, form, p, p_count, q + q_whole, q_count - q_whole, true);
            record_rectangle(cmd, product, form, p + p_whole, p_count - p_whole, q, q_whole, true);
        }
    }
}
