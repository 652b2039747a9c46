/* pace: how fast a run goes and how long it will take. */
#ifndef ONEBIT_TRAIN_PACE_H
#define ONEBIT_TRAIN_PACE_H

#include <stdint.h>

/* Seconds and steps, each fading with a half-life of two minutes, so that the estimate follows a machine that gets slower or
 * faster but does not jump at every evaluation or checkpoint: their time is in it, spread over the steps between. */
typedef struct train_pace {
    double last;           /* when the last step ended; 0: none has */
    double seconds, steps; /* faded sums */
} train_pace;

/* A step has ended at `now` (seconds of any clock, > 0). The first step, which also makes the pipelines, is left out. */
void train_pace_step(train_pace *pace, double now);

/* Seconds for `steps` more; negative when nothing is known yet. */
double train_pace_left(const train_pace *pace, uint64_t steps);

#endif
