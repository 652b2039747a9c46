/* stop: SIGINT and SIGTERM. The first asks the program to stop at the next good place, the second ends it at once. */
#ifndef ONEBIT_APPS_STOP_H
#define ONEBIT_APPS_STOP_H

#include <stdbool.h>

/* Call once everything that waits for a person (a prompt on stdin) has been read. Also makes a closed stdout an error of
 * the write instead of a signal. */
void app_catch_signals(void);

/* SIGUSR1 asks to save and go on. Call before the work begins. */
void app_catch_save_signal(void);
/* True once for what came since the last call. */
bool app_take_save_request(void);

/* The signal that asked to stop, or 0. */
int app_stop_signal(void);

#endif
