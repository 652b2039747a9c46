#include "quant/train/schedule.h"

#include <math.h>

uint64_t obi_schedule_warmup(const obi_train_options *options, uint64_t steps)
{
    uint64_t share = (uint64_t)ceil(options->warmup_ratio * (double)steps);
    if (options->warmup_steps == 0) return share;
    return options->warmup_ratio > 0 && share < options->warmup_steps ? share : options->warmup_steps;
}

double obi_schedule_factor(const obi_train_options *options, uint64_t step, uint64_t steps)
{
    uint64_t warmup = obi_schedule_warmup(options, steps);
    if (step < warmup) return (double)step / (double)warmup;
    if (options->lr_scheduler_type == OBI_SCHEDULE_CONSTANT) return 1;
    double left = steps > warmup ? (double)(step - warmup) / (double)(steps - warmup) : 1;
    if (left > 1) left = 1;
    return options->lr_scheduler_type == OBI_SCHEDULE_LINEAR ? 1 - left : 0.5 * (1 + cos(3.14159265358979323846 * left));
}
