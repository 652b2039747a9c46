/* test_zeroshot_program: "onebit-eval-vk zeroshot": the numbers of a second implementation (scripts/reference_zeroshot.py), and a log
 * that is continued. */
#include "program.h"

#include <math.h>

#define MODEL OB_SOURCE_DIR "/models/stories-teacher.gguf"
#define GOLDEN OB_SOURCE_DIR "/tests/data/zeroshot.jsonl"
#define ITEMS 4 /* of each task, of those in GOLDEN */

/* float32 sums of up to 512 terms, and no 1-bit layers, whose kernels may round to bytes: the two implementations differ by 1e-5 nats. */
#define TOLERANCE 1e-3

static char folder[1024], logged[1024];

/* The numbers of the list behind "key":[ ; how many there are. */
static size_t list_of(const char *line, const char *key, double *values)
{
    const char *at = strstr(line, key);
    assert_non_null(at);
    at = strchr(at, '[');
    assert_non_null(at);
    size_t count = 0;
    do {
        char *end;
        assert_true(count < 8);
        values[count++] = strtod(at + 1, &end);
        at = end;
    } while (*at == ',');
    assert_true(*at == ']');
    return count;
}

/* The line of the text that has both; NULL: none. */
static const char *line_with(const char *text, const char *task, int number)
{
    char name[64], line[64], spaced[64];
    snprintf(name, sizeof name, "\"%s\"", task);
    snprintf(line, sizeof line, "\"line\":%d,", number);
    snprintf(spaced, sizeof spaced, "\"line\": %d,", number);
    for (const char *at = text; at && *at; at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL) {
        const char *found = strstr(at, name), *end = strchr(at, '\n');
        if (!found || !end || found > end) continue;
        const char *tight = strstr(at, line), *loose = strstr(at, spaced);
        if ((tight && tight < end) || (loose && loose < end)) return at;
    }
    return NULL;
}

static char *text_of(const char *path)
{
    size_t bytes;
    char *text = (char *)program_file(path, &bytes);
    text[bytes] = 0;
    return text;
}

static int open_folder(void **state)
{
    if (scratch_open(state) != 0) return -1;
    snprintf(folder, sizeof folder, "%s", test_data_path("zeroshot"));
    snprintf(logged, sizeof logged, "%s", scratch_path("log.jsonl"));
    return 0;
}

static void test_golden(void **state)
{
    (void)state;
    static const struct {
        const char *task;
        bool normalised;
    } tasks[] = { { "winogrande", false }, { "hellaswag", true }, { "piqa", true },
                  { "boolq", false },      { "arc_easy", true },  { "arc_challenge", true } };
    const program *run =
        program_run("onebit-eval-vk", "zeroshot", "-m", MODEL, "--data", folder, "--items", "4", "--log", logged, "--json");
    program_expect_success(run);
    char *log = text_of(logged), *golden = text_of(GOLDEN);
    const char *report = run->out;
    double sum = 0;
    for (size_t t = 0; t < sizeof tasks / sizeof *tasks; t++) {
        int right = 0;
        for (int line = 1; line <= ITEMS; line++) {
            const char *own = line_with(log, tasks[t].task, line), *other = line_with(golden, tasks[t].task, line);
            assert_true(own && other);
            double likelihood[8], expected[8];
            size_t count = list_of(own, "log_likelihood", likelihood);
            assert_int_equal(count, list_of(other, "log_likelihood", expected));
            for (size_t i = 0; i < count; i++)
                if (!(fabs(likelihood[i] - expected[i]) < TOLERANCE))
                    fail_msg("%s %d: choice %zu has %g, not %g", tasks[t].task, line, i, likelihood[i], expected[i]);
            const char *choice = strstr(own, tasks[t].normalised ? "\"choice_norm\":" : "\"choice\":");
            assert_non_null(choice);
            right += atoi(strchr(choice, ':') + 1) == (int)json_number(other, "gold");
        }
        report = strstr(report, tasks[t].task);
        assert_non_null(report);
        double share = json_number(report, tasks[t].normalised ? "acc_norm" : "acc");
        assert_true(fabs(share - right / (double)ITEMS) < 1e-8);
        sum += share;
    }
    assert_true(fabs(json_number(run->out, "average") - sum / 6) < 1e-8);
    assert_true(json_number(run->out, "tokens_fed") < json_number(run->out, "tokens_of_all_choices")); /* contexts are fed once */
    free(log);
    free(golden);
}

