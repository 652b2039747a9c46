#include "pace.h"

#include <math.h>

#define HALF_LIFE 120.0

void train_pace_step(train_pace *pace, double now)
{
    if (pace->last > 0 && now > pace->last) {
        double passed = now - pace->last, faded = exp2(-passed / HALF_LIFE);
        pace->seconds = pace->seconds * faded + passed;
        pace->steps = pace->steps * faded + 1;
    }
    pace->last = now;
}

double train_pace_left(const train_pace *pace, uint64_t steps)
{
    if (steps == 0) return 0;
    return pace->steps > 0 ? pace->seconds / pace->steps * (double)steps : -1;
}
