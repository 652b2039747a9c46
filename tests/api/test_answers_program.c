/* test_answers_program: "onebit-eval-vk generate": the answers are what onebit-run-vk gives to the whole prompt, model by model; a log that
 * is continued; and files of instructions that are wrong. */
#include "program.h"

#define TEACHER OB_SOURCE_DIR "/models/stories-teacher.gguf"
#define STUDENT OB_SOURCE_DIR "/models/stories-onebit.gguf"

/* The alpaca template around an instruction with an input. */
#define PROMPT                                                                                                                             \
    "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"                        \
    "### Instruction:\nTell a \"story\".\nAbout a cat.\n\n### Response:\n"

/* Finds the text of the answer, a JSON string, behind `from`; without its escapes. */
static const char *answer_in(const char **from, char *text, size_t room)
{
    const char *at = strstr(*from, "\"text\": \"");
    assert_non_null(at);
    size_t used = 0;
    for (at += 9; *at != '"'; at++) {
        assert_true(used + 1 < room && *at);
        if (*at != '\\') text[used++] = *at;
        else if (strncmp(at, "\\u000a", 6) == 0) {
            text[used++] = '\n';
            at += 5;
        } else {
            text[used++] = *++at;
        }
    }
    text[used] = 0;
    *from = at;
    return text;
}

static void test_side_by_side(void **state)
{
    (void)state;
    static const char line[] = "{\"instruction\":\"Tell a \\\"story\\\".\",\"input\":\"About a cat.\",\"output\":\"\"}\n";
    static const char *const models[] = { TEACHER, STUDENT };
    static char both[1 << 16];
    const char *file = program_write_file("one.jsonl", line, sizeof line - 1);
    const program *run = program_run("onebit-eval-vk", "generate", "-m", TEACHER, "-m", STUDENT, "--prompts", file, "-n", "12", "--json");
    program_expect_success(run);
    memcpy(both, run->out, sizeof both);
    const char *from = both;
    for (int m = 0; m < 2; m++) {
        char text[1024], whole[2048];
        answer_in(&from, text, sizeof text);
        assert_true(json_number(from, "tokens") == 12);
        run = program_run("onebit-run-vk", "-m", models[m], "-p", PROMPT, "-n", "12", "--temp", "0", "--cache-type", "f32");
        assert_int_equal(run->code, 0);
        snprintf(whole, sizeof whole, "%s%s\n", PROMPT, text);
        assert_string_equal(run->out, whole);
    }
}

static const char *logged(void)
{
    static char path[1024];
    snprintf(path, sizeof path, "%s", scratch_path("log.jsonl"));
    return path;
}

/* What `generate` says, with a seed, to the instructions in two.jsonl; the last options may be NULL. */
static const program *answer(const char *seed, const char *option, const char *value, const char *last)
{
    char prompts[1024];
    snprintf(prompts, sizeof prompts, "%s", scratch_path("two.jsonl"));
    return program_run("onebit-eval-vk", "generate", "-m", TEACHER, "-m", STUDENT, "--prompts", prompts, "-n", "10", "--temp", "0.8", "-s",
                       seed, option, value, last);
}

/* The number behind the key becomes a dash, everywhere: two runs take different times. */
static void blank(char *text, const char *key)
{
    for (char *at = strstr(text, key); at; at = strstr(at, key)) {
        at += strlen(key);
        size_t digits = strspn(at, "0123456789.e+-");
        *at = '-';
        memmove(at + 1, at + digits, strlen(at + digits) + 1);
    }
}

static char *text_of(const char *path)
{
    size_t bytes;
    char *text = (char *)program_file(path, &bytes);
    text[bytes] = 0;
    return text;
}

