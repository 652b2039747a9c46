/* test_sampler: choices among logits: greedy, the distribution itself, top-p, min-p, the penalty and broken logits; and
 * that candidates from the device's top-k give the same ids as all logits on the host. */
#include "model_file.h"

#include <math.h>
#include <string.h>

#include "engine/sampler.h"
#include "synthetic_model.h"

static obi_sampling resolved(obi_sampling sampling)
{
    TEST_OK(obi_sampling_resolve(&sampling));
    return sampling;
}

/* ---- the choice alone ------------------------------------------------------------------------------------------ */

static void test_defaults(void **state)
{
    (void)state;
    obi_sampling sampling = resolved((obi_sampling){ 0 });
    assert_true(sampling.repeat_penalty == 1 && sampling.repeat_last == 64 && sampling.top_p == 1 && sampling.min_p == 0);
    assert_true(sampling.temperature == 0 && sampling.top_k == 0);
    assert_int_equal(obi_sampling_candidates(&sampling), 1); /* greedy */
    sampling.temperature = 1;
    assert_int_equal(obi_sampling_candidates(&sampling), 0); /* all */
    sampling.top_k = 40;
    assert_int_equal(obi_sampling_candidates(&sampling), 40);
    sampling.top_k = OBI_CANDIDATES_MAX;
    assert_int_equal(obi_sampling_candidates(&sampling), OBI_CANDIDATES_MAX);
    sampling.top_k++;
    assert_int_equal(obi_sampling_candidates(&sampling), 0); /* more than the device sorts */
    sampling.top_k = 40;
    sampling.repeat_penalty = 1.1f;
    assert_int_equal(obi_sampling_candidates(&sampling), 0); /* the penalty comes first */
}

enum { N = 8, DRAWS = 20000 };
static const obi_candidate eight[N] = { { 70, 3.0f }, { 10, 2.5f }, { 20, 2.5f },  { 31, 1.0f },
                                        { 5, 0.5f },  { 2, 0.0f },  { 99, -1.0f }, { 1, -3.0f } };

static void count_draws(obi_sampling sampling, uint32_t counts[N])
{
    obi_rng rng = obi_rng_seed(sampling.seed);
    memset(counts, 0, N * sizeof *counts);
    for (int draw = 0; draw < DRAWS; draw++) {
        uint32_t id = 12345;
        size_t i = 0;
        TEST_OK(obi_sample_candidates(&sampling, &rng, eight, N, &id));
        while (i < N && eight[i].id != id) i++;
        assert_true(i < N);
        counts[i]++;
    }
}

/* Of softmax over the first `kept`, at the temperature; chi-squared of 20,000 draws. For 7 degrees of freedom one seed in
 * 10^7 gives more than 45; the seeds are fixed. */
static void check_distribution(obi_sampling sampling, size_t kept)
{
    uint32_t counts[N];
    double sum = 0, distance = 0;
    count_draws(sampling, counts);
    for (size_t i = 0; i < kept; i++) sum += exp((double)eight[i].logit / (double)sampling.temperature);
    for (size_t i = 0; i < N; i++) {
        if (i >= kept) {
            assert_int_equal(counts[i], 0);
            continue;
        }
        double want = DRAWS * exp((double)eight[i].logit / (double)sampling.temperature) / sum;
        distance += (counts[i] - want) * (counts[i] - want) / want;
    }
    if (!(distance < 45))
        fail_msg("temperature %g, top-p %g, min-p %g: chi-squared %g", (double)sampling.temperature, (double)sampling.top_p,
                 (double)sampling.min_p, distance);
}

static void test_distribution(void **state)
{
    (void)state;
    static const float temperatures[] = { 0.5f, 0.8f, 1, 2, 50 };
    for (size_t t = 0; t < sizeof temperatures / sizeof *temperatures; t++)
        check_distribution(resolved((obi_sampling){ .temperature = temperatures[t], .seed = 10 + t }), N);
    uint32_t counts[N];
    count_draws(resolved((obi_sampling){ .temperature = 1e-6f }), counts); /* no overflow: the best one */
    assert_int_equal(counts[0], DRAWS);
    count_draws(resolved((obi_sampling){ .temperature = 1e30f }), counts); /* all alike */
    for (size_t i = 0; i < N; i++) assert_true(fabs(counts[i] - (double)DRAWS / N) < 5 * sqrt((double)DRAWS / N));
}

