/* test_opt: OPT, dense and 1-bit, norms first as in OPT-125M and last as in OPT-350M, against an independent implementation (PyTorch in
 * float64, scripts/golden_opt.py): whatever way the tokens are fed, every position's logits. */
#include "model_file.h"

#include <string.h>

#include "core/file.h"
#include "engine/state.h"
#include "opt_model.h"

enum { FORMS = 2 };

/* f32 against float64: a layer's sums have up to 80 terms, each off by 2^-24 (1 + 0.41 sqrt(80)) of its spread, 12 of them one after
 * the other, and of 16 * 304 logits with a deviation up to 3.9 the worst is some five deviations off: 2e-5. Twice that and more; what
 * a bias or a norm in the wrong place changes is of the size of the logits. */
#define TOLERANCE 5e-5
/* Tier C sums signs in halves: 1.23 * 2^-11 of each sum (reference_model.h) in place of 2.8e-7, some 2000 times as much: 4e-2. */
#define TOLERANCE_HALF 0.04

static opt_golden golden;
static char paths[FORMS][2][640]; /* the models as GGUF, dense and 1-bit */
static obi_weights *models[FORMS][2];
static uint32_t ids[FORMS][OPT_TOKENS];

static void convert(const char *from, const char *to, obi_form form)
{
    obi_source *source;
    obi_convert_report report;
    obi_convert_desc desc = { .output = to, .form = form };
    TEST_OK(obi_source_open(&source, from, NULL));
    TEST_OK(obi_convert(test_device(), source, &desc, &report));
    if (form == OBI_FORM_ONEBIT && !source->config.onebit) assert_int_equal(report.layer_count, 6 * OPT_LAYERS);
    obi_convert_report_clear(&report);
    obi_source_close(source);
}

static obi_weights *load(const char *path)
{
    obi_gguf gguf;
    obi_weights *weights;
    TEST_OK(obi_gguf_open(&gguf, path));
    TEST_OK(obi_weights_load(test_device(), &gguf, NULL, NULL, &weights));
    obi_gguf_close(&gguf);
    return weights;
}

static int open_models(void **state)
{
    if (scratch_open(state) != 0) return -1;
    opt_golden_open(&golden);
    for (int f = 0; f < FORMS; f++) {
        const char *directory = opt_write("opt", &opt_forms[f], &golden, NULL);
        const float *tokens = opt_golden_values(&golden, opt_forms[f].name, "ids", OPT_TOKENS);
        for (int t = 0; t < OPT_TOKENS; t++) ids[f][t] = (uint32_t)tokens[t];
        for (int onebit = 0; onebit < 2; onebit++) {
            snprintf(paths[f][onebit], sizeof paths[f][onebit], "%s/%d-%d.gguf", scratch_directory, f, onebit);
            convert(directory, paths[f][onebit], onebit ? OBI_FORM_ONEBIT : OBI_FORM_F32);
            models[f][onebit] = load(paths[f][onebit]);
        }
        scratch_remove_tree(directory);
    }
    return 0;
}

static int close_models(void **state)
{
    for (int f = 0; f < FORMS; f++)
        for (int onebit = 0; onebit < 2; onebit++) {
            obi_weights_free(models[f][onebit]);
            unlink(paths[f][onebit]);
        }
    opt_golden_close(&golden);
    return scratch_close(state);
}

static obi_session *open_session(const obi_weights *weights, obi_session_desc desc)
{
    obi_session *session;
    if (!desc.kv_type) desc.kv_type = OBI_KV_F32;
    TEST_OK(obi_session_create(weights, &desc, &session));
    return session;
}

static const float *golden_of(int form, int onebit)
{
    return opt_golden_values(&golden, opt_forms[form].name, onebit ? "onebit" : "float", OPT_TOKENS * OPT_VOCABULARY);
}

static double difference_of(obi_session *session, const float *want)
{
    static float got[OPT_VOCABULARY];
    double worst = 0;
    TEST_OK(obi_session_logits(session, got));
    for (int v = 0; v < OPT_VOCABULARY; v++) worst = fmax(worst, fabs((double)got[v] - (double)want[v]));
    return worst == worst ? worst : INFINITY;
}

