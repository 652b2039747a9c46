#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/alloc.h"
#include "core/checked.h"
#include "selftest/selftest.h"

#define UNWRITTEN 0x7fc0deadu /* a NaN */
#define SEED 0x6f6e65626974u

/* The environment as cases see it, and what it owns for the run in progress. */
typedef struct env_private {
    obi_case_env env; /* first: the two pointers are one address */
    obi_buffer **buffers;
    uint32_t buffer_count;
    void **arrays;
    uint32_t array_count;
} env_private;

static env_private *private_of(obi_case_env *env) { return (env_private *)(void *)env; }

/* ---- life ---------------------------------------------------------------------------------------------- */

obi_status obi_case_env_create(obi_device *device, obi_case_env **out)
{
    *out = NULL;
    env_private *private = obi_calloc(1, sizeof *private);
    if (!private) return OBI_ERROR_MEMORY;
    private->env.device = device;
    private->env.rng = obi_rng_seed(SEED);
    obi_status status = obi_cmd_create(device, &private->env.cmd);
    if (status == OBI_OK) status = obi_upload_create(device, &private->env.upload);
    if (status != OBI_OK) {
        obi_case_env_destroy(&private->env);
        return status;
    }
    *out = &private->env;
    return OBI_OK;
}

void obi_case_env_clear(obi_case_env *env)
{
    env_private *private = private_of(env);
    (void)obi_cmd_wait(env->cmd); /* no buffer below may be in use; a lost device was already reported */
    for (uint32_t i = 0; i < private->buffer_count; i++) obi_buffer_destroy(env->device, private->buffers[i]);
    for (uint32_t i = 0; i < private->array_count; i++) obi_free(private->arrays[i]);
    private->buffer_count = private->array_count = 0;
    env->rng = obi_rng_seed(SEED);
}

void obi_case_env_destroy(obi_case_env *env)
{
    if (!env) return;
    env_private *private = private_of(env);
    if (env->cmd) obi_case_env_clear(env);
    obi_upload_destroy(env->upload);
    obi_cmd_destroy(env->cmd);
    obi_free(private->buffers);
    obi_free(private->arrays);
    obi_free(private);
}

/* ---- host arrays ------------------------------------------------------------------------------------------ */

float *obi_case_zeros(obi_case_env *env, uint64_t count)
{
    env_private *private = private_of(env);
    void **grown = obi_realloc(private->arrays, private->array_count + 1u, sizeof *grown);
    if (!grown) return NULL;
    private->arrays = grown;
    float *array = obi_calloc((size_t)count, sizeof *array);
    if (array) private->arrays[private->array_count++] = array;
    return array;
}

float *obi_case_normal(obi_case_env *env, uint64_t count, double scale)
{
    float *array = obi_case_zeros(env, count);
    for (uint64_t i = 0; array && i < count; i++) array[i] = (float)(scale * obi_rng_normal(&env->rng));
    return array;
}

/* ---- device buffers ----------------------------------------------------------------------------------------- */

static obi_status new_buffer(obi_case_env *env, uint64_t bytes, obi_view *view)
{
    env_private *private = private_of(env);
    obi_buffer **grown = obi_realloc(private->buffers, private->buffer_count + 1u, sizeof *grown);
    if (!grown) return OBI_ERROR_MEMORY;
    private->buffers = grown;
    obi_buffer *buffer;
    OBI_TRY(obi_buffer_create(env->device, obi_align_up(bytes, 4), OBI_MEMORY_DEVICE, &buffer));
    private->buffers[private->buffer_count++] = buffer;
    *view = obi_view_of(buffer);
    return OBI_OK;
}

obi_status obi_case_upload(obi_case_env *env, const void *data, uint64_t bytes, obi_view *view)
{
    OBI_TRY(new_buffer(env, bytes, view));
    if (bytes % 4 == 0) return obi_upload_bytes(env->upload, *view, data, bytes);
    void *padded = obi_calloc(1, (size_t)view->size); /* only whole words can be copied */
    if (!padded) return OBI_ERROR_MEMORY;
    memcpy(padded, data, (size_t)bytes);
    obi_status status = obi_upload_bytes(env->upload, *view, padded, view->size);
    obi_free(padded);
    return status;
}

obi_status obi_case_output(obi_case_env *env, uint64_t bytes, obi_view *view)
{
    OBI_TRY(new_buffer(env, bytes, view));
    obi_cmd_begin(env->cmd);
    obi_cmd_fill(env->cmd, *view, UNWRITTEN);
    return obi_cmd_run(env->cmd);
}

obi_status obi_case_download(obi_case_env *env, obi_view view, void *data, uint64_t bytes)
{
    return obi_download_bytes(env->device, view, data, bytes);
}

/* ---- comparison ------------------------------------------------------------------------------------------------ */

void obi_case_compare(obi_case_result *result, const char *name, const float *got, const float *want, uint64_t count,
                      const float *absolute, double relative, double floor)
{
    for (uint64_t i = 0; i < count; i++) {
        double g = (double)got[i], w = (double)want[i];
        if (g == w || (isnan(g) && isnan(w))) continue;
        double tolerance = absolute ? (double)absolute[i] : relative * fabs(w) + floor;
        double ratio = fabs(g - w) / tolerance; /* infinite where the tolerance is 0 */
        if (isnan(ratio)) ratio = (double)INFINITY; /* one is NaN, or an infinity where the other is not */
        if (ratio <= result->worst) continue;
        result->worst = ratio;
        (void)snprintf(result->where, sizeof result->where, "%s[%llu] = %.9g, reference %.9g, tolerance %.3g", name,
                       (unsigned long long)i, g, w, tolerance);
    }
}