/* Probabilities at temperature 1 are .403 .245 .245 .055 .033 .020 .007 .001: the fewest that reach top-p are kept. */
static void test_top_p(void **state)
{
    (void)state;
    double p[N], sum = 0, reached = 0;
    for (size_t i = 0; i < N; i++) sum += p[i] = exp((double)eight[i].logit);
    for (size_t kept = 1; kept <= N; kept++) {
        reached += p[kept - 1] / sum;
        if (kept == N) break;
        check_distribution(resolved((obi_sampling){ .temperature = 1, .top_p = (float)(reached - 1e-4), .seed = kept }), kept);
        check_distribution(resolved((obi_sampling){ .temperature = 1, .top_p = (float)(reached + 1e-4), .seed = kept }), kept + 1);
    }
    check_distribution(resolved((obi_sampling){ .temperature = 1, .top_p = 1e-9f }), 1); /* never none */
    check_distribution(resolved((obi_sampling){ .temperature = 1, .top_p = 1 }), N);
    /* The cut is made before the temperature. */
    check_distribution(resolved((obi_sampling){ .temperature = 2, .top_p = (float)(p[0] / sum + 1e-4), .seed = 5 }), 2);
}

/* Those stay whose probability is at least min-p times the best's. */
static void test_min_p(void **state)
{
    (void)state;
    check_distribution(resolved((obi_sampling){ .temperature = 1, .min_p = 1 }), 1);
    check_distribution(resolved((obi_sampling){ .temperature = 1, .min_p = (float)exp(-0.5) - 1e-4f }), 3); /* 2.5 and 2.5 are .607 of 3 */
    check_distribution(resolved((obi_sampling){ .temperature = 1, .min_p = (float)exp(-0.5) + 1e-4f }), 1);
    check_distribution(resolved((obi_sampling){ .temperature = 1, .min_p = (float)exp(-6.0) - 1e-6f }), N);
    check_distribution(resolved((obi_sampling){ .temperature = 1, .min_p = (float)exp(-6.0) + 1e-6f }), N - 1);
    check_distribution(resolved((obi_sampling){ .temperature = 1, .min_p = 0.5f, .top_p = 0.5f }), 2); /* the narrower of the two */
    const obi_candidate equal[3] = { { 4, 1.5f }, { 5, 1.5f }, { 6, 1.5f } };
    obi_sampling sampling = resolved((obi_sampling){ .temperature = 1, .min_p = 1 });
    obi_rng rng = obi_rng_seed(0);
    bool seen[3] = { false };
    for (int i = 0; i < 100; i++) {
        uint32_t id;
        TEST_OK(obi_sample_candidates(&sampling, &rng, equal, 3, &id));
        seen[id - 4] = true;
    }
    assert_true(seen[0] && seen[1] && seen[2]); /* as good as the best */
}

static uint32_t choose(obi_sampling sampling, const float *logits, uint32_t V, const uint32_t *recent, size_t count)
{
    float copy[64];
    uint32_t id;
    obi_rng rng = obi_rng_seed(sampling.seed);
    memcpy(copy, logits, V * sizeof *copy);
    TEST_OK(obi_sample_logits(&sampling, &rng, copy, V, recent, count, &id));
    return id;
}

static void test_penalty(void **state)
{
    (void)state;
    const float logits[5] = { 1.0f, 4.0f, 3.0f, -1.0f, -2.0f }, below[5] = { -9, -4, -4.1f, -5, -6 };
    const uint32_t recent[6] = { 1, 0, 0, 0, 0, 1 }, far[6] = { 1, 0, 0, 0, 0, 0 }, outside[2] = { 77, 1 };
    const obi_sampling off = resolved((obi_sampling){ 0 }), weak = resolved((obi_sampling){ .repeat_penalty = 1.3f });
    const obi_sampling strong = resolved((obi_sampling){ .repeat_penalty = 1.4f });
    assert_int_equal(choose(off, logits, 5, recent, 6), 1);
    assert_int_equal(choose(weak, logits, 5, recent, 6), 1); /* 4 / 1.3 > 3, once though it is there twice */
    assert_int_equal(choose(strong, logits, 5, recent, 6), 2);
    assert_int_equal(choose(strong, logits, 5, recent, 0), 1);
    assert_int_equal(choose(strong, logits, 5, outside, 2), 2); /* an id that is none here is no harm */
    assert_int_equal(choose(strong, below, 5, outside, 2), 2);  /* negative ones are multiplied */
    assert_int_equal(choose(resolved((obi_sampling){ .repeat_penalty = 1.4f, .repeat_last = 5 }), logits, 5, far, 6), 1); /* out of sight */
    assert_int_equal(choose(resolved((obi_sampling){ .repeat_penalty = 1.4f, .repeat_last = 6 }), logits, 5, far, 6), 2);
    const uint32_t second[1] = { 2 };
    assert_int_equal(choose(resolved((obi_sampling){ .repeat_penalty = 0.5f }), logits, 5, second, 1), 2); /* below 1 it attracts */
}

