/* record: what a run leaves for people and other programs to follow it by: log.jsonl, TensorBoard's event file, and the
 * curve loss.svg, which is drawn from the log. One thread. */
#ifndef OBI_QUANT_TRAIN_RECORD_H
#define OBI_QUANT_TRAIN_RECORD_H

#include "quant/train/trainer.h"

typedef struct obi_record obi_record;

/* Opens them in a directory in which `step` steps are done: what an earlier process logged of later steps is taken out. */
obi_status obi_record_open(const char *directory, uint64_t step, obi_record **out);
void obi_record_close(obi_record *record); /* NULL is allowed, as for everything below */

/* A line about the step just done. `seconds` is what it took, device_bytes what the device's memory holds. What cannot be
 * written is said once as a warning: training goes on without it. */
void obi_record_step(obi_record *record, uint64_t step, const obi_step_report *report, double learning_rate, double seconds,
                     uint64_t device_bytes);
void obi_record_evaluation(obi_record *record, uint64_t step, double loss, double kl, bool best);

/* A line that the run has lost its way: it goes back to the parameters of step `back`, or with UINT64_MAX ends here. */
void obi_record_divergence(obi_record *record, uint64_t step, uint64_t back);

/* Draws the curve of all that is in the log. */
void obi_record_draw(obi_record *record);

/* Removes log, events and curve of an earlier run. */
obi_status obi_record_remove(const char *directory);

#endif
