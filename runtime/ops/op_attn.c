#include "ops/op_attn.h"

#include <math.h>

#include "core/checked.h"
#include "ops/attn_prompt_straight.h"
#include "ops/attn_straight.h"
#include "ops/check.h"
#include "ops/straight.h"
#include "ops/token_straight.h"
#include "shaders/common/push_attn.h"

#define HEAD_SIZE_MAX 256u /* shaders/attn/attend_fwd.comp: shared memory and four outputs a lane */
#define GROUPS_WANTED 1024u            /* workgroups that fill a large GPU */
#define SPLIT_POSITIONS 256u           /* and what one is worth beginning for */
#define PARTS_BYTES_MAX (16ull << 20)  /* of the splits of some queries */

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

/* `place` is 0 where the position is first_position. */
static void store_bytes(obi_cmd *cmd, obi_kv_cache cache, obi_view k, obi_view v, uint32_t T, uint32_t K, uint32_t C,
                        uint32_t first_position, uint32_t place)
{
    struct obi_push_attn_kv_store_int8 push = { T, K, C, place ? place : first_position };
    obi_dispatch dispatch = { .kernel = OBI_KERNEL_ATTN_KV_STORE_INT8,
                              .spec = { obi_workgroup_size(obi_cmd_device(cmd)), place > 0 },
                              .spec_count = 2,
                              .push = &push,
                              .push_bytes = sizeof push,
                              .bindings = { obi_writes(cache.k), obi_writes(cache.v), obi_reads(k), obi_reads(v) },
                              .binding_count = 4,
                              .bytes = (uint64_t)T * ((uint64_t)K * C + obi_kv_words(cache.type, (uint64_t)K * C, C)) * 8 };
    obi_fold_groups(obi_cmd_device(cmd), T, dispatch.groups);
    dispatch.groups[2] = 2;
    obi_cmd_dispatch(cmd, &dispatch);
}

static void store(obi_cmd *cmd, obi_kv_cache cache, obi_view k, obi_view v, uint32_t T, uint32_t width, uint32_t C,
                  uint32_t first_position, uint32_t place, uint32_t context)
{
    uint32_t workgroup = obi_workgroup_size(obi_cmd_device(cmd)), groups[3];
    bool bytes = cache.type == OBI_KV_INT8;
    if (!obi_check(cmd, !bytes || (C > 0 && width % C == 0), "kv store", "rows of bytes must be whole heads") ||
        !obi_check(cmd, !bytes || width / workgroup < OBI_LOOP_MAX / 8, "kv store", "the rows are longer than half a million elements"))
        return;
    uint64_t end = (uint64_t)first_position + T, words = obi_kv_words(cache.type, width, C);
    if (!obi_check(cmd, end <= context, "kv store", "the tokens do not fit the context; make it larger or the text shorter") ||
        !obi_check(cmd, cache.type != OBI_KV_F16 || width % 2 == 0, "kv store", "rows of halves must have an even length") ||
        !obi_check_words(cmd, "kv store", "the key cache", cache.k, context, words) ||
        !obi_check_words(cmd, "kv store", "the value cache", cache.v, context, words) ||
        !obi_check_words(cmd, "kv store", "k", k, T, width) || !obi_check_words(cmd, "kv store", "v", v, T, width) ||
        !obi_check(cmd, end * (words > width ? words : width) <= UINT32_MAX, "kv store",
                   "the cache has more elements than a kernel can count") ||
        !obi_check_lanes(cmd, "kv store", T * words, workgroup, groups))
        return;
    if (bytes) {
        store_bytes(cmd, cache, k, v, T, width / C, C, first_position, place);
        return;
    }
    struct obi_push_attn_kv_store push = { (uint32_t)(T * words), place ? place : (uint32_t)(first_position * words) };
    obi_dispatch dispatch = { .kernel = cache.type == OBI_KV_F16 ? OBI_KERNEL_ATTN_KV_STORE_F16 : OBI_KERNEL_ATTN_KV_STORE_FWD,
                              .spec = { workgroup, place > 0 },
                              .spec_count = 2,
                              .groups = { groups[0], groups[1], groups[2] },
                              .push = &push,
                              .push_bytes = sizeof push,
                              .bindings = { obi_writes(cache.k), obi_writes(cache.v), obi_reads(k), obi_reads(v) },
                              .binding_count = 4,
                              .bytes = (uint64_t)T * (width + words) * 8 };
    obi_cmd_dispatch(cmd, &dispatch);
}

