#include "engine/sampler.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"

obi_status obi_sampling_resolve(obi_sampling *sampling)
{
    if (sampling->repeat_penalty == 0) sampling->repeat_penalty = 1;
    if (sampling->repeat_last == 0) sampling->repeat_last = 64;
    if (sampling->top_p == 0) sampling->top_p = 1;
    if (!(sampling->repeat_penalty > 0) || !isfinite(sampling->repeat_penalty))
        return obi_fail(OBI_ERROR_ARGUMENT, "the repeat penalty must be a positive number; 1 turns it off");
    if (!(sampling->top_p > 0 && sampling->top_p <= 1))
        return obi_fail(OBI_ERROR_ARGUMENT, "top-p must be above 0 and at most 1; 1 turns it off");
    if (!(sampling->min_p >= 0 && sampling->min_p <= 1))
        return obi_fail(OBI_ERROR_ARGUMENT, "min-p must be between 0 and 1; 0 turns it off");
    if (!(sampling->temperature >= 0) || !isfinite(sampling->temperature))
        return obi_fail(OBI_ERROR_ARGUMENT, "the temperature must be 0 or a positive number; 0 is greedy");
    return OBI_OK;
}

uint32_t obi_sampling_candidates(const obi_sampling *sampling)
{
    if (sampling->repeat_penalty != 1) return 0;
    if (sampling->temperature == 0) return 1;
    return sampling->top_k <= OBI_CANDIDATES_MAX ? sampling->top_k : 0;
}

obi_status obi_sample_candidates(const obi_sampling *sampling, obi_rng *rng, const obi_candidate *candidates, size_t count, uint32_t *id)
{
    if (count == 0 || !isfinite(candidates[0].logit))
        return obi_fail(OBI_ERROR_RUNTIME,
                        "the model gave no finite logit; its weights or this device are broken (try onebit-info-vk --selftest)");
    *id = candidates[0].id;
    if (sampling->temperature == 0) return OBI_OK;
    double *p = obi_calloc(count, sizeof *p);
    if (!p) return OBI_ERROR_MEMORY;
    double first = candidates[0].logit, sum = 0;
    for (size_t i = 0; i < count; i++) {
        p[i] = isfinite(candidates[i].logit) ? exp((double)candidates[i].logit - first) : 0;
        sum += p[i];
    }
    size_t kept = count;
    if (sampling->top_p < 1) { /* the fewest that together reach top_p */
        double reached = 0;
        for (kept = 0; kept < count && reached < (double)sampling->top_p * sum; kept++) reached += p[kept];
    }
    if (sampling->min_p > 0) /* relative to the best, whose p is 1 here */
        while (kept > 1 && p[kept - 1] < (double)sampling->min_p) kept--;
    if (kept == 0) kept = 1;
    sum = 0;
    for (size_t i = 0; i < kept; i++) {
        p[i] = isfinite(candidates[i].logit) ? exp(((double)candidates[i].logit - first) / (double)sampling->temperature) : 0;
        sum += p[i];
    }
    double draw = obi_rng_uniform(rng) * sum;
    for (size_t i = 0; i < kept; i++) {
        *id = candidates[i].id;
        draw -= p[i];
        if (draw < 0) break;
    }
    obi_free(p);
    return OBI_OK;
}

static int by_falling_logit(const void *left, const void *right)
{
    const obi_candidate *a = left, *b = right;
    if (a->logit != b->logit) return a->logit > b->logit ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

static void penalise(const obi_sampling *sampling, float *logits, uint32_t vocabulary, const uint32_t *recent, size_t count)
{
    if (sampling->repeat_penalty == 1) return;
    size_t first = count > sampling->repeat_last ? count - sampling->repeat_last : 0;
    for (size_t i = first; i < count; i++) {
        bool seen = false; /* once for each distinct token */
        for (size_t j = first; j < i && !seen; j++) seen = recent[j] == recent[i];
        if (seen || recent[i] >= vocabulary) continue;
        float *logit = &logits[recent[i]];
        *logit = *logit > 0 ? *logit / sampling->repeat_penalty : *logit * sampling->repeat_penalty;
    }
}

/* The best `wanted` of the logits, sorted: a min-heap of that size over one pass. */
static size_t best_of(const float *logits, uint32_t vocabulary, obi_candidate *heap, size_t wanted)
{
    size_t count = 0;
    for (uint32_t id = 0; id < vocabulary; id++) {
        obi_candidate fresh = { id, isnan(logits[id]) ? -INFINITY : logits[id] };
        size_t place;
        if (count < wanted) { /* sift up */
            place = count++;
            while (place > 0 && by_falling_logit(&heap[(place - 1) / 2], &fresh) < 0) {
                heap[place] = heap[(place - 1) / 2];
                place = (place - 1) / 2;
            }
        } else {
            if (by_falling_logit(&heap[0], &fresh) < 0) continue; /* not better than the worst kept */
            place = 0;
            for (;;) { /* sift down: the worst of the children rises */
                size_t child = 2 * place + 1;
                if (child >= count) break;
                if (child + 1 < count && by_falling_logit(&heap[child], &heap[child + 1]) < 0) child++;
                if (by_falling_logit(&fresh, &heap[child]) > 0) break;
                heap[place] = heap[child];
                place = child;
            }
        }
        heap[place] = fresh;
    }
    qsort(heap, count, sizeof *heap, by_falling_logit);
    return count;
}

obi_status obi_sample_logits(const obi_sampling *sampling, obi_rng *rng, float *logits, uint32_t vocabulary, const uint32_t *recent,
                             size_t recent_count, uint32_t *id)
{
    penalise(sampling, logits, vocabulary, recent, recent_count);
    size_t wanted = sampling->temperature == 0 ? 1 : sampling->top_k ? sampling->top_k : vocabulary;
    if (wanted > vocabulary) wanted = vocabulary;
    obi_candidate *candidates = obi_calloc(wanted, sizeof *candidates);
    if (!candidates) return OBI_ERROR_MEMORY;
    size_t count = best_of(logits, vocabulary, candidates, wanted);
    obi_status status = obi_sample_candidates(sampling, rng, candidates, count, id);
    obi_free(candidates);
    return status;
}
