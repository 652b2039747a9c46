/* compare_seconds: how long a row took so far, in a file of its directory from one session to the next. */
#ifndef ONEBIT_EVAL_COMPARE_SECONDS_H
#define ONEBIT_EVAL_COMPARE_SECONDS_H

#include <stdbool.h>
#include <stdint.h>

/* The file holds the key of what took them: those of anything else are not read. */
double compare_seconds_read(const char *directory, const char *name, uint64_t key, double otherwise);
bool compare_seconds_write(const char *directory, const char *name, uint64_t key, double seconds); /* false: errno says why */
void compare_seconds_forget(const char *directory, const char *name);

#endif