/* In calls of `step`, and compared after each. */
static double worst_fed_by(int form, int onebit, uint32_t step, obi_session_desc desc)
{
    obi_session *session = open_session(models[form][onebit], desc);
    double worst = 0;
    for (uint32_t t = 0; t < OPT_TOKENS; t += step) {
        uint32_t count = OPT_TOKENS - t < step ? OPT_TOKENS - t : step;
        TEST_OK(obi_session_feed(session, ids[form] + t, count));
        worst = fmax(worst, difference_of(session, golden_of(form, onebit) + (t + count - 1) * OPT_VOCABULARY));
    }
    obi_session_destroy(session);
    return worst;
}

static void test_golden_logits(void **state)
{
    (void)state;
    static const uint32_t steps[][2] = { { 1, 0 }, { OPT_TOKENS, 0 }, { OPT_TOKENS, 5 } }; /* of calls, and of batches */
    for (int f = 0; f < FORMS; f++)
        for (int onebit = 0; onebit < 2; onebit++)
            for (int tier = OBI_TIER_A; tier <= (int)test_device()->tier; tier++) {
                double tolerance = tier == OBI_TIER_C && onebit ? TOLERANCE_HALF : TOLERANCE, worst = 0;
                model_use_tier((obi_tier)tier);
                for (size_t s = 0; s < sizeof steps / sizeof *steps; s++)
                    worst = fmax(worst, worst_fed_by(f, onebit, steps[s][0], (obi_session_desc){ .batch = steps[s][1] }));
                print_message("%s %s, tier %s: off by %.2g\n", opt_forms[f].name, onebit ? "onebit" : "float",
                              obi_tier_name((obi_tier)tier), worst);
                if (!(worst <= tolerance)) fail_msg("off by %g, tolerance %g", worst, tolerance);
            }
    model_use_tier(test_device()->tier);
    test_device_check();
}

/* Of halves each key and value is off by 2^-10 at most, of bytes by half of a 127th of its head's largest. What that makes of logits is as
 * much of them, more or less, and five deviations of that: 5e-2 and 0.5, where what is not stored at all moves them by all of their 4. */
static void test_cache_types(void **state)
{
    (void)state;
    for (uint32_t step = 1; step <= OPT_TOKENS; step += OPT_TOKENS - 1) {
        double half = worst_fed_by(0, 0, step, (obi_session_desc){ .kv_type = OBI_KV_F16 });
        double byte = worst_fed_by(0, 0, step, (obi_session_desc){ .kv_type = OBI_KV_INT8 });
        print_message("by %u: halves off by %.2g, bytes by %.2g\n", step, half, byte);
        assert_true(half <= 0.05 && byte <= 0.5);
    }
    test_device_check();
}

/* Every row of a scored window, which is where perplexities come from. */
static void test_scores(void **state)
{
    (void)state;
    for (int f = 0; f < FORMS; f++) {
        double nll[OPT_TOKENS - 1];
        const float *want = golden_of(f, 1);
        obi_session *session = open_session(models[f][1], (obi_session_desc){ .batch = 6 });
        model_use_tier(OBI_TIER_A);
        TEST_OK(obi_session_score(session, ids[f], OPT_TOKENS, nll));
        model_use_tier(test_device()->tier);
        for (int t = 0; t < OPT_TOKENS - 1; t++, want += OPT_VOCABULARY) {
            double sum = 0, top = -INFINITY;
            for (int v = 0; v < OPT_VOCABULARY; v++) top = fmax(top, (double)want[v]);
            for (int v = 0; v < OPT_VOCABULARY; v++) sum += exp((double)want[v] - top);
            double expected = top + log(sum) - (double)want[ids[f][t + 1]];
            if (!(fabs(nll[t] - expected) <= 2 * TOLERANCE)) fail_msg("token %d: %g, not %g", t, nll[t], expected);
        }
        obi_session_destroy(session);
    }
}

