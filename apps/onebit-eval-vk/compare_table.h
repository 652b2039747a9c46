/* compare_table: all rows of a comparison as one table, in the paper's layout, as Markdown, HTML or JSON. */
#ifndef ONEBIT_EVAL_COMPARE_TABLE_H
#define ONEBIT_EVAL_COMPARE_TABLE_H

#include <stdio.h>

#include "compare_result.h"
#include "compare_settings.h"

typedef struct compare_outcome {
    const compare_config *config;
    ob_device_info device;
    size_t window, protocol_window; /* tokens of a window of the held-out text, and of WikiText-2 and C4, by the model's context */
    compare_result *results[256];   /* of row i: one for each of its seeds; NULL: not reached */
} compare_outcome;

typedef struct compare_mean {
    double mean, deviation; /* deviation: of a sample; 0 of one value. NaN: no seed has it */
    size_t count;
} compare_mean;
compare_mean compare_mean_of(const compare_outcome *outcome, size_t row, compare_metric metric);

/* Seeds of a row that failed, and the reason of the first of them (NULL: none did). */
size_t compare_failures(const compare_outcome *outcome, size_t row, const char **reason);

/* The rows that are shown; a row whose seeds all failed says so in the place of its numbers, one of whose seeds some failed in a line
 * below, as does a training that went back to a checkpoint. Columns that nothing was asked of are left out. */
void compare_table_markdown(FILE *file, const compare_outcome *outcome);
void compare_table_html(FILE *file, const compare_outcome *outcome);
/* The rows made for figures only, one line each, with such lines below; nothing where there are none. */
void compare_table_runs(FILE *file, const compare_outcome *outcome, bool html);
void compare_table_json(const compare_outcome *outcome); /* on stdout: every row with every seed */

#endif
