#ifndef TEST_SESSION_MODELS_H
#define TEST_SESSION_MODELS_H

/* What the tests of sessions work on: two models, their references and some tokens, open for the whole program. */
#include "model_file.h"

#include <math.h>
#include <string.h>

#include "reference_model.h"
#include "synthetic_model.h"

enum { TOKENS = 40, V_MAX = 512 };

/* A trained dense model, and one of random signs in odd sizes. */
static obi_weights *stories, *odd;
static uint32_t story_ids[TOKENS], odd_ids[TOKENS];
static reference_model *story_reference, *odd_reference;

static obi_weights *load(const char *path, reference_model **reference)
{
    obi_gguf gguf;
    obi_weights *weights;
    TEST_OK(obi_gguf_open(&gguf, path));
    TEST_OK(obi_weights_load(test_device(), &gguf, NULL, NULL, &weights));
    obi_gguf_close(&gguf);
    if (reference) *reference = reference_open(path);
    unlink(path);
    return weights;
}

static int open_models(void **state)
{
    if (scratch_open(state) != 0) return -1;
    synthetic_model model = { .config = { .onebit = true, .post_norm = true, .post_norm_eps = 1e-5f, .width = 40, .layers = 2, .heads = 4,
                                          .kv_heads = 2, .head_size = 10, .ffn = 57, .vocabulary = 33, .context = 64, .norm_eps = 1e-5f,
                                          .rope_theta = 10000, .rope_scale = 1, .rope_dimensions = 10 },
                              .embedding = OBI_DTYPE_F16, .head = OBI_DTYPE_F32, .norm = OBI_DTYPE_F16, .seed = 8 };
    obi_rng rng = obi_rng_seed(5);
    synthetic_write(&model, scratch_path("odd.gguf"));
    odd = load(scratch_path("odd.gguf"), &odd_reference);
    stories = load(model_convert("stories260K/stories260K.bin", OBI_FORM_F32, "stories.gguf"), &story_reference);
    for (int i = 0; i < TOKENS; i++) {
        odd_ids[i] = (uint32_t)(obi_rng_next(&rng) % odd->config.vocabulary);
        story_ids[i] = i == 0 ? 1 : 259 + (uint32_t)(obi_rng_next(&rng) % 250);
    }
    return 0;
}

static int close_models(void **state)
{
    obi_weights_free(odd);
    obi_weights_free(stories);
    reference_close(odd_reference);
    reference_close(story_reference);
    return scratch_close(state);
}

static inline obi_session *open_session(const obi_weights *weights, uint32_t context, uint32_t batch)
{
    obi_session_desc desc = { .context = context, .batch = batch, .kv_type = OBI_KV_F32 };
    obi_session *session;
    TEST_OK(obi_session_create(weights, &desc, &session));
    return session;
}

static inline void get_logits(obi_session *session, float *logits) { TEST_OK(obi_session_logits(session, logits)); }

static inline void check_near(const float *a, const float *b, uint32_t count, double tolerance, const char *what)
{
    for (uint32_t i = 0; i < count; i++)
        if (!(fabs((double)a[i] - (double)b[i]) <= tolerance))
            fail_msg("%s: logit %u is %.9g and %.9g", what, i, (double)a[i], (double)b[i]);
}

#define CHECK_SAME(a, b, V) assert_memory_equal(a, b, (V) * sizeof(float))

#define EXPECT_ARGUMENT(expression, ...)                                                                                      \
    do {                                                                                                                      \
        const char *const words[] = { __VA_ARGS__ };                                                                          \
        assert_int_equal(expression, OBI_ERROR_ARGUMENT);                                                                     \
        for (size_t w = 0; w < sizeof words / sizeof *words; w++)                                                             \
            if (!strstr(obi_last_error(), words[w])) fail_msg("\"%s\" does not say \"%s\"", obi_last_error(), words[w]);      \
    } while (0)

#endif
