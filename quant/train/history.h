/* history: a run's log.jsonl read back: for the curve that is drawn of it, and cut to where a resumed run goes on, so that
 * each step stands in it once. A line that a kill tore off is passed over. */
#ifndef OBI_QUANT_TRAIN_HISTORY_H
#define OBI_QUANT_TRAIN_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

typedef struct obi_history_point {
    uint64_t step;
    double loss, kl; /* of a step: what was minimised; of an evaluation: the next-token loss. NaN: not given */
} obi_history_point;

typedef struct obi_history {
    obi_history_point *steps, *evaluations;
    size_t step_count, evaluation_count;
    size_t step_room, evaluation_room;
} obi_history;

/* Reads the log at `path`; a missing one is an empty history. Release with obi_history_clear. */
obi_status obi_history_read(obi_history *history, const char *path);
void obi_history_clear(obi_history *history); /* also fine on a zeroed struct */

/* Takes the lines beyond `step`, and torn ones, out of the log. A missing log stays missing. */
obi_status obi_history_cut(const char *path, uint64_t step);

#endif