void obi_op_kv_store_fwd(obi_cmd *cmd, obi_kv_cache cache, obi_view k, obi_view v, uint32_t T, uint32_t width, uint32_t C,
                         uint32_t first_position, uint32_t context)
{
    store(cmd, cache, k, v, T, width, C, first_position, 0, context);
}

void obi_op_kv_store_placed_fwd(obi_cmd *cmd, obi_kv_cache cache, obi_view k, obi_view v, uint32_t width, uint32_t C, uint32_t place,
                                uint32_t last_position, uint32_t context)
{
    if (obi_check(cmd, place >= width && k.size / 4 > place, "kv store", "the position is not where it should be"))
        store(cmd, cache, k, v, 1, width, C, last_position, place, context);
}

/* Half of the work gives a lane a column of the output, so that more lanes than columns are idle half of the time; but
 * never fewer than a subgroup, whose lanes are there anyway. */
uint32_t obi_op_attn_workgroup(const obi_device *device, uint32_t C)
{
    uint32_t most = obi_workgroup_size(device), lanes = device->caps.subgroup_size >= 8 ? device->caps.subgroup_size : 8;
    while (lanes < C) lanes *= 2;
    return lanes < most ? lanes : most;
}

/* Of halves and of bytes a lane has pairs of columns. */
static uint32_t attend_workgroup(const obi_device *device, obi_kv_type type, uint32_t C)
{
    return obi_op_attn_workgroup(device, type != OBI_KV_F32 ? C / 2 : C);
}

static uint64_t attend_round_loops(uint32_t C, uint32_t lanes) { return 1 + C / 4 + lanes / 4 + 3 + lanes / 4; }

/* An upper bound of the loop iterations of one lane over `positions`: see the kernel. A reduction costs at most one step
 * for every four lanes (subgroups have four lanes or more, and the tree of tier A is shorter). */
static uint64_t attend_loops(uint64_t positions, uint32_t C, uint32_t lanes)
{
    uint64_t rounds = obi_div_ceil(positions, lanes);
    return rounds * attend_round_loops(C, lanes) + 6 + obi_div_ceil(C, lanes); /* 6: the positions that not all queries of a tile see */
}

/* A split's share is rounded up to whole rounds. */
static bool fits_loops(uint64_t positions, uint32_t splits, uint32_t C, uint32_t lanes)
{
    uint64_t share = splits > 1 ? obi_div_ceil(positions, splits) + lanes : positions;
    return attend_loops(share, C, lanes) <= OBI_LOOP_MAX;
}

static uint64_t power_above(uint64_t value)
{
    uint64_t power = 1;
    while (power < value) power *= 2;
    return power;
}

static uint32_t tile_of(uint32_t T) { return T == 1 ? 1 : OBI_ATTN_TILE; }

/* Of any type of cache: the more lanes, the more positions there may be. */
static uint32_t fewest_lanes(const obi_device *device, uint32_t C) { return attend_workgroup(device, OBI_KV_F16, C); }

uint32_t obi_op_attn_splits(const obi_device *device, uint32_t T, uint32_t H, uint32_t C, uint64_t positions)
{
    uint64_t most = power_above(positions), groups = H * obi_div_ceil(T, tile_of(T));
    uint32_t splits = 1, lanes = fewest_lanes(device, C);
    if (!device->caps.software) /* a CPU's few cores have enough to do with the heads */
        while (splits < OBI_ATTN_SPLITS_MAX && splits * groups < GROUPS_WANTED && most / splits >= 2 * SPLIT_POSITIONS) splits *= 2;
    while (splits < OBI_ATTN_SPLITS_MAX && !fits_loops(most, splits, C, lanes)) splits *= 2;
    return splits;
}

