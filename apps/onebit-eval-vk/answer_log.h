/* answer_log: the log of answers: an item_log with a line for each instruction and model. */
#ifndef ONEBIT_EVAL_ANSWER_LOG_H
#define ONEBIT_EVAL_ANSWER_LOG_H

#include "generate.h"
#include "item_log.h"

typedef struct answer_log {
    item_log items;
    const char *const *prompts; /* whole ones, of `count` instructions */
    size_t count;
    uint32_t models, most;      /* tokens of an answer */
    eval_answer *known;         /* models of the first prompt, of the second, ...; text NULL: not in the log */
    size_t known_count;
} answer_log;

/* Opens the file and reads what is known from an earlier run; path NULL: there is no log, and nothing is known. `settings` are those of
 * eval_settings with what else an answer depends on. Returns APP_GO_ON or the exit code, and has said why: as item_log_open, and 5 where
 * the answers are to other prompts. answer_log_close must follow in either case. */
int answer_log_open(answer_log *log, const char *path, const json_t *settings);
/* Notes an answer of the model to the prompt; nothing without a log. 0, or the exit code and has said why. */
int answer_log_add(answer_log *log, size_t prompt, uint32_t model, const char *name, const eval_answer *answer);
/* The answer that is known, or NULL. */
const eval_answer *answer_log_known(const answer_log *log, size_t prompt, uint32_t model);
void answer_log_close(answer_log *log);

#endif
