/* agree: how close a student is to its teacher on a text. */
#ifndef ONEBIT_EVAL_AGREE_H
#define ONEBIT_EVAL_AGREE_H

#include "score.h"
#include "text.h"

typedef struct eval_agree {
    eval_cut text;
    eval_score score; /* the student's */
    eval_agreement agreement;
} eval_agree;

/* Scores every window of the text by both. The names are their paths, for messages and the log. Returns 0 or the exit code, and has said
 * why: 2 when the vocabularies differ, 1 also when the numbers are not finite, which are then in *result. Shows progress on stderr, prints nothing else. */
int eval_agree_measure(eval_agree *result, ob_model *student, const char *student_name, ob_model *teacher, const char *teacher_name,
                       const eval_session *session, const eval_text *text);

int eval_agree_main(int argc, char **argv);

#endif
