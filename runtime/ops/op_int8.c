#include "ops/op_int8.h"

#include "core/checked.h"
#include "ops/check.h"
#include "ops/matrix.h"
#include "ops/straight.h"
#include "shaders/common/push_int8.h"

#define ALIGNED_WORDS (OBI_BUFFER_ALIGNMENT / 4)
#define TOKENS_AT_ONCE 4u /* of a workgroup, for OBI_MATRIX_GEMM_TOKENS and more */
#define ROWS_AT_ONCE 8u   /* of these; products a workgroup keeps: 32 */

bool obi_int8_possible(const obi_device *device)
{
    static const int kernels[] = { OBI_KERNEL_INT8_FLAGS_FWD, OBI_KERNEL_INT8_LIST_FWD, OBI_KERNEL_INT8_QUANTISE_FWD,
                                   OBI_KERNEL_INT8_PRODUCTS_FWD };
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++)
        if (device->kernel_off[kernels[i]]) return false;
    return true;
}

static uint64_t aligned(uint64_t words) { return obi_align_up(words, ALIGNED_WORDS); }

static uint64_t byte_words(uint32_t n) { return obi_div_ceil(n, 4); }

uint64_t obi_op_int8_scratch_bytes(uint32_t n, uint32_t T)
{
    return 4 * (aligned(1 + (uint64_t)n) + aligned(T) + aligned(byte_words(n) * T) + aligned(n));
}

obi_int8_acts obi_int8_acts_of(obi_view range, uint32_t n, uint32_t T)
{
    obi_int8_acts acts = { .steps_at = (uint32_t)aligned(1 + (uint64_t)n) };
    acts.bytes_at = acts.steps_at + (uint32_t)aligned(T);
    uint64_t end = acts.bytes_at + aligned(byte_words(n) * T);
    acts.all = acts.list = acts.bytes = acts.flags = range;
    acts.all.size = end * 4;
    acts.list.size = (1 + (uint64_t)n) * 4;
    acts.bytes.offset += acts.steps_at * 4ull;
    acts.bytes.size = (end - acts.steps_at) * 4;
    acts.flags.offset += end * 4;
    acts.flags.size = (uint64_t)n * 4;
    return acts;
}

void obi_int8_prepare(obi_cmd *cmd, const obi_int8_acts *acts, obi_view x, uint32_t n, uint32_t T, float threshold)
{
    uint32_t workgroup = obi_workgroup_size(obi_cmd_device(cmd));
    struct obi_push_int8_flags flags = { .n = n, .tokens = T, .threshold = threshold };
    obi_dispatch dispatch = { .kernel = OBI_KERNEL_INT8_FLAGS_FWD,
                              .spec = { workgroup },
                              .spec_count = 1,
                              .push = &flags,
                              .push_bytes = sizeof flags,
                              .bindings = { obi_writes(acts->flags), obi_reads(x) },
                              .binding_count = 2,
                              .bytes = acts->flags.size + x.size };
    if (!obi_check_lanes(cmd, "int8", n, workgroup, dispatch.groups)) return;
    obi_cmd_dispatch(cmd, &dispatch);

    struct obi_push_int8_list list = { .n = n };
    dispatch = (obi_dispatch){ .kernel = OBI_KERNEL_INT8_LIST_FWD,
                               .spec = { workgroup },
                               .spec_count = 1,
                               .groups = { 1, 1, 1 },
                               .push = &list,
                               .push_bytes = sizeof list,
                               .bindings = { obi_writes(acts->list), obi_reads(acts->flags) },
                               .binding_count = 2,
                               .bytes = acts->list.size + acts->flags.size };
    obi_cmd_dispatch(cmd, &dispatch);

    struct obi_push_int8_quantise quantise = { .n = n, .words = (uint32_t)byte_words(n), .bytes_at = acts->bytes_at - acts->steps_at };
    dispatch = (obi_dispatch){ .kernel = OBI_KERNEL_INT8_QUANTISE_FWD,
                               .spec = { workgroup },
                               .spec_count = 1,
                               .groups = { T, 1, 1 },
                               .push = &quantise,
                               .push_bytes = sizeof quantise,
                               .bindings = { obi_writes(acts->bytes), obi_reads(x), obi_reads(acts->flags) },
                               .binding_count = 3,
                               .bytes = acts->bytes.size + x.size + acts->flags.size };
    obi_cmd_dispatch(cmd, &dispatch);
}

/* ---- products on software drivers ---------------------------------------------------------------------------------- */

#define GROUP_ROWS 16u
#define GROUPS_SIDE 256u /* what two digits of the kernel can count, */
#define TOKENS_SIDE 16u  /* and what one can */
#define ROWS_MAX (16u * GROUPS_SIDE * GROUP_ROWS)
#define STRETCHES_MAX 32u
#define STEPS_MIN 4u
#define STEPS_MAX 64u
#define STEP_WORDS 8u

/* How many steps a stretch of a row has: the longest that fills rows with whole stretches; 0 if none does, or the device is another. */
static uint32_t stretch_steps(const obi_device *device, uint32_t words)
{
    uint32_t steps = words / STEP_WORDS;
    if (!device->caps.straight || device->caps.workgroup_size < 32 * STRETCHES_MAX || words % STEP_WORDS) return 0;
    for (uint32_t length = STEPS_MAX; length >= STEPS_MIN; length--)
        if (steps % length == 0 && steps / length <= STRETCHES_MAX) return length;
    return 0;
}