/* Killed in the middle of a line: that item is measured again, the others are not, and the log ends up with the same numbers. */
static void test_continued(void **state)
{
    (void)state;
    char *whole = text_of(logged);
    const char *third = line_with(whole, "winogrande", 3), *fourth = line_with(whole, "winogrande", 4);
    assert_true(third && fourth);
    size_t kept = (size_t)(fourth - whole) - 20, all = (size_t)(strchr(fourth, '\n') + 1 - whole);
    program_write_file("log.jsonl", whole, kept);
    const program *run = program_run("onebit-eval-vk", "zeroshot", "-m", MODEL, "--data", folder, "--items", "4", "--tasks", "winogrande",
                                     "--log", logged, "--json");
    program_expect_success(run);
    assert_true(json_number(run->out, "items_from_log") == 2);
    char *again = text_of(logged);
    assert_int_equal(strlen(again), all);
    assert_memory_equal(again, whole, all);

    program_expect_failure(program_run("onebit-eval-vk", "zeroshot", "-m", MODEL, "--data", folder, "--items", "4", "--tasks", "winogrande",
                                       "--log", logged, "--bos"),
                           2, "its \"bos\" is false, now it is true");
    program_write_file("log.jsonl", "notes\n", 6);
    program_expect_failure(program_run("onebit-eval-vk", "zeroshot", "-m", MODEL, "--data", folder, "--log", logged), 5, "is no log");
    size_t bytes;
    char *notes = (char *)program_file(logged, &bytes);
    assert_true(bytes == 6 && memcmp(notes, "notes\n", 6) == 0); /* it was not touched */
    free(notes);
    free(whole);
    free(again);
}

/* The same items by their names, with other texts: what the log has of them is not taken. */
static void test_log_of_other_data(void **state)
{
    (void)state;
    char *data = text_of(test_data_path("zeroshot/winogrande_dev.jsonl")), other[1024];
    char *word = strstr(data, "surgeon");
    assert_non_null(word);
    memcpy(word, "dentist", 7);
    snprintf(other, sizeof other, "%s", scratch_path("other"));
    assert_int_equal(mkdir(other, 0755), 0);
    program_write_file("other/winogrande_dev.jsonl", data, strlen(data));
    unlink(logged);
    program_expect_success(
        program_run("onebit-eval-vk", "zeroshot", "-m", MODEL, "--data", folder, "--items", "1", "--tasks", "winogrande", "--log", logged));
    program_expect_failure(
        program_run("onebit-eval-vk", "zeroshot", "-m", MODEL, "--data", other, "--items", "1", "--tasks", "winogrande", "--log", logged),
        5, "the log is of another file");
    free(data);
}

/* A text that is offered twice goes through the model once, so that rounding does not choose between the two: half of all tokens are fed. */
static void test_equal_choices(void **state)
{
    (void)state;
    static const char item[] = "{\"goal\": \"How to stay dry?\", \"sol1\": \"Take an umbrella.\", \"sol2\": \"Take an umbrella.\"}\n";
    char twice[1024];
    snprintf(twice, sizeof twice, "%s", scratch_path("twice"));
    assert_int_equal(mkdir(twice, 0755), 0);
    program_write_file("twice/piqa_valid.jsonl", item, strlen(item));
    program_write_file("twice/piqa_valid-labels.lst", "0\n", 2);
    const program *run = program_run("onebit-eval-vk", "zeroshot", "-m", MODEL, "--data", twice, "--tasks", "piqa", "--json");
    program_expect_success(run);
    assert_true(json_number(run->out, "acc") == 1); /* the first of the two */
    assert_true(2 * json_number(run->out, "tokens_fed") == json_number(run->out, "tokens_of_all_choices"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_continued),
        cmocka_unit_test(test_log_of_other_data),
        cmocka_unit_test(test_equal_choices),
    };
    return cmocka_run_group_tests(tests, open_folder, program_scratch_remove);
}
