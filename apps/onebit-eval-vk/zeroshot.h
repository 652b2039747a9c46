/* zeroshot: multiple-choice tasks by likelihood, as lm-evaluation-harness 0.3 scores them without examples. */
#ifndef ONEBIT_EVAL_ZEROSHOT_H
#define ONEBIT_EVAL_ZEROSHOT_H

#include "models.h"
#include "task.h"

/* Two choices are nearly tied when the better one is ahead by less, in nats: rounding may decide between them. */
#define EVAL_NEAR_TIE 0.01

typedef struct eval_zeroshot_desc {
    const char *folder;        /* of the task files */
    const char *tasks;         /* "piqa,boolq"; NULL: all six */
    size_t items;              /* of each task; 0: all */
    bool bos;                  /* in front of every context, where the model expects one */
    size_t context;            /* most tokens that the model sees; 0: its context */
    const char *log;           /* path of an item_log; NULL: none */
    const char *model_path;    /* of what is measured: a log is held against it */
} eval_zeroshot_desc;

typedef struct eval_zeroshot_task {
    const char *name, *title;
    bool normalised;           /* the paper reports acc_norm, else acc */
    size_t items, known;       /* known: taken from the log */
    size_t right, right_normalised, near_ties;
    double seconds;
} eval_zeroshot_task;

typedef struct eval_zeroshot {
    int count;                 /* tasks, in the paper's order */
    eval_zeroshot_task task[EVAL_TASKS];
    uint64_t fed, tokens;      /* what went through the model, and what would have without sharing beginnings */
    double seconds;
} eval_zeroshot;

/* Shares from 0 to 1, and their standard errors sqrt(p (1 - p) / (n - 1)). */
double eval_zeroshot_share(const eval_zeroshot_task *task, bool normalised);
double eval_zeroshot_error(const eval_zeroshot_task *task, bool normalised);
/* The plain mean over the tasks of what the paper reports of each, and its standard error. */
double eval_zeroshot_average(const eval_zeroshot *result, double *error);

/* Returns 0 or the exit code, and has said why; 5 for bad task files and logs. Shows progress on stderr, prints nothing else. What was
 * done when it fails or is stopped is in the log. */
int eval_zeroshot_measure(eval_zeroshot *result, ob_model *model, const eval_session *session, const eval_zeroshot_desc *desc);

int eval_zeroshot_main(int argc, char **argv);

#endif
