/* checkpoint: everything a run needs to go on as if it had never stopped, in OUTPUT/checkpoint-N/.
 *
 * A checkpoint is written into OUTPUT/checkpoint-N.partial, synced and renamed, so that a directory checkpoint-N is always
 * whole; `sum.txt` holds the checksum of its one data file, and a checkpoint whose data do not match is passed over. */
#ifndef OBI_QUANT_TRAIN_CHECKPOINT_H
#define OBI_QUANT_TRAIN_CHECKPOINT_H

#include "quant/train/trainer.h"

/* Writes checkpoint-<trainer->step>, points `latest` at it and removes the oldest beyond `keep`. On failure nothing but the partial
 * directory, which the next save replaces, is left and older checkpoints are untouched. */
obi_status obi_checkpoint_save(const obi_trainer *trainer, const char *output_dir, uint32_t keep);

/* Loads the newest good checkpoint into the trainer (parameters, optimiser state, step). *found false: there is none.
 * One of another model or run (other tensors, data seed or batch size) is OBI_ERROR_DATA. */
obi_status obi_checkpoint_load_newest(obi_trainer *trainer, const char *output_dir, bool *found);

/* How many checkpoints, good or damaged, the directory holds. */
obi_status obi_checkpoint_count(const char *output_dir, size_t *count);
/* Removes all of them. */
obi_status obi_checkpoint_remove_all(const char *output_dir);

#endif