bool obi_kv_int8_possible(const obi_device *device)
{
    return !device->kernel_off[OBI_KERNEL_ATTN_KV_STORE_INT8] && !device->kernel_off[OBI_KERNEL_ATTN_DECODE_INT8] &&
           !device->kernel_off[OBI_KERNEL_ATTN_PREFILL_INT8] && !device->kernel_off[OBI_KERNEL_POST_NORM_QKV_INT8];
}

uint32_t obi_op_attn_positions_max(const obi_device *device, uint32_t C)
{
    uint32_t lanes = fewest_lanes(device, C), most = 1u << 30;
    while (!fits_loops(most, OBI_ATTN_SPLITS_MAX, C, lanes)) most /= 2;
    return most;
}

static bool check_attend(obi_cmd *cmd, obi_view out, obi_view q, obi_kv_cache cache, uint32_t B, uint32_t T, uint32_t H,
                         uint32_t K, uint32_t C, uint32_t first_position, uint32_t splits)
{
    obi_device *device = obi_cmd_device(cmd);
    uint32_t workgroup = attend_workgroup(device, cache.type, C);
    uint64_t positions = (uint64_t)first_position + T, row = (uint64_t)H * C, kv_row = (uint64_t)K * C;
    return obi_check(cmd, C > 0 && C % 2 == 0 && C <= HEAD_SIZE_MAX && C <= 4 * workgroup, "attention",
                     "the head size must be even and at most 256") &&
           obi_check(cmd, H > 0 && K > 0 && H % K == 0, "attention", "the heads must be a multiple of the key heads") &&
           obi_check_words(cmd, "attention", "out", out, (uint64_t)B * T, row) &&
           obi_check_words(cmd, "attention", "q", q, (uint64_t)B * T, row) &&
           obi_check(cmd, B <= device->caps.workgroup_count[2], "attention", "there are more sequences than a grid has layers") &&
           obi_check_words(cmd, "attention", "the key cache", cache.k, B * positions, obi_kv_words(cache.type, kv_row, C)) &&
           obi_check_words(cmd, "attention", "the value cache", cache.v, B * positions, obi_kv_words(cache.type, kv_row, C)) &&
           obi_check(cmd, B * positions * kv_row <= UINT32_MAX && (uint64_t)B * T * row <= UINT32_MAX, "attention",
                     "there are more elements than a kernel can count") &&
           obi_check(cmd, fits_loops(positions, splits, C, workgroup), "attention",
                     "the context is longer than the kernels can go through; choose a shorter one");
}

/* Queries of B sequences, which lie one after the other in every array; B is 1 where there are splits. */
static void attend(obi_cmd *cmd, obi_view out, obi_view q, obi_kv_cache cache, uint32_t B, uint32_t T, uint32_t H,
                   uint32_t K, uint32_t C, uint32_t first_position, obi_attn_range range)
{
    static const int kernels[2][OBI_KV_INT8] = {
        { OBI_KERNEL_ATTN_PREFILL_FWD, OBI_KERNEL_ATTN_PREFILL_F16, OBI_KERNEL_ATTN_PREFILL_INT8 },
        { OBI_KERNEL_ATTN_DECODE_FWD, OBI_KERNEL_ATTN_DECODE_F16, OBI_KERNEL_ATTN_DECODE_INT8 },
    };
    bool pairs = cache.type != OBI_KV_F32;
    uint32_t workgroup = attend_workgroup(obi_cmd_device(cmd), cache.type, C), splits = range.splits, tile = tile_of(T);
    uint32_t outputs = pairs ? 2 * (uint32_t)obi_div_ceil(C / 2, workgroup) : (uint32_t)obi_div_ceil(C, workgroup); /* of a lane */
    uint64_t positions = (uint64_t)first_position + range.first + range.count, row = (uint64_t)H * C, kv_row = (uint64_t)K * C;
    struct obi_push_attn_attend push = { T, H, K, C, range.place ? range.place : first_position, range.first, range.count,
                                         (float)(1.0 / sqrt((double)C)) };
    obi_dispatch dispatch = { .kernel = kernels[T == 1][cache.type - OBI_KV_F32],
                              .spec = { workgroup, outputs, splits > 1, range.place > 0 },
                              .spec_count = 4,
                              .groups = { H, (uint32_t)obi_div_ceil(range.count, tile), splits > 1 ? splits : B },
                              .push = &push,
                              .push_bytes = sizeof push,
                              .bindings = { obi_writes(out), obi_reads(q), obi_reads(cache.k), obi_reads(cache.v) },
                              .binding_count = 4,
                              .bytes = (range.count * row + positions * obi_kv_words(cache.type, kv_row, C)) * B * 8 };
    obi_cmd_dispatch(cmd, &dispatch);
}

