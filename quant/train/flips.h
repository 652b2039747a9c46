/* flips: how many signs of a 1-bit model change: by one step, and since training began. One thread. */
#ifndef OBI_QUANT_TRAIN_FLIPS_H
#define OBI_QUANT_TRAIN_FLIPS_H

#include "quant/train/parameters.h"

typedef struct obi_flips {
    const obi_train_model *model; /* borrowed */
    uint32_t linears;
    uint64_t signs;             /* of all linears */
    obi_weight *before, *first; /* copies of each linear's packed signs */
    obi_buffer *totals, *totals_host;
} obi_flips;

/* Space for the copies; *out is NULL for a model without signs, which every function here takes. */
obi_status obi_flips_create(const obi_train_model *model, obi_flips **out);
void obi_flips_destroy(obi_flips *flips);
uint64_t obi_flips_bytes(const obi_flips *flips);

/* Records: the signs as they are become those that training began with. Call it behind the first obi_train_model_pack of
 * a model just made. What a model begins with follows from the options and files alone, so a resumed run, which makes its
 * model anew before it loads a checkpoint, has the same signs here, and no checkpoint needs to keep them. */
void obi_flips_begin(obi_flips *flips, obi_cmd *cmd);

/* Record around an update: keep before the signs are packed anew, count behind. */
void obi_flips_keep(obi_flips *flips, obi_cmd *cmd);
void obi_flips_count(obi_flips *flips, obi_cmd *cmd);

/* Once that has run: signs that differ from the kept ones, and from the first ones. */
obi_status obi_flips_read(const obi_flips *flips, uint64_t *flipped, uint64_t *moved);

#endif
