#include "engine/pace.h"

#include <math.h>

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

obi_pace obi_pace_start(obi_cmd *cmd, const atomic_bool *cancelled, uint32_t T)
{
    const obi_caps *caps = &obi_cmd_device(cmd)->caps;
    obi_pace pace = { cmd, cancelled, WORK_PER_SUBMIT_GPU, ATTENTION_COST_GPU, PRODUCTS_COST, 0 };
    if (caps->type == VK_PHYSICAL_DEVICE_TYPE_CPU) {
        pace.budget = caps->straight ? WORK_PER_SUBMIT_STRAIGHT : WORK_PER_SUBMIT_CPU;
        pace.attention_cost = caps->straight ? ATTENTION_COST_STRAIGHT : ATTENTION_COST_CPU;
    }
    if (T == 1 || obi_cmd_sliced(cmd)) pace.budget = (double)INFINITY;
    return pace;
}

void obi_pace_before(obi_pace *pace, double work)
{
    bool cut = pace->recorded > 0 && pace->recorded + work > pace->budget;
    if (cut && atomic_load(pace->cancelled)) {
        obi_cmd_fail(pace->cmd, obi_fail(OBI_ERROR_CANCELLED, "the call was cancelled"));
    } else if (cut && obi_cmd_run(pace->cmd) == OBI_OK) {
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
