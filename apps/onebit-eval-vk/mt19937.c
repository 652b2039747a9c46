#include "mt19937.h"

enum { N = 624, M = 397 };

static void seed_by_number(mt19937 *random, uint32_t seed)
{
    random->state[0] = seed;
    for (uint32_t i = 1; i < N; i++) {
        uint32_t before = random->state[i - 1];
        random->state[i] = 1812433253u * (before ^ (before >> 30)) + i;
    }
    random->next = N;
}

void mt19937_seed(mt19937 *random, uint32_t seed)
{
    uint32_t *state = random->state, i = 1;
    seed_by_number(random, 19650218u);
    for (uint32_t k = 0; k < N; k++) { /* the key has one number, so its index is always 0 */
        state[i] = (state[i] ^ ((state[i - 1] ^ (state[i - 1] >> 30)) * 1664525u)) + seed;
        if (++i == N) {
            state[0] = state[N - 1];
            i = 1;
        }
    }
    for (uint32_t k = 0; k < N - 1; k++) {
        state[i] = (state[i] ^ ((state[i - 1] ^ (state[i - 1] >> 30)) * 1566083941u)) - i;
        if (++i == N) {
            state[0] = state[N - 1];
            i = 1;
        }
    }
    state[0] = 0x80000000u;
}

uint32_t mt19937_next(mt19937 *random)
{
    uint32_t *state = random->state;
    if (random->next == N) {
        for (uint32_t i = 0; i < N; i++) {
            uint32_t both = (state[i] & 0x80000000u) | (state[(i + 1) % N] & 0x7fffffffu);
            state[i] = state[(i + M) % N] ^ (both >> 1) ^ (both & 1 ? 0x9908b0dfu : 0);
        }
        random->next = 0;
    }
    uint32_t y = state[random->next++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    return y ^ (y >> 18);
}

uint32_t mt19937_up_to(mt19937 *random, uint32_t last)
{
    uint64_t count = (uint64_t)last + 1;
    int bits = 0;
    while (count >> bits) bits++;
    uint64_t drawn;
    do {
        drawn = bits <= 32 ? mt19937_next(random) >> (32 - bits)
                           : (uint64_t)mt19937_next(random) | (uint64_t)(mt19937_next(random) >> 31) << 32;
    } while (drawn >= count);
    return (uint32_t)drawn;
}
