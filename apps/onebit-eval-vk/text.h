/* text: what ppl and agree measure on: a text, how it is cut into windows, and the options that say so. */
#ifndef ONEBIT_EVAL_TEXT_H
#define ONEBIT_EVAL_TEXT_H

#include "corpus.h"
#include "models.h"
#include "protocol.h"

typedef struct eval_text {
    const char *name; /* for messages and reports */
    const char *bytes;
    size_t count;
    const char *mark; /* documents are separated by it; NULL: one text */
    size_t documents; /* the first so many; 0: all */
    size_t window;    /* tokens; 0: the context of the models, at most 2048 */
    eval_protocol protocol; /* anything but EVAL_PROTOCOL_TEXT: without a mark */
    const char *log;  /* path of an item_log of windows; NULL: none */
    const char *model_path; /* ppl, with a log: of the model that is measured */
} eval_text;

/* What was made of it, without the text and its tokens. */
typedef struct eval_cut {
    const char *name;
    eval_protocol protocol;
    bool documents;  /* windows are documents */
    size_t bytes, tokens, windows;
    size_t window;   /* tokens of a window; of documents: at most */
    size_t left_over, cut; /* as in eval_corpus */
} eval_cut;

/* Chooses the window (text->window, else as long as the shortest context of the `count` models, at most 2048). */
size_t eval_text_window(const eval_text *text, const ob_model_info *models, uint32_t count);

/* Encodes and cuts. Returns APP_GO_ON or the exit code, and has said why; corpus_free must follow in either case. */
int eval_text_cut(const eval_text *text, const ob_model *model, size_t window, eval_corpus *corpus, eval_cut *cut);

/* ---- the command line -------------------------------------------------------------------------------------------- */

typedef struct eval_text_options {
    const char *file, *mark;
    int64_t window, bytes, documents; /* 0: default */
    int protocol;
    const char *log;
} eval_text_options;

#define EVAL_TEXT_ROWS(t)                                                                                                \
    APP_ROW_TEXT('f', "file", "FILE", "the text, - for stdin (required)", &(t).file),                                    \
    APP_ROW_INTEGER(0, "bytes", "N", "only the first N bytes of the text (default: all)", &(t).bytes, 1, 9e18)
#define EVAL_WINDOW_ROWS(t)                                                                                              \
    APP_ROW_HEADING("Windows, each scored with a fresh context"),                                                        \
    APP_ROW_INTEGER('c', "ctx-size", "N", "tokens in a window (default: the model's context, at most 2048);\n"           \
                    "the first of them is only given, the rest predicted", &(t).window, 2, INT32_MAX),                   \
    APP_ROW_CHOICE(0, "protocol", EVAL_PROTOCOL_NAMES, "wikitext2: FILE is wiki.test.raw, its documents joined by two\n"     \
                   "newlines; c4: FILE is JSON lines with \"text\", 256 random slices;\n"                                 \
                   "as in published tables, windows of 2048 (default: text, as it is)",                                  \
                   &(t).protocol),                                                                                      \
    APP_ROW_TEXT(0, "split", "MARK", "the text is documents separated by MARK, a window each: stripped\n"                \
                 "of white space, start and end token added, cut to the window\n"                                        \
                 "(default: one text, cut into windows, the rest dropped)", &(t).mark),                                  \
    APP_ROW_INTEGER(0, "docs", "N", "only the first N documents (default: all)", &(t).documents, 1, INT32_MAX)

#define EVAL_LOG_ROW(t)                                                                                                  \
    APP_ROW_TEXT(0, "log", "FILE", "a JSON line for every window; a file that is there is continued", &(t).log)

/* APP_GO_ON, or 2 after a usage error. */
int eval_text_check(const eval_text_options *options);
/* Reads the file: *text is what the options say, text->bytes to be freed with free(). Returns APP_GO_ON or the exit code. */
int eval_text_read(const eval_text_options *options, eval_text *text);

#endif
