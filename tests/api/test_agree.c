/* test_agree: two models compared token by token, against logits on the host, and what is refused. */
#include "api.h"

#include <math.h>

#define OTHER OB_SOURCE_DIR "/models/stories-teacher.gguf" /* of another vocabulary than stories260K */
enum { V = API_STORIES_VOCABULARY };

static char plain[1024], packed[1024]; /* stories260K as it is, and its untrained student */

static int open_models(void **state)
{
    if (scratch_open(state) != 0) return -1;
    snprintf(plain, sizeof plain, "%s", api_stories("plain.gguf"));
    ob_context *context = api_context();
    snprintf(packed, sizeof packed, "%s", api_convert(context, API_STORIES, API_STORIES_TOKENIZER, OB_FORM_ONEBIT, "packed.gguf"));
    ob_context_destroy(context);
    return 0;
}

static int close_models(void **state)
{
    (void)state;
    api_remove_tree(scratch_directory);
    return 0;
}

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
    ob_model *teacher = api_model(context, plain), *student = api_model(context, packed);
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
    ob_model *model = api_model(context, plain), *other = api_model(context, OTHER);
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

int main(void)
{
    api_plain_environment();
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_against_logits), cmocka_unit_test(test_refused_calls) };
    return cmocka_run_group_tests(tests, open_models, close_models);
}
