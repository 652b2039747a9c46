/* onebit-run-vk: a prompt in, text out. The text goes to stdout, everything else to stderr. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/model.h"
#include "common/stop.h"
#include "common/term.h"
#include "common/text_file.h"
#include "common/threads.h"
#include "generate.h"
#include "onebit/onebit.h"
#include "options.h"
#include "parts.h"

#define MOST_PROMPT_BYTES (UINT64_C(1) << 30)

/* The prompt's text. Returns APP_GO_ON or the exit code. */
static int read_prompt(const run_options *o, char **text, size_t *bytes)
{
    if (o->prompt_file) {
        int outcome = app_read_text(o->prompt_file, MOST_PROMPT_BYTES, text, bytes);
        if (outcome != APP_GO_ON) return outcome;
        if (*bytes > 0 && (*text)[*bytes - 1] == '\n') --*bytes;
        if (*bytes > 0 && (*text)[*bytes - 1] == '\r') --*bytes;
        return APP_GO_ON;
    }
    *text = strdup(o->prompt ? o->prompt : "");
    if (!*text) return app_refuse(4, "there is not enough memory for the prompt");
    *bytes = strlen(*text);
    return APP_GO_ON;
}

/* The prompt's ids, at least one. Returns APP_GO_ON or the exit code. */
static int tokenize(const run_options *o, const ob_model *model, const ob_model_info *info, const char *text, size_t bytes,
                    uint32_t **ids, size_t *count)
{
    unsigned flags = (o->no_bos ? 0u : OB_TOKENIZE_BOS) | (o->special ? OB_TOKENIZE_SPECIAL : 0u);
    *ids = NULL;
    *count = 0;
    if (bytes > 0) {
        ob_status status = ob_model_tokenize(model, text, bytes, flags, NULL, 0, count);
        if (status != OB_OK) return app_fail(status);
    }
    *ids = calloc(*count + 1, sizeof **ids);
    if (!*ids) return app_refuse(4, "there is not enough memory for the prompt's tokens");
    if (*count > 0) {
        ob_status status = ob_model_tokenize(model, text, bytes, flags, *ids, *count, count);
        return status == OB_OK ? APP_GO_ON : app_fail(status);
    }
    if (o->no_bos || info->bos < 0)
        return app_refuse(2, "there is nothing to start from: give a prompt with -p%s", o->no_bos ? ", or leave out --no-bos" : "");
    (*ids)[(*count)++] = (uint32_t)info->bos;
    return APP_GO_ON;
}

static void print_model(const ob_model_info *info, const ob_device_info *device, const run_options *o)
{
    double bits = info->parameters ? 8.0 * (double)info->device_bytes / (double)info->parameters : 0;
    app_note("%s: %s, %s parameters, %s (%.2f bits per weight) on %s, tier %c", info->name[0] ? info->name : o->model,
             app_model_kind(info), app_count(info->parameters).text, app_bytes(info->device_bytes).text, bits,
             device->name, device->tier);
    if (o->temperature > 0) app_note("seed %" PRId64, o->seed);
}

static void print_rate(const char *what, size_t tokens, double seconds, size_t timed)
{
    if (timed > 0 && seconds > 0)
        app_note("%s: %zu token%s, %.1f tokens/s", what, tokens, tokens == 1 ? "" : "s", (double)timed / seconds);
    else app_note("%s: %zu token%s", what, tokens, tokens == 1 ? "" : "s");
}

static void print_profile(ob_session *session)
{
    ob_kernel_time rows[64];
    uint32_t count = ob_session_kernel_times(session, rows, 64);
    if (count > 64) count = 64;
    double total = 0;
    for (uint32_t i = 0; i < count; i++) total += rows[i].seconds;
    if (!(total > 0)) {
        app_note("profile: this device has no timestamps");
        return;
    }
    fprintf(stderr, "%-32s %10s %12s %7s %10s\n", "kernel", "calls", "ms", "share", "GB/s");
    for (uint32_t i = 0; i < count; i++)
        fprintf(stderr, "%-32s %10" PRIu64 " %12.3f %6.1f%% %10.2f\n", rows[i].kernel, rows[i].calls, 1e3 * rows[i].seconds,
                100 * rows[i].seconds / total, rows[i].seconds > 0 ? 1e-9 * (double)rows[i].bytes / rows[i].seconds : 0.0);
    fprintf(stderr, "%-32s %10s %12.3f\n", "all", "", 1e3 * total);
}

