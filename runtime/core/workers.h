/* workers: a few threads that share one piece of work at a time: turning and copying weights while a model is loaded. */
#ifndef OBI_CORE_WORKERS_H
#define OBI_CORE_WORKERS_H

#include <stdint.h>

typedef struct obi_workers obi_workers;

/* Does items [first, first + count). Called by several threads at once, for ranges that do not overlap. It cannot fail: what could
 * is checked before. */
typedef void (*obi_work)(void *user, uint32_t first, uint32_t count);

/* As many threads as this process may use processors, the caller's among them, 8 at most: more do not read memory faster. NULL when
 * there is no memory; fewer threads, down to the caller's alone, when the system gives no more. They take no signals. */
obi_workers *obi_workers_create(void);
void obi_workers_destroy(obi_workers *workers); /* NULL is allowed */

/* Does all of `items`, `at_once` or fewer at a time, on all threads, and returns when everything is done; what it wrote is seen by
 * the caller. One caller at a time. NULL for `workers`: on this thread alone. */
void obi_workers_run(obi_workers *workers, obi_work work, void *user, uint32_t items, uint32_t at_once);

#endif
