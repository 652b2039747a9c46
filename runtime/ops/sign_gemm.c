#include "ops/sign_gemm.h"

#include "core/checked.h"
#include "ops/sign_family.h"
#include "ops/straight.h"
#include "shaders/common/push_bitlinear.h"

#define STRETCHES_MAX 32u  /* 16 KiB of shared memory */
#define STRETCH_WORDS 8u   /* some 20 KiB of code: longer ones outgrow the instruction cache */
#define WORDS_MAX (STRETCHES_MAX * STRETCH_WORDS) /* of a dispatch */
#define TILES_MAX 256u     /* of 128 rows: what two digits of the kernel can count */
#define TOKENS_MAX 256u    /* of a dispatch, likewise */
#define TILE_RECORDS 4u    /* of a workgroup */
#define QUARTERS 4u        /* of OBI_TILE_ROWS, which a workgroup makes one after the other */
#define WORD_SUMS 88u      /* eleven tables of eight */
#define SUMS_BYTES (32ull << 20) /* of scratch at once, as long as four records fit */
#define BLOCK_BYTES (768u << 10) /* of the sums of a block of records: what a core's second cache keeps beside the signs */
#define BLOCK_TILES_MAX 64u

static uint32_t smaller(uint32_t a, uint32_t b) { return a < b ? a : b; }

/* What a dispatch makes: rows [row, row + rows) of a block, or a group whole; its k's and its tokens. */
typedef struct piece {
    bool int8;                        /* two tokens are a record of bytes, else one of f32 */
    uint32_t m, n, T;                 /* of the whole matrix; of x and y */
    uint32_t first_row, row, rows;    /* first_row of the block in the matrix, row in the block */
    uint32_t parts, other_rows, tiles; /* of each further part of a group; of all */
    obi_view y, x, bits, scales;      /* of all */
    uint32_t word, words;             /* of k */
    uint32_t length, stretches;       /* these have `earlier` words more than there are */
    uint32_t earlier;
    uint32_t token, tokens;
} piece;

static uint32_t sums_words(const piece *some) { return some->stretches * some->length; }

static uint32_t tokens_of_record(const piece *some) { return some->int8 ? 2 : 1; }

static uint32_t records(const piece *some, uint32_t tokens) { return (uint32_t)obi_div_ceil(tokens, tokens_of_record(some)); }

static uint32_t records_padded(const piece *some) { return (uint32_t)obi_align_up(records(some, some->tokens), TILE_RECORDS); }

/* Of a record of `words` words; those of bytes have their steps behind them. */
static uint64_t record_bytes(const piece *some, uint32_t words) { return 4ull * WORD_SUMS * (words + (some->int8 ? 1 : 0)); }

/* From a part's results to the next one's. */
static uint32_t y_words(uint32_t tokens, uint32_t m)
{
    return (uint32_t)obi_align_up((uint64_t)tokens * m, OBI_BUFFER_ALIGNMENT / 4);
}

static void record_sums(obi_cmd *cmd, const piece *some, obi_view sums)
{
    uint64_t k = (uint64_t)some->word * 32;
    struct obi_push_bitlinear_sums push = { .n = some->n, .k_count = smaller((uint32_t)(some->n - k), some->words * 32),
                                            .tokens = some->tokens, .records_padded = records_padded(some), .words = sums_words(some),
                                            .scales_skip = (uint32_t)obi_scales_floats(some->m, some->n),
                                            .other_scales_skip = (uint32_t)obi_scales_floats(some->other_rows, some->n) };
    obi_view x = some->x, g = some->scales;
    x.offset += ((uint64_t)some->token * some->n + k) * 4;
    g.offset += k * 4;
    obi_straight_address(x, &push.x_low, &push.x_high);
    obi_straight_address(g, &push.g_low, &push.g_high);
    obi_straight_digits(push.digit);
    obi_dispatch dispatch = { .kernel = some->int8 ? OBI_KERNEL_BITLINEAR_SUMS_INT8_STRAIGHT : OBI_KERNEL_BITLINEAR_SUMS_STRAIGHT,
                              .spec = { 8 * some->stretches, some->length, push.k_count % 32 != 0, some->earlier },
                              .spec_count = 4,
                              .groups = { 1, records(some, some->tokens), some->parts },
                              .push = &push,
                              .push_bytes = sizeof push,
                              .bindings = { obi_writes(sums), obi_reads(some->x), obi_reads(some->scales) },
                              .binding_count = 3,
                              .bytes = sums.size + 8ull * some->tokens * push.k_count };
    obi_cmd_dispatch(cmd, &dispatch);
}

