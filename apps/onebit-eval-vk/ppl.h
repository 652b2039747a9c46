/* ppl: how well a model predicts a text. */
#ifndef ONEBIT_EVAL_PPL_H
#define ONEBIT_EVAL_PPL_H

#include "score.h"
#include "text.h"

typedef struct eval_ppl {
    eval_cut text;
    eval_score score;
} eval_ppl;

/* Scores every window of the text. Returns 0 or the exit code, and has said why: 1 also when the numbers are not finite, which are then
 * in *result. Shows progress on stderr, prints nothing else. */
int eval_ppl_measure(eval_ppl *result, ob_model *model, const eval_session *session, const eval_text *text);

int eval_ppl_main(int argc, char **argv);

#endif
