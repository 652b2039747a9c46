#include "options.h"

#include <sys/random.h>

#include "common/term.h"
#include "common/threads.h"

static const char examples[] =
    "  onebit-run-vk -m story.gguf -p \"Once upon a time\"\n"
    "      goes on with the story until the model ends it\n"
    "  onebit-run-vk -m story.gguf -f prompt.txt -n 100 --temp 0 --no-display-prompt > out.txt\n"
    "      100 tokens, always the most likely one; out.txt holds the new text only\n"
    "  echo \"Lily saw\" | onebit-run-vk -m story.gguf -f - -s 7 --device 1\n"
    "      reads the prompt from stdin, repeatable by its seed, on the second device\n";

int run_options_parse(run_options *o, int argc, char **argv)
{
    *o = (run_options){ .predict = -1, .seed = -1, .top_k = 40, .repeat_last = 64,
                        .temperature = 0.8, .top_p = 0.95, .min_p = 0.05, .repeat_penalty = 1.0 };
    const app_option options[] = {
        APP_ROW_HEADING("Model and prompt"),
        APP_ROW_TEXT('m', "model", "FILE", "the model, a GGUF file (required)", &o->model),
        APP_ROW_TEXT('p', "prompt", "TEXT", "text to go on with (default: none, the model starts freely)", &o->prompt),
        APP_ROW_TEXT('f', "file", "FILE", "read the prompt from a file, - for stdin; one newline at its\nend is dropped",
                     &o->prompt_file),
        APP_ROW_FLAG(0, "special", "control tokens written out in the prompt become those tokens", &o->special),
        APP_ROW_FLAG(0, "no-bos", "do not put the start token in front of the prompt", &o->no_bos),
        APP_ROW_HEADING("Length"),
        APP_ROW_INTEGER('n', "predict", "N", "most tokens to generate (default -1: until the model ends its\ntext or the context is full)",
                        &o->predict, -1, INT32_MAX),
        APP_ROW_INTEGER('c', "ctx-size", "N", "context in tokens, prompt included (default 0: the model's,\nat most 4096)",
                        &o->context, 0, INT32_MAX),
        APP_ROW_INTEGER('b', "batch-size", "N", "tokens of the prompt processed at once (default 128)", &o->batch, 1, 65536),
        APP_CACHE_ROW(&o->cache_type),
        APP_ROW_FLAG(0, "ignore-eos", "go on when the model ends its text", &o->ignore_eos),
        APP_ROW_HEADING("Choice of the next token"),
        APP_ROW_INTEGER('s', "seed", "N", "the same seed, device and driver give the same text\n(default -1: a new one, printed)",
                        &o->seed, -1, 9e18),
        APP_ROW_REAL(0, "temp", "T", "temperature; 0 takes the most likely token (default 0.8)", &o->temperature, 0, 100),
        APP_ROW_INTEGER(0, "top-k", "K", "among the K most likely tokens; 0: all (default 40)", &o->top_k, 0, INT32_MAX),
        APP_ROW_REAL(0, "top-p", "P", "among the likeliest that make up P; 1: all (default 0.95)", &o->top_p, 0, 1),
        APP_ROW_REAL(0, "min-p", "P", "at least P times as likely as the best; 0: all (default 0.05)", &o->min_p, 0, 1),
        APP_ROW_REAL(0, "repeat-penalty", "R", "above 1 makes recent tokens less likely (default 1: off)", &o->repeat_penalty, 0.01, 100),
        APP_ROW_INTEGER(0, "repeat-last-n", "N", "how many tokens are recent; 0: none, -1: the whole context\n(default 64)",
                        &o->repeat_last, -1, INT32_MAX),
        APP_ROW_HEADING("Output"),
        APP_ROW_FLAG(0, "no-display-prompt", "print the generated text only", &o->no_display_prompt),
        APP_ROW_FLAG(0, "ids", "print token ids on one line instead of text, those of the\nprompt included", &o->ids),
        APP_ROW_FLAG(0, "profile", "at the end a table of GPU time by kernel, on stderr", &o->profile),
        APP_DEVICE_ROWS(o->common),
        APP_MMAP_ROW(o->common),
        APP_EXACT_ROW(o->common),
        APP_THREADS_ROW(o->common),
        APP_OTHER_ROWS(o->common),
    };
    const app_program program = {
        .name = "onebit-run-vk",
        .purpose = "generates text with a LLaMA or OPT model, 1-bit or not, on a Vulkan device.",
        .usage = "-m MODEL.gguf [-p PROMPT | -f FILE] [options]",
        .options = options,
        .common = &o->common,
        .examples = examples,
    };
    int outcome = app_parse(&program, argc, argv, NULL);
    if (outcome != APP_GO_ON) return outcome;
    if (!o->model) return app_usage_error("no model was given; -m names a GGUF file");
    if (o->prompt && o->prompt_file) return app_usage_error("-p and -f both give a prompt; use one of them");
    if (o->top_p <= 0) return app_usage_error("--top-p must be above 0");
    if (o->seed < 0) {
        uint32_t random = 0; /* short enough to type again */
        if (getrandom(&random, sizeof random, 0) != sizeof random) random = (uint32_t)(app_seconds() * 1e6);
        o->seed = random;
    }
    return APP_GO_ON;
}
