/* protocol: the windows that published tables of perplexity are made from. */
#ifndef ONEBIT_EVAL_PROTOCOL_H
#define ONEBIT_EVAL_PROTOCOL_H

#include "corpus.h"

typedef enum eval_protocol {
    EVAL_PROTOCOL_TEXT = 0,      /* ours: the text as it is */
    EVAL_PROTOCOL_WIKITEXT2 = 1, /* the raw test file; its lines are the documents of the data set */
    EVAL_PROTOCOL_C4 = 2         /* GPTQ's first: 256 slices of random documents of a JSON-lines file */
} eval_protocol;

#define EVAL_PROTOCOL_NAMES "text|wikitext2|c4"
extern const char *const eval_protocol_names[3];
#define EVAL_PROTOCOL_WINDOW 2048 /* tokens */

/* Documents joined by two newlines, encoded in one go with one bos in front, windows of `window` ids, the rest dropped. A document is a
 * line of the file with its newline; one of white space is empty. Returns APP_GO_ON or the exit code, and has said why; `name` is for messages. */
int protocol_wikitext2(eval_corpus *corpus, const ob_model *model, const char *name, const char *text, size_t bytes, size_t window);

/* 256 times: random documents (with bos) until one has more than `window` ids, and a random slice of it; by random.seed(0) and
 * random.randint of Python, so that the slices are those of the published code. That takes a document of `window` ids, too, for which it
 * has no slice and fails; here the next is drawn. */
int protocol_c4(eval_corpus *corpus, const ob_model *model, const char *name, const char *text, size_t bytes, size_t window);

#endif
