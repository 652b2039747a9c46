/* dataset: what is trained on, as blocks of `length` tokens. Immutable after opening.
 *
 * A text's documents are cut at the separator, stripped, tokenised as bos + ids + eos, joined in order and cut into blocks;
 * the remainder is dropped (OneBit's packing). Of instruction data each example is a block of its own. */
#ifndef OBI_QUANT_TRAIN_DATASET_H
#define OBI_QUANT_TRAIN_DATASET_H

#include "model/tokenizer.h"

typedef struct obi_dataset {
    uint32_t *ids;        /* blocks * length */
    uint32_t *targets;    /* blocks * length: what each token shall be followed by, or OBI_NO_TARGET; NULL: the next id, and
                             none behind a block's last */
    uint64_t blocks;
    uint32_t length;
    uint64_t documents;   /* or examples, those left out not counted */
    uint64_t cut, left_out; /* examples longer than a block, and those of them that had no answer in the part that fits */
    uint64_t bytes;       /* of the text */
} obi_dataset;

/* OBI_ERROR_DATA when the file is missing or gives not even one block. Close with obi_dataset_close. */
obi_status obi_dataset_open(obi_dataset *dataset, const char *path, const obi_tokenizer *tokenizer, const char *separator, uint32_t length);

/* Instruction data (quant/import/examples.h). A block is bos + prompt + answer + eos, filled up with eos; only the answer and
 * its eos are targets. alpaca: the prompt has LLaMA-Factory's template of that name around instruction and input; otherwise
 * they stand alone, each with a line end. OBI_ERROR_DATA when the file is wrong or no example is left. */
obi_status obi_dataset_open_instructions(obi_dataset *dataset, const char *path, const obi_tokenizer *tokenizer, bool alpaca,
                                         uint32_t length);

void obi_dataset_close(obi_dataset *dataset); /* also fine on a zeroed struct */

/* The block that comes as number `position` (0, 1, 2, ... without end) in an order that depends on the seed alone: each
 * epoch is a permutation of all blocks. No state, so that a resumed run goes on with the same data. */
const uint32_t *obi_dataset_block(const obi_dataset *dataset, uint64_t seed, uint64_t position);

/* The targets of that block, or NULL. */
static inline const uint32_t *obi_dataset_targets(const obi_dataset *dataset, const uint32_t *block)
{
    return dataset->targets ? dataset->targets + (block - dataset->ids) : NULL;
}

/* How many tokens of a block are trained. */
uint64_t obi_dataset_trained(const obi_dataset *dataset, const uint32_t *block);

#endif
