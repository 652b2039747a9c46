/* corpus: a text as token ids, cut into windows that are scored one by one, each with a fresh context. */
#ifndef ONEBIT_EVAL_CORPUS_H
#define ONEBIT_EVAL_CORPUS_H

#include <stddef.h>
#include <stdint.h>

#include "onebit/onebit.h"

typedef struct eval_window { size_t first, count; } eval_window; /* ids[first .. first+count); count >= 2 */

typedef struct eval_corpus {
    uint32_t *ids;
    size_t id_count, id_room;
    eval_window *windows;
    size_t window_count, window_room;
    size_t predictions; /* count - 1 of every window */
    size_t left_over;   /* ids in no window */
    size_t cut;         /* documents that were longer than a window */
} eval_corpus;

/* The whole text encoded in one go with one bos in front, cut into windows of `window` ids; what is left at the end is
 * dropped. A text shorter than one window makes one shorter window. */
ob_status corpus_from_text(eval_corpus *corpus, const ob_model *model, const char *text, size_t bytes, size_t window);

/* Documents separated by `mark`: each stripped of white space (empty ones are passed over), encoded with bos in front and
 * eos behind, cut to `window` ids and a window of its own. The first `most` documents; 0: all. */
ob_status corpus_from_documents(eval_corpus *corpus, const ob_model *model, const char *text, size_t bytes, const char *mark,
                                size_t most, size_t window);

/* What these are made of: encodes behind the ids there are, *count is how many came; makes a window of ids that are there. */
ob_status corpus_encode(eval_corpus *corpus, const ob_model *model, const char *text, size_t bytes, unsigned flags, size_t *count);
ob_status corpus_add_window(eval_corpus *corpus, size_t first, size_t count);

void corpus_free(eval_corpus *corpus);

#endif
