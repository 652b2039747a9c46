#include "ops/op_attn.h"

#include <math.h>

#include "core/checked.h"
#include "ops/attn_straight.h"
#include "ops/check.h"
#include "ops/straight.h"
#include "shaders/common/push_attn.h"

#define HEAD_SIZE_MAX 256u /* shaders/attn/attend_fwd.comp: shared memory and four outputs a lane */
#define PREFILL_TILE 4u

#define STRAIGHT_WORKGROUP 128u
#define STRAIGHT_TOKENS 16u   /* of a workgroup */
#define STRAIGHT_GROUPS 255u  /* of an axis: what two digits of the kernel can count */
#define STRAIGHT_CHUNKS 16u   /* of the third: one digit */

static uint64_t part_bytes(uint64_t tokens, uint32_t heads, uint32_t C)
{
    return obi_align_up(tokens * heads * C * 4, OBI_BUFFER_ALIGNMENT);
}

uint64_t obi_attn_parts_bytes(uint64_t tokens, uint32_t H, uint32_t K, uint32_t C)
{
    return part_bytes(tokens, H, C) + 2 * part_bytes(tokens, K, C);
}

obi_attn_parts obi_attn_parts_of(obi_view qkv, uint64_t tokens, uint32_t H, uint32_t K, uint32_t C)
{
    uint64_t k = part_bytes(tokens, H, C), v = k + part_bytes(tokens, K, C);
    obi_attn_parts parts = { { qkv.buffer, qkv.offset, tokens * H * C * 4 },
                             { qkv.buffer, qkv.offset + k, tokens * K * C * 4 },
                             { qkv.buffer, qkv.offset + v, tokens * K * C * 4 } };
    return parts;
}

/* Floats of a token's table row that one unit of attn/rope_straight takes. */
static uint32_t rope_unit(obi_rope_layout layout) { return layout == OBI_ROPE_PAIRS ? 8 : 16; }

/* The units of a subgroup: as many as divide R. */
static uint32_t rope_units(uint32_t R, obi_rope_layout layout)
{
    uint32_t units = 8;
    while (R % (units * rope_unit(layout))) units /= 2;
    return units;
}

static bool turns_straight(const obi_device *device, uint32_t T, uint32_t heads, uint32_t C, uint32_t R, obi_rope_layout layout)
{
    return device->caps.straight && T % STRAIGHT_TOKENS == 0 && R % rope_unit(layout) == 0 &&
           R / rope_unit(layout) / rope_units(R, layout) <= STRAIGHT_CHUNKS && (uint64_t)T * heads * C <= UINT32_MAX / 4;
}

static void turn_straight(obi_cmd *cmd, obi_view x, obi_view table, uint32_t T, uint32_t heads, uint32_t C, uint32_t R,
                          uint32_t first_position, obi_rope_layout layout, bool back)
{
    uint32_t units = rope_units(R, layout);
    for (uint32_t token = 0; token < T; token += STRAIGHT_GROUPS * STRAIGHT_TOKENS)
        for (uint32_t head = 0; head < heads; head += STRAIGHT_GROUPS) {
            uint32_t groups = (T - token) / STRAIGHT_TOKENS, some = heads - head;
            if (groups > STRAIGHT_GROUPS) groups = STRAIGHT_GROUPS;
            if (some > STRAIGHT_GROUPS) some = STRAIGHT_GROUPS;
            uint32_t x_first = (token * heads + head) * C;
            uint64_t x_at = x.buffer->address + x.offset + 4ull * x_first;
            uint64_t table_at = table.buffer->address + table.offset + 4ull * R * ((uint64_t)first_position + token);
            struct obi_push_attn_rope_straight push = { .x_low = (uint32_t)x_at, .x_high = (uint32_t)(x_at >> 32),
                                                        .table_low = (uint32_t)table_at, .table_high = (uint32_t)(table_at >> 32),
                                                        .x_first = x_first, .token_stride = heads * C, .head_size = C, .rotated = R };
            obi_straight_digits(push.digit);
            obi_dispatch dispatch = { .kernel = OBI_KERNEL_ATTN_ROPE_STRAIGHT,
                                      .spec = { STRAIGHT_WORKGROUP, (uint32_t)layout, back, units },
                                      .spec_count = 4,
                                      .groups = { groups, some, R / rope_unit(layout) / units },
                                      .push = &push,
                                      .push_bytes = sizeof push,
                                      .bindings = { obi_updates(x), obi_reads(table) },
                                      .binding_count = 2,
                                      .bytes = 4ull * groups * STRAIGHT_TOKENS * R * (2 * some + 1) };
            obi_cmd_dispatch(cmd, &dispatch);
        }
}

