/* test_fused_layers: a decoded token's layer in five dispatches, each projection's last workgroup going on with what follows, gives the
 * logits of the layer in nine, bit for bit, for recorded commands and for those submitted again; at most six are promised. */
#include "model_file.h"

#include <string.h>

#include "feed_token.h"
#include "ops/sign_family.h"
#include "synthetic_model.h"

enum { TOKENS = 20, LAYERS = 3, V = 37, BEGIN = 3 };

/* All of its matrices have as many rows a workgroup alone as together, so that tier A multiplies with groups, too (groups.h). */
static obi_weights *model_of(obi_sign_family family, bool pairs)
{
    synthetic_model model = { .config = { .onebit = true, .post_norm = true, .post_norm_eps = 1e-5f, .width = 144, .layers = LAYERS,
                                          .heads = 9, .kv_heads = 9, .head_size = 16, .ffn = 177, .vocabulary = V, .context = 64,
                                          .norm_eps = 1e-5f, .rope_theta = 10000, .rope_scale = 1, .rope_dimensions = 12,
                                          .rope_layout = pairs ? OBI_ROPE_PAIRS : OBI_ROPE_HALF },
                              .embedding = OBI_DTYPE_F16, .head = OBI_DTYPE_F32, .norm = OBI_DTYPE_F16, .seed = 11 };
    obi_gguf gguf;
    obi_weights *weights;
    setenv("ONEBIT_KERNEL", obi_sign_family_name(family), 1);
    synthetic_write(&model, scratch_path("fused.gguf"));
    TEST_OK(obi_gguf_open(&gguf, scratch_path("fused.gguf")));
    TEST_OK(obi_weights_load(test_device(), &gguf, NULL, NULL, &weights));
    obi_gguf_close(&gguf);
    unsetenv("ONEBIT_KERNEL");
    return weights;
}

/* The logits of each token but the first few, which are fed together. Returns the dispatches of the last. */
static uint32_t decode(const obi_weights *weights, obi_kv_type type, bool fused, float logits[TOKENS][V])
{
    obi_session_desc desc = { .kv_type = type };
    obi_session *session;
    uint32_t ids[TOKENS];
    for (uint32_t i = 0; i < TOKENS; i++) ids[i] = (i * 7 + 3) % V;
    test_device()->fused = fused;
    TEST_OK(obi_session_create(weights, &desc, &session));
    TEST_OK(obi_session_feed(session, ids, BEGIN));
    for (uint32_t i = BEGIN; i < TOKENS; i++) {
        TEST_OK(feed_token(session, ids[i]));
        TEST_OK(obi_session_logits(session, logits[i]));
    }
    /* Without a look at the logits between them the commands of a token are those of the one before, submitted again. */
    TEST_OK(obi_session_rewind(session, BEGIN));
    for (uint32_t i = BEGIN; i < TOKENS; i++) TEST_OK(feed_token(session, ids[i]));
    assert_true(obi_cmd_kept(session->cmd));
    uint32_t dispatches = obi_cmd_dispatches(session->cmd);
    TEST_OK(obi_session_logits(session, logits[0]));
    obi_session_destroy(session);
    test_device()->fused = !test_device()->caps.software;
    return dispatches;
}

/* What the session chooses by itself, with two tokens in flight (engine/ahead) or one. */
static void generate(const obi_weights *weights, bool fused, int ahead, uint32_t ids[TOKENS], float *logits)
{
    obi_session_desc desc = { .ahead = ahead };
    obi_session *session;
    test_device()->fused = fused;
    TEST_OK(obi_session_create(weights, &desc, &session));
    ids[0] = 3;
    for (uint32_t i = 0; i + 1 < TOKENS; i++) {
        TEST_OK(feed_token(session, ids[i]));
        TEST_OK(obi_session_sample(session, ids + i + 1));
        assert_int_equal(session->ahead.flying, ahead > 0 && i > 0);
    }
    TEST_OK(obi_session_logits(session, logits));
    obi_session_destroy(session);
    test_device()->fused = !test_device()->caps.software;
}

static void test_two_in_flight(void **state)
{
    (void)state;
    uint32_t want[TOKENS], got[TOKENS];
    float last[2][V];
    obi_weights *weights = model_of(OBI_SIGN_XOR, true);
    generate(weights, false, -1, want, last[0]);
    generate(weights, true, 1, got, last[1]);
    assert_memory_equal(want, got, sizeof want);
    assert_memory_equal(last[0], last[1], sizeof last[0]);
    obi_weights_free(weights);
    test_device_check();
}

