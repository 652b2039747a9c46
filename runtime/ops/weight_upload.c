/* weight_upload: host words into a weight's blocks, in its layout. */
#include <string.h>

#include "ops/tensor.h"

#define BYTES_AT_ONCE (256u << 10) /* that a thread takes: enough to be worth its while, and many pieces of a matrix */
#define BLOCK 16u                  /* words: a cache line */

static uint32_t word_at(const uint8_t *words, size_t i)
{
    uint32_t word;
    memcpy(&word, words + i * 4, 4); /* a file's place may be odd */
    return word;
}

static bool fits(const obi_weight *weight, uint32_t first, uint32_t count)
{
    return first <= weight->rows && count <= weight->rows - first;
}

static obi_status refuse(const obi_weight *weight, uint32_t first, uint32_t count)
{
    return obi_fail(OBI_ERROR_ARGUMENT, "rows %u..%llu of a weight with %u rows cannot be uploaded", first,
                    (unsigned long long)first + count, weight->rows);
}

/* Bits of the last word of a row that are columns. */
static uint32_t last_mask(const obi_weight *weight) { return weight->columns % 32 ? (1u << weight->columns % 32) - 1 : UINT32_MAX; }

/* Units (rows or tiles) of `bytes` each that a thread takes at once. */
static uint32_t units_at_once(uint64_t bytes) { return bytes < BYTES_AT_ONCE ? (uint32_t)(BYTES_AT_ONCE / bytes) : 1; }

/* ---- rows -------------------------------------------------------------------------------------------------------- */

typedef struct rows_job {
    obi_weight_fill fill;
    void *user;
    uint32_t *space;
    uint32_t first, row_words;
} rows_job;

static void fill_rows(void *user, uint32_t first, uint32_t count)
{
    const rows_job *job = user;
    job->fill(job->user, job->first + first, count, job->space + (size_t)first * job->row_words);
}

obi_status obi_weight_upload_filled(obi_upload *upload, const obi_weight *weight, uint32_t first, uint32_t count, obi_weight_fill fill,
                                    void *user)
{
    if (!fits(weight, first, count)) return refuse(weight, first, count);
    if (weight->type == OBI_WEIGHT_SIGN_TILES) return obi_fail(OBI_ERROR_ARGUMENT, "a weight in tiles has no rows to be filled");
    uint64_t row_bytes = (uint64_t)weight->row_words * 4;
    for (uint32_t row = first, end = first + count; row < end;) {
        uint32_t block = row / weight->block_rows, inside = row % weight->block_rows;
        uint64_t rows = weight->block_rows - inside < end - row ? weight->block_rows - inside : end - row;
        uint64_t most = obi_upload_most(upload, weight->blocks[block]) / row_bytes;
        if (most == 0) return obi_fail(OBI_ERROR_ARGUMENT, "a row of %u columns is too long for an upload", weight->columns);
        if (rows > most) rows = most;
        obi_view to = { weight->blocks[block], weight->offset + inside * row_bytes, rows * row_bytes };
        void *space = NULL;
        OBI_TRY(obi_upload_reserve(upload, to, &space));
        rows_job job = { fill, user, space, row, weight->row_words };
        obi_workers *workers = to.size > BYTES_AT_ONCE ? obi_upload_workers(upload) : NULL;
        obi_workers_run(workers, fill_rows, &job, (uint32_t)rows, units_at_once(row_bytes));
        OBI_TRY(obi_upload_commit(upload));
        row += (uint32_t)rows;
    }
    return OBI_OK;
}

typedef struct copy_job {
    const obi_weight *weight;
    const uint8_t *words; /* of row `first` on */
    uint32_t first;
} copy_job;

static void copy_rows(void *user, uint32_t first, uint32_t count, uint32_t *words)
{
    const copy_job *job = user;
    size_t row_words = job->weight->row_words;
    const uint8_t *from = job->words + (size_t)(first - job->first) * row_words * 4;
    memcpy(words, from, (size_t)count * row_words * 4);
    if (job->weight->type != OBI_WEIGHT_SIGN || job->weight->columns % 32 == 0) return;
    for (size_t row = 1; row <= count; row++) words[row * row_words - 1] = word_at(from, row * row_words - 1) & last_mask(job->weight);
}

/* ---- tiles ------------------------------------------------------------------------------------------------------- */

typedef struct tiles_job {
    const uint8_t *words; /* of the first tile's first row */
    uint32_t *space;
    uint32_t rows, row_words, mask;
} tiles_job;

/* Word i of row r to i * OBI_TILE_ROWS + r, a cache line of each of some rows after the other: what is read stays at hand, and what is
 * written is whole lines in order. */
