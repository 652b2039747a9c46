#include "engine/generate.h"

#include <string.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "engine/session.h"

void obi_generation_forget(obi_generation *generation)
{
    generation->at = 0;
    generation->owes = generation->ended = false;
    obi_text_forget(&generation->text);
}

/* Feeds the prompt, and in front of it what is owed: one text for the model. */
static obi_status feed_prompt(obi_session *session, const obi_generate_desc *desc)
{
    obi_generation *generation = &session->generation;
    if (!generation->owes) return obi_session_feed_part(session, desc->prompt, desc->prompt_count, desc->progress, desc->user);
    uint32_t *ids = obi_calloc(desc->prompt_count + 1, sizeof *ids);
    if (!ids) return OBI_ERROR_MEMORY;
    ids[0] = generation->owed;
    memcpy(ids + 1, desc->prompt, desc->prompt_count * sizeof *ids);
    obi_status status = obi_session_feed_part(session, ids, desc->prompt_count + 1, desc->progress, desc->user);
    obi_free(ids);
    return status;
}

static bool ends_text(const obi_generate_desc *desc, uint32_t id)
{
    if (!desc->tokenizer || desc->ignore_end) return false;
    const obi_vocab *vocab = obi_tokenizer_vocab(desc->tokenizer);
    /* Models trained on texts in a row begin the next one with bos instead of ending this one with eos. */
    return (int64_t)id == vocab->eos || (int64_t)id == vocab->bos;
}

/* Adds what `id` says after `previous`. */
static obi_status add_piece(obi_text *text, const obi_generate_desc *desc, int64_t previous, uint32_t id, size_t *ready, bool *stopped)
{
    char room[128], *bytes = room;
    size_t length = 0;
    if (desc->tokenizer && id < obi_tokenizer_vocab(desc->tokenizer)->count)
        length = obi_tokenizer_piece(desc->tokenizer, previous, id, bytes, sizeof room);
    if (length > sizeof room) {
        bytes = obi_calloc(length, 1);
        if (!bytes) return OBI_ERROR_MEMORY;
        (void)obi_tokenizer_piece(desc->tokenizer, previous, id, bytes, length);
    }
    obi_status status = obi_text_add(text, bytes, length, &desc->stops, ready, stopped);
    if (bytes != room) obi_free(bytes);
    return status;
}

/* Gives out the first `ready` bytes. False: enough. */
static bool give(obi_text *text, const obi_generate_desc *desc, size_t ready, uint32_t id)
{
    bool more = !desc->on_text || desc->on_text(ready > 0 ? text->bytes : "", ready, id, desc->user);
    obi_text_take(text, ready);
    return more;
}

/* The next token. *stop is set where it was the last; *done then, too. */
static obi_status make_token(obi_session *session, const obi_generate_desc *desc, obi_generate_result *result, bool *done)
{
    obi_generation *generation = &session->generation;
    uint32_t id;
    size_t ready = 0;
    bool stopped = false;
    *done = true;
    if (generation->owes) {
        if (session->position == session->context) {
            result->stop = OBI_STOP_FULL;
            return OBI_OK;
        }
        OBI_TRY(obi_session_feed_part(session, &generation->owed, 1, NULL, NULL));
        generation->owes = false;
        generation->at = session->position;
    }
    OBI_TRY(obi_session_sample(session, &id));
    result->stop = OBI_STOP_END;
    if (ends_text(desc, id)) {
        generation->ended = true;
        return OBI_OK;
    }
    obi_status status = add_piece(&generation->text, desc, session->history[session->position - 1], id, &ready, &stopped);
    if (status != OBI_OK) { /* nobody has seen it: the next call chooses it again */
        session->chosen = id;
        session->repeats = true;
        return status;
    }
    generation->owes = true;
    generation->owed = id;
    result->tokens++;
    bool more = give(&generation->text, desc, ready, id);
    if (stopped) {
        obi_text_forget(&generation->text);
        result->stop = OBI_STOP_STRING;
    } else if (!more) {
        result->stop = OBI_STOP_CALLBACK;
    } else {
        *done = false;
    }
    return OBI_OK;
}

/* What a text that ends here still has to say. */
static obi_status give_rest(obi_text *text, const obi_generate_desc *desc, obi_generate_result *result)
{
    size_t ready;
    bool stopped;
    if (result->stop == OBI_STOP_STRING || result->stop == OBI_STOP_CALLBACK) return OBI_OK;
    OBI_TRY(obi_text_end(text, result->stop != OBI_STOP_LENGTH, &desc->stops, &ready, &stopped));
    if (ready > 0 && !give(text, desc, ready, OBI_NO_TOKEN)) result->stop = OBI_STOP_CALLBACK;
    if (!stopped) return OBI_OK;
    obi_text_forget(text);
    result->stop = OBI_STOP_STRING;
    return OBI_OK;
}

obi_status obi_generate(obi_session *session, const obi_generate_desc *desc, obi_generate_result *result)
{
    obi_generation *generation = &session->generation;
    *result = (obi_generate_result){ .stop = OBI_STOP_LENGTH };
    OBI_TRY(obi_stops_check(&desc->stops));
    if (desc->stops.count > 0 && !desc->tokenizer)
        return obi_fail(OBI_ERROR_DATA, "the model file has no tokenizer, so that no stop string can be found");
    if (generation->at != session->position) obi_generation_forget(generation);
    if (desc->prompt_count == 0 && !generation->owes && (!session->ready || generation->ended))
        return obi_fail(OBI_ERROR_ARGUMENT, "there is nothing to go on from: give a prompt");
    double start = obi_clock_seconds();
    if (desc->prompt_count > 0) {
        OBI_TRY(feed_prompt(session, desc));
        obi_generation_forget(generation);
        result->prompt_tokens = (uint32_t)desc->prompt_count;
        result->prompt_seconds = obi_clock_seconds() - start;
    }
    generation->at = session->position;
    obi_status status = OBI_OK;
    for (bool done = false; !done && status == OBI_OK;) {
        if (desc->max_tokens > 0 && result->tokens == desc->max_tokens) {
            result->stop = OBI_STOP_LENGTH;
            break;
        }
        status = make_token(session, desc, result, &done);
    }
    if (status == OBI_OK) status = give_rest(&generation->text, desc, result);
    result->held_bytes = (uint32_t)generation->text.begun_count;
    result->seconds = obi_clock_seconds() - start - result->prompt_seconds;
    return status;
}
