/* threads: how many processors a software driver works on. */
#ifndef ONEBIT_APPS_THREADS_H
#define ONEBIT_APPS_THREADS_H

#include <stdint.h>

#include "common/args.h"

#define APP_THREADS_ROW(common)                                                                                         \
    APP_ROW_INTEGER('t', "threads", "N",                                                                                \
                    "processors that lavapipe works on (default: LP_NUM_THREADS, else\none for a model below 48 MiB, else all)", \
                    &(common).threads, 1, 256)

/* Lavapipe, the driver that runs on the CPU, asks LP_NUM_THREADS for it when it is first opened. Sets it to what -t says; else,
 * where the environment does not, lets a small model run on one thread, which finishes an operation sooner than it would wake
 * others. `model_bytes`: of all files, 0: unknown. Call it before the first context and before there are threads. */
void app_use_threads(const app_common *common, uint64_t model_bytes);

/* The size of the file; 0 if it has none or `path` is NULL. */
uint64_t app_file_bytes(const char *path);

#endif
