/* report: a score, and with a teacher the agreement, for a person or as JSON on stdout. */
#ifndef ONEBIT_EVAL_REPORT_H
#define ONEBIT_EVAL_REPORT_H

#include <stdbool.h>

#include "score.h"

/* What the result is about. */
typedef struct eval_subject {
    const char *model_path, *teacher_path, *text_path; /* teacher_path: NULL when there is none */
    ob_model_info model, teacher;
    ob_device_info device;
    bool documents; /* the corpus is made of them, not of windows of one text */
    size_t text_bytes, window;
    const eval_corpus *corpus;
} eval_subject;

/* `agreement` is NULL where there is no teacher. */
void report_print(const eval_subject *subject, const eval_score *score, const eval_agreement *agreement, bool json);

#endif
