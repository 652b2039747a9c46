/* test_quantised: models whose linears are sums of several sign matrices, or rows of bytes: the reference's logits, of planes from every
 * family of kernels, and the same bits from recorded commands, from pieces, after a restart. (test_onebit has other shapes of planes.) */
#include "model_file.h"

#include <math.h>
#include <string.h>

#include "engine/linear.h"
#include "engine/score.h"
#include "engine/state.h"
#include "feed_token.h"
#include "ops/sign_family.h"
#include "reference_model.h"
#include "synthetic_model.h"

enum { LONG = 16, V_MAX = 64 };
#define CHECK_SAME(a, b, V) assert_memory_equal(a, b, (V) * sizeof(float))

/* All matrices have as many rows a workgroup alone as together, so that q, k and v are one product at every tier (groups.h). */
static const synthetic_model two_planes = {
    .config = { .onebit = true, .width = 144, .layers = 2, .heads = 9, .kv_heads = 9, .head_size = 16, .ffn = 177, .vocabulary = 37,
                .context = 64, .norm_eps = 1e-5f, .rope_theta = 10000, .rope_scale = 1, .rope_dimensions = 12, .planes = 2, .offset = true,
                .no_input_factor = true },
    .embedding = OBI_DTYPE_F16, .head = OBI_DTYPE_F32, .norm = OBI_DTYPE_F16, .seed = 31,
};

/* Nothing is a multiple of 4; some inputs are above the threshold. */
static const synthetic_model bytes = {
    .config = { .onebit = true, .width = 50, .layers = 2, .heads = 5, .kv_heads = 1, .head_size = 10, .ffn = 131, .vocabulary = 37,
                .context = 64, .norm_eps = 1e-5f, .rope_theta = 10000, .rope_scale = 1, .rope_dimensions = 10, .int8_rows = true,
                .int8_threshold = 2 },
    .embedding = OBI_DTYPE_F16, .head = OBI_DTYPE_F32, .norm = OBI_DTYPE_F16, .seed = 32,
};

static uint32_t some_ids[LONG];

static obi_status load(obi_weights **weights)
{
    obi_gguf gguf;
    TEST_OK(obi_gguf_open(&gguf, scratch_path("model.gguf")));
    obi_status status = obi_weights_load(test_device(), &gguf, NULL, NULL, weights);
    obi_gguf_close(&gguf);
    return status;
}

static obi_session *open_session(const obi_weights *weights, uint32_t batch)
{
    obi_session_desc desc = { .context = LONG, .batch = batch, .kv_type = OBI_KV_F32, .ahead = -1 };
    obi_session *session;
    TEST_OK(obi_session_create(weights, &desc, &session));
    return session;
}

/* A prompt, and one by one, against the last row of `exact`. */
static void check_logits(const obi_weights *weights, const double *exact, double tolerance, const char *what)
{
    uint32_t V = weights->config.vocabulary;
    float got[V_MAX];
    obi_session *session = open_session(weights, 0);
    for (int way = 0; way < 2; way++) {
        TEST_OK(obi_session_rewind(session, 0));
        if (way == 0) TEST_OK(obi_session_feed(session, some_ids, LONG));
        for (uint32_t t = 0; way == 1 && t < LONG; t++) TEST_OK(obi_session_feed(session, &some_ids[t], 1));
        TEST_OK(obi_session_logits(session, got));
        for (uint32_t v = 0; v < V; v++) {
            double want = exact[(size_t)(LONG - 1) * V + v];
            if (!(fabs((double)got[v] - want) <= tolerance))
                fail_msg("%s, way %d: logit %u is %.9g, reference %.9g, tolerance %.3g", what, way, v, (double)got[v], want, tolerance);
        }
    }
    obi_session_destroy(session);
}

/* ---- planes: every family -------------------------------------------------------------------------------------------------- */

static void check_family(const reference_model *reference, const double *exact, obi_sign_family family)
{
    obi_weights *weights;
    bool half = family == OBI_SIGN_HALF;
    double *tolerance = reference_tolerance(reference, some_ids, LONG, exact, half, test_device()->tier >= OBI_TIER_C);
    setenv("ONEBIT_KERNEL", obi_sign_family_name(family), 1);
    TEST_OK(load(&weights));
    unsetenv("ONEBIT_KERNEL");
    assert_int_equal(weights->layers[0].linear[OBI_LINEAR_Q].planes, 2);
    assert_int_equal(weights->layers[0].linear[OBI_LINEAR_Q].weight.family, family);
    check_logits(weights, exact, tolerance[LONG - 1], obi_sign_family_name(family));
    obi_weights_free(weights);
    free(tolerance);
}

