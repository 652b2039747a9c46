/* dataset: a text as training sequences. Documents are cut at the separator, stripped, tokenised as bos + ids + eos, joined
 * in order and cut into blocks of `length` tokens; the remainder is dropped (OneBit's packing). Immutable after opening. */
#ifndef OBI_QUANT_TRAIN_DATASET_H
#define OBI_QUANT_TRAIN_DATASET_H

#include "model/tokenizer.h"

typedef struct obi_dataset {
    uint32_t *ids;        /* blocks * length */
    uint64_t blocks;
    uint32_t length;
    uint64_t documents;
    uint64_t bytes;       /* of the text */
} obi_dataset;

/* OBI_ERROR_DATA when the file is missing or gives not even one block. Close with obi_dataset_close. */
obi_status obi_dataset_open(obi_dataset *dataset, const char *path, const obi_tokenizer *tokenizer, const char *separator, uint32_t length);
void obi_dataset_close(obi_dataset *dataset); /* also fine on a zeroed struct */

/* The block that comes as number `position` (0, 1, 2, ... without end) in an order that depends on the seed alone: each
 * epoch is a permutation of all blocks. No state, so that a resumed run goes on with the same data. */
const uint32_t *obi_dataset_block(const obi_dataset *dataset, uint64_t seed, uint64_t position);

#endif
