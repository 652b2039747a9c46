/* test_agree: two models compared token by token, by ob_session_agree and by "onebit-eval-vk agree": against logits on the host,
 * with itself, with the perplexities that "ppl" finds, and what is refused. */
#include "api.h"
#include "program.h"

#include <math.h>

#define TEXT "text/tinystories_valid_head.txt"
#define TEACHER OB_SOURCE_DIR "/models/stories-teacher.gguf" /* of another vocabulary than stories260K */
enum { V = API_STORIES_VOCABULARY };

static char packed[1024]; /* the 1-bit student, beside program_model() */

static int open_models(void **state)
{
    if (scratch_open(state) != 0) return -1;
    snprintf(packed, sizeof packed, "%s", scratch_path("packed.gguf"));
    program_expect_success(
        program_run("onebit-quant-vk", test_data_path(API_STORIES), "--tokenizer", test_data_path(API_STORIES_TOKENIZER), "-o", packed));
    return 0;
}

static int close_models(void **state)
{
    (void)state;
    api_remove_tree(scratch_directory);
    return 0;
}

/* ---- the library ------------------------------------------------------------------------------------------------------- */

static const uint32_t ids[] = { 1, 403, 407, 261, 378, 432, 383, 286, 261, 376, 298, 315, 421, 395, 317 };
enum { COUNT = sizeof ids / sizeof *ids };

static double log_sum(const float *logits)
{
    double sum = 0;
    for (uint32_t i = 0; i < V; i++) sum += exp((double)logits[i]);
    return log(sum);
}

static uint32_t likeliest(const float *logits)
{
    uint32_t best = V;
    for (uint32_t i = V; i-- > 0;)
        if (best == V || logits[i] >= logits[best]) best = i;
    return best;
}

static void test_against_logits(void **state)
{
    (void)state;
    static float own[V], teachers[V];
    ob_context *context = api_context();
    ob_model *teacher = api_model(context, program_model()), *student = api_model(context, packed);
    ob_session *a, *b;
    ob_agreement got[COUNT];
    API_OK(ob_session_create(&a, student, &(ob_session_desc){ .context = COUNT, .batch = 4 }));
    API_OK(ob_session_create(&b, teacher, &(ob_session_desc){ .context = COUNT, .batch = 3 })); /* the smaller one counts */
    API_OK(ob_session_feed(b, ids, 3));                                                         /* both start anew */
    got[COUNT - 1].kl = 77;
    API_OK(ob_session_agree(a, b, ids, COUNT, got));
    assert_true(got[COUNT - 1].kl == 77);
    API_OK(ob_session_rewind(a, 0));
    API_OK(ob_session_rewind(b, 0));
    unsigned same = 0;
    for (uint32_t i = 0; i + 1 < COUNT; i++) {
        API_OK(ob_session_feed(a, &ids[i], 1));
        API_OK(ob_session_feed(b, &ids[i], 1));
        API_OK(ob_session_logits(a, own));
        API_OK(ob_session_logits(b, teachers));
        double partition = log_sum(own), teachers_partition = log_sum(teachers), kl = 0;
        for (uint32_t k = 0; k < V; k++) {
            double p = exp((double)teachers[k] - teachers_partition), q = exp((double)own[k] - partition);
            kl += p * log(p / q);
        }
        if (!(fabs(got[i].kl - kl) < 1e-3)) fail_msg("kl of token %u is %g, by the logits %g", i, got[i].kl, kl);
        assert_true(fabs(got[i].nll - (partition - (double)own[ids[i + 1]])) < 1e-3);
        assert_true(fabs(got[i].teacher_nll - (teachers_partition - (double)teachers[ids[i + 1]])) < 1e-3);
        assert_int_equal(got[i].same_choice, likeliest(own) == likeliest(teachers));
        same += got[i].same_choice;
        assert_true(got[i].kl > 0.1); /* untrained: far from its teacher */
    }
    print_message("the same choice %u times of %u\n", same, COUNT - 1);
    ob_session_destroy(a);
    ob_session_destroy(b);
    ob_model_destroy(teacher);
    ob_model_destroy(student);
    ob_context_destroy(context);
}