static void test_families(void **state)
{
    (void)state;
    synthetic_write(&two_planes, scratch_path("model.gguf"));
    reference_model *reference = reference_open(scratch_path("model.gguf"));
    double *exact = reference_run(reference, some_ids, LONG, NULL);
    static const obi_sign_family families[] = { OBI_SIGN_XOR, OBI_SIGN_TABLE, OBI_SIGN_HALF, OBI_SIGN_STRAIGHT };
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) /* those of bytes are not exact, and have their kernels' tests */
        if (obi_sign_family_offered(test_device(), families[i], NULL)) check_family(reference, exact, families[i]);
    free(exact);
    reference_close(reference);
    test_device_check();
}

/* ---- bytes ---------------------------------------------------------------------------------------------------------- */

/* With a threshold below all inputs they are all multiplied as they are, so that the result is that of dense weights in f32. With one among
 * them most are bytes: the reference's spread is that of inputs off by up to half a step. */
static void test_bytes(void **state)
{
    (void)state;
    static const float thresholds[] = { 1e-30f, 2, 1e30f };
    for (size_t i = 0; i < sizeof thresholds / sizeof *thresholds; i++) {
        synthetic_model model = bytes;
        obi_weights *weights;
        model.config.int8_threshold = thresholds[i];
        synthetic_write(&model, scratch_path("model.gguf"));
        reference_model *reference = reference_open(scratch_path("model.gguf"));
        double *exact = reference_run(reference, some_ids, LONG, NULL);
        double *tolerance = reference_tolerance(reference, some_ids, LONG, exact, false, false);
        TEST_OK(load(&weights));
        print_message("bytes, threshold %g: a logit may be off by %.2g\n", (double)thresholds[i], tolerance[LONG - 1]);
        check_logits(weights, exact, tolerance[LONG - 1], "bytes");
        obi_weights_free(weights);
        reference_close(reference);
        free(exact);
        free(tolerance);
    }
    test_device_check();
}

/* Continuations side by side: of planes as alone, up to rounding; tokens of bytes depend on those beside them, so such models take each
 * alone, and the bits are the same. */
static void test_continuations(void **state)
{
    (void)state;
    const synthetic_model *models[] = { &two_planes, &bytes };
    for (int m = 0; m < 2; m++) {
        obi_weights *weights;
        double nll[3][6], want[3][6];
        const obi_branch branches[] = { { some_ids + 4, 6, nll[0] }, { some_ids + 1, 3, nll[1] }, { some_ids + 7, 6, nll[2] } };
        synthetic_write(models[m], scratch_path("model.gguf"));
        TEST_OK(load(&weights));
        obi_session *session = open_session(weights, 0);
        model_use_tier(OBI_TIER_A);
        TEST_OK(obi_session_feed(session, some_ids, 5));
        TEST_OK(obi_session_score_branches(session, branches, 3));
        for (int b = 0; b < 3; b++) {
            TEST_OK(obi_session_score_next(session, branches[b].ids, branches[b].count, want[b]));
            TEST_OK(obi_session_rewind(session, 5));
            for (size_t i = 0; i + 1 < branches[b].count; i++)
                if (!(fabs(nll[b][i] - want[b][i]) <= (m == 0 ? 1e-4 : 0)))
                    fail_msg("model %d, branch %d, nll[%zu]: %.9g, alone %.9g", m, b, i, nll[b][i], want[b][i]);
        }
        model_use_tier(test_device()->tier);
        obi_session_destroy(session);
        obi_weights_free(weights);
    }
    test_device_check();
}

/* ---- blocks ----------------------------------------------------------------------------------------------------------- */

/* Matrices that no binding takes as a whole; an offset's row lies in the last block. */
static void test_blocks(void **state)
{
    (void)state;
    const synthetic_model *models[] = { &bytes, &two_planes };
    obi_caps *caps = &test_device()->caps;
    for (int i = 0; i < 2; i++) {
        synthetic_model model = *models[i];
        obi_weights *weights;
        model.config.int8_threshold = 1e-30f; /* f32, where it means anything */
        synthetic_write(&model, scratch_path("model.gguf"));
        reference_model *reference = reference_open(scratch_path("model.gguf"));
        double *exact = reference_run(reference, some_ids, LONG, NULL);
        bool half = test_device()->tier >= OBI_TIER_C;
        double *tolerance = reference_tolerance(reference, some_ids, LONG, exact, half, half);
        uint64_t range = caps->storage_range;
        caps->storage_range = 4 << 10;
        obi_status status = load(&weights);
        caps->storage_range = range;
        TEST_OK(status);
        assert_true(weights->layers[0].linear[OBI_LINEAR_GATE].weight.block_count > 1);
        check_logits(weights, exact, tolerance[LONG - 1], "blocks");
        obi_weights_free(weights);
        reference_close(reference);
        free(exact);
        free(tolerance);
    }
    test_device_check();
}

