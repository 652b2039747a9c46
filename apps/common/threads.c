#include "common/threads.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "common/term.h"

/* docs/performance.md has the measurement. */
#define SMALL_MODEL_BYTES (48ull << 20)

uint64_t app_file_bytes(const char *path)
{
    struct stat info;
    return path && stat(path, &info) == 0 && S_ISREG(info.st_mode) && info.st_size > 0 ? (uint64_t)info.st_size : 0;
}

void app_use_threads(const app_common *common, uint64_t model_bytes)
{
    bool small = model_bytes > 0 && model_bytes < SMALL_MODEL_BYTES;
    char text[24];
    if (common->threads == 0 && (!small || getenv("LP_NUM_THREADS"))) return;
    /* 0: the thread that takes the submissions does the work itself. */
    (void)snprintf(text, sizeof text, "%" PRId64, common->threads > 1 ? (int64_t)common->threads : 0);
    (void)setenv("LP_NUM_THREADS", text, 1);
    if (common->verbosity > 0) app_note("LP_NUM_THREADS=%s, should the device be lavapipe", text);
}