static void test_refused_calls(void **state)
{
    (void)state;
    static const uint32_t wrong[] = { 1, V };
    ob_context *context = api_context();
    ob_model *model = api_model(context, program_model()), *other = api_model(context, TEACHER);
    ob_session *a, *b, *c;
    ob_agreement got[COUNT + 1] = { { .kl = 77 } };
    API_OK(ob_session_create(&a, model, &(ob_session_desc){ .context = COUNT }));
    API_OK(ob_session_create(&b, model, &(ob_session_desc){ .context = COUNT - 1 }));
    API_OK(ob_session_create(&c, other, &(ob_session_desc){ .context = COUNT }));
    API_FAILS(ob_session_agree(a, a, ids, COUNT, got), OB_ERROR_ARGUMENT, "with itself");
    API_FAILS(ob_session_agree(a, c, ids, COUNT, got), OB_ERROR_ARGUMENT, "of 512 and 1024 tokens");
    API_FAILS(ob_session_agree(a, b, ids, 1, got), OB_ERROR_ARGUMENT, "two tokens");
    API_FAILS(ob_session_agree(a, b, wrong, 2, got), OB_ERROR_ARGUMENT, "512");
    API_FAILS(ob_session_agree(a, b, ids, COUNT, got), OB_ERROR_ARGUMENT, "do not fit");
    API_FAILS(ob_session_agree(a, b, ids, SIZE_MAX, got), OB_ERROR_ARGUMENT, "do not fit");
    assert_true(got[0].kl == 77);
    API_OK(ob_session_agree(a, b, ids, COUNT - 1, got));
    ob_session_destroy(a);
    ob_session_destroy(b);
    ob_session_destroy(c);
    ob_model_destroy(model);
    ob_model_destroy(other);
    ob_context_destroy(context);
}

/* ---- the program --------------------------------------------------------------------------------------------------------- */

static double json_number(const char *text, const char *key)
{
    char quoted[128];
    snprintf(quoted, sizeof quoted, "\"%s\": ", key);
    const char *at = strstr(text, quoted);
    if (!at) fail_msg("no %s in: %s", key, text);
    return strtod(at + strlen(quoted), NULL);
}

#define ON_TEXT "-f", test_data_path(TEXT), "--bytes", "800", "-c", "64"

static void test_with_itself(void **state)
{
    (void)state;
    const program *run = program_run("onebit-eval-vk", "agree", "-m", program_model(), "--teacher", program_model(), ON_TEXT, "--json");
    program_expect_success(run);
    assert_true(json_number(run->out, "kl") == 0 && json_number(run->out, "kl_standard_error") == 0);
    assert_true(json_number(run->out, "top1_agreement") == 1);
    assert_true(json_number(run->out, "ppl_ratio") == 1 && json_number(run->out, "bits_per_byte_above_teacher") == 0);
    assert_true(json_number(run->out, "nll") == json_number(run->out, "teacher_nll"));
    assert_true(json_number(run->out, "predicted_tokens") > 200);
}

