#include "engine/device_rates.h"

#include "core/clock.h"
#include "gpu/cmd.h"
#include "ops/op_act.h"
#include "ops/op_rate.h"

#define BUFFER_BYTES (UINT64_C(128) << 20) /* three of them: more than caches hold */
#define BUFFER_BYTES_LEAST (UINT64_C(1) << 20)
#define LANES (1u << 18) /* every device is full with these */
#define ROUNDS 5
#define ENOUGH_SECONDS 0.02 /* beside which submitting and waiting are nothing */

typedef void (*record)(obi_cmd *cmd, const obi_view *views, uint32_t turns);

static void copy(obi_cmd *cmd, const obi_view *views, uint32_t turns)
{
    for (uint32_t i = 0; i < turns; i++) obi_cmd_copy(cmd, views[i & 1], views[1 - (i & 1)]);
}

static void add(obi_cmd *cmd, const obi_view *views, uint32_t turns)
{
    for (uint32_t i = 0; i < turns; i++) obi_op_add_fwd(cmd, views[i % 3], views[(i + 1) % 3], views[(i + 2) % 3], views[0].size / 4);
}

static void multiply_add(obi_cmd *cmd, const obi_view *views, uint32_t turns)
{
    obi_op_rate_multiply_add(cmd, views[0], LANES, turns, 0.5f, 1);
}

static obi_status run(obi_cmd *cmd, record what, const obi_view *views, uint32_t turns, double *seconds)
{
    obi_cmd_begin(cmd);
    what(cmd, views, turns);
    double start = obi_clock_seconds();
    OBI_TRY(obi_cmd_run(cmd));
    *seconds = obi_clock_seconds() - start;
    return OBI_OK;
}

/* The least seconds that a turn takes, in rounds of so many turns (at most `most`) that they are long enough. */
static obi_status best(obi_cmd *cmd, record what, const obi_view *views, uint32_t most, double *out)
{
    double seconds = 0;
    uint32_t turns = 1;
    OBI_TRY(run(cmd, what, views, turns, &seconds)); /* pipelines, first touch of the memory */
    for (;; turns = turns * 2 < most ? turns * 2 : most) {
        OBI_TRY(run(cmd, what, views, turns, &seconds));
        if (seconds >= ENOUGH_SECONDS || turns == most) break;
    }
    *out = seconds / turns;
    for (int round = 1; round < ROUNDS; round++) {
        OBI_TRY(run(cmd, what, views, turns, &seconds));
        if (seconds / turns < *out) *out = seconds / turns;
    }
    return OBI_OK;
}

static obi_status measure(obi_cmd *cmd, const obi_view *views, obi_device_rates *out)
{
    double copied, added, computed, bytes = (double)views[0].size;
    OBI_TRY(best(cmd, copy, views, 64, &copied));
    OBI_TRY(best(cmd, add, views, 64, &added));
    obi_view lanes = { views[0].buffer, 0, LANES * 4 };
    if (lanes.size > lanes.buffer->size) return obi_fail(OBI_ERROR_MEMORY, "there is too little device memory to measure it");
    OBI_TRY(best(cmd, multiply_add, &lanes, 65535, &computed));
    out->bytes = 2 * bytes / copied > 3 * bytes / added ? 2 * bytes / copied : 3 * bytes / added;
    out->operations = (double)LANES * OBI_RATE_OPERATIONS / computed;
    return OBI_OK;
}

obi_status obi_device_rates_measure(obi_device *device, obi_device_rates *out)
{
    *out = (obi_device_rates){ 0 };
    uint64_t bytes = BUFFER_BYTES;
    while (bytes > device->caps.storage_range) bytes /= 2;
    while (bytes > 4 * BUFFER_BYTES_LEAST && obi_memory_fits(device, 3 * bytes, "the buffers of the measurement") != OBI_OK) bytes /= 2;
    obi_buffer *buffers[3] = { NULL };
    obi_view views[3];
    obi_cmd *cmd = NULL;
    obi_status status;
    for (int i = 0; i < 3; i++) {
        OBI_TRY_GOTO(obi_buffer_create(device, bytes, OBI_MEMORY_DEVICE, &buffers[i]));
        views[i] = obi_view_of(buffers[i]);
    }
    OBI_TRY_GOTO(obi_cmd_create(device, &cmd));
    obi_cmd_begin(cmd);
    for (int i = 0; i < 3; i++) obi_cmd_fill(cmd, views[i], 0x3f800000u); /* ones: no denormals */
    OBI_TRY_GOTO(obi_cmd_run(cmd));
    OBI_TRY_GOTO(measure(cmd, views, out));
done:
    obi_cmd_destroy(cmd);
    for (int i = 0; i < 3; i++) obi_buffer_destroy(device, buffers[i]);
    return status;
}
