/* zeroshot_report: the table of the tasks, for a person or as JSON on stdout. */
#ifndef ONEBIT_EVAL_ZEROSHOT_REPORT_H
#define ONEBIT_EVAL_ZEROSHOT_REPORT_H

#include "report.h"
#include "zeroshot.h"

void report_zeroshot(const eval_models *models, const char *path, const eval_zeroshot *result, bool json);

#endif
