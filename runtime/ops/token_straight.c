#include "ops/token_straight.h"

#include <math.h>

#include "core/checked.h"
#include "ops/straight.h"
#include "shaders/common/push_token.h"

#define SUBGROUPS_MAX 64u
#define EIGHTS_MAX 32u /* of a subgroup: what Mesa unrolls */
#define TOKENS_MAX 256u /* of a dispatch: what two digits of the kernels can count, */
#define HEADS_MAX 255u /* what two digits of the kernels can count */
#define POSITIONS_MAX 32u /* of a subgroup, */
#define LOADS_MAX 128u    /* and eights of their keys: more code takes LLVM seconds */
#define POSITIONS_LEAST 64u /* of a workgroup: fewer would be further pipelines and hardly faster */
#define SHARED_MAX (20u << 10) /* bytes of sums */
#define POSITION_MAX (1u << 24) /* what a float tells apart, and six digits of the kernels */

static bool possible(const obi_device *device) { return device->caps.straight && device->caps.workgroup_size >= 8 * SUBGROUPS_MAX; }

/* ---- rows ---------------------------------------------------------------------------------------------------------------- */

/* The most eights a subgroup may have so that all subgroups are full; 1 to EIGHTS_MAX that are cut where none fit. */
static uint32_t eights_of(uint32_t columns, bool *cut)
{
    *cut = false;
    for (uint32_t eights = EIGHTS_MAX; columns % 8 == 0 && eights > 0; eights--)
        if (columns / 8 % eights == 0 && columns / 8 / eights <= SUBGROUPS_MAX) return eights;
    *cut = true;
    uint32_t all = (uint32_t)obi_div_ceil(columns, 8);
    return (uint32_t)obi_div_ceil(all, obi_div_ceil(all, EIGHTS_MAX));
}

bool obi_token_row_takes(const obi_device *device, uint64_t columns)
{
    return possible(device) && columns <= SUBGROUPS_MAX * EIGHTS_MAX * 8;
}

/* Rows [first, first + rows) of the inputs. */
typedef struct rows {
    obi_view a, b, w;
    uint32_t first, rows, columns;
    float post_eps, eps;
} rows;

static void record_rows(obi_cmd *cmd, int kernel, const rows *some, obi_dispatch *dispatch)
{
    bool cut;
    uint32_t eights = eights_of(some->columns, &cut), subgroups = (uint32_t)obi_div_ceil(some->columns, 8 * eights);
    struct obi_push_token_row push = { .first = some->first * some->columns, .columns = some->columns, .post_eps = some->post_eps,
                                       .eps = some->eps };
    obi_view a = some->a, b = some->b;
    a.offset += 4ull * push.first;
    b.offset += 4ull * push.first;
    obi_straight_address(a, &push.a_low, &push.a_high);
    obi_straight_address(b, &push.b_low, &push.b_high);
    obi_straight_address(some->w, &push.w_low, &push.w_high);
    obi_straight_digits(push.digit);
    dispatch->kernel = kernel;
    dispatch->spec[0] = 8 * subgroups;
    dispatch->spec[1] = subgroups;
    dispatch->spec[2] = some->post_eps >= 0;
    dispatch->spec[3] = eights;
    dispatch->spec[4] = cut;
    dispatch->spec[5] = some->rows > 1;
    dispatch->spec_count = 6;
    dispatch->groups[0] = some->rows;
    dispatch->groups[1] = dispatch->groups[2] = 1;
    dispatch->push = &push;
    dispatch->push_bytes = sizeof push;
    obi_cmd_dispatch(cmd, dispatch);
}

static uint32_t at_once(uint32_t T, uint32_t first) { return T - first < TOKENS_MAX ? T - first : TOKENS_MAX; }

void obi_token_residual(obi_cmd *cmd, obi_view x, obi_view normed, obi_view p, obi_view w, uint32_t T, uint32_t columns, float post_eps,
                        float eps)
{
    rows some = { .a = p, .b = x, .w = w, .columns = columns, .post_eps = post_eps, .eps = eps };
    for (; some.first < T; some.first += some.rows) {
        some.rows = at_once(T, some.first);
        obi_dispatch dispatch = { .bindings = { obi_writes(normed), obi_updates(x), obi_reads(p), obi_reads(w) },
                                  .binding_count = 4,
                                  .bytes = 4ull * (4 * some.rows + 1) * columns };
        record_rows(cmd, OBI_KERNEL_POST_NORM_RESIDUAL_STRAIGHT, &some, &dispatch);
    }
}

void obi_token_swiglu(obi_cmd *cmd, obi_view gate, obi_view up, uint32_t T, uint32_t columns, float post_eps)
{
    rows some = { .a = gate, .b = up, .columns = columns, .post_eps = post_eps };
    for (; some.first < T; some.first += some.rows) {
        some.rows = at_once(T, some.first);
        obi_dispatch dispatch = { .bindings = { obi_updates(gate), obi_reads(up) },
                                  .binding_count = 2,
                                  .bytes = 12ull * some.rows * columns };
        record_rows(cmd, OBI_KERNEL_POST_NORM_SWIGLU_STRAIGHT, &some, &dispatch);
    }
}

/* ---- q, k and v ---------------------------------------------------------------------------------------------------------- */

/* Heads of a subgroup: as many as have EIGHTS_MAX eights. */
static uint32_t heads_of(uint32_t C) { return EIGHTS_MAX * 8 / C; }

bool obi_token_qkv_takes(const obi_device *device, const obi_post_qkv *what)
{
    uint32_t C = what->C;
    return possible(device) && what->R == C && C > 0 && C % 8 == 0 && C <= EIGHTS_MAX * 8 &&
           (what->layout == OBI_ROPE_PAIRS || C % 16 == 0 || C == 8) && what->K <= what->H &&
           obi_div_ceil(what->H, heads_of(C)) <= SUBGROUPS_MAX && what->context <= POSITION_MAX;
}

