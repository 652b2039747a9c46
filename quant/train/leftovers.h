/* leftovers: what a run that was killed left in its directory: files under temporary names and unfinished checkpoints. */
#ifndef OBI_QUANT_TRAIN_LEFTOVERS_H
#define OBI_QUANT_TRAIN_LEFTOVERS_H

#include "core/status.h"

/* Removes NAME.tmp-PID-SERIAL (core/file.h) and checkpoint-N.partial. The caller holds the directory's lock, so that no living
 * process writes there. What cannot be removed stays. */
void obi_leftovers_remove(const char *output_dir);

#endif
