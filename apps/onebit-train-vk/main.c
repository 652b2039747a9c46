/* onebit-train-vk: trains a model by a YAML file and keys of the command line. */
#include <stdio.h>
#include <string.h>

#include "common/devices.h"
#include "common/kernel_times.h"
#include "common/stop.h"
#include "common/term.h"
#include "onebit/onebit_train.h"
#include "ranks.h"
#include "view.h"

#define OVERRIDES_MAX 128

typedef struct train_options {
    const char *config, *device;
    const char *overrides[2 * OVERRIDES_MAX];
    size_t override_count;
    int verbosity;
    bool profile;
} train_options;

/* ---- command line: any --key value of the option table ----------------------------------------------------------- */

static void print_help(void)
{
    printf("onebit-train-vk: trains ordinary and 1-bit LLaMA models on a Vulkan device.\n\n"
           "usage: onebit-train-vk [CONFIG.yaml] [--key value]... [--device D] [-v]\n\n"
           "CONFIG.yaml holds lines `key: value`; keys on the command line go over them. The same command goes on with a run\n"
           "that was stopped. The run's directory (output_dir) holds log.jsonl, checkpoints and, at the end, model.gguf.\n\n");
    const char *key, *help;
    char value[128];
    for (uint32_t i = 0; ob_train_option(i, &key, value, sizeof value, &help); i++)
        printf("  --%-32s %-16s %s\n", key, value[0] ? value : "-", help);
    printf("\n  --device D                         index, name (any part of it) or UUID (default: the best one); with several\n"
           "                                     processes a list of indices or UUIDs with commas, taken in turn on each machine\n"
           "  --list-devices                     list the devices and exit\n"
           "  --dry-run                          the same as --dry_run true\n"
           "  --profile                          at the end a table of GPU time by kernel, on stderr\n"
           "  -v                                 say more on stderr\n\n"
           "examples:\n"
           "  onebit-train-vk --stage pretrain --tokenizer_name_or_path tok512.model --dataset stories.txt --output_dir teacher\n"
           "      a small model from nothing\n"
           "  onebit-train-vk --stage kd --teacher_model_name_or_path teacher/model.gguf --dataset stories.txt --output_dir student\n"
           "      its 1-bit student: student/model.gguf runs with onebit-run-vk\n"
           "  onebit-train-vk --stage sft --model_name_or_path student/model.gguf --dataset alpaca.jsonl --output_dir tuned\n"
           "      the student learns to answer instructions\n"
           "  onebit-train-vk --stage generate --teacher_model_name_or_path teacher/model.gguf --num_samples 5000 --output_dir texts\n"
           "      the teacher writes texts/generated.txt, a dataset for kd where there is none\n"
           "  onebit-train-vk run.yaml --learning_rate 2e-4 --dry-run\n"
           "      the memory plan, an estimate of the time and one step, nothing written\n"
           "  mpirun --bind-to none -n 4 onebit-train-vk run.yaml\n"
           "      four processes, each with a device and a part of every step\n\n"
           "Ctrl-C and SIGTERM save and stop (exit codes 130 and 143), a second one stops at once; SIGUSR1 saves and goes on.\n");
}

static int usage_error(const char *sentence, const char *word)
{
    app_refuse(2, "%s%s (see onebit-train-vk --help)", sentence, word);
    return 2;
}

