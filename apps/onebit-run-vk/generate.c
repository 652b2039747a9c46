#include "generate.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/stop.h"
#include "common/stream.h"
#include "common/term.h"

static ob_status feed_prompt(ob_session *session, const generate_options *options, generate_result *result)
{
    app_progress progress;
    app_progress_start(&progress);
    ob_status status = OB_OK;
    while (result->prompt_done < options->prompt_count && !app_stop_signal()) {
        size_t part = options->prompt_count - result->prompt_done;
        if (part > options->batch) part = options->batch;
        status = ob_session_feed(session, options->prompt + result->prompt_done, part);
        if (status != OB_OK) break;
        result->prompt_done += part;
        app_progress_step((double)result->prompt_done / (double)options->prompt_count, "reading the prompt", &progress);
    }
    app_progress_end(&progress);
    return status;
}

/* The output, as text or as ids. */
typedef struct writer {
    app_stream stream;
    const ob_model *model;
    bool ids, any;
} writer;

static bool write_id(writer *out, uint32_t id)
{
    char text[16];
    int length = snprintf(text, sizeof text, "%s%u", out->any ? " " : "", id);
    out->any = true;
    return app_stream_write(&out->stream, text, (size_t)length);
}

static bool write_token(writer *out, int64_t previous, uint32_t id)
{
    if (out->ids) return write_id(out, id);
    char room[256], *bytes = room;
    size_t length = ob_model_piece(out->model, previous, id, bytes, sizeof room);
    if (length > sizeof room) {
        bytes = malloc(length);
        if (!bytes) return false;
        ob_model_piece(out->model, previous, id, bytes, length);
    }
    bool good = app_stream_write(&out->stream, bytes, length);
    if (bytes != room) free(bytes);
    return good;
}

static bool write_prompt(writer *out, const generate_options *options)
{
    if (!options->echo) return true;
    if (!options->ids) return app_stream_write(&out->stream, options->echo, options->echo_bytes);
    for (size_t i = 0; i < options->prompt_count; i++)
        if (!write_id(out, options->prompt[i])) return false;
    return true;
}

static bool ends_text(const generate_options *options, uint32_t id)
{
    /* Models trained on stories in a row begin the next one with bos instead of ending this one with eos. */
    return !options->ignore_end && ((int64_t)id == options->eos || (int64_t)id == options->bos);
}

ob_status generate(ob_session *session, const ob_model *model, const generate_options *options, generate_result *result)
{
    *result = (generate_result){ .stop = GENERATE_COUNT };
    writer out = { .stream = { .file = stdout }, .model = model, .ids = options->ids };
    bool open = write_prompt(&out, options);

    double start = app_seconds(), first = 0;
    ob_status status = feed_prompt(session, options, result);
    result->prompt_seconds = app_seconds() - start;

    int64_t previous = options->prompt[options->prompt_count - 1];
    while (status == OB_OK) {
        if (app_stop_signal()) result->stop = GENERATE_SIGNAL;
        else if (!open) result->stop = GENERATE_CLOSED;
        else result->stop = GENERATE_COUNT;
        if (result->stop != GENERATE_COUNT || (int64_t)result->generated == options->predict) break;
        if (result->generated > 0) { /* the last token was written, and is not fed before one more is wanted */
            if (ob_session_position(session) == ob_session_context(session)) {
                result->stop = GENERATE_FULL;
                break;
            }
            uint32_t last = (uint32_t)previous;
            status = ob_session_feed(session, &last, 1);
            if (status != OB_OK) break;
        }
        uint32_t id;
        status = ob_session_sample(session, &id);
        if (status != OB_OK) break;
        double now = app_seconds();
        if (result->generated == 0) {
            first = now;
            result->first_seconds = now - start;
        }
        if (ends_text(options, id)) {
            result->stop = GENERATE_END;
            break;
        }
        result->generated++;
        result->more_seconds = now - first;
        open = write_token(&out, previous, id);
        previous = id;
    }
    if (!app_stream_end(&out.stream) && result->stop != GENERATE_SIGNAL) result->stop = GENERATE_CLOSED;
    return status;
}
