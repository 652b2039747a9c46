/* mt19937: Python's random module, number for number: a published protocol draws with it. Matsumoto and Nishimura's generator of 1998,
 * seeded by an array of one number as random.seed(small integer) does. */
#ifndef ONEBIT_EVAL_MT19937_H
#define ONEBIT_EVAL_MT19937_H

#include <stdint.h>

typedef struct mt19937 {
    uint32_t state[624];
    uint32_t next; /* of the state; 624: to be made anew */
} mt19937;

/* random.seed(seed) */
void mt19937_seed(mt19937 *random, uint32_t seed);
/* random.getrandbits(32) */
uint32_t mt19937_next(mt19937 *random);
/* random.randint(0, last): takes the high bits of numbers until one is small enough, also where there is no choice. */
uint32_t mt19937_up_to(mt19937 *random, uint32_t last);

#endif