/* A text to the end of the context: fed as it is chosen, with the token after it under way, and in pieces. The same tokens, and logits that
 * are the same bits where the commands are. */
static void test_text_to_the_end(void **state)
{
    (void)state;
    for (int f = 0; f < FORMS; f++) {
        const obi_weights *weights = models[f][f]; /* one dense, one 1-bit */
        obi_session *plain = open_session(weights, (obi_session_desc){ .ahead = -1 });
        obi_session *ahead = open_session(weights, (obi_session_desc){ .ahead = 1 });
        obi_session *pieces = open_session(weights, (obi_session_desc){ .ahead = -1, .batch = 4 });
        static float want[OPT_VOCABULARY], got[OPT_VOCABULARY];
        assert_int_equal(plain->context, OPT_CONTEXT);
        TEST_OK(obi_session_feed(plain, ids[f], 4));
        TEST_OK(obi_session_feed(ahead, ids[f], 4));
        TEST_OK(obi_session_push(pieces, ids[f], 4));
        while (plain->position < OPT_CONTEXT) {
            uint32_t a, b;
            TEST_OK(obi_session_sample(plain, &a));
            TEST_OK(obi_session_sample(ahead, &b));
            assert_int_equal(a, b);
            obi_step_result step = { .state = OBI_STEP_BUSY };
            while (step.state == OBI_STEP_BUSY) TEST_OK(obi_session_step(pieces, 1e-4, &step));
            assert_int_equal(step.state, OBI_STEP_TOKEN);
            assert_int_equal(step.id, a);
            TEST_OK(obi_session_feed(plain, &a, 1));
            TEST_OK(obi_session_feed(ahead, &b, 1));
            assert_int_equal(ahead->ahead.flying, ahead->position < OPT_CONTEXT);
        }
        TEST_OK(obi_session_logits(plain, want));
        TEST_OK(obi_session_logits(ahead, got));
        assert_memory_equal(want, got, sizeof want);
        assert_int_equal(obi_session_feed(plain, ids[f], 1), OBI_ERROR_ARGUMENT);

        static uint8_t bytes[2048];
        size_t count;
        TEST_OK(obi_session_save(plain, bytes, sizeof bytes, &count));
        obi_session *restored = open_session(weights, (obi_session_desc){ .ahead = -1 });
        TEST_OK(obi_session_restore(restored, bytes, count, false));
        TEST_OK(obi_session_logits(restored, got));
        assert_memory_equal(want, got, sizeof want);
        TEST_OK(obi_session_rewind(plain, 4)); /* positions go back with the rest */
        TEST_OK(obi_session_feed(plain, plain->history + 4, 1));
        TEST_OK(obi_session_rewind(restored, 4));
        TEST_OK(obi_session_feed(restored, restored->history + 4, 1));
        TEST_OK(obi_session_logits(plain, want));
        TEST_OK(obi_session_logits(restored, got));
        assert_memory_equal(want, got, sizeof want);
        obi_session_destroy(restored);
        obi_session_destroy(plain);
        obi_session_destroy(ahead);
        obi_session_destroy(pieces);
        obi_session *longer;
        assert_int_equal(obi_session_create(weights, &(obi_session_desc){ .context = OPT_CONTEXT + 1 }, &longer), OBI_ERROR_ARGUMENT);
    }
    test_device_check();
}

/* A dense GGUF file is a source like the directory it came from, and so is a 1-bit one. */
static void test_written_files_are_sources(void **state)
{
    (void)state;
    for (int f = 0; f < FORMS; f++)
        for (int onebit = 0; onebit < 2; onebit++) {
            char again[640];
            snprintf(again, sizeof again, "%s/opt.gguf", scratch_directory);
            convert(paths[f][0], again, onebit ? OBI_FORM_ONEBIT : OBI_FORM_F32);
            if (onebit) convert(paths[f][1], again, OBI_FORM_ONEBIT);
            obi_gguf was, is;
            TEST_OK(obi_gguf_open(&was, paths[f][onebit]));
            TEST_OK(obi_gguf_open(&is, again));
            assert_int_equal(was.tensor_count, is.tensor_count);
            for (uint64_t t = 0; t < was.tensor_count; t++) {
                assert_string_equal(was.tensors[t].name, is.tensors[t].name);
                assert_int_equal(was.tensors[t].bytes, is.tensors[t].bytes);
                assert_memory_equal(was.tensors[t].data, is.tensors[t].data, was.tensors[t].bytes);
            }
            obi_gguf_close(&was);
            obi_gguf_close(&is);
            unlink(again);
        }
}