/* Returns -1 to go on, or the exit code. */
static int parse(train_options *o, int argc, char **argv)
{
    memset(o, 0, sizeof *o);
    app_set_name("onebit-train-vk");
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        if (strcmp(word, "-h") == 0 || strcmp(word, "--help") == 0) {
            print_help();
            return 0;
        }
        if (strcmp(word, "--version") == 0) {
            printf("onebit-train-vk %s\n", ob_version());
            return 0;
        }
        if (strcmp(word, "--list-devices") == 0) return app_list_devices();
        if (strcmp(word, "-v") == 0) {
            o->verbosity++;
        } else if (strcmp(word, "--dry-run") == 0 && o->override_count < OVERRIDES_MAX) {
            o->overrides[2 * o->override_count] = "dry_run";
            o->overrides[2 * o->override_count++ + 1] = "true";
        } else if (strcmp(word, "--profile") == 0) {
            o->profile = true;
        } else if (strncmp(word, "--", 2) == 0) {
            if (i + 1 == argc) return usage_error("there is no value behind ", word);
            if (strcmp(word, "--device") == 0) o->device = argv[++i];
            else if (o->override_count == OVERRIDES_MAX) return usage_error("there are too many keys", "");
            else {
                o->overrides[2 * o->override_count] = word + 2;
                o->overrides[2 * o->override_count++ + 1] = argv[++i];
            }
        } else if (word[0] == '-' || o->config) {
            return usage_error("unexpected word ", word);
        } else {
            o->config = word;
        }
    }
    if (!o->config && o->override_count == 0) return usage_error("name a YAML file or keys of a run", "");
    app_start_log(o->verbosity);
    return -1;
}

/* ---- the run ------------------------------------------------------------------------------------------------------ */

static void on_profile(const ob_kernel_time *rows, uint32_t count, uint64_t steps, double seconds, void *user)
{
    (void)user;
    app_print_kernel_times(stderr, rows, count, steps, seconds);
}

static bool on_stop(void *user)
{
    (void)user;
    return app_stop_signal() != 0;
}

static bool on_save(void *user)
{
    (void)user;
    return app_take_save_request();
}

/* Says how the run of these ranks ended, once for all of them, and returns the exit code, the same for all. */
static int end_ranks(const app_ranks *ranks, ob_status status)
{
    if (status == OB_OK) return 0;
    if (ranks->ranks.size == 1) {
        if (status == OB_ERROR_CANCELLED) app_note("%s", ob_last_error());
        return app_fail(status);
    }
    if (status != OB_ERROR_CANCELLED) {
        int code = app_fail(status);
        app_ranks_abort(ranks, code); /* the others wait for this one */
        return code;
    }
    if (ranks->ranks.rank == 0) app_note("%s", ob_last_error());
    return 128 + app_ranks_largest(ranks, app_stop_signal()); /* it may have come to one of them only */
}

static int run(const train_options *o, const app_ranks *ranks)
{
    char device[64];
    train_view view;
    train_view_start(&view);
    ob_context *context = NULL;
    ob_status status =
        ob_context_create(&context, &(ob_context_desc){ .device = app_ranks_device(ranks, o->device, device, sizeof device),
                                                          .exact = true });
    if (status == OB_OK)
        status = ob_train(context, &(ob_train_desc){ .config = o->config,
                                                     .overrides = o->overrides,
                                                     .override_count = o->override_count,
                                                     .memory = train_view_memory,
                                                     .plan = train_view_plan,
                                                     .estimate = train_view_estimate,
                                                     .step = train_view_step,
                                                     .evaluation = train_view_evaluation,
                                                     .profile = o->profile ? on_profile : NULL,
                                                     .generated = train_view_generated,
                                                     .save = on_save,
                                                     .stop = on_stop,
                                                     .user = &view,
                                                     .ranks = &ranks->ranks });
    train_view_end(&view);
    int code = end_ranks(ranks, status);
    return app_end_context(context, code);
}

int main(int argc, char **argv)
{
    train_options o;
    app_ranks ranks;
    char name[64];
    int code = parse(&o, argc, argv);
    if (code >= 0) return app_end_stdout(code);
    if (!app_ranks_open(&ranks)) return app_end_stdout(2);
    if (ranks.ranks.rank > 0) {
        snprintf(name, sizeof name, "onebit-train-vk (rank %u)", ranks.ranks.rank);
        app_set_name(name);
    }
    app_catch_signals();
    app_catch_save_signal();
    code = run(&o, &ranks);
    app_ranks_close(&ranks);
    return app_end_stdout(code);
}
