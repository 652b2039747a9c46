/* test_answers_program: "onebit-eval-vk generate": the answers are what onebit-run-vk gives to the whole prompt, model by model; and files
 * of instructions that are wrong. */
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
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_side_by_side), cmocka_unit_test(test_refused) };
    return cmocka_run_group_tests(tests, scratch_open, program_scratch_remove);
}
