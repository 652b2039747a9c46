/* faults_preload: plans a failure in a program that knows nothing of it. Preloaded, it opens the layer FAULTS_LAYER before the program does
 * and plans what FAULTS_PLAN says: COMMAND CALL RESULT, or COMMAND CALL RESULT lasting. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "faults.h"

__attribute__((constructor)) static void plan(void)
{
    const char *path = getenv("FAULTS_LAYER"), *text = getenv("FAULTS_PLAN");
    char name[64], word[16] = "";
    unsigned call;
    int error;
    if (!path || !text) return;
    void *library = dlopen(path, RTLD_NOW);
    void *found = library ? dlsym(library, "onebit_faults") : NULL;
    faults_function get = NULL;
    memcpy(&get, &found, sizeof get);
    bool planned = false;
    if (get && sscanf(text, "%63s %u %d %15s", name, &call, &error, word) >= 3) {
        const faults_control *control = get();
        for (uint32_t i = 0; i < control->command_count; i++) {
            if (strcmp(control->commands[i].name, name) != 0) continue;
            control->plan(i, call, (VkResult)error, strcmp(word, "lasting") == 0);
            planned = true;
        }
    }
    if (planned) return;
    fprintf(stderr, "the fault '%s' cannot be planned\n", text);
    exit(99);
}
