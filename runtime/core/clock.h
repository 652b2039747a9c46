/* clock: monotonic seconds, for progress, timing and time limits. */
#ifndef OBI_CORE_CLOCK_H
#define OBI_CORE_CLOCK_H

double obi_clock_seconds(void);

#endif
