#include "quant/train/flips.h"

#include "core/alloc.h"
#include "core/checked.h"
#include "ops/op_optim.h"

/* The kernel counts in 32 bits, so each linear has totals of its own, each where it can be bound: row 2 i is what
 * linear i's step flipped, row 2 i + 1 what has moved since the first step. */
#define TOTAL_STRIDE (OBI_BUFFER_ALIGNMENT / 4u) /* words */

static const obi_weight *signs_of(const obi_flips *flips, uint32_t i)
{
    return &flips->model->layers[i / OBI_LINEAR_COUNT].linear[i % OBI_LINEAR_COUNT].signs;
}

static obi_view total_of(const obi_flips *flips, uint32_t i, bool moved)
{
    obi_view view = obi_view_rows(flips->totals, 2ull * i + moved, 1, TOTAL_STRIDE);
    view.size = 4;
    return view;
}

static obi_status make_copies(obi_flips *flips)
{
    obi_device *device = flips->model->device;
    uint64_t words = 2ull * flips->linears * TOTAL_STRIDE;
    for (uint32_t i = 0; i < flips->linears; i++) {
        const obi_weight *signs = signs_of(flips, i);
        if (signs->rows == 0) continue; /* a linear that the family does not have */
        uint64_t block_bytes = (uint64_t)signs->block_rows * signs->row_words * 4; /* cut as the signs are */
        flips->signs += (uint64_t)signs->rows * signs->columns;
        OBI_TRY(obi_weight_create(device, OBI_WEIGHT_SIGN, signs->rows, signs->columns, block_bytes, &flips->before[i]));
        OBI_TRY(obi_weight_create(device, OBI_WEIGHT_SIGN, signs->rows, signs->columns, block_bytes, &flips->first[i]));
    }
    OBI_TRY(obi_buffer_create(device, words * 4, OBI_MEMORY_DEVICE, &flips->totals));
    return obi_buffer_create(device, words * 4, OBI_MEMORY_READBACK, &flips->totals_host);
}

obi_status obi_flips_create(const obi_train_model *model, obi_flips **out)
{
    *out = NULL;
    if (!model->config.onebit) return OBI_OK;
    obi_flips *flips = obi_calloc(1, sizeof *flips);
    if (!flips) return OBI_ERROR_MEMORY;
    flips->model = model;
    flips->linears = model->config.layers * OBI_LINEAR_COUNT;
    flips->before = obi_calloc(flips->linears, sizeof *flips->before);
    flips->first = obi_calloc(flips->linears, sizeof *flips->first);
    obi_status status = flips->before && flips->first ? make_copies(flips) : OBI_ERROR_MEMORY;
    if (status != OBI_OK) obi_flips_destroy(flips);
    else *out = flips;
    return status;
}

void obi_flips_destroy(obi_flips *flips)
{
    if (!flips) return;
    obi_device *device = flips->model->device;
    for (uint32_t i = 0; flips->before && i < flips->linears; i++) obi_weight_destroy(device, &flips->before[i]);
    for (uint32_t i = 0; flips->first && i < flips->linears; i++) obi_weight_destroy(device, &flips->first[i]);
    obi_buffer_destroy(device, flips->totals);
    obi_buffer_destroy(device, flips->totals_host);
    obi_free(flips->before);
    obi_free(flips->first);
    obi_free(flips);
}

uint64_t obi_flips_bytes(const obi_flips *flips)
{
    if (!flips) return 0;
    uint64_t bytes = 4ull * flips->linears * TOTAL_STRIDE * 4;
    for (uint32_t i = 0; i < flips->linears; i++) bytes += 2ull * flips->before[i].rows * flips->before[i].row_words * 4;
    return bytes;
}

static void copy_signs(const obi_flips *flips, obi_cmd *cmd, const obi_weight *to)
{
    for (uint32_t i = 0; i < flips->linears; i++)
        for (uint32_t block = 0; block < to[i].block_count; block++)
            obi_cmd_copy(cmd, obi_view_of(to[i].blocks[block]), obi_view_of(signs_of(flips, i)->blocks[block]));
}

void obi_flips_begin(obi_flips *flips, obi_cmd *cmd)
{
    if (flips) copy_signs(flips, cmd, flips->first);
}

void obi_flips_keep(obi_flips *flips, obi_cmd *cmd)
{
    if (flips) copy_signs(flips, cmd, flips->before);
}

void obi_flips_count(obi_flips *flips, obi_cmd *cmd)
{
    if (!flips) return;
    obi_cmd_fill(cmd, obi_view_of(flips->totals), 0);
    for (uint32_t i = 0; i < flips->linears; i++) {
        const obi_weight *signs = signs_of(flips, i);
        for (uint32_t block = 0; block < signs->block_count; block++) {
            obi_view now = obi_view_of(signs->blocks[block]);
            obi_op_flip_count(cmd, total_of(flips, i, false), obi_view_of(flips->before[i].blocks[block]), now, now.size / 4);
            obi_op_flip_count(cmd, total_of(flips, i, true), obi_view_of(flips->first[i].blocks[block]), now, now.size / 4);
        }
    }
    obi_cmd_copy(cmd, obi_view_of(flips->totals_host), obi_view_of(flips->totals));
}

obi_status obi_flips_read(const obi_flips *flips, uint64_t *flipped, uint64_t *moved)
{
    *flipped = *moved = 0;
    if (!flips) return OBI_OK;
    OBI_TRY(obi_buffer_invalidate(flips->model->device, flips->totals_host, 0, flips->totals_host->size));
    const uint32_t *totals = flips->totals_host->mapped;
    for (uint32_t i = 0; i < flips->linears; i++) {
        *flipped += totals[2ull * i * TOTAL_STRIDE];
        *moved += totals[(2ull * i + 1) * TOTAL_STRIDE];
    }
    return OBI_OK;
}