static void turn(obi_cmd *cmd, obi_view x, obi_view table, uint32_t T, uint32_t heads, uint32_t C, uint32_t R, uint32_t first_position,
                 obi_rope_layout layout, bool back)
{
    uint32_t workgroup = obi_workgroup_size(obi_cmd_device(cmd)), groups[3];
    if (!obi_check(cmd, R > 0 && R <= C && R % 2 == 0, "rope", "the number of turned elements must be even and at most the head size") ||
        !obi_check_words(cmd, "rope", "x", x, (uint64_t)T * heads, C) ||
        !obi_check_words(cmd, "rope", "table", table, (uint64_t)first_position + T, R))
        return;
    uint64_t pairs = (uint64_t)T * heads * (R / 2); /* fits: x has more elements */
    if (!obi_check_lanes(cmd, "rope", pairs, workgroup, groups)) return;
    if (turns_straight(obi_cmd_device(cmd), T, heads, C, R, layout)) {
        turn_straight(cmd, x, table, T, heads, C, R, first_position, layout, back);
        return;
    }
    struct obi_push_attn_rope push = { (uint32_t)pairs, heads, C, R, first_position };
    obi_dispatch dispatch = { .kernel = OBI_KERNEL_ATTN_ROPE_FWD,
                              .spec = { workgroup, (uint32_t)layout, back },
                              .spec_count = 3,
                              .groups = { groups[0], groups[1], groups[2] },
                              .push = &push,
                              .push_bytes = sizeof push,
                              .bindings = { obi_updates(x), obi_reads(table) },
                              .binding_count = 2,
                              .bytes = pairs * 16 + (uint64_t)T * R * 4 };
    obi_cmd_dispatch(cmd, &dispatch);
}

void obi_op_rope_fwd(obi_cmd *cmd, obi_view x, obi_view table, uint32_t T, uint32_t heads, uint32_t C, uint32_t R, uint32_t first_position,
                     obi_rope_layout layout)
{
    turn(cmd, x, table, T, heads, C, R, first_position, layout, false);
}

void obi_op_rope_bwd(obi_cmd *cmd, obi_view dx, obi_view table, uint32_t T, uint32_t heads, uint32_t C, uint32_t R, uint32_t first_position,
                     obi_rope_layout layout)
{
    turn(cmd, dx, table, T, heads, C, R, first_position, layout, true);
}

void obi_op_kv_store_fwd(obi_cmd *cmd, obi_view k_cache, obi_view v_cache, obi_view k, obi_view v, uint32_t T, uint32_t width,
                         uint32_t first_position, uint32_t context)
{
    uint32_t workgroup = obi_workgroup_size(obi_cmd_device(cmd)), groups[3];
    uint64_t end = (uint64_t)first_position + T;
    if (!obi_check(cmd, end <= context, "kv store", "the tokens do not fit the context; make it larger or the text shorter") ||
        !obi_check_words(cmd, "kv store", "the key cache", k_cache, context, width) ||
        !obi_check_words(cmd, "kv store", "the value cache", v_cache, context, width) ||
        !obi_check_words(cmd, "kv store", "k", k, T, width) || !obi_check_words(cmd, "kv store", "v", v, T, width) ||
        !obi_check(cmd, end * width <= UINT32_MAX, "kv store", "the cache has more elements than a kernel can count") ||
        !obi_check_lanes(cmd, "kv store", (uint64_t)T * width, workgroup, groups))
        return;
    struct obi_push_attn_kv_store push = { T * width, first_position * width };
    obi_dispatch dispatch = { .kernel = OBI_KERNEL_ATTN_KV_STORE_FWD,
                              .spec = { workgroup },
                              .spec_count = 1,
                              .groups = { groups[0], groups[1], groups[2] },
                              .push = &push,
                              .push_bytes = sizeof push,
                              .bindings = { obi_writes(k_cache), obi_writes(v_cache), obi_reads(k), obi_reads(v) },
                              .binding_count = 4,
                              .bytes = (uint64_t)T * width * 16 };
    obi_cmd_dispatch(cmd, &dispatch);
}

/* Half of the work gives a lane a column of the output, so that more lanes than columns are idle half of the time; but
 * never fewer than a subgroup, whose lanes are there anyway. */
uint32_t obi_op_attn_workgroup(const obi_device *device, uint32_t C)
{
    uint32_t most = obi_workgroup_size(device), lanes = device->caps.subgroup_size >= 8 ? device->caps.subgroup_size : 8;
    while (lanes < C) lanes *= 2;
    return lanes < most ? lanes : most;
}

static uint64_t attend_round_loops(uint32_t C, uint32_t lanes) { return 1 + C / 4 + lanes / 4 + 3 + lanes / 4; }

/* An upper bound of the loop iterations of one lane over `positions`: see the kernel. A reduction costs at most one step
 * for every four lanes (subgroups have four lanes or more, and the tree of tier A is shorter). */
