/* test_zeroshot_files: task files that are wrong, named with their line before any device is opened. */
#include "program.h"

#define MODEL OB_SOURCE_DIR "/models/stories-teacher.gguf"

static void expect_bad(const char *task, const char *name, const char *text, const char *labels, const char *part)
{
    program_write_file(name, text, strlen(text));
    if (labels) program_write_file("piqa_valid-labels.lst", labels, strlen(labels));
    program_expect_failure(program_run("onebit-eval-vk", "zeroshot", "-m", MODEL, "--data", scratch_directory, "--tasks", task), 5, part);
    unlink(scratch_path(name));
    unlink(scratch_path("piqa_valid-labels.lst"));
}

#define PIQA "{\"goal\":\"g\",\"sol1\":\"a\",\"sol2\":\"b\"}\n"
#define ARC                                                                                                                                \
    "{\"id\":\"x\",\"question\":{\"stem\":\"s\",\"choices\":[{\"text\":\"a\",\"label\":\"A\"},{\"text\":\"b\",\"label\":\"B\"}]},"         \
    "\"answerKey\":"

static void test_bad_files(void **state)
{
    (void)state;
    expect_bad("piqa", "piqa_valid.jsonl", PIQA PIQA, NULL, "the list of labels");
    expect_bad("piqa", "piqa_valid.jsonl", PIQA PIQA, "0\n", "ends after line 1");
    expect_bad("piqa", "piqa_valid.jsonl", PIQA, "0\n1\n", "line 2: there is a label too many");
    expect_bad("piqa", "piqa_valid.jsonl", PIQA, "2\n", "line 1: the label is neither 0 nor 1");
    expect_bad("piqa", "piqa_valid.jsonl", PIQA "{\"goal\":\"g\",\"so", "0\n1\n", "line 2: ");
    expect_bad("piqa", "piqa_valid.jsonl", PIQA "\n" PIQA, "0\n1\n", "line 2: the line is empty");
    expect_bad("piqa", "piqa_valid.jsonl", "{\"goal\":\"g\",\"sol1\":\"a\"}\n", "0\n", "line 1: \"sol2\" is missing");
    expect_bad("piqa", "piqa_valid.jsonl", "{\"goal\":1,\"sol1\":\"a\",\"sol2\":\"b\"}\n", "0\n", "\"goal\" is no text");
    expect_bad("piqa", "piqa_valid.jsonl", "", "", "is empty");
    expect_bad("piqa", "piqa_valid.jsonl", "{\"goal\":\"g\",\"sol1\":\"\",\"sol2\":\"b\"}\n", "0\n", "line 1: choice 1 is empty");
    expect_bad("boolq", "boolq_val.jsonl", "{\"question\":\"q\",\"passage\":\"p\",\"title\":\"t\",\"label\":true}\n", NULL,
               "\"title\" is no field of this task");
    expect_bad("boolq", "boolq_val.jsonl", "{\"question\":\"q\",\"passage\":\"p\",\"label\":\"maybe\"}\n", NULL, "line 1: \"label\"");
    expect_bad("arc_easy", "arc_easy_test.jsonl", ARC "\"A\"}\n" ARC "\"C\"}\n", NULL, "line 2: \"answerKey\" is the label of none");
    expect_bad("winogrande", "winogrande_dev.jsonl",
               "{\"qID\":\"1\",\"sentence\":\"s\",\"option1\":\"a\",\"option2\":\"b\",\"answer\":\"1\"}\n", NULL, "has no blank");
    expect_bad("winogrande", "winogrande_dev.jsonl",
               "{\"qID\":\"1\",\"sentence\":\"_ s\",\"option1\":\"a\",\"option2\":\"b\",\"answer\":\"\"}\n", NULL,
               "\"answer\" is neither 1 nor 2");
    expect_bad("hellaswag", "hellaswag_val.jsonl",
               "{\"activity_label\":\"x\",\"ctx_a\":\"a\",\"ctx_b\":\"b\",\"endings\":[\"c\",\"d\"],\"label\":2}\n", NULL,
               "line 1: \"label\"");
    program_expect_failure(program_run("onebit-eval-vk", "zeroshot", "-m", MODEL, "--data", scratch_directory), 5,
                           "has no file of winogrande");
    program_expect_failure(program_run("onebit-eval-vk", "zeroshot", "-m", MODEL, "--data", scratch_path("none")), 5, "there is no folder");
    program_expect_failure(program_run("onebit-eval-vk", "zeroshot", "-m", MODEL, "--data", test_data_path("zeroshot"), "--tasks", "mmlu"),
                           2, "no task 'mmlu'");
    program_expect_failure(program_run("onebit-eval-vk", "zeroshot", "-m", MODEL), 2, "--data names the folder");
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_bad_files) };
    return cmocka_run_group_tests(tests, scratch_open, program_scratch_remove);
}
