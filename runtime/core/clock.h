/* clock: monotonic seconds, for progress and timing only; no logic depends on it. */
#ifndef OBI_CORE_CLOCK_H
#define OBI_CORE_CLOCK_H

double obi_clock_seconds(void);

#endif
