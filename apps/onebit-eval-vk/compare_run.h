/* compare_run: makes the model of a row with a seed and measures it. */
#ifndef ONEBIT_EVAL_COMPARE_RUN_H
#define ONEBIT_EVAL_COMPARE_RUN_H

#include "compare_result.h"
#include "compare_settings.h"
#include "models.h"
#include "text.h"

/* What all rows share. */
typedef struct compare_bench {
    const compare_config *config;
    ob_context *context;
    ob_device_info device;
    ob_model *teacher;
    char teacher_path[1100]; /* the model as a GGUF file: its own, or made in output_dir */
    eval_session session;
    eval_text text, wikitext2, c4;  /* bytes NULL: not asked for */
    size_t window, protocol_window; /* tokens of a window of `text`, and of the other two, by the teacher's context */
    char *calibration;
    size_t calibration_bytes;
} compare_bench;

/* Reads the texts, opens the device, makes the teacher's GGUF file where the model is none, loads it. Returns APP_GO_ON or the exit code,
 * and has said why; compare_bench_close must follow in either case, and gives the code to exit with. */
int compare_bench_open(compare_bench *bench, const compare_config *config, const eval_options *options);
int compare_bench_close(compare_bench *bench, int code);

/* Called while a row is made: a line for a person, and the share that is done, from 0 to 1. */
typedef void (*compare_run_progress)(const char *line, double share, void *user);

/* Makes `directory`/model.gguf, unless it is there whole from before, and measures it. What fails is in *result. Returns 0, or the exit
 * code that ends the whole comparison: 128 + a signal (what was done is kept: the same call goes on), 6 for a device that is lost. */
int compare_run(compare_result *result, compare_bench *bench, const compare_row *row, uint64_t seed, const char *directory,
                compare_run_progress progress, void *user);

#endif
