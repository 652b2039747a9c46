/* compare_result: what came out of a row with one seed, and the JSON file that keeps it. */
#ifndef ONEBIT_EVAL_COMPARE_RESULT_H
#define ONEBIT_EVAL_COMPARE_RESULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "task.h"

typedef enum compare_metric {
    METRIC_BITS,       /* strict, of a linear weight */
    METRIC_MODEL_BITS, /* 8 * tensor bytes / parameters */
    METRIC_BYTES,      /* of the tensors, by the method's own form: as that of the file, but linear layers at METRIC_BITS */
    METRIC_FILE_BYTES,
    METRIC_PPL, /* of the held-out text */
    METRIC_WIKITEXT2,
    METRIC_C4,
    METRIC_TASK, /* EVAL_TASKS of them, percent, by what the paper reports of each */
    METRIC_AVERAGE = METRIC_TASK + EVAL_TASKS,
    METRIC_BITS_PER_BYTE,
    METRIC_KL,      /* to the teacher, nats a token */
    METRIC_SAME,    /* likeliest tokens that are the teacher's, percent */
    METRIC_RATIO,   /* of the perplexities, to the teacher's */
    METRIC_LOSS,    /* of training, mean over the last tenth of its log */
    METRIC_RATE,    /* learning rate of training, as it was set */
    METRIC_SECONDS, /* of making and measuring, over all sessions but those that were killed or thrown away */
    METRICS
} compare_metric;
extern const char *const compare_metric_names[METRICS]; /* as in the JSON */

#define COMPARE_CURVE_MAX 400

typedef struct compare_result {
    bool failed;
    bool lasting;                       /* it would fail again: the cause is input or settings, not the machine */
    char reason[600];                   /* one sentence, valid UTF-8 */
    uint64_t roll_backs;                /* times that the training went back to a checkpoint, as it diverged */
    double metric[METRICS];             /* NaN: not measured */
    double curve[COMPARE_CURVE_MAX][2]; /* steps and losses of training, thinned */
    size_t curve_count;
} compare_result;

void compare_result_clear(compare_result *result);

/* Writes the file whole, with the name of row and seed in it. 0, or 1 and has said why. */
int compare_result_write(const compare_result *result, const char *path, const char *row, uint64_t seed);
/* False where there is no such file or it is not one of ours. */
bool compare_result_read(compare_result *result, const char *path);

/* The curve, the last loss and the roll-backs of a run's log.jsonl; what cannot be read is left out. */
void compare_result_read_log(compare_result *result, const char *path);

#endif
