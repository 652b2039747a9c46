#include "ops/tensor.h"

#include <string.h>

#include "core/alloc.h"
#include "core/checked.h"

#define BLOCK_BYTES_DEFAULT (128u << 20)

uint32_t obi_weight_row_words(obi_weight_type type, uint32_t columns)
{
    switch (type) {
    case OBI_WEIGHT_F16: return columns / 2 + (columns & 1);
    case OBI_WEIGHT_SIGN:
    case OBI_WEIGHT_SIGN_TILES: return columns / 32 + (columns % 32 != 0);
    case OBI_WEIGHT_I8: return columns / 4 + (columns % 4 != 0) + 1;
    default: return columns;
    }
}

obi_status obi_weight_shape(const obi_device *device, obi_weight_type type, uint32_t rows, uint32_t columns, uint64_t block_bytes_max,
                            obi_weight *out)
{
    memset(out, 0, sizeof *out);
    if (rows == 0 || columns == 0) return obi_fail(OBI_ERROR_ARGUMENT, "a weight of %u x %u elements cannot be", rows, columns);
    out->type = type;
    out->rows = rows;
    out->columns = columns;
    out->row_words = obi_weight_row_words(type, columns);
    uint64_t row_bytes = (uint64_t)out->row_words * 4;
    uint64_t limit = block_bytes_max ? block_bytes_max : BLOCK_BYTES_DEFAULT;
    if (limit > device->caps.storage_range) limit = device->caps.storage_range;
    if (row_bytes > limit)
        return obi_fail(OBI_ERROR_ARGUMENT, "one row of %u columns is larger than the %llu bytes this device can bind", columns,
                        (unsigned long long)limit);
    uint64_t block_rows = limit / row_bytes;
    if (type == OBI_WEIGHT_SIGN_TILES && block_rows > OBI_TILE_ROWS) block_rows -= block_rows % OBI_TILE_ROWS;
    out->block_rows = block_rows < rows ? (uint32_t)block_rows : rows;
    out->block_count = (uint32_t)obi_div_ceil(rows, out->block_rows);
    return OBI_OK;
}

/* Of `rows` rows in a block. */
static uint64_t stored_bytes(const obi_weight *weight, uint32_t rows)
{
    return (weight->type == OBI_WEIGHT_SIGN_TILES ? obi_align_up(rows, OBI_TILE_ROWS) : rows) * weight->row_words * 4;
}

obi_status obi_weight_create(obi_device *device, obi_weight_type type, uint32_t rows, uint32_t columns, uint64_t block_bytes_max,
                             obi_weight *out)
{
    OBI_TRY(obi_weight_shape(device, type, rows, columns, block_bytes_max, out));
    out->blocks = obi_calloc(out->block_count, sizeof *out->blocks);
    if (!out->blocks) return OBI_ERROR_MEMORY;
    for (uint32_t i = 0; i < out->block_count; i++) {
        uint32_t first = i * out->block_rows;
        uint32_t count = rows - first < out->block_rows ? rows - first : out->block_rows;
        obi_status status = obi_buffer_create(device, stored_bytes(out, count), OBI_MEMORY_DEVICE, &out->blocks[i]);
        if (status != OBI_OK) {
            obi_weight_destroy(device, out);
            return status;
        }
    }
    return OBI_OK;
}

bool obi_weight_import(obi_device *device, obi_weight_type type, uint32_t rows, uint32_t columns, const obi_mapping *mapping,
                       uint64_t offset, obi_weight *out)
{
    if (type == OBI_WEIGHT_SIGN_TILES || obi_weight_shape(device, type, rows, columns, 0, out) != OBI_OK) {
        memset(out, 0, sizeof *out);
        return false;
    }
    bool made = (out->blocks = obi_calloc(out->block_count, sizeof *out->blocks)) != NULL;
    for (uint32_t i = 0; made && i < out->block_count; i++) {
        uint32_t first = i * out->block_rows, count = rows - first < out->block_rows ? rows - first : out->block_rows;
        made = obi_buffer_import(device, mapping, offset + stored_bytes(out, first), stored_bytes(out, count), &out->blocks[i]);
    }
    if (!made) obi_weight_destroy(device, out);
    return made;
}

obi_status obi_weight_create_group(obi_device *device, obi_weight_type type, const uint32_t *rows, uint32_t count, uint32_t columns,
                                   obi_weight *out)
{
    uint64_t bytes = 0, limit = BLOCK_BYTES_DEFAULT < device->caps.storage_range ? BLOCK_BYTES_DEFAULT : device->caps.storage_range;
    obi_status status = OBI_OK;
    memset(out, 0, count * sizeof *out);
    for (uint32_t i = 0; i < count; i++) {
        OBI_TRY(obi_weight_shape(device, type, rows[i], columns, 0, &out[i]));
        out[i].offset = bytes;
        out[i].bytes = stored_bytes(&out[i], rows[i]); /* below 2^53: 2^32 rows of at most 2^19 words */
        bytes = obi_align_up(bytes + out[i].bytes, OBI_BUFFER_ALIGNMENT);
    }
    bool together = bytes <= limit; /* then each has one block */
    for (uint32_t i = 0; i < count && status == OBI_OK; i++) {
        if (!together) {
            status = obi_weight_create(device, type, rows[i], columns, 0, &out[i]);
            continue;
        }
        out[i].blocks = obi_calloc(1, sizeof *out[i].blocks);
        if (!out[i].blocks) status = OBI_ERROR_MEMORY;
        else if (i == 0) status = obi_buffer_create(device, bytes, OBI_MEMORY_DEVICE, &out[0].blocks[0]);
        else out[i].blocks[0] = out[0].blocks[0];
    }
    for (uint32_t i = 0; status != OBI_OK && i < count; i++) obi_weight_destroy(device, &out[i]);
    return status;
}

void obi_weight_destroy(obi_device *device, obi_weight *weight)
{
    for (uint32_t i = 0; weight->blocks && weight->offset == 0 && i < weight->block_count; i++)
        obi_buffer_destroy(device, weight->blocks[i]);
    obi_free(weight->blocks);
    memset(weight, 0, sizeof *weight);
}

obi_view obi_weight_block(const obi_weight *weight, uint32_t i, uint32_t *first_row, uint32_t *row_count)
{
    *first_row = i * weight->block_rows;
    uint32_t left = weight->rows - *first_row;
    *row_count = left < weight->block_rows ? left : weight->block_rows;
    obi_view view = obi_view_of(weight->blocks[i]);
    if (weight->bytes == 0) return view;
    view.offset = weight->offset;
    view.size = weight->bytes;
    return view;
}

void obi_fold_groups(const obi_device *device, uint64_t count, uint32_t groups[3])
{
    uint64_t limit = device->caps.workgroup_count[0];
    groups[0] = (uint32_t)(count < limit ? count : limit);
    groups[1] = (uint32_t)(groups[0] ? obi_div_ceil(count, groups[0]) : 0);
    groups[2] = 1;
}

uint32_t obi_workgroup_size(const obi_device *device) { return device->caps.workgroup_size < 64 ? device->caps.workgroup_size : 64; }