static void turn_block(uint32_t *to, const uint8_t *from, uint32_t rows, uint32_t words, size_t row_words)
{
    if (rows == BLOCK) /* known to the compiler */
        for (uint32_t i = 0; i < words; i++)
            for (uint32_t row = 0; row < BLOCK; row++) to[i * OBI_TILE_ROWS + row] = word_at(from, row * row_words + i);
    else
        for (uint32_t i = 0; i < words; i++)
            for (uint32_t row = 0; row < rows; row++) to[i * OBI_TILE_ROWS + row] = word_at(from, row * row_words + i);
}

static void turn_tile(const tiles_job *job, uint32_t *to, const uint8_t *from, uint32_t rows)
{
    size_t row_words = job->row_words;
    if (rows < OBI_TILE_ROWS) memset(to, 0, row_words * OBI_TILE_ROWS * 4);
    for (uint32_t i = 0; i < row_words; i += BLOCK) {
        uint32_t words = row_words - i < BLOCK ? (uint32_t)row_words - i : BLOCK;
        for (uint32_t row = 0; row < rows; row += BLOCK)
            turn_block(to + (size_t)i * OBI_TILE_ROWS + row, from + (row * row_words + i) * 4, rows - row < BLOCK ? rows - row : BLOCK,
                       words, row_words);
    }
    if (job->mask == UINT32_MAX) return;
    for (uint32_t row = 0; row < rows; row++)
        to[(row_words - 1) * OBI_TILE_ROWS + row] = word_at(from, (row + 1) * row_words - 1) & job->mask;
}

static void turn_tiles(void *user, uint32_t first, uint32_t count)
{
    const tiles_job *job = user;
    for (uint32_t tile = first; tile < first + count; tile++) {
        uint32_t row = tile * OBI_TILE_ROWS, rows = job->rows - row < OBI_TILE_ROWS ? job->rows - row : OBI_TILE_ROWS;
        turn_tile(job, job->space + (size_t)row * job->row_words, job->words + (size_t)row * job->row_words * 4, rows);
    }
}

static obi_status upload_tiles(obi_upload *upload, const obi_weight *weight, uint32_t first, uint32_t count, const uint8_t *words)
{
    uint64_t tile_bytes = (uint64_t)OBI_TILE_ROWS * weight->row_words * 4;
    for (uint32_t row = first, end = first + count; row < end;) {
        uint32_t block = row / weight->block_rows, inside = row % weight->block_rows;
        uint32_t in_block = weight->rows - row < weight->block_rows - inside ? weight->rows - row : weight->block_rows - inside;
        uint32_t rows = in_block < end - row ? in_block : end - row;
        if (inside % OBI_TILE_ROWS || (rows < in_block && rows % OBI_TILE_ROWS))
            return obi_fail(OBI_ERROR_ARGUMENT, "rows %u..%u of a weight in tiles are not whole tiles", first, end);
        uint64_t most = obi_upload_most(upload, weight->blocks[block]) / tile_bytes;
        if (most == 0) return obi_fail(OBI_ERROR_ARGUMENT, "a row of %u columns is too long for tiles", weight->columns);
        uint32_t tiles = (rows - 1) / OBI_TILE_ROWS + 1;
        if (tiles > most) {
            tiles = (uint32_t)most;
            rows = tiles * OBI_TILE_ROWS;
        }
        obi_view to = { weight->blocks[block], weight->offset + inside / OBI_TILE_ROWS * tile_bytes, tiles * tile_bytes };
        void *space = NULL;
        OBI_TRY(obi_upload_reserve(upload, to, &space));
        tiles_job job = { words, space, rows, weight->row_words, last_mask(weight) };
        obi_workers *workers = to.size > BYTES_AT_ONCE ? obi_upload_workers(upload) : NULL;
        obi_workers_run(workers, turn_tiles, &job, tiles, units_at_once(tile_bytes));
        OBI_TRY(obi_upload_commit(upload));
        words += (size_t)rows * weight->row_words * 4;
        row += rows;
    }
    return OBI_OK;
}

/* ---- both -------------------------------------------------------------------------------------------------------- */

obi_status obi_weight_upload(obi_upload *upload, const obi_weight *weight, uint32_t first, uint32_t count, const void *words)
{
    if (!fits(weight, first, count)) return refuse(weight, first, count);
    if (weight->type == OBI_WEIGHT_SIGN_TILES) return upload_tiles(upload, weight, first, count, words);
    copy_job job = { weight, words, first };
    return obi_weight_upload_filled(upload, weight, first, count, copy_rows, &job);
}

uint32_t obi_weight_upload_rows(const obi_weight *weight, uint64_t bytes)
{
    uint64_t unit = weight->type == OBI_WEIGHT_SIGN_TILES ? OBI_TILE_ROWS : 1;
    uint64_t units = bytes / ((uint64_t)weight->row_words * 4 * unit);
    uint64_t rows = (units ? units : 1) * unit;
    return rows < weight->rows ? (uint32_t)rows : weight->rows;
}
