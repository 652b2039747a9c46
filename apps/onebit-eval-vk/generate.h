/* generate: what models answer to instructions, side by side: with and without tuning. */
#ifndef ONEBIT_EVAL_GENERATE_H
#define ONEBIT_EVAL_GENERATE_H

#include "models.h"

typedef enum eval_template {
    EVAL_TEMPLATE_ALPACA = 0, /* the text around an instruction that onebit-train-vk's template alpaca puts there */
    EVAL_TEMPLATE_PLAIN = 1   /* instruction and input, a line each, as its template plain */
} eval_template;

typedef struct eval_instruction { char *instruction, *input; } eval_instruction; /* input: "" where there is none */
typedef struct eval_instructions {
    eval_instruction *list;
    size_t count, room;
} eval_instructions;

/* JSON lines with "instruction" and maybe "input" (an "output" is passed over); path NULL: a handful of our own. Returns APP_GO_ON or the
 * exit code, and has said why, with the line. eval_instructions_free must follow in either case. */
int eval_instructions_read(eval_instructions *instructions, const char *path);
void eval_instructions_free(eval_instructions *instructions);

/* The whole prompt; to be freed with free(). NULL: no memory. */
char *eval_prompt_of(eval_template template, const eval_instruction *instruction);

typedef struct eval_answer {
    char *text;           /* to be freed with free() */
    size_t bytes;
    uint32_t tokens;
    bool ended;           /* by the model, not by the limit */
    double seconds;
} eval_answer;

/* Starts the session anew with the prompt and lets it answer, at most `most` tokens. */
ob_status eval_answer_make(eval_answer *answer, ob_session *session, const char *prompt, uint32_t most);

int eval_generate_main(int argc, char **argv);

#endif
