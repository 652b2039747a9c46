/* report: what was measured on a text, for a person or as JSON on stdout. */
#ifndef ONEBIT_EVAL_REPORT_H
#define ONEBIT_EVAL_REPORT_H

#include <stdbool.h>

#include "agree.h"
#include "common/json.h"
#include "models.h"
#include "ppl.h"

/* models->model[0] is what was measured, found at `path`; of agree model[1] is the teacher, at paths[1]. */
void report_ppl(const eval_models *models, const char *path, const eval_ppl *result, bool json);
void report_agree(const eval_models *models, const char *const paths[2], const eval_agree *result, bool json);

/* What every report begins with: the line of one model, named `what`; the keys of the program, the first model and the device. */
void report_model_line(const char *what, const char *path, const ob_model_info *model, const ob_device_info *device);
void report_model_keys(app_json *json, const char *path, const eval_models *models);

/* Says that the numbers are not finite; returns 1. */
int eval_refuse_not_finite(void);

#endif
