#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "api/api_internal.h"
#include "core/alloc.h"
#include "core/log.h"
#include "ops/sign_family.h"
#include "selftest/selftest.h"

_Static_assert((int)OB_ERROR_RUNTIME == (int)OBI_ERROR_RUNTIME && (int)OB_ERROR_ARGUMENT == (int)OBI_ERROR_ARGUMENT &&
               (int)OB_ERROR_NO_DEVICE == (int)OBI_ERROR_NO_DEVICE && (int)OB_ERROR_MEMORY == (int)OBI_ERROR_MEMORY &&
               (int)OB_ERROR_DATA == (int)OBI_ERROR_DATA && (int)OB_ERROR_DEVICE_LOST == (int)OBI_ERROR_DEVICE_LOST &&
               (int)OB_ERROR_CANCELLED == (int)OBI_ERROR_CANCELLED, "ob_status and obi_status must agree");
_Static_assert((int)OB_LOG_DEBUG == (int)OBI_LOG_DEBUG, "ob_log_level and obi_log_level must agree");

const char *ob_last_error(void) { return obi_last_error(); }
const char *ob_version(void) { return ONEBIT_VERSION; }

int ob_exit_code(ob_status status)
{
    switch (status) {
    case OB_OK: return 0;
    case OB_ERROR_ARGUMENT: return 2;
    case OB_ERROR_NO_DEVICE: return 3;
    case OB_ERROR_MEMORY: return 4;
    case OB_ERROR_DATA: return 5;
    case OB_ERROR_DEVICE_LOST: return 6;
    case OB_ERROR_CANCELLED: return 130;
    default: return 1;
    }
}

/* The callback types differ by their enum's name only; a small shim keeps the call well-defined. */
static pthread_mutex_t public_log_lock = PTHREAD_MUTEX_INITIALIZER;
static struct { ob_log_function function; void *user; } public_log;

static void forward_log(obi_log_level level, const char *message, void *user)
{
    (void)user;
    pthread_mutex_lock(&public_log_lock);
    ob_log_function function = public_log.function;
    void *public_user = public_log.user;
    pthread_mutex_unlock(&public_log_lock);
    if (function) function((ob_log_level)level, message, public_user); /* without the lock: it may call ob_set_log */
}

void ob_set_log(ob_log_function function, void *user)
{
    pthread_mutex_lock(&public_log_lock);
    public_log.function = function;
    public_log.user = user;
    obi_log_set(function ? forward_log : NULL, NULL);
    pthread_mutex_unlock(&public_log_lock);
}

static void fill_info(ob_device_info *info, const obi_caps *caps, bool usable, const char *reason, obi_tier tier)
{
    memset(info, 0, sizeof *info);
    snprintf(info->name, sizeof info->name, "%s", caps->name);
    snprintf(info->driver, sizeof info->driver, "%s", caps->driver);
    snprintf(info->type, sizeof info->type, "%s", obi_caps_type_name(caps->type));
    snprintf(info->reason, sizeof info->reason, "%s", reason);
    memcpy(info->uuid, caps->device_uuid, sizeof info->uuid);
    info->tier = obi_tier_name(tier)[0];
    info->usable = usable;
    info->api_version = caps->api_version;
    info->subgroup_size = caps->subgroup_size;
    info->workgroup_size = caps->workgroup_size;
    info->shared_bytes = caps->shared_bytes;
    info->storage_range = caps->storage_range;
    info->allocation_max = caps->allocation_max;
    info->memory_bytes = caps->heap_bytes;
    info->unified = caps->unified;
    info->subgroup_arithmetic = caps->subgroup_arithmetic;
    info->fp16 = caps->fp16;
    info->storage16 = caps->storage16;
    info->timestamps = caps->timestamp_bits > 0;
}

