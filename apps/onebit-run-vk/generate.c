#include "generate.h"

#include <stdio.h>

#include "common/stop.h"
#include "common/stream.h"
#include "common/term.h"

/* The output, as text or as ids. */
typedef struct writer {
    app_stream stream;
    bool ids, any;
    bool open;             /* stdout takes more */
    app_progress progress; /* of the prompt */
    size_t prompt_count;
    generate_result *result;
    double start, first;   /* when the work began, and when the first token came */
} writer;

static bool write_id(writer *out, uint32_t id)
{
    char text[16];
    int length = snprintf(text, sizeof text, "%s%u", out->any ? " " : "", id);
    out->any = true;
    return app_stream_write(&out->stream, text, (size_t)length);
}

static bool write_prompt(writer *out, const generate_options *options)
{
    if (!options->echo) return true;
    if (!options->ids) return app_stream_write(&out->stream, options->echo, options->echo_bytes);
    for (size_t i = 0; i < options->prompt_count; i++)
        if (!write_id(out, options->prompt[i])) return false;
    return true;
}

static bool on_prompt(double fraction, const char *what, void *user)
{
    writer *out = user;
    out->result->prompt_done = (size_t)(fraction * (double)out->prompt_count + 0.5);
    if (fraction >= 1) app_progress_end(&out->progress);
    else app_progress_step(fraction, what, &out->progress);
    return !app_stop_signal();
}

static bool on_text(const char *text, size_t bytes, uint32_t id, void *user)
{
    writer *out = user;
    double now = app_seconds();
    if (id != OB_NO_TOKEN) {
        if (out->result->generated++ == 0) {
            out->first = now;
            out->result->first_seconds = now - out->start;
        }
        out->result->more_seconds = now - out->first;
    }
    if (!out->ids) out->open = app_stream_write(&out->stream, text, bytes);
    else if (id != OB_NO_TOKEN) out->open = write_id(out, id);
    return out->open && !app_stop_signal();
}

static generate_stop stop_of(const writer *out, ob_stop stop)
{
    if (app_stop_signal()) return GENERATE_SIGNAL;
    if (!out->open) return GENERATE_CLOSED;
    return stop == OB_STOP_END ? GENERATE_END : stop == OB_STOP_FULL ? GENERATE_FULL : GENERATE_COUNT;
}

/* The prompt and what follows it; or, without the prompt, what is left to follow. */
static ob_status run_once(ob_session *session, const generate_options *options, writer *out, ob_generate_result *made)
{
    generate_result *result = out->result;
    bool prompt = result->prompt_done < options->prompt_count;
    if (options->predict == 0) {
        double start = app_seconds();
        ob_status status = prompt ? ob_session_feed(session, options->prompt, options->prompt_count) : OB_OK;
        result->prompt_seconds = app_seconds() - start;
        if (status == OB_OK) result->prompt_done = options->prompt_count;
        return status;
    }
    ob_generate_desc desc = { .ids = prompt ? options->prompt : NULL, .id_count = prompt ? options->prompt_count : 0,
                              .ignore_eos = options->ignore_end, .on_text = on_text, .progress = on_prompt, .user = out };
    if (options->predict > 0) desc.max_tokens = (uint32_t)(options->predict - (int64_t)result->generated);
    ob_status status = ob_session_generate(session, &desc, made);
    if (prompt) result->prompt_seconds = made->prompt_seconds;
    if (prompt && status == OB_ERROR_DEVICE_LOST && made->prompt_tokens == 0) result->prompt_done = 0; /* all of it again */
    return status;
}

ob_status generate(run_parts *parts, const generate_options *options, generate_result *result)
{
    *result = (generate_result){ .stop = GENERATE_COUNT };
    writer out = { .stream = { .file = stdout }, .ids = options->ids, .prompt_count = options->prompt_count, .result = result };
    out.open = write_prompt(&out, options);
    app_progress_start(&out.progress);
    out.start = app_seconds();
    ob_generate_result made = { .stop = OB_STOP_LENGTH };
    ob_status status = run_once(parts->session, options, &out, &made);
    while (status == OB_ERROR_DEVICE_LOST) {
        app_progress_end(&out.progress);
        status = parts_recover(parts);
        if (status != OB_OK) break;
        status = run_once(parts->session, options, &out, &made);
    }
    app_progress_end(&out.progress);
    if (status == OB_ERROR_CANCELLED && app_stop_signal()) status = OB_OK;
    result->stop = stop_of(&out, made.stop);
    if (made.held_bytes > 0 && !out.ids) (void)app_stream_write(&out.stream, "\xEF\xBF\xBD", 3); /* U+FFFD: nothing will finish it */
    if (!app_stream_end(&out.stream) && result->stop != GENERATE_SIGNAL) result->stop = GENERATE_CLOSED;
    return status;
}
