#include "corpus.h"

#include <stdlib.h>
#include <string.h>

/* Makes room for `more` entries of `size` bytes behind `used`. */
static ob_status reserve(void **entries, size_t *room, size_t used, size_t more, size_t size)
{
    if (more <= *room - used) return OB_OK;
    size_t wanted = *room ? 2 * *room : 256;
    if (wanted < used + more) wanted = used + more;
    void *moved = wanted <= SIZE_MAX / size ? realloc(*entries, wanted * size) : NULL;
    if (!moved) return OB_ERROR_MEMORY;
    *entries = moved;
    *room = wanted;
    return OB_OK;
}

ob_status corpus_add_window(eval_corpus *corpus, size_t first, size_t count)
{
    void *windows = corpus->windows;
    ob_status status = reserve(&windows, &corpus->window_room, corpus->window_count, 1, sizeof *corpus->windows);
    corpus->windows = windows;
    if (status != OB_OK) return status;
    corpus->windows[corpus->window_count++] = (eval_window){ first, count };
    corpus->predictions += count - 1;
    return OB_OK;
}

ob_status corpus_encode(eval_corpus *corpus, const ob_model *model, const char *text, size_t bytes, unsigned flags, size_t *count)
{
    ob_status status = ob_model_tokenize(model, text, bytes, flags, NULL, 0, count);
    if (status != OB_OK) return status;
    void *ids = corpus->ids;
    status = reserve(&ids, &corpus->id_room, corpus->id_count, *count, sizeof *corpus->ids);
    corpus->ids = ids;
    if (status != OB_OK) return status;
    status = ob_model_tokenize(model, text, bytes, flags, corpus->ids + corpus->id_count, *count, count);
    if (status == OB_OK) corpus->id_count += *count;
    return status;
}

ob_status corpus_from_text(eval_corpus *corpus, const ob_model *model, const char *text, size_t bytes, size_t window)
{
    memset(corpus, 0, sizeof *corpus);
    size_t count;
    ob_status status = corpus_encode(corpus, model, text, bytes, OB_TOKENIZE_BOS, &count);
    if (status == OB_OK && count >= 2 && count < window) return corpus_add_window(corpus, 0, count);
    size_t first = 0;
    for (; status == OB_OK && count - first >= window; first += window) status = corpus_add_window(corpus, first, window);
    if (status == OB_OK) corpus->left_over = count - first;
    return status;
}

static int is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

ob_status corpus_from_documents(eval_corpus *corpus, const ob_model *model, const char *text, size_t bytes, const char *mark, size_t most,
                                size_t window)
{
    memset(corpus, 0, sizeof *corpus);
    size_t mark_bytes = strlen(mark);
    const char *end = text + bytes, *next = text;
    while (next && (most == 0 || corpus->window_count < most)) {
        const char *first = next, *last = memmem(first, (size_t)(end - first), mark, mark_bytes);
        next = last ? last + mark_bytes : NULL;
        if (!last) last = end;
        while (first < last && is_space(*first)) first++;
        while (last > first && is_space(last[-1])) last--;
        if (first == last) continue;

        size_t begin = corpus->id_count, count;
        ob_status status = corpus_encode(corpus, model, first, (size_t)(last - first), OB_TOKENIZE_BOS | OB_TOKENIZE_EOS, &count);
        if (status != OB_OK) return status;
        if (count < 2) continue;
        if (count > window) {
            corpus->cut++;
            corpus->left_over += count - window;
            count = window;
        }
        status = corpus_add_window(corpus, begin, count);
        if (status != OB_OK) return status;
    }
    return OB_OK;
}

void corpus_free(eval_corpus *corpus)
{
    free(corpus->ids);
    free(corpus->windows);
    memset(corpus, 0, sizeof *corpus);
}
