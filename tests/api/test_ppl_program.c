/* test_ppl_program: "onebit-eval-vk ppl" by the protocols of published tables, against a second implementation (scripts/reference_ppl.py),
 * and with a log that is continued. */
#include "program.h"

#include <math.h>

#define MODEL OB_SOURCE_DIR "/models/stories-teacher.gguf"

/* float32 sums: the implementations differ by 1e-8 nats in the mean. */
#define TOLERANCE 1e-5

static void expect_nll(const program *run, double nll, double windows)
{
    program_expect_success(run);
    double found = json_number(run->out, "nll");
    if (!(fabs(found - nll) < TOLERANCE)) fail_msg("the mean is %.9f, not %.9f", found, nll);
    assert_true(json_number(run->out, "windows") == windows);
    assert_true(fabs(json_number(run->out, "ppl") / exp(found) - 1) < 1e-7);
}

/* reference_ppl.py models/stories-teacher.gguf wikitext2 wikitext2_test.raw 64 3000 */
static void test_wikitext2(void **state)
{
    (void)state;
    const program *run = program_run("onebit-eval-vk", "ppl", "-m", MODEL, "--protocol", "wikitext2", "-f",
                                     test_data_path("text/wikitext2_test.raw"), "--bytes", "3000", "-c", "64", "--json");
    expect_nll(run, 6.152804665, 24);
    assert_true(json_number(run->out, "text_tokens") == 1561);
    assert_non_null(strstr(run->err, "instead of the protocol's 2048"));
    program_expect_failure(program_run("onebit-eval-vk", "ppl", "-m", MODEL, "--protocol", "wikitext2", "-f",
                                       test_data_path("text/wikitext2_test.raw"), "--bytes", "30", "-c", "64"),
                           5, "fewer than one window of 64");
}

/* The first 20000 bytes of the stories, a document for each paragraph but the last. */
static const char *write_documents(void)
{
    size_t bytes;
    char *text = (char *)program_file(test_data_path("text/tinystories_valid_head.txt"), &bytes);
    text[20000] = 0;
    FILE *file = fopen(scratch_path("c4.jsonl"), "wb");
    assert_non_null(file);
    for (char *at = text, *end; (end = strstr(at, "\n\n")) != NULL; at = end + 2) {
        fputs("{\"text\": \"", file);
        for (; at < end; at++) {
            if (*at == '\n') fputs("\\n", file);
            else if (*at == '"' || *at == '\\') fprintf(file, "\\%c", *at);
            else fputc(*at, file);
        }
        fputs("\", \"url\": \"x\"}\n", file);
    }
    assert_int_equal(fclose(file), 0);
    free(text);
    return scratch_path("c4.jsonl");
}

static void expect_bad(const char *text, const char *part)
{
    const char *path = program_write_file("bad.jsonl", text, strlen(text));
    program_expect_failure(program_run("onebit-eval-vk", "ppl", "-m", MODEL, "--protocol", "c4", "-f", path, "-c", "24"), 5, part);
}

/* reference_ppl.py models/stories-teacher.gguf c4 c4.jsonl 24. And the same again with a log that was cut in a line. */
static void test_c4(void **state)
{
    (void)state;
    char documents[1024], log[1024], first[64];
    snprintf(documents, sizeof documents, "%s", write_documents());
    snprintf(log, sizeof log, "%s", scratch_path("windows.jsonl"));
#define C4 "onebit-eval-vk", "ppl", "-m", MODEL, "--protocol", "c4", "-f", documents, "-c", "24", "--log", log, "--json"
    const program *run = program_run(C4);
    expect_nll(run, 2.574279156, 256);
    snprintf(first, sizeof first, "%.9g %.9g", json_number(run->out, "nll"), json_number(run->out, "nll_standard_error"));

    size_t bytes, kept = 0, lines = 0;
    char *whole = (char *)program_file(log, &bytes), again[64];
    whole[bytes] = 0;
    assert_int_equal(program_occurrences(whole, "\n"), 257);
    for (; lines < 251; kept++) lines += whole[kept] == '\n';
    program_write_file("windows.jsonl", whole, kept + 30);
    run = program_run(C4);
    expect_nll(run, 2.574279156, 256);
    assert_non_null(strstr(run->err, "has 250 of the 256 windows"));
    snprintf(again, sizeof again, "%.9g %.9g", json_number(run->out, "nll"), json_number(run->out, "nll_standard_error"));
    assert_string_equal(first, again);
    size_t bytes_again;
    char *continued = (char *)program_file(log, &bytes_again);
    assert_int_equal(bytes_again, bytes);
    assert_memory_equal(continued, whole, bytes);
    free(continued);
    free(whole);
    program_expect_failure(program_run(C4, "-b", "7"), 2, "its \"batch\" is 0, now it is 7");

    expect_bad("{\"text\": \"Once upon a time\"}\n", "none of the 1 documents");
    expect_bad("{\"text\": \"Once upon a time\"}\n{\"tex", "line 2: ");
    expect_bad("{\"text\": \"Once upon a time\"}\n{\"title\": \"Once\"}\n", "line 2: there is no \"text\"");
    expect_bad("", "has no documents");
    expect_bad("\x1f\x8b\x08", "is compressed");
    program_expect_failure(program_run("onebit-eval-vk", "ppl", "-m", MODEL, "--protocol", "c4", "-f", documents, "--bytes", "99"), 2,
                           "whole files");
    program_expect_failure(program_run("onebit-eval-vk", "ppl", "-m", MODEL, "--protocol", "c4", "-f", documents, "--split", "x"), 2,
                           "--split");
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_wikitext2), cmocka_unit_test(test_c4) };
    return cmocka_run_group_tests(tests, scratch_open, program_scratch_remove);
}