static void print_result(const generate_result *r, uint32_t context)
{
    if (r->stop == GENERATE_FULL) app_note("stopped: the context of %" PRIu32 " tokens is full", context);
    if (r->stop == GENERATE_SIGNAL) app_note("stopped on request");
    print_rate("prompt", r->prompt_done, r->prompt_seconds, r->prompt_done);
    if (r->first_seconds > 0) app_note("time to first token: %.3f s", r->first_seconds);
    /* The first token came out of the prompt's pass, so it does not count for the rate. */
    print_rate("generated", r->generated, r->more_seconds, r->generated > 1 ? r->generated - 1 : 0);
}

static ob_sampling sampling_of(const run_options *o)
{
    return (ob_sampling){
        .repeat_penalty = o->repeat_last == 0 ? 1.0f : (float)o->repeat_penalty,
        .repeat_last = o->repeat_last < 0 ? UINT32_MAX : (uint32_t)o->repeat_last,
        .top_k = (uint32_t)o->top_k,
        .top_p = (float)o->top_p,
        .min_p = (float)o->min_p,
        .temperature = (float)o->temperature,
        .seed = (uint64_t)o->seed,
    };
}

/* Everything after the model is loaded. Returns the exit code. */
static int run_session(run_parts *parts, const char *text, size_t bytes)
{
    const run_options *o = parts->options;
    ob_model_info info;
    ob_device_info device;
    ob_status status = ob_model_info_get(parts->model, &info);
    if (status == OB_OK) status = ob_context_info(parts->context, &device);
    if (status != OB_OK) return app_fail(status);
    print_model(&info, &device, o);
    if (!info.has_tokenizer && !o->ids)
        return app_refuse(5, "%s holds no tokenizer; convert the model again with onebit-quant-vk --tokenizer FILE, or use --ids",
                          o->model);

    uint32_t *ids = NULL;
    size_t count = 0;
    int code = tokenize(o, parts->model, &info, text, bytes, &ids, &count);
    if (code != APP_GO_ON) goto done;
    status = parts_start(parts, sampling_of(o));
    if (status != OB_OK) {
        code = app_fail(status);
        goto done;
    }
    uint32_t room = ob_session_context(parts->session);
    if (count > room) {
        code = app_refuse(2, "the prompt has %zu tokens and the context has room for %" PRIu32
                             "; shorten the prompt or raise -c (this model goes up to %" PRIu32 ")", count, room, info.context);
        goto done;
    }

    generate_options options = {
        .prompt = ids, .prompt_count = count, .echo = o->no_display_prompt ? NULL : text, .echo_bytes = bytes,
        .predict = o->predict, .ids = o->ids, .ignore_end = o->ignore_eos,
    };
    generate_result result;
    status = generate(parts, &options, &result);
    code = status == OB_OK ? 0 : app_fail(status);
    if (result.stop == GENERATE_SIGNAL && code == 0) code = 128 + app_stop_signal();
    if (result.stop == GENERATE_CLOSED && code == 0) code = 1;
    print_result(&result, room);
    if (o->profile && parts->session) print_profile(parts->session);
done:
    free(ids);
    return code;
}

int main(int argc, char **argv)
{
    run_options o;
    int code = run_options_parse(&o, argc, argv);
    if (code != APP_GO_ON) return code;
    code = app_check_model_path(o.model);
    if (code != APP_GO_ON) return code;
    char *text = NULL;
    size_t bytes = 0;
    code = read_prompt(&o, &text, &bytes);
    if (code != APP_GO_ON) return code;
    app_catch_signals();

    app_use_threads(&o.common, app_file_bytes(o.model));
    run_parts parts = { .options = &o };
    ob_status status = parts_load(&parts);
    code = status == OB_OK ? run_session(&parts, text, bytes) : app_fail(status);
    code = parts_close(&parts, code);
    free(text);
    return app_end_stdout(code);
}