static void compare(obi_sign_family family, obi_kv_type type, bool pairs)
{
    static float two[TOKENS][V], one[TOKENS][V];
    obi_weights *weights = model_of(family, pairs);
    for (int tier = family == OBI_SIGN_HALF ? OBI_TIER_C : OBI_TIER_A; tier <= (int)test_device()->tier; tier++) {
        model_use_tier((obi_tier)tier);
        memset(two, 0, sizeof two);
        memset(one, 0, sizeof one);
        uint32_t apart = decode(weights, type, false, two), fused = decode(weights, type, true, one);
        for (uint32_t i = 0; i < TOKENS; i++)
            for (uint32_t j = 0; j < V; j++)
                if (memcmp(&one[i][j], &two[i][j], 4) != 0)
                    fail_msg("%s, tier %s, token %u: logit %u is %.9g and %.9g in one dispatch", obi_sign_family_name(family),
                             obi_tier_name((obi_tier)tier), i, j, (double)two[i][j], (double)one[i][j]);
        assert_memory_equal(one[0], one[TOKENS - 1], sizeof one[0]);
        assert_int_equal(apart, 9 * LAYERS + 4); /* embedding, first norm, head, choice */
        bool bindings = test_device()->caps.bindings >= OBI_BINDINGS_MAX;
        assert_int_equal(fused, (bindings ? type == OBI_KV_INT8 ? 6 : 5 : 9) * LAYERS + 4);
    }
    model_use_tier(test_device()->tier);
    obi_weights_free(weights);
    test_device_check();
}

static void test_f32(void **state)
{
    (void)state;
    compare(OBI_SIGN_XOR, OBI_KV_F32, false);
    compare(OBI_SIGN_XOR, OBI_KV_F16, true);
    compare(OBI_SIGN_XOR, OBI_KV_INT8, false);
}

static void test_halves(void **state)
{
    (void)state;
    if (!obi_sign_family_offered(test_device(), OBI_SIGN_HALF, NULL)) {
        assert_true(test_device()->tier < OBI_TIER_C); /* the only reason; lavapipe is of tier C */
        return;
    }
    compare(OBI_SIGN_HALF, OBI_KV_F32, true);
    compare(OBI_SIGN_HALF, OBI_KV_F16, false);
}

/* A GPU takes them by itself, a software driver does not. */
static void test_by_default(void **state)
{
    (void)state;
    static float logits[TOKENS][V];
    obi_weights *weights = model_of(OBI_SIGN_XOR, false);
    bool usual = test_device()->fused;
    assert_int_equal(usual, !test_device()->caps.software);
    assert_int_equal(decode(weights, OBI_KV_F32, usual, logits), (usual ? 5 : 9) * LAYERS + 4);
    obi_weights_free(weights);
    test_device_check();
}

static void test_the_environment(void **state)
{
    (void)state;
    static const struct { const char *text; int fused; } settings[] = { { "0", 0 }, { "1", 1 }, { "", -1 } };
    obi_device_desc desc = { .cache_dir = "" };
    obi_device *device;
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        setenv("ONEBIT_FUSED", settings[i].text, 1);
        TEST_OK(obi_device_open(&device, &desc));
        assert_int_equal(device->fused, settings[i].fused < 0 ? !device->caps.software : settings[i].fused);
        obi_device_close(device);
    }
    setenv("ONEBIT_FUSED", "yes", 1);
    assert_int_equal(obi_device_open(&device, &desc), OBI_ERROR_ARGUMENT);
    assert_non_null(strstr(obi_last_error(), "ONEBIT_FUSED is \"yes\", which is neither 0 nor 1"));
    unsetenv("ONEBIT_FUSED");
}

int main(void)
{
    unsetenv("ONEBIT_FUSED");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_in_flight),
        cmocka_unit_test(test_f32),
        cmocka_unit_test(test_halves),
        cmocka_unit_test(test_by_default),
        cmocka_unit_test(test_the_environment),
    };
    test_device()->caps.straight = false; /* lavapipe's own kernels have their own sums */
    return test_device_finish(cmocka_run_group_tests(tests, scratch_open, scratch_close));
}