ob_status ob_device_list(ob_device_info *infos, uint32_t room, uint32_t *count)
{
    obi_device_entry *entries;
    *count = 0;
    obi_status status = obi_device_list(&entries, count);
    for (uint32_t i = 0; status == OBI_OK && i < *count && i < room; i++)
        fill_info(&infos[i], &entries[i].caps, entries[i].usable, entries[i].reason, entries[i].caps.tier);
    obi_free(entries);
    return obi_public(status);
}

ob_status ob_context_create(ob_context **out, const ob_context_desc *desc) { return obi_context_open(out, desc, NULL); }

ob_status obi_context_open(ob_context **out, const ob_context_desc *desc, const obi_adoption *adopt)
{
    static const ob_context_desc usual = { 0 };
    *out = NULL;
    if (!desc) desc = &usual;
    ob_context *context = obi_calloc(1, sizeof *context);
    if (!context) return OB_ERROR_MEMORY;
    obi_contexts_count(1);
    obi_device_desc device = { .select = desc->device, .tier = desc->tier, .validation = desc->validation, .cache_dir = desc->cache_dir,
                               .exact = desc->exact, .low_priority = desc->low_priority, .adopt = adopt };
    obi_status status;
    OBI_TRY_GOTO(obi_device_open(&context->device, &device));
    if (!desc->skip_selftest) {
        char cache_dir[1024];
        bool ran;
        obi_cache_directory(desc->cache_dir, cache_dir, sizeof cache_dir);
        OBI_TRY_GOTO(obi_selftest_cached(context->device, cache_dir, &ran));
        if (ran) obi_pipelines_save(context->device);
    }
    obi_sign_family forced; /* what ONEBIT_KERNEL says is refused here rather than when a model is loaded */
    OBI_TRY_GOTO(obi_sign_family_forced(context->device, &forced));
done:
    if (status != OBI_OK) ob_context_destroy(context);
    else *out = context;
    return obi_public(status);
}

void ob_context_destroy(ob_context *context)
{
    if (!context) return;
    obi_device_close(context->device);
    obi_free(context);
    obi_contexts_count(-1);
}

ob_status ob_context_info(const ob_context *context, ob_device_info *info)
{
    fill_info(info, &context->device->caps, true, "", context->device->tier);
    return OB_OK;
}

uint32_t ob_context_families(const ob_context *context, ob_kernel_family *families, uint32_t room)
{
    for (uint32_t i = 0; i < OBI_SIGN_FAMILY_COUNT && i < room; i++) {
        families[i].name = obi_sign_family_name((obi_sign_family)i);
        families[i].offered = obi_sign_family_offered(context->device, (obi_sign_family)i, &families[i].reason);
    }
    return OBI_SIGN_FAMILY_COUNT;
}

uint32_t ob_context_choices(const ob_context *context, ob_kernel_choice *choices, uint32_t room)
{
    _Static_assert(sizeof choices->what == OBI_CHOICE_NAME_BYTES && sizeof choices->choice == OBI_CHOICE_TEXT_BYTES, "the same sizes");
    obi_choice found;
    uint32_t count = 0;
    for (; obi_sign_family_choice(context->device, count, &found); count++) {
        if (count >= room) continue;
        memcpy(choices[count].what, found.name, sizeof found.name);
        memcpy(choices[count].choice, found.text, sizeof found.text);
    }
    return count;
}

uint32_t ob_context_validation_messages(const ob_context *context) { return atomic_load(&context->device->instance->messages); }

ob_status ob_selftest(ob_context *context, void (*row)(const ob_selftest_row *row, void *user), void *user)
{
    obi_selftest_row *rows = NULL;
    uint32_t count = 0;
    obi_status status = obi_selftest_run(context->device, &rows, &count);
    for (uint32_t i = 0; i < count && row; i++) {
        ob_selftest_row public_row = { .kernel = rows[i].name, .tier = obi_tier_name(rows[i].tier)[0], .passed = rows[i].passed,
                                       .worst = rows[i].worst, .seconds = rows[i].seconds, .detail = rows[i].where };
        row(&public_row, user);
    }
    obi_free(rows);
    return obi_public(status);
}
