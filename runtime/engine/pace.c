#include "engine/pace.h"

#include <math.h>

#include "core/clock.h"

/* Some 0.1 s. Multiplications a second, on two cores, half the GFLOP/s of `onebit-bench-vk kernels --filter onebit_forward 64x4096x4096`:
 * lavapipe with kernels of its own 86 G, at another width 7.5 G, SwiftShader 2 G, for which it is 0.25 s; in attention (`--filter
 * attention_forward 64x1024x2048`) 18 G made of products, 1.2 G otherwise. What is counted on is less, since other machines are slower
 * and busier. A phone is taken to make 100 G, and what a GPU's attention costs is a cautious guess. */
#define WORK_PER_SUBMIT_CPU 0.5e9
#define WORK_PER_SUBMIT_STRAIGHT 4e9
#define WORK_PER_SUBMIT_GPU 10e9
#define ATTENTION_COST_CPU 10
#define ATTENTION_COST_STRAIGHT 100
#define ATTENTION_COST_GPU 4
#define PRODUCTS_COST 3

/* A token is one submission, recorded once and submitted again and again, up to so many times OBI_PACE_SECONDS. */
#define TOKEN_SLACK 2.5
/* A measurement moves what is believed by so much at the most; the first guess is off by no more than this, squared. */
#define CHANGE_MAX 4.0
#define MEASURED_LEAST 0.02 /* seconds: below them it is the submitting that is measured */

static double work_per_submit(const obi_caps *caps)
{
    if (caps->type != VK_PHYSICAL_DEVICE_TYPE_CPU) return WORK_PER_SUBMIT_GPU;
    return caps->straight ? WORK_PER_SUBMIT_STRAIGHT : WORK_PER_SUBMIT_CPU;
}

static double limit_of(const obi_device *device, const obi_pace_found *found)
{
    double guess = work_per_submit(&device->caps);
    return found->speed > 0 ? fmin(found->speed * OBI_PACE_SECONDS, guess * CHANGE_MAX) : guess;
}

obi_pace obi_pace_start(obi_cmd *cmd, const atomic_bool *cancelled, obi_pace_found *found, uint32_t T)
{
    const obi_device *device = obi_cmd_device(cmd);
    const obi_caps *caps = &device->caps;
    obi_pace pace = { .cmd = cmd, .cancelled = cancelled, .found = found, .budget = work_per_submit(caps),
                      .limit = limit_of(device, found), .attention_cost = ATTENTION_COST_GPU, .products_cost = PRODUCTS_COST };
    if (caps->type == VK_PHYSICAL_DEVICE_TYPE_CPU) pace.attention_cost = caps->straight ? ATTENTION_COST_STRAIGHT : ATTENTION_COST_CPU;
    if (T == 1 || obi_cmd_sliced(cmd)) pace.budget = (double)INFINITY;
    if (obi_cmd_sliced(cmd)) pace.limit = (double)INFINITY;
    return pace;
}

bool obi_pace_slow(const obi_device *device, const obi_pace_found *found, double work)
{
    return work > TOKEN_SLACK * limit_of(device, found);
}

void obi_pace_learn(obi_pace_found *found, double work, double seconds)
{
    if (!(seconds > MEASURED_LEAST) || !(work > 0)) return;
    double speed = work / seconds;
    if (found->speed > 0) speed = fmax(fmin(speed, found->speed * CHANGE_MAX), found->speed / CHANGE_MAX);
    found->speed = speed;
}

void obi_pace_before(obi_pace *pace, double work)
{
    bool cut = pace->recorded > 0 && pace->recorded + work > pace->limit;
    double start = cut ? obi_clock_seconds() : 0;
    if (cut && atomic_load(pace->cancelled)) {
        obi_cmd_fail(pace->cmd, obi_fail(OBI_ERROR_CANCELLED, "the call was cancelled"));
    } else if (cut && obi_cmd_run(pace->cmd) == OBI_OK) {
        obi_pace_learn(pace->found, pace->recorded, obi_clock_seconds() - start);
        pace->limit = limit_of(obi_cmd_device(pace->cmd), pace->found);
        obi_cmd_begin(pace->cmd);
        pace->recorded = 0;
    }
    pace->recorded += work;
}

uint32_t obi_pace_share(const obi_pace *pace, uint32_t count, uint32_t tile, double work)
{
    double most = pace->budget / work;
    if (most >= count) return count;
    uint32_t share = (uint32_t)most / tile * tile;
    return share > 0 ? share : count < tile ? count : tile;
}
