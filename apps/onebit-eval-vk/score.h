/* score: how well a model predicts a corpus, and how close it is to another one there. */
#ifndef ONEBIT_EVAL_SCORE_H
#define ONEBIT_EVAL_SCORE_H

#include "corpus.h"
#include "item_log.h"

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

typedef struct eval_agreement {
    eval_score teacher;
    double kl, kl_error; /* KL(teacher || student): mean, nats per token, and its standard error */
    size_t same;         /* predictions at which both have the same likeliest token */
} eval_agreement;

/* A log of windows, for a run that may be stopped: its settings are these and what the score itself knows of the corpus. */
typedef struct eval_score_log {
    const char *path;    /* NULL: none */
    json_t *settings;    /* the models, how they run; an object of the caller's, to which more is added */
} eval_score_log;

/* `session` has room for the longest window, and so has `teacher`. With `agreement` NULL there is no teacher. `model` is the
 * session's, whose tokens are counted in bytes. Windows that the log has are not scored again. Returns 0 or the exit code, and has said
 * why. Shows progress on stderr. */
int score_corpus(eval_score *score, eval_agreement *agreement, ob_session *session, ob_session *teacher, const ob_model *model,
                 const eval_corpus *corpus, const eval_score_log *log);

#endif
