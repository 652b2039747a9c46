#include "models.h"

#include <string.h>

#include "common/model.h"
#include "common/term.h"
#include "item_log.h"

eval_session eval_session_of(const eval_options *options)
{
    return (eval_session){ .batch = (uint32_t)options->batch,
                           .cache_type = (ob_cache_type)(OB_CACHE_F32 + options->cache_type),
                           .exact = options->common.exact };
}

json_t *eval_settings(const char *kind, const char *const *paths, uint32_t count, const eval_session *session)
{
    static const char *const keys[][2] = { { "model", "model_hash" }, { "teacher", "teacher_hash" } };
    static const ob_device_info none;
    const ob_device_info *device = session->device ? session->device : &none;
    const char tier[] = { device->tier, 0 };
    /* A driver's name that is no text, as it was cut, is left out (o*). */
    json_t *settings = json_pack("{s:s, s:s, s:I, s:i, s:b, s:s, s:o*, s:s}", "log", kind, "version", ob_version(), "batch",
                                 (json_int_t)session->batch, "cache_type", (int)session->cache_type, "exact", session->exact, "device",
                                 device->name, "driver", json_string(device->driver), "tier", tier);
    for (uint32_t i = 0; settings && i < count && i < 2; i++) {
        const char *hash = item_log_hash(paths[i]);
        json_object_set_new(settings, keys[i][0], json_string(paths[i]));
        json_object_set_new(settings, keys[i][1], json_string(hash ? hash : "unknown"));
    }
    return settings;
}

ob_status eval_session_open(ob_session **out, ob_model *model, const eval_session *desc, size_t context)
{
    return ob_session_create(out, model,
                             &(ob_session_desc){ .context = (uint32_t)context,
                                                 .batch = desc->batch,
                                                 .cache_type = desc->cache_type ? desc->cache_type : OB_CACHE_F32 });
}

int eval_models_open(eval_models *models, const eval_options *options, const char *const *paths, uint32_t count)
{
    memset(models, 0, sizeof *models);
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < count; i++) bytes += app_file_bytes(paths[i]);
    app_use_threads(&options->common, bytes);
    ob_status status =
        ob_context_create(&models->context, &(ob_context_desc){ .device = options->common.device, .exact = options->common.exact });
    if (status == OB_OK) status = ob_context_info(models->context, &models->device);
    for (uint32_t i = 0; i < count && status == OB_OK; i++) {
        status = app_load_model(&models->model[i], models->context, paths[i], !options->common.no_mmap);
        models->count = i + 1;
        if (status == OB_OK) status = ob_model_info_get(models->model[i], &models->info[i]);
    }
    return status == OB_OK ? APP_GO_ON : app_fail(status);
}

int eval_models_close(eval_models *models, int code)
{
    for (uint32_t i = 0; i < models->count; i++) ob_model_destroy(models->model[i]);
    code = app_end_context(models->context, code);
    memset(models, 0, sizeof *models);
    return code;
}
