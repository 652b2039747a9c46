/* tensor: the shapes of this program, and a weight matrix on the device.
 *
 * Shape letters, used at every declaration:
 *   B batch   T tokens   D model width   H heads   K key/value heads   C head size   F ffn width   V vocabulary   L layers
 *   m rows (outputs) and n columns (inputs) of a matrix
 * The paper's letters: W a weight, S = sign(W), g the input scale (n), h the output scale (m).
 * Activations are f32, row-major, rows without padding: (T,D) has element [t*D + d]. */
#ifndef OBI_OPS_TENSOR_H
#define OBI_OPS_TENSOR_H

#include "gpu/cmd.h"
#include "gpu/upload.h"

typedef enum obi_weight_type {
    OBI_WEIGHT_F32 = 0,  /* one float a column */
    OBI_WEIGHT_F16 = 1,  /* two halves a word, column 2i in the low half; an odd last column is padded with 0 */
    OBI_WEIGHT_SIGN = 2, /* 32 signs a word, column 32i+k in bit k, bit 1 = -1; pad bits 0 */
    OBI_WEIGHT_I8 = 4,   /* four signed bytes a word, column 4i+b in byte b; pad bytes 0; and behind them a word: the row's scale, f32 */
    OBI_WEIGHT_SIGN_TILES = 3 /* the same words in tiles of OBI_TILE_ROWS rows: tile by tile the first word of each row, then the
                               * second of each, ...; a block's last tile is filled up with zeros. Only for products forward. */
} obi_weight_type;

#define OBI_TILE_ROWS 128u

/* A matrix (m,n), row-major or in tiles, cut into row blocks that each fit one binding. Block i holds rows
 * [i*block_rows, min(m, (i+1)*block_rows)). Immutable after upload: any number of threads may use it. */
typedef struct obi_weight {
    obi_weight_type type;
    uint32_t rows, columns;   /* m, n */
    uint32_t row_words;       /* 32-bit words of a row: n, ceil(n/2), ceil(n/32) or ceil(n/4) + 1 */
    uint32_t block_rows;
    uint32_t block_count;
    obi_buffer **blocks;
    uint64_t offset, bytes;   /* of a weight of a group: its part of blocks[0], the group's, which the first of them owns; else 0 */
    uint32_t family;          /* obi_sign_family: the kernels for few tokens, where several read this layout; 0: the plain ones */
} obi_weight;

uint32_t obi_weight_row_words(obi_weight_type type, uint32_t columns);

/* Signs, in either layout. */
static inline bool obi_weight_is_signs(obi_weight_type type) { return type == OBI_WEIGHT_SIGN || type == OBI_WEIGHT_SIGN_TILES; }

/* The shape that obi_weight_create would give, without the blocks: `blocks` is NULL. For planning. */
obi_status obi_weight_shape(const obi_device *device, obi_weight_type type, uint32_t rows, uint32_t columns, uint64_t block_bytes_max,
                            obi_weight *out);

/* Makes the blocks, contents undefined. Block sizes respect maxStorageBufferRange, the arena size, and
 * `block_bytes_max` unless that is 0 (tests use it to force many blocks). */
obi_status obi_weight_create(obi_device *device, obi_weight_type type, uint32_t rows, uint32_t columns,
                             uint64_t block_bytes_max, obi_weight *out);
/* The same over the rows of a mapped file, which begin at `offset` and lie as the type has them: no copy (obi_buffer_import, which says
 * where that works; false, and *out is empty, where it does not). Not of a type in tiles, and never to be uploaded to. */
bool obi_weight_import(obi_device *device, obi_weight_type type, uint32_t rows, uint32_t columns, const obi_mapping *mapping,
                       uint64_t offset, obi_weight *out);
/* Makes `count` weights of one type and as many columns. Where all fit one block, they lie in one buffer, one behind the other
 * with the least padding that a binding allows (none between tiles), so that one dispatch may read them all; else each has
 * blocks of its own. To be destroyed one by one, after their last use. */
obi_status obi_weight_create_group(obi_device *device, obi_weight_type type, const uint32_t *rows, uint32_t count, uint32_t columns,
                                   obi_weight *out);
void obi_weight_destroy(obi_device *device, obi_weight *weight); /* also fine on a zeroed struct */

/* Uploads rows [first, first+count) from `words` (count * row_words, row after row in this type's words, at any address). Cut to what
 * the upload takes at once and across blocks by itself, and done by the upload's threads. Pad bits behind the last column of signs
 * become 0. Any range, any number of rows; but of a type in tiles whole tiles: `first` is a tile's first row, and the last row that
 * of a tile or of the matrix. */
obi_status obi_weight_upload(obi_upload *upload, const obi_weight *weight, uint32_t first, uint32_t count, const void *words);

/* The same where rows are made as they are needed: `fill` writes rows [first, first + count) to `words`, and does not read there;
 * several threads call it at once, for different rows. Not of a type in tiles. */
typedef void (*obi_weight_fill)(void *user, uint32_t first, uint32_t count, uint32_t *words);
obi_status obi_weight_upload_filled(obi_upload *upload, const obi_weight *weight, uint32_t first, uint32_t count, obi_weight_fill fill,
                                    void *user);

/* How many rows one upload has when it should be about `bytes` large: at least one, and whole tiles of a type in tiles. */
uint32_t obi_weight_upload_rows(const obi_weight *weight, uint64_t bytes);

/* The part of block `i` as a view, and its first row and row count. */
obi_view obi_weight_block(const obi_weight *weight, uint32_t i, uint32_t *first_row, uint32_t *row_count);

/* Rows [first, first + rows) of an f32 buffer of `width` columns; first * width is a multiple of 64 where it is bound. */
static inline obi_view obi_view_rows(const obi_buffer *buffer, uint64_t first, uint64_t rows, uint64_t width)
{
    obi_view view = { buffer, first * width * 4, rows * width * 4 };
    return view;
}

/* From where the first of two views of a buffer begins to where the last ends. */
static inline obi_view obi_view_span(obi_view first, obi_view last)
{
    first.size = last.offset + last.size - first.offset;
    return first;
}

/* (groups_x, groups_y) covering `count` workgroups when a device allows 65535 an axis; the kernel computes
 * index = y * groups_x + x and returns when index >= count. */
void obi_fold_groups(const obi_device *device, uint64_t count, uint32_t groups[3]);

/* The workgroup size kernels use unless they have a reason: 64, or what the device allows if less. */
uint32_t obi_workgroup_size(const obi_device *device);

#endif
