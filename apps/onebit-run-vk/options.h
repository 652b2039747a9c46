/* options: the command line of onebit-run-vk. */
#ifndef ONEBIT_RUN_OPTIONS_H
#define ONEBIT_RUN_OPTIONS_H

#include "common/args.h"

typedef struct run_options {
    app_common common;
    const char *model, *prompt, *prompt_file;
    int64_t predict, context, batch, seed, top_k, repeat_last;
    double temperature, top_p, min_p, repeat_penalty;
    int cache_type;
    bool ids, ignore_eos, no_bos, special, no_display_prompt, profile;
} run_options;

/* Checked, defaults filled in, a seed chosen. Returns APP_GO_ON or the code to exit with. */
int run_options_parse(run_options *options, int argc, char **argv);

#endif
