#include "text.h"

#include "common/term.h"
#include "common/text_file.h"

#define LARGEST_DEFAULT_WINDOW 2048

size_t eval_text_window(const eval_text *text, const ob_model_info *models, uint32_t count)
{
    if (text->window) return text->window;
    size_t window = LARGEST_DEFAULT_WINDOW;
    for (uint32_t i = 0; i < count; i++)
        if (models[i].context < window) window = models[i].context;
    return window;
}

int eval_text_cut(const eval_text *text, const ob_model *model, size_t window, eval_corpus *corpus, eval_cut *cut)
{
    ob_status status = OB_OK;
    int code = APP_GO_ON;
    if (text->protocol == EVAL_PROTOCOL_WIKITEXT2) code = protocol_wikitext2(corpus, model, text->name, text->bytes, text->count, window);
    else if (text->protocol == EVAL_PROTOCOL_C4) code = protocol_c4(corpus, model, text->name, text->bytes, text->count, window);
    else if (text->mark) status = corpus_from_documents(corpus, model, text->bytes, text->count, text->mark, text->documents, window);
    else status = corpus_from_text(corpus, model, text->bytes, text->count, window);
    if (code != APP_GO_ON) return code;
    if (status == OB_ERROR_MEMORY && !*ob_last_error()) return app_refuse(4, "there is not enough memory for the text");
    if (status != OB_OK) return app_fail(status);
    if (text->protocol != EVAL_PROTOCOL_TEXT && window != EVAL_PROTOCOL_WINDOW)
        app_note("windows of %zu tokens instead of the protocol's %d: the number does not compare with published ones", window,
                 EVAL_PROTOCOL_WINDOW);
    if (corpus->window_count == 0) return app_refuse(5, "%s holds fewer than two tokens; there is nothing to predict", text->name);
    if (!text->mark && corpus->windows[0].count < window)
        app_note("the text has only %zu tokens: scoring one window of %zu instead of %zu", corpus->id_count, corpus->id_count, window);
    *cut = (eval_cut){ .name = text->name,
                       .protocol = text->protocol,
                       .documents = text->mark != NULL,
                       .bytes = text->count,
                       .tokens = corpus->id_count,
                       .windows = corpus->window_count,
                       .window = text->mark ? window : corpus->windows[0].count,
                       .left_over = corpus->left_over,
                       .cut = corpus->cut };
    return APP_GO_ON;
}

int eval_text_check(const eval_text_options *options)
{
    if (!options->file) return app_usage_error("no text was given; -f names a text file");
    if (options->mark && !*options->mark) return app_usage_error("--split needs a mark that is not empty");
    if (options->protocol != EVAL_PROTOCOL_TEXT && options->mark)
        return app_usage_error("--protocol %s has its own documents; leave --split out", eval_protocol_names[options->protocol]);
    if (options->protocol == EVAL_PROTOCOL_C4 && options->bytes)
        return app_usage_error("--protocol c4 draws from whole files; leave --bytes out");
    if (options->documents && !options->mark) return app_usage_error("--docs counts what --split separates; give both");
    return APP_GO_ON;
}

int eval_text_read(const eval_text_options *options, eval_text *text)
{
    char *bytes = NULL;
    *text = (eval_text){ .name = options->file,
                         .mark = options->mark,
                         .documents = (size_t)options->documents,
                         .window = (size_t)options->window,
                         .protocol = (eval_protocol)options->protocol,
                         .log = options->log };
    int code = app_read_text(options->file, options->bytes ? (uint64_t)options->bytes : UINT64_MAX, &bytes, &text->count);
    text->bytes = bytes;
    return code;
}
