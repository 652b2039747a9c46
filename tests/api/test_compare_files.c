/* test_compare_files: what `onebit-eval-vk compare` says of configurations that cannot be, with file and line, before it opens a device. */
#include "api.h"
#include "program.h"

/* The configuration in the scratch directory. */
static const char *config_path(void)
{
    static char path[1024];
    snprintf(path, sizeof path, "%s", scratch_path("comparison.yaml"));
    return path;
}

static void write_config(const char *text) { (void)program_write_file("comparison.yaml", text, strlen(text)); }

static void refused(const char *text, int code, const char *words)
{
    write_config(text);
    program_expect_failure(program_run("onebit-eval-vk", "compare", config_path()), code, words);
}

static void test_files_are_checked(void **state)
{
    (void)state;
    static const char head[] = "model: m.gguf\noutput_dir: out\ntext: t.txt\n";
    char text[2048];
    program_expect_failure(program_run("onebit-eval-vk", "compare"), 2, "name a YAML file");
    program_expect_failure(program_run("onebit-eval-vk", "compare", "none.yaml"), 5, "cannot open");
    refused("", 5, "it is empty");
    refused("a: [1, 2\nb: 3\n", 5, "comparison.yaml:2: it is no YAML");
    refused("- 1\n", 2, "comparison.yaml:1: the file must be keys with values");
    refused("output_dir: out\ntext: t\nrows: [{name: A}]\n", 2, "names no model");
    refused("model: m\nmodel: n\n", 2, ":2: the key \"model\" stands there twice");
    refused("model: m\nmodels: n\n", 2, ":2: there is no key \"models\"");
    refused("model: m\nbytes: many\n", 2, ":2: bytes: \"many\" is not a whole number");
    refused("model: ${ONEBIT_NO_SUCH_NAME}/m\n", 2, ":1: the environment has no ONEBIT_NO_SUCH_NAME");
    refused("model: ${ONEBIT_NO_SUCH\n", 2, ":1: \"${ONEBIT_NO_SUCH\" has a ${ without its }");
    refused("model: [m]\n", 2, ":1: model has a list or a mapping");
    refused(head, 2, "it has no rows");
    refused("model: m\noutput_dir: out\ntext: '-'\nrows: [{name: A}]\n", 2, "text cannot be stdin");
    static const char *const texts[] = { "wikitext2", "c4", "calibration" };
    for (size_t i = 0; i < 3; i++) {
        char words[64];
        snprintf(text, sizeof text, "%s%s: '-'\nrows: [{name: A}]\n", head, texts[i]);
        snprintf(words, sizeof words, "%s cannot be stdin", texts[i]);
        refused(text, 2, words);
    }
    static const struct {
        const char *rows, *words;
    } bad[] = {
        { "rows:\n  - {method: svid}\n", ":5: a row needs a name" },
        { "rows:\n  - {name: A}\n  - {name: A}\n", ":6: two rows are named \"A\"" },
        { "rows:\n  - {name: A, method: best}\n", ":5: method cannot be \"best\"" },
        { "rows:\n  - {name: A, bits: 9}\n", ":5: bits cannot be \"9\"" },
        { "rows:\n  - {name: A, kind: made}\n", ":5: kind must be file, quantize or train" },
        { "rows:\n  - {name: A, learning: 1}\n", ":5: there is no key \"learning\" of a row of kind quantize" },
        { "rows:\n  - {name: A, kind: train, learning: 1}\n", ":5: there is no key \"learning\" of training" },
        { "rows:\n  - {name: A, kind: train, seed: 1}\n", ":5: \"seed\" is the comparison's own" },
        { "rows:\n  - {name: A, kind: file}\n", ":5: a row of kind file needs a path" },
        { "rows:\n  - {name: A, seeds: [1]}\n", ":5: only trained rows have seeds" },
        { "rows:\n  - {name: A, method: gptq}\n", ":5: the method of \"A\" learns from a text" },
        { "rows:\n  - {name: A, method: rtn, damping: 0}\n", ":5: damping is of other methods (gptq) than that of \"A\"" },
        { "rows:\n  - {name: A, form: f16, epochs: 1}\n", ":5: epochs is of other methods (omniquant)" },
        { "seeds: [1, 1]\n", ":4: the seed 1 stands there twice" },
        { "train: {dataset: d, output_dir: o}\n", ":4: \"output_dir\" is the comparison's own" },
        { "rows: [{name: A}]\nfigures:\n  - {file: f, rows: [B]}\n", ":6: there is no row \"B\"" },
        { "rows: [{name: A}]\nfigures:\n  - {file: f, rows: [A]}\n", ":6: the row \"A\" is not trained" },
        { "rows: [{name: A, kind: train}]\nfigures:\n  - {file: ../f, rows: [A]}\n", ":6: a figure needs a file" },
        { "rows: [{name: A, kind: train}]\nfigures:\n  - {file: size-bits, rows: [A]}\n",
          ":6: the file \"size-bits\" is another figure's" },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(text, sizeof text, "%s%s", head, bad[i].rows);
        refused(text, 2, bad[i].words);
    }
    snprintf(text, sizeof text, "%srows: [{name: A}]\n", head);
    refused(text, 5, "t.txt"); /* the text, before a device is opened */
    unlink(config_path());
}

int main(void)
{
    api_plain_environment();
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_files_are_checked) };
    return cmocka_run_group_tests(tests, scratch_open, program_scratch_remove);
}