/* ---- the same bits ------------------------------------------------------------------------------------------------- */

static void check_bits(const synthetic_model *model)
{
    static float want[V_MAX], got[V_MAX];
    uint32_t V = model->config.vocabulary;
    obi_weights *weights;
    synthetic_write(model, scratch_path("model.gguf"));
    TEST_OK(load(&weights));
    obi_session *recorded = open_session(weights, 1), *replayed = open_session(weights, 1), *stepped = open_session(weights, 1);
    obi_cmd_profile(recorded->cmd, true); /* what is timed is recorded each time */
    for (uint32_t t = 0; t < LONG; t++) {
        TEST_OK(feed_token(recorded, some_ids[t]));
        TEST_OK(feed_token(replayed, some_ids[t]));
        assert_true(obi_cmd_kept(replayed->cmd));
    }
    /* Products of a group and their sums, 2 for each of 4 groups; of bytes 3 for each group's inputs, and one for each of 7; then
     * attention, and what follows. Beside the layers: embedding, first norm, head, choice. Families of bytes or tables, on GPUs, have more. */
    uint32_t a_layer = 5 + (model->config.int8_rows ? 3 * 4 + 7 : 2 * 4);
    if (test_device()->caps.software) assert_int_equal(obi_cmd_dispatches(replayed->cmd), a_layer * model->config.layers + 4);
    TEST_OK(obi_session_logits(recorded, want));
    TEST_OK(obi_session_logits(replayed, got));
    CHECK_SAME(want, got, V);

    uint8_t saved[2048];
    size_t count;
    TEST_OK(obi_session_save(replayed, saved, sizeof saved, &count));
    TEST_OK(obi_session_rewind(recorded, 0));
    TEST_OK(obi_session_restore(recorded, saved, count, false));
    TEST_OK(obi_session_logits(recorded, got));
    CHECK_SAME(want, got, V);

    obi_step_result result;
    TEST_OK(obi_session_push(stepped, some_ids, LONG));
    do TEST_OK(obi_session_step(stepped, 1e-6, &result)); /* in pieces of one dispatch */
    while (result.state == OBI_STEP_BUSY);
    assert_int_equal(stepped->position, LONG);
    TEST_OK(obi_session_logits(stepped, got));
    CHECK_SAME(want, got, V);
    obi_session_destroy(recorded);
    obi_session_destroy(replayed);
    obi_session_destroy(stepped);
    obi_weights_free(weights);
    test_device_check();
}

static void test_same_bits(void **state)
{
    (void)state;
    check_bits(&bytes);
    check_bits(&two_planes);
}

/* What a rewind took of a batch is gone. It had no part in what was kept of the others, but where outliers are those of the batch. */
static void test_rewound(void **state)
{
    (void)state;
    static const synthetic_model *const models[] = { &two_planes, &bytes };
    for (int i = 0; i < 2; i++) {
        static float want[V_MAX], got[V_MAX];
        uint8_t saved[2048];
        size_t count;
        obi_weights *weights;
        synthetic_write(models[i], scratch_path("model.gguf"));
        TEST_OK(load(&weights));
        obi_session *session = open_session(weights, 0);
        TEST_OK(obi_session_feed(session, some_ids, LONG));
        TEST_OK(obi_session_rewind(session, LONG / 2 + 1));
        TEST_OK(obi_session_feed(session, some_ids, 1));
        TEST_OK(obi_session_logits(session, want));
        TEST_OK(obi_session_save(session, saved, sizeof saved, &count));
        if (i == 0) {
            TEST_OK(obi_session_restore(session, saved, count, false));
            TEST_OK(obi_session_logits(session, got));
            CHECK_SAME(want, got, models[i]->config.vocabulary);
        } else {
            assert_int_equal(obi_session_restore(session, saved, count, false), OBI_ERROR_ARGUMENT);
            assert_int_equal(session->position, LONG / 2 + 2); /* nothing changed */
            TEST_OK(obi_session_restore(session, saved, count, true));
        }
        assert_int_equal(session->position, LONG / 2 + 2);
        obi_session_destroy(session);
        obi_weights_free(weights);
    }
    test_device_check();
}

