#include "api/api_internal.h"
#include "core/alloc.h"
#include "engine/generate.h"

_Static_assert((int)OB_STOP_END == (int)OBI_STOP_END && (int)OB_STOP_LENGTH == (int)OBI_STOP_LENGTH &&
                   (int)OB_STOP_FULL == (int)OBI_STOP_FULL && (int)OB_STOP_STRING == (int)OBI_STOP_STRING &&
                   (int)OB_STOP_CALLBACK == (int)OBI_STOP_CALLBACK,
               "ob_stop and obi_stop must agree");
_Static_assert(OB_NO_TOKEN == OBI_NO_TOKEN, "the same mark");

/* The ids of a prompt given as text; to be freed with obi_free. */
static obi_status encode_prompt(const ob_session *session, const ob_generate_desc *desc, uint32_t **ids, size_t *count)
{
    const obi_tokenizer *tokenizer = session->model->tokenizer;
    if (!tokenizer) return obi_no_tokenizer();
    const obi_vocab *vocab = obi_tokenizer_vocab(tokenizer);
    bool first = session->engine->position == 0;
    if (desc->prompt_bytes > 0) {
        unsigned flags = first && vocab->add_bos && !desc->no_bos ? OBI_ENCODE_BOS : 0;
        if (desc->special) flags |= OBI_ENCODE_SPECIAL;
        return obi_tokenizer_encode(tokenizer, desc->prompt, desc->prompt_bytes, flags, ids, count);
    }
    if (!first || vocab->bos < 0 || desc->no_bos)
        return obi_fail(OBI_ERROR_ARGUMENT, "the prompt is empty: there is nothing to start from");
    *ids = obi_calloc(1, sizeof **ids);
    if (!*ids) return OBI_ERROR_MEMORY;
    **ids = (uint32_t)vocab->bos;
    *count = 1;
    return OBI_OK;
}

ob_status ob_session_generate(ob_session *session, const ob_generate_desc *desc, ob_generate_result *result)
{
    obi_generate_desc engine = { .prompt = desc->ids, .prompt_count = desc->id_count, .max_tokens = desc->max_tokens,
                                 .ignore_end = desc->ignore_eos, .stops = { desc->stop, desc->stop_count },
                                 .tokenizer = session->model->tokenizer, .on_text = desc->on_text, .progress = desc->progress,
                                 .user = desc->user };
    obi_generate_result found = { 0 };
    uint32_t *ids = NULL;
    obi_status status = OBI_OK;
    if (desc->prompt && desc->ids) status = obi_fail(OBI_ERROR_ARGUMENT, "the prompt is either a text or ids");
    else if (desc->ids && desc->id_count == 0) status = obi_fail(OBI_ERROR_ARGUMENT, "there are no ids in the prompt");
    else if (desc->prompt) status = encode_prompt(session, desc, &ids, &engine.prompt_count);
    if (ids) engine.prompt = ids;
    if (!engine.prompt) engine.prompt_count = 0;
    if (status == OBI_OK) status = obi_generate(session->engine, &engine, &found);
    obi_free(ids);
    if (result)
        *result = (ob_generate_result){ .stop = (ob_stop)found.stop, .tokens = found.tokens, .prompt_tokens = found.prompt_tokens,
                                        .held_bytes = found.held_bytes, .prompt_seconds = found.prompt_seconds, .seconds = found.seconds };
    return obi_public(status);
}