static void products_straight(obi_cmd *cmd, obi_view y, const obi_int8_acts *acts, obi_view x, const obi_weight *weight, uint32_t block,
                              uint32_t T, uint32_t steps)
{
    struct obi_push_int8_gemv_straight push = { .m = weight->rows, .n = weight->columns, .words = weight->row_words - 1,
                                                .steps_at = acts->steps_at };
    uint32_t first_row, row_count, stretches = push.words / (steps * STEP_WORDS);
    obi_view view = obi_weight_block(weight, block, &first_row, &row_count);
    obi_straight_digits(push.digit);
    for (uint32_t row = 0; row < row_count; row += ROWS_MAX)
        for (uint32_t token = 0; token < T; token += TOKENS_SIDE) {
            uint64_t row_bytes = (uint64_t)weight->row_words * 4;
            obi_view rows = view, bytes = acts->all;
            rows.offset += row * row_bytes;
            rows.size -= row * row_bytes;
            bytes.offset += (acts->bytes_at + (uint64_t)token * push.words) * 4;
            obi_straight_address(bytes, &push.q_low, &push.q_high);
            obi_straight_address(rows, &push.w_low, &push.w_high);
            push.first_row = first_row + row;
            push.row_count = row_count - row < ROWS_MAX ? row_count - row : ROWS_MAX;
            push.first_token = token;
            uint32_t groups = (uint32_t)obi_div_ceil(push.row_count, GROUP_ROWS), side = groups < GROUPS_SIDE ? groups : GROUPS_SIDE,
                     tokens = T - token < TOKENS_SIDE ? T - token : TOKENS_SIDE;
            obi_dispatch dispatch = { .kernel = OBI_KERNEL_INT8_GEMV_STRAIGHT,
                                      .spec = { 32 * stretches, stretches, steps },
                                      .spec_count = 3,
                                      .groups = { side, tokens, (uint32_t)obi_div_ceil(groups, side) },
                                      .push = &push,
                                      .push_bytes = sizeof push,
                                      .bindings = { obi_writes(y), obi_reads(acts->all), obi_reads(rows), obi_reads(x) },
                                      .binding_count = 4,
                                      .bytes = y.size + acts->all.size + push.row_count * row_bytes + x.size };
            obi_cmd_dispatch(cmd, &dispatch);
        }
}

/* ---- products ------------------------------------------------------------------------------------------------------ */

void obi_int8_products(obi_cmd *cmd, obi_view y, const obi_int8_acts *acts, obi_view x, const obi_weight *weight, uint32_t T)
{
    const obi_device *device = obi_cmd_device(cmd);
    bool many = T >= OBI_MATRIX_GEMM_TOKENS;
    uint32_t rows = many ? ROWS_AT_ONCE : obi_matrix_group_rows(device, weight->rows), tokens = many ? TOKENS_AT_ONCE : 1;
    uint32_t steps = stretch_steps(device, weight->row_words - 1);
    for (uint32_t block = 0; block < weight->block_count; block++) {
        if (steps > 0) {
            products_straight(cmd, y, acts, x, weight, block, T, steps);
            continue;
        }
        struct obi_push_int8_products push = { .m = weight->rows, .n = weight->columns, .words = weight->row_words - 1, .tokens = T,
                                               .steps_at = acts->steps_at, .bytes_at = acts->bytes_at };
        obi_view bytes = obi_weight_block(weight, block, &push.first_row, &push.row_count);
        obi_dispatch dispatch = { .kernel = OBI_KERNEL_INT8_PRODUCTS_FWD,
                                  .spec = { obi_workgroup_size(device), rows, tokens },
                                  .spec_count = 3,
                                  .push = &push,
                                  .push_bytes = sizeof push,
                                  .bindings = { obi_writes(y), obi_reads(acts->all), obi_reads(bytes), obi_reads(x) },
                                  .binding_count = 4,
                                  .bytes = y.size + acts->all.size + bytes.size + x.size };
        obi_fold_groups(device, obi_div_ceil(push.row_count, rows), dispatch.groups);
        dispatch.groups[2] = (uint32_t)obi_div_ceil(T, tokens);
        obi_cmd_dispatch(cmd, &dispatch);
    }
}

void obi_op_int8_fwd(obi_cmd *cmd, const obi_int8_part *parts, uint32_t count, obi_view x, uint32_t T, float threshold)
{
    uint32_t n = parts[0].weight->columns;
    uint64_t bytes = obi_op_int8_scratch_bytes(n, T);
    obi_view range;
    if (!obi_check(cmd, T > 0 && T <= OBI_LOOP_MAX && bytes <= obi_cmd_device(cmd)->caps.storage_range, "int8",
                   "its tokens are too many at once"))
        return;
    for (uint32_t i = 0; i < count; i++) {
        obi_view y = parts[i].y;
        if (!obi_check(cmd, parts[i].weight->columns == n, "int8", "its weights have different widths") ||
            !obi_matrix_check(cmd, "int8", &y, &x, parts[i].weight, OBI_WEIGHT_I8, T))
            return;
    }
    if (!obi_cmd_scratch(cmd, bytes, &range)) return;
    obi_int8_acts acts = obi_int8_acts_of(range, n, T);
    obi_int8_prepare(cmd, &acts, x, n, T, threshold);
    for (uint32_t i = 0; i < count; i++) {
        obi_view y = parts[i].y;
        y.size = (uint64_t)parts[i].weight->rows * T * 4;
        obi_int8_products(cmd, y, &acts, x, parts[i].weight, T);
    }
}
