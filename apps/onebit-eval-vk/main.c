/* onebit-eval-vk: measures a model. Each word behind the name is a measurement with options of its own. */
#include <stdio.h>
#include <string.h>

#include "agree.h"
#include "common/args.h"
#include "common/devices.h"
#include "common/term.h"
#include "compare.h"
#include "generate.h"
#include "ppl.h"
#include "size.h"
#include "zeroshot.h"

static const struct {
    const char *name, *purpose;
    int (*run)(int argc, char **argv);
} measurements[] = {
    { "ppl", "how well a model predicts a text: perplexity, bits per byte", eval_ppl_main },
    { "agree", "how close a student is to its teacher on a text: KL, the same choices", eval_agree_main },
    { "zeroshot", "the six multiple-choice tasks of the OneBit paper: acc, acc_norm", eval_zeroshot_main },
    { "generate", "what models answer to instructions, side by side", eval_generate_main },
    { "size", "bits of a weight, bytes of a file or of a published shape", eval_size_main },
    { "compare", "many methods on one model, by a YAML file: a table, figures, a page", eval_compare_main },
};
enum { MEASUREMENTS = sizeof measurements / sizeof *measurements };

static const char examples[] = "  onebit-eval-vk ppl -m story.gguf -f wiki.test.raw\n"
                               "      perplexity over windows as long as the model's context\n"
                               "  onebit-eval-vk agree -m student.gguf --teacher teacher.gguf -f stories.txt -c 256\n"
                               "      how far a student's predictions are from its teacher's\n"
                               "  onebit-eval-vk zeroshot -m story.gguf --data zeroshot --log story.jsonl\n"
                               "      the six zero-shot tasks, with a line for every item\n"
                               "  onebit-eval-vk size -m story.gguf\n"
                               "      bits of a linear weight, bytes, and what FP16 would take\n"
                               "  onebit-eval-vk compare models/comparison.yaml\n"
                               "      every method of the paper on one model, trained ones too\n";

static void print_help(void)
{
    printf("onebit-eval-vk: measures a model.\n\nUsage: onebit-eval-vk MEASUREMENT [options]\n\n");
    for (int i = 0; i < MEASUREMENTS; i++) printf("  %-10s %s\n", measurements[i].name, measurements[i].purpose);
    printf("\n  --list-devices   list the devices and exit\n"
           "  --version        print the version and exit\n\n"
           "onebit-eval-vk MEASUREMENT --help explains the options of each.\n\nExamples:\n%s",
           examples);
}

int main(int argc, char **argv)
{
    app_set_name("onebit-eval-vk");
    const char *word = argc > 1 ? argv[1] : "";
    for (int i = 0; i < MEASUREMENTS; i++)
        if (strcmp(word, measurements[i].name) == 0) return app_end_stdout(measurements[i].run(argc - 1, argv + 1));
    if (strcmp(word, "-h") == 0 || strcmp(word, "--help") == 0) {
        print_help();
        return app_end_stdout(0);
    }
    if (strcmp(word, "--version") == 0) {
        printf("onebit-eval-vk %s\n", ob_version());
        return app_end_stdout(0);
    }
    if (strcmp(word, "--list-devices") == 0) return app_end_stdout(app_list_devices());
    char names[256] = "";
    for (int i = 0; i < MEASUREMENTS; i++) {
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", i == 0 ? "" : i + 1 < MEASUREMENTS ? ", " : " or ", measurements[i].name);
    }
    if (!*word) return app_usage_error("say what to measure: %s", names);
    return app_usage_error("'%s' cannot be measured, only %s", word, names);
}
