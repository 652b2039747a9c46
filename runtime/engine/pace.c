#include "engine/pace.h"

#include <math.h>

/* About 0.1 s on the slowest device of each kind: a software driver makes 5 G multiplications a second, a phone some 100. Of attention's,
 * lavapipe made 0.37 G a second on two cores, a tenth (docs/performance.md); of a GPU it is a cautious guess. */
#define WORK_PER_SUBMIT_CPU 0.5e9
#define WORK_PER_SUBMIT_GPU 10e9
#define ATTENTION_COST_CPU 10
#define ATTENTION_COST_GPU 4
#define TILE 4u

obi_pace obi_pace_start(obi_cmd *cmd, uint32_t T)
{
    bool cpu = obi_cmd_device(cmd)->caps.type == VK_PHYSICAL_DEVICE_TYPE_CPU;
    obi_pace pace = { cmd, cpu ? WORK_PER_SUBMIT_CPU : WORK_PER_SUBMIT_GPU, cpu ? ATTENTION_COST_CPU : ATTENTION_COST_GPU, 0 };
    if (T == 1) pace.budget = (double)INFINITY;
    return pace;
}

void obi_pace_before(obi_pace *pace, double work)
{
    if (pace->recorded > 0 && pace->recorded + work > pace->budget && obi_cmd_run(pace->cmd) == OBI_OK) {
        obi_cmd_begin(pace->cmd);
        pace->recorded = 0;
    }
    pace->recorded += work;
}

uint32_t obi_pace_queries(const obi_pace *pace, uint32_t count, double work)
{
    double most = pace->budget / (work * pace->attention_cost);
    if (most >= count) return count;
    uint32_t queries = (uint32_t)most / TILE * TILE;
    return queries > 0 ? queries : count < TILE ? count : TILE;
}
