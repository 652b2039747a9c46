/* generate: feeds a prompt and writes what follows it to stdout, as text or as ids. */
#ifndef ONEBIT_RUN_GENERATE_H
#define ONEBIT_RUN_GENERATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "parts.h"

typedef struct generate_options {
    const uint32_t *prompt; /* prompt_count ids, at least one */
    size_t prompt_count;
    const char *echo;       /* text shown before the generated one; NULL: none */
    size_t echo_bytes;
    int64_t predict;        /* most tokens to generate; -1: as many as there is room for */
    bool ids;               /* ids instead of text, those of the prompt too when echo is not NULL */
    bool ignore_end;
} generate_options;

typedef enum generate_stop {
    GENERATE_COUNT,  /* `predict` tokens were made */
    GENERATE_END,    /* the model ended its text */
    GENERATE_FULL,   /* the context is full */
    GENERATE_SIGNAL, /* the user asked to stop */
    GENERATE_CLOSED  /* stdout takes no more */
} generate_stop;

typedef struct generate_result {
    generate_stop stop;
    size_t prompt_done;    /* tokens of the prompt that were fed */
    size_t generated;
    double prompt_seconds; /* feeding the prompt */
    double first_seconds;  /* from the start to the first token */
    double more_seconds;   /* from the first token to the last */
} generate_result;

/* Goes on, and says nothing twice, when the device is lost and comes back. What is in *result holds after a failure too. */
ob_status generate(run_parts *parts, const generate_options *options, generate_result *result);

#endif
