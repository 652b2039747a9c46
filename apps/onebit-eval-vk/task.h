/* task: the six zero-shot tasks of the paper, read from their original files. An item is some choices, each a context and a continuation
 * whose probability is asked for; the texts are those of lm-evaluation-harness 0.3. */
#ifndef ONEBIT_EVAL_TASK_H
#define ONEBIT_EVAL_TASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EVAL_TASKS 6
#define EVAL_CHOICES_MAX 8

typedef struct eval_choice {
    char *context, *continuation;
    size_t characters; /* of the choice as it stands in the file; acc_norm divides by it */
} eval_choice;

typedef struct eval_item {
    char *id;     /* the file's, or "LINE" where it has none */
    size_t line;  /* of the file, from 1 */
    uint32_t choice_count, gold;
    eval_choice choice[EVAL_CHOICES_MAX];
} eval_item;

typedef struct eval_task {
    const char *name;    /* "piqa": as --tasks has it */
    const char *title;   /* "PIQA": as tables have it */
    bool normalised;     /* the paper reports acc_norm */
    char path[1024];     /* the file that was read */
    eval_item *items;
    size_t count, room;
} eval_task;

/* The names in the paper's order, and whether the paper reports acc_norm: index < EVAL_TASKS. */
const char *eval_task_name(int index);
/* The file names that are looked for, "a or b". */
const char *eval_task_files(int index);
/* -1 if there is no such task. */
int eval_task_find(const char *name, size_t length);

/* Finds the file of task `index` in `folder` and reads it, at most `most` items of it (0: all; the lines behind them are checked all the
 * same). Every line must be an item with all fields of the task, none that the task does not have, and a label that is one of its choices;
 * PIQA has its labels in a file of their own, one a line. Returns APP_GO_ON or the exit code, and has said why, with file and line: 5 for
 * bad files. eval_task_free must follow in either case. */
int eval_task_load(eval_task *task, int index, const char *folder, size_t most);
void eval_task_free(eval_task *task);

#endif