/* The same windows as "ppl", and the same numbers, digit by digit. */
static void test_numbers_of_ppl(void **state)
{
    (void)state;
    static const char *const keys[] = { "nll", "nll_standard_error", "ppl", "ppl_standard_error", "bits_per_byte" };
    static const char *const shared[] = { "windows", "window", "text_tokens", "tokens_left_over", "predicted_tokens", "predicted_bytes" };
    static char both[1 << 16], students[1 << 16];
    const program *run = program_run("onebit-eval-vk", "agree", "-m", packed, "--teacher", program_model(), ON_TEXT, "--json");
    program_expect_success(run);
    memcpy(both, run->out, sizeof both);
    run = program_run("onebit-eval-vk", "ppl", "-m", packed, ON_TEXT, "--json");
    program_expect_success(run);
    memcpy(students, run->out, sizeof students);
    run = program_run("onebit-eval-vk", "ppl", "-m", program_model(), ON_TEXT, "--json");
    program_expect_success(run);
    for (size_t i = 0; i < sizeof shared / sizeof *shared; i++)
        assert_true(json_number(both, shared[i]) == json_number(students, shared[i]));
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        char key[64];
        snprintf(key, sizeof key, "teacher_%s", keys[i]);
        assert_true(json_number(both, keys[i]) == json_number(students, keys[i]));
        assert_true(json_number(both, key) == json_number(run->out, keys[i]));
    }
    double ratio = json_number(students, "ppl") / json_number(run->out, "ppl"), same = json_number(both, "top1_agreement");
    assert_true(fabs(json_number(both, "ppl_ratio") / ratio - 1) < 1e-7);
    assert_true(fabs(json_number(both, "bits_per_byte_above_teacher") -
                     (json_number(students, "bits_per_byte") - json_number(run->out, "bits_per_byte"))) < 1e-7);
    assert_true(json_number(both, "kl") > 1 && json_number(both, "kl_standard_error") > 0 && same < 0.9);
    print_message("kl %.4f, the same choice %.4f\n", json_number(both, "kl"), same);

    /* The table says the same. */
    run = program_run("onebit-eval-vk", "agree", "-m", packed, "--teacher", program_model(), ON_TEXT);
    program_expect_success(run);
    double values[4] = { 0 };
    const char *line = strstr(run->out, "\nKL to teacher"), *choice = strstr(run->out, "\nsame choice"),
               *bits = strstr(run->out, "\nbits per byte");
    assert_true(line && choice && bits);
    assert_int_equal(sscanf(line, "\nKL to teacher %lf", &values[0]), 1);
    assert_int_equal(sscanf(choice, "\nsame choice %lf", &values[1]), 1);
    assert_int_equal(sscanf(bits, "\nbits per byte %lf %lf", &values[2], &values[3]), 2);
    assert_true(fabs(values[0] - json_number(both, "kl")) < 1e-6 && fabs(values[1] - 100 * same) < 0.01);
    assert_true(fabs(values[2] - json_number(both, "bits_per_byte")) < 1e-6);
    assert_true(fabs(values[3] - json_number(both, "teacher_bits_per_byte")) < 1e-6);
}

/* A token less, or one that is spelled otherwise. */
static void test_other_vocabularies(void **state)
{
    (void)state;
    program_expect_failure(program_run("onebit-eval-vk", "agree", "-m", packed, "--teacher", TEACHER, ON_TEXT), 2,
                           "different vocabularies, of 512 and 1024 tokens");
    char other[1024];
    size_t bytes;
    uint8_t *model = program_file(program_model(), &bytes), *token = memmem(model, bytes, "\xe2\x96\x81Once", 7);
    assert_non_null(token);
    token[6] = 'a';
    snprintf(other, sizeof other, "%s", program_write_file("other.gguf", model, bytes));
    free(model);
    program_expect_failure(program_run("onebit-eval-vk", "agree", "-m", packed, "--teacher", other, ON_TEXT), 2,
                           "which differ in token 403");
    unlink(other);
}

static void test_wrong_use(void **state)
{
    (void)state;
    program_expect_failure(program_run("onebit-eval-vk", "agree", "-m", packed, ON_TEXT), 2, "--teacher names a GGUF file");
    program_expect_failure(program_run("onebit-eval-vk", "ppl", "-m", packed, "--teacher", packed, ON_TEXT), 2, "only agree compares");
    program_expect_failure(program_run("onebit-eval-vk", "agree", "-m", packed, "--teacher", scratch_path("none.gguf"), ON_TEXT), 5,
                           "cannot open the model");
    program_expect_failure(
        program_run("onebit-eval-vk", "agree", "-m", packed, "--teacher", packed, "-f", test_data_path(TEXT), "-c", "4096"), 2, "512");
}

int main(void)
{
    api_plain_environment();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_logits), cmocka_unit_test(test_refused_calls),      cmocka_unit_test(test_with_itself),
        cmocka_unit_test(test_numbers_of_ppl), cmocka_unit_test(test_other_vocabularies), cmocka_unit_test(test_wrong_use),
    };
    return cmocka_run_group_tests(tests, open_models, close_models);
}
