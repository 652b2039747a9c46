/* score: how well a model predicts a corpus. */
#ifndef ONEBIT_EVAL_SCORE_H
#define ONEBIT_EVAL_SCORE_H

#include "corpus.h"

typedef struct eval_score {
    size_t predictions;
    double nll;           /* mean, nats per token */
    double nll_error;     /* its standard error */
    double perplexity;    /* e^nll */
    double ppl_error;
    uint64_t bytes;       /* of text that the predicted tokens stand for; control tokens have none */
    double bits_per_byte; /* total nll / ln 2 / bytes */
    double seconds;
} eval_score;

/* `session` has room for the longest window. OB_ERROR_CANCELLED after a signal. Shows progress on stderr. */
ob_status score_corpus(eval_score *score, ob_session *session, const ob_model *model, const eval_corpus *corpus);

#endif