/* top-k over all logits: any k, with ties, against sorting by hand. */
static void test_best_of_all(void **state)
{
    (void)state;
    enum { V = 60 };
    float logits[V];
    obi_rng rng = obi_rng_seed(3);
    for (int round = 0; round < 200; round++) {
        uint32_t best = 0, k = 1 + (uint32_t)round % (V + 5);
        for (int i = 0; i < V; i++) logits[i] = (float)(int)(obi_rng_next(&rng) >> 60); /* 0..15: many ties */
        for (uint32_t i = 1; i < V; i++)
            if (logits[i] > logits[best]) best = i;
        assert_int_equal(choose(resolved((obi_sampling){ 0 }), logits, V, NULL, 0), best);
        /* With k candidates no id worse than the k-th best is drawn, and of that value only the lowest ids. */
        obi_sampling sampling = resolved((obi_sampling){ .temperature = 100, .top_k = k, .seed = (uint64_t)round });
        uint32_t id = choose(sampling, logits, V, NULL, 0), better = 0;
        for (uint32_t i = 0; i < V; i++) better += logits[i] > logits[id] || (logits[i] == logits[id] && i < id);
        assert_true(better < k);
    }
}

static void test_broken_logits(void **state)
{
    (void)state;
    const float none[4] = { NAN, NAN, NAN, NAN }, lowest[4] = { -INFINITY, -INFINITY, -INFINITY, -INFINITY };
    const float one[4] = { NAN, -INFINITY, -7, NAN }, highest[4] = { 1, INFINITY, 2, 3 };
    const float *const broken[] = { none, lowest, highest };
    static const obi_sampling samplings[] = { { .temperature = 0 }, { .temperature = 1 }, { .temperature = 1, .top_k = 2 },
                                              { .temperature = 1, .top_p = 0.5f, .min_p = 0.1f } };
    for (size_t s = 0; s < sizeof samplings / sizeof *samplings; s++) {
        obi_sampling sampling = resolved(samplings[s]);
        obi_rng rng = obi_rng_seed(1);
        uint32_t id;
        for (size_t b = 0; b < 3; b++) {
            float copy[4];
            memcpy(copy, broken[b], sizeof copy);
            assert_int_equal(obi_sample_logits(&sampling, &rng, copy, 4, NULL, 0, &id), OBI_ERROR_RUNTIME);
            assert_non_null(strstr(obi_last_error(), "--selftest"));
        }
        for (int i = 0; i < 50; i++) assert_int_equal(choose(sampling, one, 4, NULL, 0), 2); /* the only one that is a number */
        assert_int_equal(obi_sample_candidates(&sampling, &rng, (const obi_candidate[1]){ { 3, NAN } }, 1, &id), OBI_ERROR_RUNTIME);
        assert_int_equal(obi_sample_candidates(&sampling, &rng, NULL, 0, &id), OBI_ERROR_RUNTIME);
    }
}

/* ---- in a session ---------------------------------------------------------------------------------------------- */

static obi_weights *weights;

static int open_model(void **state)
{
    if (scratch_open(state) != 0) return -1;
    obi_gguf gguf;
    const char *path = model_convert("stories260K/stories260K.bin", OBI_FORM_F32, "stories.gguf");
    TEST_OK(obi_gguf_open(&gguf, path));
    TEST_OK(obi_weights_load(test_device(), &gguf, NULL, NULL, &weights));
    obi_gguf_close(&gguf);
    unlink(path);
    return 0;
}

static int close_model(void **state)
{
    obi_weights_free(weights);
    return scratch_close(state);
}

/* Samples `count` ids, feeding each. The same choices are made from all logits, with an rng of the same seed, and must
 * be the same; `sampling` decides whether the session itself asks the device for candidates. */