/* Bytes that the splits of a query leave. */
static uint64_t query_part_bytes(uint32_t H, uint32_t C, uint32_t splits) { return (uint64_t)splits * H * (C + 2) * 4; }

/* The queries of a piece: as many as PARTS_BYTES_MAX takes, but a tile at least. */
static uint32_t piece_of(uint32_t T, uint64_t query_bytes)
{
    uint64_t most = PARTS_BYTES_MAX / query_bytes / OBI_ATTN_TILE * OBI_ATTN_TILE;
    if (most < OBI_ATTN_TILE) most = OBI_ATTN_TILE;
    return most < T ? (uint32_t)most : T;
}

/* Of exactly T tokens. */
static uint64_t split_bytes(const obi_device *device, uint32_t T, uint32_t H, uint32_t C, uint64_t positions)
{
    uint32_t splits = obi_op_attn_splits(device, T, H, C, positions);
    uint32_t straight = T == 1 && device->caps.straight ? obi_token_attend_splits_of(C, positions) : 0;
    if (straight > splits) splits = straight;
    uint64_t bytes = query_part_bytes(H, C, splits);
    return splits > 1 ? piece_of(T, bytes) * bytes : 0;
}

uint64_t obi_op_attn_fwd_bytes(const obi_device *device, obi_kv_type type, uint32_t T, uint32_t H, uint32_t K, uint32_t C,
                               uint64_t positions)
{
    uint64_t most = 0, prompt = positions < OBI_ATTN_PROMPT_POSITIONS ? positions : OBI_ATTN_PROMPT_POSITIONS;
    if (obi_op_attn_by_heads(device, type, T, H, C, prompt)) most = obi_attn_prompt_straight_bytes(device, T, H, K, C, (uint32_t)prompt);
    for (uint32_t some = T; some > 0; some /= 2) { /* a few tokens are split further than many */
        uint64_t bytes = split_bytes(device, some, H, C, positions);
        if (bytes > most) most = bytes;
    }
    return most;
}

/* A piece of the queries after the other, so that their parts stay small. */
static void attend_in_splits(obi_cmd *cmd, obi_view out, obi_view q, obi_kv_cache cache, uint32_t T, uint32_t H, uint32_t K,
                             uint32_t C, uint32_t first_position, obi_attn_range range, bool straight)
{
    uint64_t bytes = query_part_bytes(H, C, range.splits);
    uint32_t piece = piece_of(range.count, bytes), end = range.first + range.count;
    obi_view parts;
    if (!obi_cmd_scratch(cmd, piece * bytes, &parts)) return;
    for (uint32_t first = range.first; first < end; first += piece) {
        obi_attn_range some = { .first = first, .count = end - first < piece ? end - first : piece, .splits = range.splits,
                                .place = range.place };
        parts.size = some.count * bytes;
        if (straight) obi_token_attend(cmd, parts, q, cache, H, K, C, first_position, range.splits, range.place);
        else attend(cmd, parts, q, cache, 1, T, H, K, C, first_position, some);
        struct obi_push_attn_combine push = { some.count * H, first * H, C, range.splits };
        obi_dispatch dispatch = { .kernel = OBI_KERNEL_ATTN_COMBINE_FWD,
                                  .spec = { obi_op_attn_workgroup(obi_cmd_device(cmd), C) },
                                  .spec_count = 1,
                                  .push = &push,
                                  .push_bytes = sizeof push,
                                  .bindings = { obi_writes(out), obi_reads(parts) },
                                  .binding_count = 2,
                                  .bytes = parts.size + 4ull * some.count * H * C };
        obi_fold_groups(obi_cmd_device(cmd), push.rows, dispatch.groups);
        obi_cmd_dispatch(cmd, &dispatch);
    }
}