/* ---- limits, and damaged files -------------------------------------------------------------------------------------- */

/* The products of all planes are bound at once: a batch is as large as that allows. */
static void test_batches_that_fit(void **state)
{
    (void)state;
    obi_weights *weights;
    obi_device *device = test_device();
    uint64_t range = device->caps.storage_range;
    synthetic_write(&two_planes, scratch_path("model.gguf"));
    TEST_OK(load(&weights));
    uint64_t token = obi_linear_stack_bytes(weights, 1); /* gate's and up's; those of q, k and v are more */
    assert_true(token >= 3 * (2 * 144 + 1) * 4 && token < 4 * (2 * 144 + 1) * 4);
    device->caps.storage_range = 12 << 10;
    obi_session *session = open_session(weights, 0);
    device->caps.storage_range = range;
    assert_int_equal(session->batch, (12 << 10) / token);
    TEST_OK(obi_session_feed(session, some_ids, LONG));
    obi_session_destroy(session);
    obi_weights_free(weights);
    test_device_check();
}

/* Overwrites what lies `behind` the first `text` of the file. */
static void patch(const synthetic_model *model, const char *text, long behind, char byte)
{
    synthetic_write(model, scratch_path("model.gguf"));
    FILE *file = fopen(scratch_path("model.gguf"), "r+b");
    size_t length = strlen(text), at = 0;
    assert_non_null(file);
    for (int c; at < length && (c = fgetc(file)) != EOF;) at = c == text[at] ? at + 1 : c == text[0] ? 1 : 0;
    assert_int_equal(at, length);
    assert_int_equal(fseek(file, behind, SEEK_CUR), 0);
    assert_int_equal(fputc(byte, file), byte);
    assert_int_equal(fclose(file), 0);
}

static void test_damaged_files(void **state)
{
    (void)state;
    static const struct { const synthetic_model *model; const char *text; long behind; char byte; const char *sentence; } cases[] = {
        { &two_planes, "onebit.planes", 4, 3, "blk.0.attn_q.weight is 5 x 288 where the model's sizes ask for 5 x 432" },
        { &two_planes, "onebit.planes", 4, 1, "blk.0.attn_q.weight is 5 x 288 where the model's sizes ask for 5 x 144" },
        { &two_planes, "onebit.planes", 4, 5, "(onebit.planes) is 5" },
        { &two_planes, "onebit.input_factor", 4, 1, "blk.0.attn_q.input_factor is missing" },
        { &bytes, "blk.1.ffn_up.weight_scale", -1, 'x', "blk.1.ffn_up.weight_scale is missing" },
        { &two_planes, "blk.1.ffn_down.weight_offset", -1, 'x', "blk.1.ffn_down.weight_offset is missing" },
    };
    uint64_t before = test_device()->memory.used_bytes;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        obi_weights *weights;
        patch(cases[i].model, cases[i].text, cases[i].behind, cases[i].byte);
        if (load(&weights) != OBI_ERROR_DATA) fail_msg("case %zu was accepted", i);
        if (!strstr(obi_last_error(), cases[i].sentence)) fail_msg("case %zu: \"%s\"", i, obi_last_error());
        assert_int_equal(test_device()->memory.used_bytes, before);
    }
    synthetic_write(&two_planes, scratch_path("model.gguf"));
    obi_source *source;
    assert_int_equal(obi_source_open(&source, scratch_path("model.gguf"), NULL), OBI_ERROR_DATA);
    assert_non_null(strstr(obi_last_error(), "sums of signs"));
    unlink(scratch_path("model.gguf"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_families),
        cmocka_unit_test(test_bytes), cmocka_unit_test(test_continuations),
        cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_same_bits), cmocka_unit_test(test_rewound),
        cmocka_unit_test(test_batches_that_fit),
        cmocka_unit_test(test_damaged_files),
    };
    obi_rng rng = obi_rng_seed(6);
    for (int i = 0; i < LONG; i++) some_ids[i] = (uint32_t)(obi_rng_next(&rng) % two_planes.config.vocabulary);
    test_leave_out_bytes();
    return test_device_finish(cmocka_run_group_tests(tests, scratch_open, scratch_close));
}
