#include "ops/attn_prompt_straight.h"

#include <math.h>

#include "core/checked.h"
#include "ops/straight.h"
#include "shaders/common/push_attn.h"

#define SCRATCH_BYTES (32ull << 20) /* of scores and values, as long as four queries of a head fit */
#define QUERIES_MAX 128u  /* of a piece */
#define QUERIES_GOOD 64u  /* fewer leave part of a product's workgroup idle */
#define QUERIES_MIN 4u    /* a tile of the products */
#define CHUNK 256u        /* positions of a row that a subgroup has */
#define ROWS_OF_GROUP 4u
#define ROWS_WORKGROUP 32u
#define HEADS_MAX 255u    /* of a grid's axis: what two digits of the kernels count */
#define WIDTH 32u         /* rows of scores are so many positions wide, or a multiple: few variants of the products */

bool obi_attn_prompt_straight_takes(const obi_device *device, obi_kv_type type, uint32_t T, uint32_t H, uint32_t C, uint64_t positions)
{
    return device->caps.straight && type == OBI_KV_F32 && T >= OBI_ATTN_PROMPT_TOKENS && H <= HEADS_MAX && C % 8 == 0 &&
           positions <= OBI_ATTN_PROMPT_POSITIONS;
}

/* Queries [first, first + queries) of the T for heads [head, head + heads), which are whole key heads or of one. */
typedef struct piece {
    uint32_t H, K, C, shared, first_position;
    uint64_t limit;                             /* of scratch */
    uint32_t first, queries, head, heads, keys; /* keys: key heads of it */
    uint32_t positions, width, stride;          /* that its last query sees; of a row of weights; from a row to the next */
    uint32_t chunks, vectors;
    obi_view out, q, k, v;
    obi_view scores, stats, values;             /* scratch: (heads, queries, stride), (heads, queries, 2, 8 * vectors), (keys, C, width) */
} piece;

static uint32_t smaller(uint32_t a, uint32_t b) { return a < b ? a : b; }

/* values[head][c][p] = v[p][head][c], and zeros past the positions, as their weights are. */
static void turn_values(obi_cmd *cmd, const piece *some)
{
    if (some->width != some->positions) obi_cmd_fill(cmd, some->values, 0);
    obi_straight turn = { .c = some->values, .c_stride = some->width, .c_skip = some->C * some->width, .a = some->v,
                          .a_first = some->head / some->shared * some->C, .a_stride = some->K * some->C, .a_skip = some->C,
                          .batch = some->keys };
    obi_straight_turn(cmd, &turn, some->positions, some->C);
}

static uint32_t query_first(const piece *some) { return (some->first * some->H + some->head) * some->C; }

static void find_scores(obi_cmd *cmd, const piece *some)
{
    uint32_t row = some->K * some->C, cached = (uint32_t)(some->k.size / 4 / row);
    obi_straight product = { .kernel = OBI_KERNEL_DENSE_DOT_STRAIGHT, .c = some->scores, .a = some->q, .b = some->k,
                             .p_count = some->queries, .q_count = smaller((uint32_t)obi_align_up(some->positions, 8), cached),
                             .k_count = some->C, .a_first = query_first(some), .a_stride = some->H * some->C, .a_skip = some->C,
                             .b_first = some->head / some->shared * some->C, .b_stride = row, .c_stride = some->stride,
                             .c_skip = some->queries * some->stride, .b_in_word = 1, .batch = some->heads, .group = some->shared,
                             .group_rows = some->C, .b_rows = true, .b_words = true };
    obi_straight_record(cmd, &product);
}

static void rows(obi_cmd *cmd, const piece *some, uint32_t step)
{
    bool whole = some->chunks == 1;
    struct obi_push_attn_prompt_rows push = { .rows = some->queries, .stride = some->stride, .chunks = some->chunks,
                                              .first_position = some->first_position + some->first,
                                              .scale = (float)(1.0 / sqrt((double)some->C)) };
    obi_straight_address(some->scores, &push.scores_low, &push.scores_high);
    obi_straight_address(some->stats, &push.stats_low, &push.stats_high);
    obi_straight_digits(push.digit);
    obi_dispatch dispatch = { .kernel = OBI_KERNEL_ATTN_PROMPT_ROWS_STRAIGHT,
                              .spec = { ROWS_WORKGROUP, step, whole ? some->width : CHUNK, some->vectors },
                              .spec_count = 4,
                              .groups = { some->queries / ROWS_OF_GROUP, some->heads, some->chunks },
                              .push = &push,
                              .push_bytes = sizeof push,
                              .bindings = { step == 0 ? obi_writes(some->stats) : obi_updates(some->scores) },
                              .binding_count = 1,
                              .bytes = some->scores.size };
    if (step == 0) dispatch.bindings[dispatch.binding_count++] = obi_reads(some->scores);
    if (step == 1) dispatch.bindings[dispatch.binding_count++] = obi_reads(some->stats);
    obi_cmd_dispatch(cmd, &dispatch);
}

/* The positions that all queries see, and then those after the first one's, which some have to leave out even where a value is not
 * finite: 0 times it is not 0. */