static void generate(const obi_weights *model, obi_sampling sampling, uint32_t *ids, uint32_t count)
{
    uint32_t V = model->config.vocabulary, history[64] = { 1 };
    float *logits = malloc(V * sizeof *logits);
    obi_session_desc desc = { .sampling = sampling };
    obi_session *session;
    obi_sampling full = resolved(sampling);
    obi_rng rng = obi_rng_seed(sampling.seed);
    TEST_OK(obi_session_create(model, &desc, &session));
    TEST_OK(obi_session_feed(session, history, 1));
    for (uint32_t i = 0; i < count; i++) {
        uint32_t id;
        TEST_OK(obi_session_sample(session, &ids[i]));
        TEST_OK(obi_session_logits(session, logits));
        TEST_OK(obi_sample_logits(&full, &rng, logits, V, history, 1 + i, &id));
        if (ids[i] != id)
            fail_msg("temperature %g, top-k %u, top-p %g, penalty %g: token %u is %u, from all logits %u", (double)sampling.temperature,
                     sampling.top_k, (double)sampling.top_p, (double)sampling.repeat_penalty, i, ids[i], id);
        history[1 + i] = id;
        TEST_OK(obi_session_feed(session, &id, 1));
    }
    obi_session_destroy(session);
    free(logits);
}

static void test_device_candidates(void **state)
{
    (void)state;
    static const obi_sampling samplings[] = {
        { .temperature = 0 },
        { .temperature = 1, .top_k = 1, .seed = 1 },
        { .temperature = 1, .top_k = 40, .seed = 2 },
        { .temperature = 2, .top_k = 128, .seed = 3 },
        { .temperature = 2, .top_k = 129, .seed = 4 },
        { .temperature = 1, .seed = 5 },
        { .temperature = 0.9f, .top_k = 50, .top_p = 0.7f, .min_p = 0.02f, .seed = 6 },
        { .temperature = 0.9f, .top_k = 50, .repeat_penalty = 1.2f, .seed = 7 },
        { .temperature = 0, .repeat_penalty = 1.2f, .repeat_last = 8 },
    };
    uint32_t ids[30];
    for (size_t s = 0; s < sizeof samplings / sizeof *samplings; s++) generate(weights, samplings[s], ids, 30);
    test_device_check();
}

/* A vocabulary smaller than top-k. */
static void test_small_vocabulary(void **state)
{
    (void)state;
    synthetic_model model = { .config = { .onebit = true, .post_norm = true, .post_norm_eps = 1e-5f, .width = 24, .layers = 1, .heads = 2,
                                          .kv_heads = 2, .head_size = 12, .ffn = 20, .vocabulary = 7, .context = 64, .norm_eps = 1e-5f,
                                          .rope_theta = 10000, .rope_scale = 1, .rope_dimensions = 12, .tied = true },
                              .embedding = OBI_DTYPE_F32, .norm = OBI_DTYPE_F32, .seed = 8 };
    uint32_t ids[20];
    obi_gguf gguf;
    obi_weights *small;
    synthetic_write(&model, scratch_path("small.gguf"));
    TEST_OK(obi_gguf_open(&gguf, scratch_path("small.gguf")));
    TEST_OK(obi_weights_load(test_device(), &gguf, NULL, NULL, &small));
    obi_gguf_close(&gguf);
    unlink(scratch_path("small.gguf"));
    generate(small, (obi_sampling){ .temperature = 1.5f, .top_k = 40, .seed = 1 }, ids, 20);
    obi_weights_free(small);
    test_device_check();
}

static void test_seeds(void **state)
{
    (void)state;
    enum { COUNT = 60 };
    uint32_t first[COUNT], again[COUNT], other[COUNT], penalised[COUNT], greedy[COUNT];
    obi_sampling sampling = { .temperature = 1, .top_k = 40, .seed = 42 };
    generate(weights, sampling, first, COUNT);
    generate(weights, sampling, again, COUNT);
    assert_memory_equal(first, again, sizeof first);
    sampling.seed = 43;
    generate(weights, sampling, other, COUNT);
    assert_memory_not_equal(first, other, sizeof first);
    sampling = (obi_sampling){ .temperature = 0, .seed = 42 };
    generate(weights, sampling, greedy, COUNT);
    sampling.seed = 43; /* nothing to draw: the seed does not matter */
    generate(weights, sampling, again, COUNT);
    assert_memory_equal(greedy, again, sizeof greedy);
    sampling.repeat_penalty = 2;
    generate(weights, sampling, penalised, COUNT);
    assert_memory_not_equal(greedy, penalised, sizeof greedy);
    test_device_check();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),          cmocka_unit_test(test_distribution), cmocka_unit_test(test_top_p),
        cmocka_unit_test(test_min_p),             cmocka_unit_test(test_penalty),      cmocka_unit_test(test_best_of_all),
        cmocka_unit_test(test_broken_logits),     cmocka_unit_test(test_device_candidates),
        cmocka_unit_test(test_small_vocabulary),  cmocka_unit_test(test_seeds),
    };
    return test_device_finish(cmocka_run_group_tests(tests, open_model, close_model));
}