static uint64_t attend_loops(uint64_t positions, uint32_t C, uint32_t lanes)
{
    uint64_t rounds = obi_div_ceil(positions, lanes);
    return rounds * attend_round_loops(C, lanes) + obi_div_ceil(C, lanes);
}

uint32_t obi_op_attn_positions_max(const obi_device *device, uint32_t C)
{
    uint32_t lanes = obi_op_attn_workgroup(device, C);
    return (uint32_t)((OBI_LOOP_MAX - obi_div_ceil(C, lanes)) / attend_round_loops(C, lanes) * lanes);
}

static bool check_attend(obi_cmd *cmd, obi_view out, obi_view q, obi_view k_cache, obi_view v_cache, uint32_t B, uint32_t T, uint32_t H,
                         uint32_t K, uint32_t C, uint32_t first_position)
{
    obi_device *device = obi_cmd_device(cmd);
    uint32_t workgroup = obi_op_attn_workgroup(device, C);
    uint64_t positions = (uint64_t)first_position + T, row = (uint64_t)H * C, kv_row = (uint64_t)K * C;
    return obi_check(cmd, C > 0 && C % 2 == 0 && C <= HEAD_SIZE_MAX && C <= 4 * workgroup, "attention",
                     "the head size must be even and at most 256") &&
           obi_check(cmd, H > 0 && K > 0 && H % K == 0, "attention", "the heads must be a multiple of the key heads") &&
           obi_check_words(cmd, "attention", "out", out, (uint64_t)B * T, row) &&
           obi_check_words(cmd, "attention", "q", q, (uint64_t)B * T, row) &&
           obi_check(cmd, B <= device->caps.workgroup_count[2], "attention", "there are more sequences than a grid has layers") &&
           obi_check_words(cmd, "attention", "the key cache", k_cache, B * positions, kv_row) &&
           obi_check_words(cmd, "attention", "the value cache", v_cache, B * positions, kv_row) &&
           obi_check(cmd, B * positions * kv_row <= UINT32_MAX && (uint64_t)B * T * row <= UINT32_MAX, "attention",
                     "there are more elements than a kernel can count") &&
           obi_check(cmd, attend_loops(positions, C, workgroup) <= OBI_LOOP_MAX, "attention",
                     "the context is longer than one kernel can go through; choose a shorter one");
}

/* Of B sequences, which lie one after the other in every array. */
static void attend(obi_cmd *cmd, obi_view out, obi_view q, obi_view k_cache, obi_view v_cache, uint32_t B, uint32_t T, uint32_t H,
                   uint32_t K, uint32_t C, uint32_t first_position)
{
    uint32_t workgroup = obi_op_attn_workgroup(obi_cmd_device(cmd), C);
    uint64_t positions = (uint64_t)first_position + T, row = (uint64_t)H * C, kv_row = (uint64_t)K * C;
    bool decode = T == 1;
    struct obi_push_attn_attend push = { T, H, K, C, first_position, (float)(1.0 / sqrt((double)C)) };
    obi_dispatch dispatch = { .kernel = decode ? OBI_KERNEL_ATTN_DECODE_FWD : OBI_KERNEL_ATTN_PREFILL_FWD,
                              .spec = { workgroup, (uint32_t)obi_div_ceil(C, workgroup) },
                              .spec_count = 2,
                              .groups = { H, decode ? 1 : (uint32_t)obi_div_ceil(T, PREFILL_TILE), B },
                              .push = &push,
                              .push_bytes = sizeof push,
                              .bindings = { obi_writes(out), obi_reads(q), obi_reads(k_cache), obi_reads(v_cache) },
                              .binding_count = 4,
                              .bytes = (T * row + positions * kv_row) * B * 8 };
    obi_cmd_dispatch(cmd, &dispatch);
}

void obi_op_attn_fwd(obi_cmd *cmd, obi_view out, obi_view q, obi_view k_cache, obi_view v_cache, uint32_t T, uint32_t H, uint32_t K,
                     uint32_t C, uint32_t first_position)
{
    if (check_attend(cmd, out, q, k_cache, v_cache, 1, T, H, K, C, first_position))
        attend(cmd, out, q, k_cache, v_cache, 1, T, H, K, C, first_position);
}

void obi_op_attn_train_fwd(obi_cmd *cmd, obi_view out, obi_view q, obi_view k, obi_view v, uint32_t B, uint32_t T, uint32_t H, uint32_t K,
                           uint32_t C)
{
    obi_attn_shape shape = { B, T, H, K, C };
    bool straight = obi_attn_straight_takes(obi_cmd_device(cmd), &shape);
    if (!check_attend(cmd, out, q, k, v, B, T, H, K, C, 0)) return;
    if (straight) obi_attn_straight_fwd(cmd, &shape, out, q, k, v);
    else attend(cmd, out, q, k, v, B, T, H, K, C, 0);
}