/* Killed in the middle of a line: that answer and what follows are made again, the first two are not, and all are the same. */
static void test_continued(void **state)
{
    (void)state;
    static const char lines[] = "{\"instruction\":\"Tell a story.\"}\n{\"instruction\":\"Say this:\",\"input\":\"\\u00fc\"}\n";
    static char markdown[1 << 16], report[1 << 16];
    program_write_file("two.jsonl", lines, sizeof lines - 1);
    const program *run = answer("7", NULL, NULL, NULL);
    program_expect_success(run);
    memcpy(markdown, run->out, sizeof markdown);
    run = answer("7", "--log", logged(), "--json");
    program_expect_success(run);
    memcpy(report, run->out, sizeof report);
    char *whole = text_of(logged());
    assert_int_equal(program_occurrences(whole, "\n"), 5);

    const char *cut = whole;
    for (int i = 0; i < 3; i++) cut = strchr(cut, '\n') + 1;
    program_write_file("log.jsonl", whole, (size_t)(cut + 20 - whole));
    run = answer("7", "--log", logged(), "--json");
    program_expect_success(run);
    assert_non_null(strstr(run->err, "has 2 of the 4 answers already"));
    const char *second = strstr(report, "Say this:"); /* what was known is as it was, times included */
    assert_memory_equal(run->out, report, (size_t)(second - report));
    char *again = text_of(logged());
    assert_memory_equal(again, whole, (size_t)(cut - whole));
    static char other[1 << 16];
    memcpy(other, run->out, sizeof other);
    blank(other, "\"seconds\": ");
    blank(report, "\"seconds\": ");
    blank(again, "\"seconds\":");
    blank(whole, "\"seconds\":");
    assert_string_equal(other, report);
    assert_string_equal(again, whole);
    free(again);

    again = text_of(logged());
    run = answer("7", "--log", logged(), NULL); /* all are known; the Markdown is that of the run without a log */
    program_expect_success(run);
    assert_string_equal(run->out, markdown);
    char *third = text_of(logged());
    assert_string_equal(third, again);
    free(whole);
    free(again);
    free(third);
}

static void test_log_refused(void **state)
{
    (void)state;
    static const char lines[] = "{\"instruction\":\"Tell a story.\"}\n{\"instruction\":\"Say that:\",\"input\":\"\\u00fc\"}\n";
    char *whole = text_of(logged());
    program_expect_failure(answer("8", "--log", logged(), NULL), 2, "its \"seed\" is 7, now it is 8");
    char *at = strstr(whole, "\"tier\":\"");
    assert_true(at && strstr(whole, "\"driver\":\"")); /* other kernels may give other answers */
    char tier = at[8];
    at[8] = 'Z';
    program_write_file("log.jsonl", whole, strlen(whole));
    program_expect_failure(answer("7", "--log", logged(), NULL), 2, "its \"tier\" is \"Z\"");
    at[8] = tier;
    program_write_file("log.jsonl", whole, strlen(whole));
    program_write_file("two.jsonl", lines, strcspn(lines, "\n") + 1); /* fewer, then others */
    program_expect_failure(answer("7", "--log", logged(), NULL), 5,
                           "line 4: this is no answer to instruction 2; the log is of other prompts");
    program_write_file("two.jsonl", lines, sizeof lines - 1);
    program_expect_failure(answer("7", "--log", logged(), "--json"), 5, "line 4: this is no answer to instruction 2; the log is of other");
    at = strstr(whole, "\"seconds\":");
    assert_non_null(at);
    char digits[2];
    memcpy(digits, at + 10, 2); /* a digit and a point */
    memcpy(at + 10, "-1", 2);
    program_write_file("log.jsonl", whole, strlen(whole));
    program_expect_failure(answer("7", "--log", logged(), NULL), 5, "line 2: this is no answer of generate");
    memcpy(at + 10, digits, 2);
    at = strstr(whole, "\"tokens\":");
    assert_non_null(at);
    memcpy(at, "\"tokins\":", 9);
    program_write_file("log.jsonl", whole, strlen(whole));
    program_expect_failure(answer("7", "--log", logged(), NULL), 5, "line 2: this is no answer of generate");
    program_write_file("log.jsonl", "notes\n", 6);
    program_expect_failure(answer("7", "--log", logged(), NULL), 5, "is no log");
    free(whole);
    whole = text_of(logged());
    assert_string_equal(whole, "notes\n"); /* it was not touched */
    free(whole);
}

static void expect_bad(const char *text, const char *part)
{
    const char *file = program_write_file("bad.jsonl", text, strlen(text));
    program_expect_failure(program_run("onebit-eval-vk", "generate", "-m", TEACHER, "--prompts", file), 5, part);
}

static void test_refused(void **state)
{
    (void)state;
    expect_bad("{\"instruction\":\"a\"}\n{\"input\":\"b\"}\n", "line 2: there is no \"instruction\"");
    expect_bad("{\"instruction\":\"a\",\"input\":1}\n", "line 1: \"input\" is no text");
    expect_bad("{\"instruction\":\"a\"", "line 1: ");
    expect_bad("", "has no instructions");
    program_expect_failure(program_run("onebit-eval-vk", "generate"), 2, "-m names a GGUF file");
    program_expect_failure(program_run("onebit-eval-vk", "generate", "-m", TEACHER, "-m", scratch_path("none.gguf")), 5, "No such file");
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_side_by_side), cmocka_unit_test(test_continued),
                                        cmocka_unit_test(test_log_refused), cmocka_unit_test(test_refused) };
    return cmocka_run_group_tests(tests, scratch_open, program_scratch_remove);
}