void obi_token_qkv(obi_cmd *cmd, obi_view qkv, obi_view table, obi_kv_cache cache, const obi_post_qkv *what)
{
    uint32_t H = what->H, K = what->K, C = what->C;
    uint32_t subgroups = (uint32_t)obi_div_ceil(H, heads_of(C));
    uint32_t heads = (uint32_t)obi_div_ceil(H, subgroups), kv_heads = (uint32_t)obi_div_ceil(K, subgroups);
    obi_attn_parts parts = obi_attn_parts_of(qkv, what->T, H, K, C);
    struct obi_push_token_qkv push = { .heads = H, .kv_heads = K, .k_start = (uint32_t)((parts.k.offset - qkv.offset) / 4),
                                       .v_start = (uint32_t)((parts.v.offset - qkv.offset) / 4),
                                       .position = what->place ? what->place : what->first_position, .post_eps = what->post_eps };
    obi_straight_address(qkv, &push.qkv_low, &push.qkv_high);
    obi_straight_address(table, &push.table_low, &push.table_high);
    obi_straight_digits(push.digit);
    bool half = cache.type == OBI_KV_F16;
    for (; push.token < what->T; push.token += TOKENS_MAX) {
        obi_dispatch dispatch = { .kernel = half ? OBI_KERNEL_POST_NORM_QKV_F16_STRAIGHT : OBI_KERNEL_POST_NORM_QKV_STRAIGHT,
                                  .spec = { 8 * subgroups, subgroups, what->post_eps >= 0, (uint32_t)what->layout,
                                            what->T > 1 ? 2 : what->place > 0, C / 8, heads, kv_heads },
                                  .spec_count = 8,
                                  .groups = { at_once(what->T, push.token), 1, 1 },
                                  .push = &push,
                                  .push_bytes = sizeof push,
                                  .bindings = { obi_updates(qkv), obi_reads(table), obi_writes(cache.k), obi_writes(cache.v) },
                                  .binding_count = 4 };
        dispatch.bytes = (8ull * (H + K) * C + 8 * obi_kv_words(cache.type, (uint64_t)K * C, C) + 4ull * C) * dispatch.groups[0];
        obi_cmd_dispatch(cmd, &dispatch);
    }
}

/* ---- attention ----------------------------------------------------------------------------------------------------------- */

/* Of a subgroup, a power of two from 8 on. */
static uint32_t positions_of(uint32_t C)
{
    uint32_t positions = POSITIONS_MAX;
    while (positions > 8 && positions * C / 8 > LOADS_MAX) positions /= 2;
    return positions;
}

/* Subgroups of a workgroup, a power of two: as few as have all positions, as many as shared memory takes. */
static uint32_t subgroups_of(uint32_t C, uint64_t position)
{
    uint32_t subgroups = POSITIONS_LEAST / positions_of(C);
    while (subgroups < SUBGROUPS_MAX && subgroups * positions_of(C) <= position && 2 * subgroups * (C + 2) * 4 <= SHARED_MAX)
        subgroups *= 2;
    return subgroups;
}

uint32_t obi_token_attend_splits_of(uint32_t C, uint64_t position)
{
    uint64_t share = (uint64_t)subgroups_of(C, position) * positions_of(C), splits = 1;
    while (splits * share <= position) splits *= 2;
    return splits <= OBI_ATTN_SPLITS_MAX ? (uint32_t)splits : 0;
}

uint32_t obi_token_attend_splits(const obi_device *device, obi_kv_type type, uint32_t H, uint32_t K, uint32_t C, uint64_t position)
{
    uint32_t unit = type == OBI_KV_F16 ? 16 : 8;
    if (type == OBI_KV_INT8) return 0;
    if (!possible(device) || C == 0 || C % unit || C > EIGHTS_MAX * 8 || K == 0 || H % K || K > HEADS_MAX || H / K > HEADS_MAX ||
        position >= POSITION_MAX)
        return 0;
    return obi_token_attend_splits_of(C, position);
}

void obi_token_attend(obi_cmd *cmd, obi_view out, obi_view q, obi_kv_cache cache, uint32_t H, uint32_t K, uint32_t C, uint32_t position,
                      uint32_t splits, uint32_t place)
{
    bool half = cache.type == OBI_KV_F16;
    uint32_t subgroups = subgroups_of(C, position);
    struct obi_push_token_attend push = { .kv_heads = K, .group = H / K, .position = place ? place : position,
                                          .scale = (float)(1.0 / sqrt((double)C)) };
    obi_straight_address(q, &push.q_low, &push.q_high);
    obi_straight_address(cache.k, &push.k_low, &push.k_high);
    obi_straight_address(cache.v, &push.v_low, &push.v_high);
    obi_straight_digits(push.digit);
    obi_dispatch dispatch = { .kernel = half ? OBI_KERNEL_ATTN_DECODE_F16_STRAIGHT : OBI_KERNEL_ATTN_DECODE_STRAIGHT,
                              .spec = { 8 * subgroups, subgroups, splits > 1, place > 0, C / (half ? 16 : 8), positions_of(C) },
                              .spec_count = 6,
                              .groups = { H / K, K, splits },
                              .push = &push,
                              .push_bytes = sizeof push,
                              .bindings = { obi_writes(out), obi_reads(q), obi_reads(cache.k), obi_reads(cache.v) },
                              .binding_count = 4,
                              .bytes = ((uint64_t)H * C + ((uint64_t)position + 1) * obi_kv_words(cache.type, (uint64_t)K * C, C)) * 8 };
    obi_cmd_dispatch(cmd, &dispatch);
}
