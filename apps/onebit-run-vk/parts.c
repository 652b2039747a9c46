#include "parts.h"

#include <inttypes.h>
#include <stdlib.h>

#include "common/model.h"
#include "common/term.h"

static void destroy(run_parts *parts)
{
    ob_session_destroy(parts->session);
    ob_model_destroy(parts->model);
    ob_context_destroy(parts->context);
    parts->session = NULL;
    parts->model = NULL;
    parts->context = NULL;
}

/* Whether a loss may be followed by another try; says so. */
static bool try_again(run_parts *parts, ob_status status)
{
    if (status != OB_ERROR_DEVICE_LOST || parts->losses == PARTS_LOSSES_MAX) return false;
    parts->losses++;
    app_note("%s; opening the device again and going on, try %d of %d", ob_last_error(), parts->losses, PARTS_LOSSES_MAX);
    return true;
}

ob_status parts_load(run_parts *parts)
{
    const run_options *o = parts->options;
    for (;;) {
        ob_status status = ob_context_create(&parts->context, &(ob_context_desc){ .device = o->common.device, .exact = o->common.exact });
        if (status == OB_OK) status = app_load_model(&parts->model, parts->context, o->model, !o->common.no_mmap);
        if (!try_again(parts, status)) return status;
        destroy(parts);
    }
}

/* Half of what was not asked for; false when there is nothing to halve. */
static bool halve(run_parts *parts)
{
    const run_options *o = parts->options;
    ob_model_info info;
    if (o->context > 0 && o->batch > 0) return false;
    if (ob_model_info_get(parts->model, &info) != OB_OK) return false;
    if (o->batch == 0) parts->desc.batch = 64;
    if (o->context == 0) parts->desc.context = info.context < 4096 ? (info.context + 1) / 2 : 2048;
    app_note("%s; trying it with %s", ob_last_error(),
             o->context > 0 ? "half of the batch" : o->batch > 0 ? "half of the context" : "half of the context and of the batch");
    return true;
}

static ob_status create_session(run_parts *parts)
{
    ob_status status = ob_session_create(&parts->session, parts->model, &parts->desc);
    if (status == OB_OK && parts->options->profile) ob_session_profile(parts->session, true);
    return status;
}

ob_status parts_start(run_parts *parts, ob_sampling sampling)
{
    const run_options *o = parts->options;
    parts->desc = (ob_session_desc){ .context = (uint32_t)o->context, .batch = (uint32_t)o->batch, .sampling = sampling,
                                     .cache_type = (ob_cache_type)o->cache_type };
    for (;;) {
        ob_status status = create_session(parts);
        if (status == OB_ERROR_MEMORY && halve(parts)) status = create_session(parts);
        if (!try_again(parts, status)) return status;
        destroy(parts);
        status = parts_load(parts);
        if (status != OB_OK) return status;
    }
}

static ob_status save(const run_parts *parts, void **bytes, size_t *count)
{
    ob_status status = ob_session_save(parts->session, NULL, 0, count);
    if (status != OB_OK) return status;
    *bytes = malloc(*count);
    return *bytes ? ob_session_save(parts->session, *bytes, *count, count) : OB_ERROR_MEMORY;
}

ob_status parts_recover(run_parts *parts)
{
    void *bytes = NULL;
    size_t count;
    ob_status status = OB_ERROR_DEVICE_LOST;
    if (!try_again(parts, status)) return status;
    ob_status kept = save(parts, &bytes, &count);
    parts->desc.context = ob_session_context(parts->session);
    do {
        destroy(parts);
        status = kept;
        if (status == OB_OK) status = parts_load(parts);
        if (status == OB_OK) status = create_session(parts);
        if (status == OB_OK) status = ob_session_restore(parts->session, bytes, count, 0);
    } while (try_again(parts, status));
    free(bytes);
    return status;
}

int parts_close(run_parts *parts, int code)
{
    ob_session_destroy(parts->session);
    ob_model_destroy(parts->model);
    code = app_end_context(parts->context, code);
    parts->session = NULL;
    parts->model = NULL;
    parts->context = NULL;
    return code;
}
