/* test_opt: OPT, dense and 1-bit, norms first as in OPT-125M and last as in OPT-350M, against an independent implementation (PyTorch in
 * float64, scripts/golden_opt.py): whatever way the tokens are fed, every position's logits. */
#include "model_file.h"

#include <string.h>

#include "core/file.h"
#include "core/half.h"
#include "engine/score.h"
#include "engine/state.h"
#include "opt_model.h"
#include "quant/planes.h"

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

/* Continuations side by side have the positions that each has alone: one is the text itself, and one begins elsewhere in it. */
static void test_branches(void **state)
{
    (void)state;
    enum { GIVEN = 4, REST = OPT_TOKENS - GIVEN };
    model_use_tier(OBI_TIER_A);
    for (int f = 0; f < FORMS; f++)
        for (int onebit = 0; onebit < 2; onebit++) {
            double nll[3][REST], want[3][REST];
            const obi_branch branches[] = { { ids[f] + GIVEN, REST, nll[0] }, { ids[f] + 2, 2, nll[1] }, { ids[f] + 1, REST, nll[2] } };
            obi_session *session = open_session(models[f][onebit], (obi_session_desc){ 0 });
            TEST_OK(obi_session_feed(session, ids[f], GIVEN));
            TEST_OK(obi_session_score_branches(session, branches, 3));
            for (int b = 0; b < 3; b++) {
                TEST_OK(obi_session_score_next(session, branches[b].ids, branches[b].count, want[b]));
                TEST_OK(obi_session_rewind(session, GIVEN));
                for (size_t i = 0; i + 1 < branches[b].count; i++)
                    if (!(fabs(nll[b][i] - want[b][i]) <= 4 * TOLERANCE)) fail_msg("branch %d: %g, not %g", b, nll[b][i], want[b][i]);
            }
            obi_session_destroy(session);
        }
    model_use_tier(test_device()->tier);
    test_device_check();
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

/* ---- quantised --------------------------------------------------------------------------------------------------------- */

enum { LINEAR_MAX = 80 * 48, QUANTISED_BITS = 3 };

/* A linear in few bits, rounded to nearest row by row: as the engine reads it, and as the numbers that this means. */
typedef struct quantised {
    uint64_t m, n;
    float w[LINEAR_MAX];
    uint32_t words[QUANTISED_BITS * LINEAR_MAX];
    int8_t bytes[LINEAR_MAX];
    uint16_t scale[QUANTISED_BITS * 80], offset[80];
} quantised;

static float half_of(float value, uint16_t *half)
{
    *half = obi_float_to_half(value);
    return obi_half_to_float(*half);
}

static void quantise(quantised *q, const float *w, bool bytes)
{
    static uint8_t codes[LINEAR_MAX];
    float step[80], zero[80];
    for (uint64_t i = 0; i < q->m; i++) {
        const float *row = w + i * q->n;
        float low = 0, high = 0;
        for (uint64_t j = 0; j < q->n; j++) low = fminf(low, row[j]), high = fmaxf(high, row[j]);
        if (bytes) step[i] = half_of(fmaxf(-low, high) / 127, &q->scale[i]);
        else step[i] = obi_planes_step((high - low) / ((1 << QUANTISED_BITS) - 1), QUANTISED_BITS);
        zero[i] = bytes ? 0 : rintf(-low / step[i]);
        for (uint64_t j = 0; j < q->n; j++) {
            float code = rintf(row[j] / step[i]) + zero[i];
            code = bytes ? fminf(fmaxf(code, -127), 127) : fminf(fmaxf(code, 0), (1 << QUANTISED_BITS) - 1);
            q->bytes[i * q->n + j] = (int8_t)code;
            codes[i * q->n + j] = (uint8_t)code;
            q->w[i * q->n + j] = step[i] * (code - zero[i]);
        }
    }
    obi_planes to = { q->words, q->scale, q->offset };
    if (!bytes) TEST_OK(obi_planes_pack(QUANTISED_BITS, (uint32_t)q->m, (uint32_t)q->n, codes, step, zero, &to));
}

static bool is_linear(const char *name)
{
    char copy[80];
    snprintf(copy, sizeof copy, "%s", name);
    char *end = strstr(copy, ".weight"), *role = end ? (*end = 0, strrchr(copy, '.')) : NULL;
    for (int i = 0; role && i < OBI_LINEAR_COUNT; i++)
        if (strcmp(role + 1, obi_linear_roles[i]) == 0) return true;
    return false;
}

/* The model of `from` with its linears quantised, in planes or bytes or (`as_numbers`) in F32. */
static void write_quantised(const char *from, const char *to, bool bytes, bool as_numbers)
{
    static quantised q;
    obi_gguf gguf;
    obi_gguf_writer *writer;
    obi_config config;
    TEST_OK(obi_gguf_open(&gguf, from));
    TEST_OK(obi_config_from_gguf(&config, &gguf));
    config.onebit = !as_numbers;
    config.int8_rows = bytes && !as_numbers;
    config.int8_threshold = 1e-30f; /* no input is rounded, so that only the weights are */
    config.planes = bytes || as_numbers ? 1 : QUANTISED_BITS;
    config.offset = config.no_input_factor = !bytes && !as_numbers;
    TEST_OK(obi_gguf_writer_create(&writer, to));
    obi_config_to_gguf(&config, writer);
    for (int pass = 0; pass < 2; pass++) { /* the table, and the bytes */
        if (pass == 1) TEST_OK(obi_gguf_writer_begin(writer));
        for (uint64_t i = 0; i < gguf.tensor_count; i++) {
            const obi_gguf_tensor *tensor = &gguf.tensors[i];
            char scale[80], offset[80];
            if (!is_linear(tensor->name) || as_numbers) {
                const void *data = tensor->data;
                if (pass == 0) obi_gguf_add_tensor(writer, tensor->name, tensor->type, tensor->dimensions, tensor->shape);
                if (pass == 1 && is_linear(tensor->name)) {
                    q.m = tensor->shape[1], q.n = tensor->shape[0];
                    quantise(&q, data, bytes);
                    data = q.w;
                }
                if (pass == 1) TEST_OK(obi_gguf_write(writer, data, tensor->bytes));
                continue;
            }
            q.m = tensor->shape[1], q.n = tensor->shape[0];
            assert_true(tensor->type == OBI_DTYPE_F32 && q.m * q.n <= LINEAR_MAX);
            uint64_t planes = bytes ? 1 : QUANTISED_BITS, words = (q.n + 31) / 32;
            snprintf(scale, sizeof scale, "%s_scale", tensor->name);
            snprintf(offset, sizeof offset, "%s_offset", tensor->name);
            if (pass == 0) {
                obi_gguf_add_tensor(writer, tensor->name, bytes ? OBI_DTYPE_I8 : OBI_DTYPE_I32, 2,
                                    (uint64_t[]){ bytes ? q.n : words, planes * q.m });
                obi_gguf_add_tensor(writer, scale, OBI_DTYPE_F16, 1, (uint64_t[]){ planes * q.m });
                if (!bytes) obi_gguf_add_tensor(writer, offset, OBI_DTYPE_F16, 1, (uint64_t[]){ q.m });
                continue;
            }
            quantise(&q, (const float *)(const void *)tensor->data, bytes);
            TEST_OK(bytes ? obi_gguf_write(writer, q.bytes, q.m * q.n) : obi_gguf_write(writer, q.words, planes * q.m * words * 4));
            TEST_OK(obi_gguf_write(writer, q.scale, planes * q.m * 2));
            if (!bytes) TEST_OK(obi_gguf_write(writer, q.offset, q.m * 2));
        }
    }
    TEST_OK(obi_gguf_writer_commit(writer, NULL));
    obi_gguf_close(&gguf);
}

/* Planes and bytes give what the numbers they stand for give as F32. Each is off by TOLERANCE; a sum of planes is one of up to four times
 * as large terms. */
static void test_quantised(void **state)
{
    (void)state;
    char path[2][640];
    bool half = test_device()->tier >= OBI_TIER_C && !test_device()->caps.straight;
    for (int i = 0; i < 2; i++) snprintf(path[i], sizeof path[i], "%s/q%d.gguf", scratch_directory, i);
    for (int f = 0; f < FORMS; f++)
        for (int bytes = 0; bytes < 2; bytes++) {
            static float want[OPT_VOCABULARY];
            double tolerance = half && !bytes ? 4 * TOLERANCE_HALF : 5 * TOLERANCE, worst = 0, changed;
            obi_session *sessions[2];
            obi_weights *weights[2];
            for (int i = 0; i < 2; i++) {
                write_quantised(paths[f][0], path[i], bytes, i == 0);
                weights[i] = load(path[i]);
                sessions[i] = open_session(weights[i], (obi_session_desc){ .ahead = -1 });
                unlink(path[i]);
            }
            for (uint32_t step = 1; step <= OPT_TOKENS; step += OPT_TOKENS - 1) {
                for (int i = 0; i < 2; i++) TEST_OK(obi_session_rewind(sessions[i], 0));
                for (uint32_t t = 0; t < OPT_TOKENS; t += step)
                    for (int i = 0; i < 2; i++) TEST_OK(obi_session_feed(sessions[i], ids[f] + t, step));
                TEST_OK(obi_session_logits(sessions[0], want));
                worst = fmax(worst, difference_of(sessions[1], want));
            }
            changed = difference_of(sessions[1], golden_of(f, 0) + (OPT_TOKENS - 1) * OPT_VOCABULARY);
            print_message("%s, %s: off by %.2g, %.2g from the model that was rounded\n", opt_forms[f].name, bytes ? "bytes" : "planes",
                          worst, changed);
            if (!(worst <= tolerance)) fail_msg("off by %g, tolerance %g", worst, tolerance);
            assert_true(changed > 10 * tolerance || half); /* rounding shows */
            for (int i = 0; i < 2; i++) obi_session_destroy(sessions[i]), obi_weights_free(weights[i]);
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
            else TEST_OK(obi_gguf_write(writer, tensor->data, tensor->bytes / (tensor->shape[0] * tensor->shape[1]) * shape[0] * shape[1]));
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
        cmocka_unit_test(test_scores), cmocka_unit_test(test_branches), cmocka_unit_test(test_text_to_the_end),
        cmocka_unit_test(test_quantised),
        cmocka_unit_test(test_written_files_are_sources), cmocka_unit_test(test_wrong_files_are_refused),
    };
    test_leave_out_bytes(); /* what is compared here are f32 sums */
    return test_device_finish(cmocka_run_group_tests(tests, open_models, close_models));
}