bool obi_op_attn_by_heads(const obi_device *device, obi_kv_type type, uint32_t T, uint32_t H, uint32_t C, uint64_t positions)
{
    return obi_attn_prompt_straight_takes(device, type, T, H, C, positions);
}

void obi_op_attn_range_fwd(obi_cmd *cmd, obi_view out, obi_view q, obi_kv_cache cache, uint32_t T, uint32_t H, uint32_t K,
                           uint32_t C, uint32_t first_position, obi_attn_range range)
{
    const obi_device *device = obi_cmd_device(cmd);
    bool products = range.splits <= 1 && obi_op_attn_by_heads(device, cache.type, T, H, C, (uint64_t)first_position + T);
    uint32_t straight = T == 1 && range.splits == 0 ? obi_token_attend_splits(device, cache.type, H, K, C, first_position) : 0;
    if (range.splits == 0) range.splits = obi_op_attn_splits(device, T, H, C, (uint64_t)first_position + T);
    if (!check_attend(cmd, out, q, cache, 1, T, H, K, C, first_position, range.splits) ||
        !obi_check(cmd, range.count > 0 && range.first < T && range.count <= T - range.first && range.splits <= OBI_ATTN_SPLITS_MAX,
                   "attention", "there are no such queries or splits") ||
        !obi_check(cmd, range.place == 0 || (T == 1 && q.size / 4 > range.place), "attention", "the position is not where it should be"))
        return;
    uint32_t heads = range.heads ? range.heads : H - range.head;
    if (!obi_check(cmd, range.head < H && heads <= H - range.head && (products || heads == H), "attention", "there are no such heads"))
        return;
    if (products) {
        obi_attn_range tiles = range;
        tiles.count -= range.count % OBI_ATTN_TILE;
        tiles.heads = heads;
        if (tiles.count > 0) obi_attn_prompt_straight(cmd, out, q, cache, H, K, C, first_position, tiles);
        range.first += tiles.count; /* up to three queries are left: of all heads, in the usual way */
        range.count -= tiles.count;
        if (range.count == 0 || range.head + heads < H) return;
    }
    if (straight) range.splits = straight;
    if (range.splits > 1) attend_in_splits(cmd, out, q, cache, T, H, K, C, first_position, range, straight > 0);
    else if (straight) obi_token_attend(cmd, out, q, cache, H, K, C, first_position, 1, range.place);
    else attend(cmd, out, q, cache, 1, T, H, K, C, first_position, range);
}

void obi_op_attn_fwd(obi_cmd *cmd, obi_view out, obi_view q, obi_kv_cache cache, uint32_t T, uint32_t H, uint32_t K,
                     uint32_t C, uint32_t first_position)
{
    obi_attn_range all = { .count = T };
    obi_op_attn_range_fwd(cmd, out, q, cache, T, H, K, C, first_position, all);
}

void obi_op_attn_train_fwd(obi_cmd *cmd, obi_view out, obi_view q, obi_view k, obi_view v, uint32_t B, uint32_t T, uint32_t H, uint32_t K,
                           uint32_t C)
{
    obi_attn_shape shape = { B, T, H, K, C };
    bool straight = obi_attn_straight_takes(obi_cmd_device(cmd), &shape);
    obi_attn_range all = { .count = T, .splits = 1 };
    obi_kv_cache kv = { OBI_KV_F32, k, v };
    if (!check_attend(cmd, out, q, kv, B, T, H, K, C, 0, 1)) return;
    if (straight) obi_attn_straight_fwd(cmd, &shape, out, q, k, v);
    else attend(cmd, out, q, kv, B, T, H, K, C, 0, all);
}
