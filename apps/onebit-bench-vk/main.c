/* onebit-bench-vk: measures this device. Each word behind the name is a measurement with options of its own. */
#include <stdio.h>
#include <string.h>

#include "common/args.h"
#include "common/devices.h"
#include "common/term.h"
#include "complexity.h"
#include "generation.h"
#include "kernels.h"
#include "train.h"

static const struct {
    const char *name, *purpose;
    int (*run)(int argc, char **argv);
} measurements[] = {
    { "decode", "tokens per second that a model generates, time to first token, memory", bench_decode },
    { "prompt", "tokens per second of prompts that a model reads", bench_prompt },
    { "kernels", "single operations: time, rate", bench_kernels },
    { "complexity", "X W^T with W made of signs and scales first, against the bracketed form", bench_complexity },
    { "train", "a training step: time, rate, memory, and where the time goes", bench_train },
};
enum { MEASUREMENTS = sizeof measurements / sizeof *measurements };

static void print_help(void)
{
    printf("onebit-bench-vk: measures this device: whole models (a GGUF file, or random weights of a\n"
           "known shape), single operations, training steps.\n\n"
           "Usage: onebit-bench-vk MEASUREMENT [options]\n\n");
    for (int i = 0; i < MEASUREMENTS; i++) printf("  %-10s %s\n", measurements[i].name, measurements[i].purpose);
    printf("\n  --list-devices   list the devices and exit\n"
           "  --version        print the version and exit\n\n"
           "onebit-bench-vk MEASUREMENT --help explains the options of each.\n");
}

int main(int argc, char **argv)
{
    app_set_name("onebit-bench-vk");
    const char *word = argc > 1 ? argv[1] : "";
    for (int i = 0; i < MEASUREMENTS; i++)
        if (strcmp(word, measurements[i].name) == 0) return app_end_stdout(measurements[i].run(argc - 1, argv + 1));
    if (strcmp(word, "-h") == 0 || strcmp(word, "--help") == 0) {
        print_help();
        return app_end_stdout(0);
    }
    if (strcmp(word, "--version") == 0) {
        printf("onebit-bench-vk %s\n", ob_version());
        return app_end_stdout(0);
    }
    if (strcmp(word, "--list-devices") == 0) return app_end_stdout(app_list_devices());
    if (!*word) return app_usage_error("say what to measure: decode, prompt, kernels, complexity or train");
    return app_usage_error("'%s' cannot be measured; decode, prompt, kernels, complexity and train can", word);
}