static void gather(obi_cmd *cmd, const piece *some)
{
    uint32_t seen = (some->first_position + some->first) / WIDTH * WIDTH;
    obi_straight product = { .kernel = OBI_KERNEL_DENSE_DOT_STRAIGHT, .c = some->out, .a = some->scores, .b = some->values,
                             .p_count = some->queries, .q_count = some->C, .k_count = seen, .a_stride = some->stride,
                             .a_skip = some->queries * some->stride, .b_stride = some->width, .c_first = query_first(some),
                             .c_stride = some->H * some->C, .c_skip = some->C, .b_in_word = 1, .batch = some->heads,
                             .group = some->shared, .group_rows = some->C, .b_rows = true };
    if (seen > 0) obi_straight_record(cmd, &product);
    product.a_first = product.b_first = seen;
    product.k_count = some->width - seen;
    product.accumulate = seen > 0;
    product.unless_zero = true;
    obi_straight_record(cmd, &product);
}

/* The positions of the piece's queries, and where its arrays lie in scratch. */
static uint64_t lay_out(piece *some)
{
    some->keys = (some->heads + some->shared - 1) / some->shared;
    some->positions = some->first_position + some->first + some->queries;
    some->width = (uint32_t)obi_align_up(some->positions, WIDTH);
    some->chunks = (uint32_t)obi_div_ceil(some->width, CHUNK);
    some->stride = some->chunks == 1 ? some->width : some->chunks * CHUNK;
    some->vectors = 1;
    while (some->vectors * 8 < some->chunks) some->vectors *= 2;
    some->scores.size = 4ull * some->heads * some->queries * some->stride;
    some->stats.size = 64ull * some->heads * some->queries * some->vectors;
    some->values.size = 4ull * some->keys * some->C * some->width;
    some->stats.offset = obi_align_up(some->scores.size, OBI_BUFFER_ALIGNMENT);
    some->values.offset = obi_align_up(some->stats.offset + some->stats.size, OBI_BUFFER_ALIGNMENT);
    return some->values.offset + some->values.size;
}

/* The most heads of `left` for which scratch is enough, but one: whole key heads, or some of one. */
static uint64_t choose_heads(piece *some, uint32_t left)
{
    uint32_t within = some->head % some->shared; /* begun inside a key head: no further than its end */
    some->heads = within ? smaller(left, some->shared - within) : left;
    if (some->heads > some->shared) some->heads -= some->heads % some->shared;
    uint64_t bytes;
    while ((bytes = lay_out(some)) > some->limit && some->heads > 1)
        some->heads = some->heads > some->shared ? some->heads / some->shared / 2 * some->shared : some->heads / 2;
    return bytes;
}

/* The most queries of `left` for which scratch is enough with as few heads as may be. */
static void choose_queries(piece *some, uint32_t left)
{
    some->queries = smaller(left, QUERIES_MAX);
    while (choose_heads(some, 1) > some->limit && some->queries > QUERIES_MIN)
        some->queries = some->queries > QUERIES_GOOD ? QUERIES_GOOD : (uint32_t)obi_align_up(some->queries / 2, QUERIES_MIN);
}

static uint64_t scratch_limit(const obi_device *device)
{
    return device->caps.storage_range < SCRATCH_BYTES ? device->caps.storage_range : SCRATCH_BYTES;
}

/* Sizes only grow with positions, queries and heads: what is cut is at most the limit, or the smallest cut where that is more. */
uint64_t obi_attn_prompt_straight_bytes(const obi_device *device, uint32_t T, uint32_t H, uint32_t K, uint32_t C, uint32_t positions)
{
    piece some = { .H = H, .K = K, .C = C, .shared = H / K, .queries = smaller(T - T % QUERIES_MIN, QUERIES_MAX), .heads = H };
    some.first_position = positions - some.queries;
    uint64_t whole = lay_out(&some), limit = scratch_limit(device);
    if (whole <= limit) return whole;
    some.heads = 1;
    some.queries = QUERIES_MIN;
    some.first_position = positions - some.queries;
    uint64_t least = lay_out(&some);
    return least > limit ? least : limit;
}

void obi_attn_prompt_straight(obi_cmd *cmd, obi_view out, obi_view q, obi_kv_cache cache, uint32_t H, uint32_t K, uint32_t C,
                              uint32_t first_position, obi_attn_range range)
{
    piece some = { .H = H, .K = K, .C = C, .shared = H / K, .first_position = first_position,
                   .limit = scratch_limit(obi_cmd_device(cmd)), .out = out, .q = q, .k = cache.k, .v = cache.v };
    uint32_t end = range.first + range.count, head_end = range.head + range.heads;
    for (some.first = range.first; some.first < end; some.first += some.queries) {
        choose_queries(&some, end - some.first);
        for (some.head = range.head; some.head < head_end; some.head += some.heads) {
            obi_view scratch;
            uint64_t bytes = choose_heads(&some, head_end - some.head);
            if (!obi_cmd_scratch(cmd, bytes, &scratch)) return;
            some.scores.buffer = some.stats.buffer = some.values.buffer = scratch.buffer;
            turn_values(cmd, &some);
            find_scores(cmd, &some);
            if (some.chunks == 1) {
                rows(cmd, &some, 2);
            } else {
                rows(cmd, &some, 0);
                rows(cmd, &some, 1);
            }
            gather(cmd, &some);
        }
    }
}