/* A copy of a file without one tensor, or with the last row of it cut off. */
static void copy_without(const char *from, const char *to, const char *name, bool cut)
{
    obi_gguf gguf;
    obi_gguf_writer *writer;
    TEST_OK(obi_gguf_open(&gguf, from));
    TEST_OK(obi_gguf_writer_create(&writer, to));
    for (uint64_t i = 0; i < gguf.value_count; i++) obi_gguf_put_value(writer, &gguf.values[i]);
    for (int writing = 0; writing < 2; writing++) {
        for (uint64_t t = 0; t < gguf.tensor_count; t++) {
            const obi_gguf_tensor *tensor = &gguf.tensors[t];
            bool it = strcmp(tensor->name, name) == 0, vector = tensor->shape[1] == 1;
            uint64_t shape[2] = { tensor->shape[0] - (it && vector), tensor->shape[1] - (it && !vector) };
            if (it && !cut) continue;
            if (!writing) obi_gguf_add_tensor(writer, tensor->name, tensor->type, vector ? 1 : 2, shape);
            else TEST_OK(obi_gguf_write(writer, tensor->data, it ? tensor->bytes / (tensor->shape[0] * tensor->shape[1]) * shape[0] * shape[1]
                                                                 : tensor->bytes));
        }
        if (!writing) TEST_OK(obi_gguf_writer_begin(writer));
    }
    TEST_OK(obi_gguf_writer_commit(writer, NULL));
    obi_gguf_close(&gguf);
}

static void test_wrong_files_are_refused(void **state)
{
    (void)state;
    static const struct { int form, onebit; const char *tensor; bool cut; } cases[] = {
        { 0, 0, "blk.1.ffn_up.bias", false },     { 0, 1, "blk.0.attn_k.bias", true }, { 0, 1, "blk.1.attn_norm.bias", false },
        { 0, 0, "position_embd.weight", false },  { 0, 0, "position_embd.weight", true }, { 0, 0, "output_norm.bias", false },
        { 1, 0, "project_out.weight", false },    { 1, 1, "project_in.weight", true },
    };
    const char *path = scratch_path("wrong.gguf");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        obi_gguf gguf;
        obi_weights *weights;
        obi_source *source;
        copy_without(paths[cases[i].form][cases[i].onebit], path, cases[i].tensor, cases[i].cut);
        TEST_OK(obi_gguf_open(&gguf, path));
        assert_int_equal(obi_weights_load(test_device(), &gguf, NULL, NULL, &weights), OBI_ERROR_DATA);
        if (!strstr(obi_last_error(), cases[i].tensor)) fail_msg("case %zu: \"%s\"", i, obi_last_error());
        obi_gguf_close(&gguf);
        assert_int_equal(obi_source_open(&source, path, NULL), OBI_ERROR_DATA);
        if (!strstr(obi_last_error(), cases[i].tensor)) fail_msg("case %zu: \"%s\"", i, obi_last_error());
        unlink(path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_logits),   cmocka_unit_test(test_cache_types),
        cmocka_unit_test(test_scores),          cmocka_unit_test(test_text_to_the_end),
        cmocka_unit_test(test_written_files_are_sources), cmocka_unit_test(test_wrong_files_are_refused),
    };
    test_leave_out_bytes(); /* what is compared here are f32 sums */
    return test_device_finish(cmocka_run_group_tests(tests, open_models, close_models));
}