/* Records [first, first + blocks * block_tiles * TILE_RECORDS) of the piece, the last of them perhaps past its end. */
static void record_tiles(obi_cmd *cmd, const piece *some, obi_view sums, uint32_t first, uint32_t blocks, uint32_t block_tiles,
                          bool careful)
{
    uint32_t tile_words = (uint32_t)obi_div_ceil(some->n, 32) * OBI_TILE_ROWS;
    struct obi_push_bitlinear_gemm_sums push = { .m = some->m, .tokens = some->tokens | records_padded(some) << 10 | block_tiles << 20,
                                                 .first = first | sums_words(some) << 16, .tile_words = tile_words,
                                                 .first_row = some->first_row + some->row, .rows = some->rows | some->other_rows << 16,
                                                 .scales_skip = (uint32_t)obi_scales_floats(some->m, some->n),
                                                 .other_scales_skip = (uint32_t)obi_scales_floats(some->other_rows, some->n),
                                                 .y_skip = y_words(some->tokens, some->m),
                                                 .other_y_skip = y_words(some->tokens, some->other_rows) };
    obi_view h = some->scales, bits = some->bits, y = some->y;
    h.offset += 4 * ((uint64_t)obi_scales_h_offset(some->n) + some->first_row + some->row);
    bits.offset += 4 * ((uint64_t)some->row / OBI_TILE_ROWS * tile_words + (uint64_t)some->word * OBI_TILE_ROWS);
    obi_straight_address(sums, &push.sums_low, &push.sums_high);
    obi_straight_address(bits, &push.bits_low, &push.bits_high);
    obi_straight_address(h, &push.h_low, &push.h_high);
    obi_straight_digits(push.digit);
    push.first_row += some->token * some->m; /* of a group there is only one piece of tokens */
    obi_dispatch dispatch = { .kernel = some->int8 ? OBI_KERNEL_BITLINEAR_GEMM_INT8_STRAIGHT : OBI_KERNEL_BITLINEAR_GEMM_SUMS_STRAIGHT,
                              .spec = { 8 * some->stretches, some->stretches, some->length, some->earlier, some->word > 0, careful },
                              .spec_count = 6,
                              .groups = { block_tiles, some->tiles, QUARTERS * blocks },
                              .push = &push,
                              .push_bytes = sizeof push,
                              .bindings = { some->word > 0 || first > 0 ? obi_updates(y) : obi_writes(y), obi_reads(sums),
                                            obi_reads(some->bits), obi_reads(some->scales) },
                              .binding_count = 4,
                              .bytes = y.size + sums.size + some->bits.size + some->scales.size };
    obi_cmd_dispatch(cmd, &dispatch);
}

/* Blocks of records, so that their sums stay in a cache while all rows are made; what is left by itself, carefully. */
static void record_rows(obi_cmd *cmd, const piece *some, obi_view sums)
{
    uint32_t whole = some->tokens / tokens_of_record(some) / TILE_RECORDS;
    uint32_t fitting = (uint32_t)(BLOCK_BYTES / (TILE_RECORDS * record_bytes(some, sums_words(some))));
    uint32_t block_tiles = smaller(fitting, smaller(whole, BLOCK_TILES_MAX));
    if (block_tiles == 0) block_tiles = 1;
    bool careful = some->rows % OBI_TILE_ROWS != 0 || some->other_rows % OBI_TILE_ROWS != 0;
    uint32_t blocks = whole / block_tiles, done = blocks * block_tiles * TILE_RECORDS, all = records(some, some->tokens);
    if (blocks > 0) record_tiles(cmd, some, sums, 0, blocks, block_tiles, careful);
    if (done < all) record_tiles(cmd, some, sums, done, 1, (uint32_t)obi_div_ceil(all - done, TILE_RECORDS), true);
}

/* The k's [some->word, + some->words). */
static void stretch_of_k(piece *some, uint32_t words)
{
    some->words = smaller(words - some->word, WORDS_MAX);
    uint32_t length = smaller(some->words, STRETCH_WORDS), shortest = (length + 1) / 2;
    while (length > shortest && (some->words % length || some->words / length > STRETCHES_MAX)) length--;
    if (words > WORDS_MAX || some->words % length || some->words / length > STRETCHES_MAX) /* the same in all pieces of a long row */
        length = smaller(some->words, STRETCH_WORDS);
    some->length = length;
    some->stretches = (uint32_t)obi_div_ceil(some->words, length);
    some->earlier = some->stretches * length - some->words;
}

uint32_t obi_sign_gemm_block(uint32_t n)
{
    piece some = { .word = 0 };
    stretch_of_k(&some, (uint32_t)obi_div_ceil(n, 32));
    return some.length * 32;
}

/* Tokens whose sums of all parts are at most SUMS_BYTES: a multiple of those of a tile. */
static uint32_t tokens_at_once(const piece *some, uint32_t words)
{
    uint64_t bytes = record_bytes(some, smaller((uint32_t)obi_align_up(words, STRETCH_WORDS), WORDS_MAX)) * some->parts;
    uint64_t tile_tokens = TILE_RECORDS * tokens_of_record(some), most = SUMS_BYTES / bytes / TILE_RECORDS * tile_tokens;
    return (uint32_t)(most < tile_tokens ? tile_tokens : most < TOKENS_MAX ? most : TOKENS_MAX);
}

uint64_t obi_sign_gemm_bytes(uint32_t n, uint32_t T, uint32_t count)
{
    uint32_t words = (uint32_t)obi_div_ceil(n, 32), longest = smaller((uint32_t)obi_align_up(words, STRETCH_WORDS), WORDS_MAX);
    uint64_t most = 0;
    for (uint32_t form = 0; form < 2; form++) {
        for (uint32_t parts = 1; parts <= count; parts++) { /* more of them take fewer tokens */
            piece some = { .parts = parts, .int8 = form == 1 };
            some.tokens = smaller(T, tokens_at_once(&some, words));
            uint64_t bytes = record_bytes(&some, longest) * parts * records_padded(&some);
            if (bytes > most) most = bytes;
        }
    }
    return most;
}

/* All k's of all tokens of x, `at_once` of them at a time. */
static void record(obi_cmd *cmd, piece *some, uint32_t at_once)
{
    uint32_t words = (uint32_t)obi_div_ceil(some->n, 32);
    for (some->token = 0; some->token < some->T; some->token += at_once) {
        some->tokens = smaller(some->T - some->token, at_once);
        for (some->word = 0; some->word < words; some->word += some->words) {
            obi_view sums;
            stretch_of_k(some, words);
            if (!obi_cmd_scratch(cmd, record_bytes(some, sums_words(some)) * some->parts * records_padded(some), &sums)) return;
            record_sums(cmd, some, sums);
            uint32_t rows = some->rows, tiles = some->tiles;
            for (uint32_t tile = 0; tile < tiles; tile += TILES_MAX) { /* more than one time only where there is no group */
                some->row = tile * OBI_TILE_ROWS;
                if (tiles > TILES_MAX) {
                    some->rows = smaller(rows - some->row, TILES_MAX * OBI_TILE_ROWS);
                    some->tiles = (uint32_t)obi_div_ceil(some->rows, OBI_TILE_ROWS);
                }
                record_rows(cmd, some, sums);
                some->rows = rows;
                some->tiles = tiles;
            }
        }
    }
}

/* The family may have been dropped since the weight was made. */
static bool in_bytes(const obi_cmd *cmd, const obi_weight *weight)
{
    return weight->family == OBI_SIGN_STRAIGHT_INT8 && obi_gemm_int8_straight_possible(obi_cmd_device(cmd));
}

bool obi_gemm_int8_straight_possible(const obi_device *device)
{
    return !device->kernel_off[OBI_KERNEL_BITLINEAR_SUMS_INT8_STRAIGHT] && !device->kernel_off[OBI_KERNEL_BITLINEAR_GEMM_INT8_STRAIGHT];
}

void obi_sign_gemm(obi_cmd *cmd, obi_view y, obi_view x, const obi_weight *weight, uint32_t block, obi_view scales, uint32_t T)
{
    piece some = { .int8 = in_bytes(cmd, weight), .m = weight->rows, .n = weight->columns, .T = T, .parts = 1, .y = y,
                   .x = x, .scales = scales };
    some.bits = obi_weight_block(weight, block, &some.first_row, &some.rows);
    some.tiles = (uint32_t)obi_div_ceil(some.rows, OBI_TILE_ROWS);
    record(cmd, &some, tokens_at_once(&some, weight->row_words));
}

bool obi_sign_gemm_group(obi_cmd *cmd, const obi_bitlinear_part *parts, uint32_t count, obi_view x, uint32_t T)
{
    const obi_weight *weight = parts[0].weight;
    const obi_bitlinear_part *last = &parts[count - 1];
    uint64_t tiles = 0, limit = obi_cmd_device(cmd)->caps.storage_range;
    for (uint32_t i = 0; i < count; i++) tiles += obi_div_ceil(parts[i].weight->rows, OBI_TILE_ROWS);
    if (weight->type != OBI_WEIGHT_SIGN_TILES || tiles > TILES_MAX) return false;
    piece all = { .int8 = in_bytes(cmd, weight), .m = weight->rows, .n = weight->columns, .T = T,
                  .parts = count, .rows = weight->rows, .x = x,
                  .other_rows = last->weight->rows, .tiles = (uint32_t)tiles };
    uint32_t first_row, row_count;
    all.y = obi_view_span(parts[0].y, last->y);
    all.scales = obi_view_span(parts[0].scales, last->scales);
    all.bits = obi_view_span(obi_weight_block(weight, 0, &first_row, &row_count),
                             obi_weight_block(last->weight, 0, &first_row, &row_count));
    if (all.y.size > limit || all.scales.size > limit || tokens_at_once(&all, weight->row_words) < T) return false;
    record(cmd, &all, T);
    return true;
}
