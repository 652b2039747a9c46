/* test_methods: what every method writes is what it says: the file's numbers are those of a plain reading of its equations, and the model
 * that the engine runs from it scores a text as the same numbers do as ordinary weights. */
#include "model_file.h"

#include <math.h>
#include <string.h>

#include "core/half.h"
#include "import_files.h"
#include "engine/score.h"
#include "model/size.h"
#include "quant/import/safetensors.h"
#include "quant/planes.h"
#include "quant/ptq/calibrated.h"
#include "quant/ptq/maker.h"

#define STORIES "models/stories260K/stories260K.bin"
#define TOKENIZER "models/stories260K/tok512.bin"
#define WINDOW 128u

/* The sums of signs and the products of numbers add the same up in another order, in f32, and the embedding is F16 in the one: as for
 * other weights in test_nll. */
#define NLL_TOLERANCE 1e-3

/* Activations are rounded to bytes, too, which LLM.int8() calls lossless: within 0.5 % of this model's 1.36. */
#define INT8_TOLERANCE (0.005 * 1.36)

static obi_source *source;       /* rows of q and k lie as in an ordinary file: no order to mind */
static obi_tokenizer *tokenizer; /* of stories260K */
static uint32_t *ids;            /* of a text, WINDOW and more */
static obi_mapping text;

static int open_all(void **state)
{
    size_t count;
    obi_source *other;
    test_leave_out_bytes(); /* they would add the rounding of activations */
    if (scratch_open(state) != 0) return -1;
    TEST_OK(obi_source_open(&source, test_data_path(STORIES), test_data_path(TOKENIZER)));
    TEST_OK(obi_source_open(&other, test_data_path(STORIES), test_data_path(TOKENIZER)));
    TEST_OK(obi_tokenizer_create(&tokenizer, &other->vocab));
    obi_source_close(other);
    TEST_OK(obi_mapping_open(&text, test_data_path("text/tinystories_valid_head.txt")));
    TEST_OK(obi_tokenizer_encode(tokenizer, (const char *)text.data, 4096, OBI_ENCODE_BOS, &ids, &count));
    assert_true(count >= WINDOW);
    return 0;
}

static int close_all(void **state)
{
    obi_free(ids);
    obi_mapping_close(&text);
    obi_tokenizer_free(tokenizer);
    obi_source_close(source);
    return scratch_close(state);
}

/* ---- running a method ---------------------------------------------------------------------------------------------- */

static void quantise(obi_ptq_options options, const char *path, obi_convert_report *report)
{
    obi_ptq_maker *maker;
    options.calibration = (const char *)text.data;
    options.calibration_bytes = 8192;
    TEST_OK(obi_ptq_options_complete(&options));
    TEST_OK(obi_ptq_maker_create(test_device(), source, tokenizer, &options, &maker));
    obi_convert_desc desc = { .output = path, .form = OBI_FORM_ONEBIT, .maker = obi_ptq_maker_linears(maker) };
    TEST_OK(obi_convert(test_device(), source, &desc, report));
    obi_ptq_maker_destroy(maker);
}

static const void *data_of(const obi_gguf *gguf, const char *name, const char *suffix)
{
    char whole[96];
    snprintf(whole, sizeof whole, "%.*s%s", (int)(strlen(name) - strlen("weight")), name, suffix);
    const obi_gguf_tensor *tensor = obi_gguf_find_tensor(gguf, whole);
    return tensor ? tensor->data : NULL;
}

/* The numbers that a file's linear stands for. */
static float *numbers_of(const obi_gguf *gguf, const obi_source_tensor *tensor)
{
    uint32_t m = (uint32_t)tensor->rows, n = (uint32_t)tensor->columns, planes = 1;
    float *w = calloc((size_t)m * n, sizeof *w);
    const obi_gguf_tensor *stored = obi_gguf_find_tensor(gguf, tensor->name);
    const uint16_t *scales = data_of(gguf, tensor->name, "weight_scale");
    assert_non_null(stored);
    if (stored->type == OBI_DTYPE_F16) {
        TEST_OK(obi_dtype_to_float(OBI_DTYPE_F16, stored->data, (uint64_t)m * n, w));
    } else if (stored->type == OBI_DTYPE_I8) {
        for (uint64_t i = 0; i < (uint64_t)m * n; i++) w[i] = obi_half_to_float(scales[i / n]) * (float)((const int8_t *)stored->data)[i];
    } else {
        obi_planes parts = { (uint32_t *)(uintptr_t)stored->data, (uint16_t *)(uintptr_t)scales,
                             (uint16_t *)(uintptr_t)data_of(gguf, tensor->name, "weight_offset") };
        TEST_OK(obi_gguf_get_u32(gguf, "onebit.planes", false, &planes));
        obi_planes_unpack(planes, m, n, &parts, w);
        const uint16_t *factors = data_of(gguf, tensor->name, "input_factor");
        for (uint64_t i = 0; factors && i < (uint64_t)m * n; i++) w[i] *= obi_half_to_float(factors[i % n]);
    }
    return w;
}

/* ---- plain readings of the equations ------------------------------------------------------------------------------- */

static double step_of(double step, uint32_t bits) { return (double)obi_planes_step((float)step, bits); }

static void rtn(const float *w, uint32_t count, uint32_t bits, float *out)
{
    double low = 0, high = 0, top = (double)((1u << bits) - 1);
    for (uint32_t j = 0; j < count; j++) {
        low = fmin(low, (double)w[j]);
        high = fmax(high, (double)w[j]);
    }
    float step = (float)step_of((high - low) / top, bits), zero = rintf((float)-low / step);
    for (uint32_t j = 0; j < count; j++) out[j] = step * (fminf(fmaxf(rintf(w[j] / step) + zero, 0), (float)top) - zero);
}

static double mean_size(const float *w, uint64_t count, double center)
{
    double sum = 0;
    for (uint64_t i = 0; i < count; i++) sum += fabs((double)w[i] - center);
    return sum / (double)count;
}

static void expected_numbers(const obi_ptq_options *options, const float *w, uint32_t m, uint32_t n, float *out)
{
    double mean = 0;
    for (uint64_t i = 0; i < (uint64_t)m * n; i++) mean += (double)w[i] / ((double)m * n);
    double whole = step_of(2 * mean_size(w, (uint64_t)m * n, mean), 1) / 2;
    for (uint32_t i = 0; i < m; i++) {
        const float *row = w + (uint64_t)i * n;
        float *to = out + (uint64_t)i * n, value = (float)(step_of(2 * mean_size(row, n, 0), 1) / 2), largest = 0;
        uint32_t group = options->group ? options->group : n;
        for (uint32_t j = 0; j < n; j++) largest = fmaxf(largest, fabsf(row[j]));
        float byte = obi_half_to_float(obi_float_to_half(largest / 127));
        for (uint32_t j = 0; options->method == OBI_PTQ_RTN && j < n; j += group)
            rtn(row + j, n - j < group ? n - j : group, options->bits, to + j);
        for (uint32_t j = 0; j < n; j++) {
            if (options->method == OBI_PTQ_XNOR) to[j] = row[j] < 0 ? -value : value;
            if (options->method == OBI_PTQ_BITNET_B1) to[j] = (double)row[j] < mean ? (float)-whole : (float)whole;
            if (options->method == OBI_PTQ_INT8) to[j] = byte * fminf(fmaxf(rintf(row[j] / byte), -127), 127);
            if (options->group) to[j] = obi_half_to_float(obi_float_to_half(to[j]));
        }
    }
}

/* Bit for bit: both do the same few operations, and means are rounded to F16. */
static void expect_numbers(const obi_ptq_options *options, const obi_source_tensor *tensor, const float *got)
{
    uint32_t m = (uint32_t)tensor->rows, n = (uint32_t)tensor->columns;
    float *w = malloc((size_t)m * n * sizeof *w), *want = malloc((size_t)m * n * sizeof *want);
    TEST_OK(obi_source_read(tensor, 0, m, w));
    expected_numbers(options, w, m, n, want);
    for (uint64_t i = 0; i < (uint64_t)m * n; i++)
        if (got[i] != want[i])
            fail_msg("%s: weight %llu is %g, not %g", tensor->name, (unsigned long long)i, (double)got[i], (double)want[i]);
    free(w);
    free(want);
}

/* ---- the file as a model ------------------------------------------------------------------------------------------- */

/* The mean NLL of `count` ids, and the file is gone. */
static double score(const char *path, const uint32_t *of, uint32_t count)
{
    obi_gguf gguf;
    obi_weights *weights;
    obi_session *session;
    double nll[WINDOW], sum = 0;
    obi_session_desc desc = { .kv_type = OBI_KV_F32, .batch = count, .context = count };
    TEST_OK(obi_gguf_open(&gguf, path));
    TEST_OK(obi_weights_load(test_device(), &gguf, NULL, NULL, &weights));
    TEST_OK(obi_session_create(weights, &desc, &session));
    TEST_OK(obi_session_score(session, of, count, nll));
    for (uint32_t i = 0; i + 1 < count; i++) sum += nll[i];
    obi_session_destroy(session);
    obi_weights_free(weights);
    obi_gguf_close(&gguf);
    unlink(path);
    return sum / (count - 1);
}

/* Puts numbers into an ordinary F32 file in the place of a linear's. */
static void put_numbers(const char *path, const char *name, const float *w, uint64_t count)
{
    obi_gguf gguf;
    TEST_OK(obi_gguf_open(&gguf, path));
    const obi_gguf_tensor *tensor = obi_gguf_find_tensor(&gguf, name);
    assert_true(tensor && tensor->type == OBI_DTYPE_F32 && tensor->bytes == count * 4);
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, (long)tensor->offset, SEEK_SET), 0);
    assert_int_equal(fwrite(w, 4, count, file), count);
    assert_int_equal(fclose(file), 0);
    obi_gguf_close(&gguf);
}

/* Each method with its settings. Returns the NLL. */
static double check(const char *what, obi_ptq_options options, double tolerance)
{
    char path[640], dense[640];
    obi_convert_report report;
    obi_gguf gguf;
    obi_gguf_string method;
    float bits;
    snprintf(path, sizeof path, "%s", scratch_path("quantised.gguf"));
    snprintf(dense, sizeof dense, "%s", model_convert("stories260K/stories260K.bin", OBI_FORM_F32, "dense.gguf"));
    quantise(options, path, &report);
    assert_int_equal(report.layer_count, source->config.layers * OBI_LINEAR_COUNT);
    TEST_OK(obi_gguf_open(&gguf, path));
    TEST_OK(obi_gguf_get_string(&gguf, "onebit.method", true, &method));
    assert_true(method.length == strlen(obi_ptq_names[options.method]) &&
                memcmp(method.text, obi_ptq_names[options.method], method.length) == 0);
    TEST_OK(obi_gguf_get_f32(&gguf, "onebit.linear_bits", true, &bits));
    assert_true(fabs((double)bits - report.linear_bits / report.linear_weights) < 1e-5);
    for (uint32_t i = 0; i < report.layer_count; i++) {
        const obi_source_tensor *tensor = obi_source_find(source, report.layers[i].name);
        uint64_t count = tensor->rows * tensor->columns;
        float *w = numbers_of(&gguf, tensor), *original = malloc(count * sizeof *original);
        double error = 0, norm2 = 0;
        TEST_OK(obi_source_read(tensor, 0, tensor->rows, original));
        for (uint64_t k = 0; k < count; k++) {
            error += ((double)w[k] - (double)original[k]) * ((double)w[k] - (double)original[k]);
            norm2 += (double)original[k] * (double)original[k];
        }
        /* The report's error is that of the file; F16 numbers of grouped forms are rounded once more. */
        assert_true(fabs(error / norm2 - report.layers[i].error) < 1e-6 + (options.group ? 1e-3 * error / norm2 : 0));
        assert_true(isnan(report.layers[i].output_error) == !obi_ptq_calibrated(options.method));
        if (!obi_ptq_calibrated(options.method)) expect_numbers(&options, tensor, w);
        put_numbers(dense, report.layers[i].name, w, count);
        free(w);
        free(original);
    }
    obi_gguf_close(&gguf);
    obi_convert_report_clear(&report);
    double got = score(path, ids, WINDOW), want = score(dense, ids, WINDOW);
    print_message("%s: NLL %.5f, as ordinary weights %.5f\n", what, got, want);
    if (!(fabs(got - want) < tolerance)) fail_msg("%s: NLL %g, but %g as ordinary weights", what, got, want);
    return want;
}

static void test_direct(void **state)
{
    (void)state;
    check("xnor", (obi_ptq_options){ .method = OBI_PTQ_XNOR }, NLL_TOLERANCE);
    check("bitnet_b1", (obi_ptq_options){ .method = OBI_PTQ_BITNET_B1 }, NLL_TOLERANCE);
    check("rtn, 1 bit", (obi_ptq_options){ .method = OBI_PTQ_RTN, .bits = 1 }, NLL_TOLERANCE);
    check("rtn, 3 bits", (obi_ptq_options){ .method = OBI_PTQ_RTN, .bits = 3 }, NLL_TOLERANCE);
    check("rtn, 4 bits", (obi_ptq_options){ .method = OBI_PTQ_RTN, .bits = 4 }, NLL_TOLERANCE);
    check("int8", (obi_ptq_options){ .method = OBI_PTQ_INT8 }, INT8_TOLERANCE);
    check("rtn, 2 bits, groups of 48", (obi_ptq_options){ .method = OBI_PTQ_RTN, .bits = 2, .group = 48 }, NLL_TOLERANCE);
    test_device_check();
}

/* Calibrated on this very text, so an order is certain: what GPTQ and OmniQuant are for is that they lose less than rounding. */
static void test_calibrated(void **state)
{
    (void)state;
    double rounded = check("rtn, 2 bits", (obi_ptq_options){ .method = OBI_PTQ_RTN, .bits = 2 }, NLL_TOLERANCE);
    double gptq = check("gptq, 2 bits", (obi_ptq_options){ .method = OBI_PTQ_GPTQ, .bits = 2, .window = 128 }, NLL_TOLERANCE);
    double learnt =
        check("omniquant, 2 bits", (obi_ptq_options){ .method = OBI_PTQ_OMNIQUANT, .bits = 2, .window = 128, .windows = 3, .epochs = 8 },
              NLL_TOLERANCE);
    check("gptq, 3 bits, groups of 16", (obi_ptq_options){ .method = OBI_PTQ_GPTQ, .bits = 3, .group = 16, .window = 128 }, NLL_TOLERANCE);
    assert_true(gptq < rounded - 0.1 && learnt < rounded - 0.1);
    test_device_check();
}

/* Numbers of a Hugging Face model go into an ordinary file, where rows of q and k lie in pairs: 2i and 2i + 1 were i and i + C/2. */
static void test_row_order(void **state)
{
    (void)state;
    obi_source *half = expect_opens(OB_SOURCE_DIR "/tests/data/gradients", NULL);
    obi_ptq_options options = { .method = OBI_PTQ_RTN, .bits = 4, .group = 8 };
    obi_ptq_maker *maker;
    obi_convert_report report;
    obi_gguf gguf;
    uint32_t C = half->config.head_size;
    char path[640];
    snprintf(path, sizeof path, "%s", scratch_path("pairs.gguf"));
    TEST_OK(obi_ptq_options_complete(&options));
    TEST_OK(obi_ptq_maker_create(NULL, half, NULL, &options, &maker));
    obi_convert_desc desc = { .output = path, .form = OBI_FORM_ONEBIT, .maker = obi_ptq_maker_linears(maker) };
    TEST_OK(obi_convert(NULL, half, &desc, &report));
    TEST_OK(obi_gguf_open(&gguf, path));
    for (uint32_t i = 0; i < report.layer_count; i++) {
        const obi_source_tensor *tensor = obi_source_find(half, report.layers[i].name);
        uint32_t m = (uint32_t)tensor->rows, n = (uint32_t)tensor->columns;
        bool moved = strstr(tensor->name, "attn_q") || strstr(tensor->name, "attn_k");
        float *got = numbers_of(&gguf, tensor), *w = malloc((size_t)m * n * sizeof *w), *want = malloc((size_t)m * n * sizeof *want);
        TEST_OK(obi_source_read(tensor, 0, m, w));
        expected_numbers(&options, w, m, n, want);
        for (uint32_t row = 0; row < m; row++) {
            uint32_t inside = row % C, from = moved ? row - inside + inside / 2 + inside % 2 * C / 2 : row;
            assert_memory_equal(got + (uint64_t)row * n, want + (uint64_t)from * n, n * sizeof *got);
        }
        free(got);
        free(w);
        free(want);
    }
    obi_gguf_close(&gguf);
    unlink(path);
    obi_convert_report_clear(&report);
    obi_ptq_maker_destroy(maker);
    obi_source_close(half);
}

/* RTN's linears; of the first one two rows get zeros that two bits do not hold: -2 and 5. */
static obi_status make_wide(void *user, uint32_t layer, int kind, obi_status (*part)(void *convert, double part, const char *what),
                            void *convert, obi_made_linear *out)
{
    const obi_linear_maker *rtn = user;
    OBI_TRY(rtn->make(rtn->user, layer, kind, part, convert, out));
    if (layer > 0 || kind > 0) return OBI_OK;
    obi_grid *grids = out->codes->grids;
    grids[0].zero = -2;
    grids[1].zero = 5;
    return OBI_OK;
}

static double bits_of_wide(void *user, uint32_t rows, uint32_t columns)
{
    const obi_linear_maker *rtn = user;
    return rtn->bits(rtn->user, rows, columns);
}

/* The file says what the zeros really take, which is known only after its header: three bits each for the linear that has -2 .. 5, and 16
 * for the -2. */
static void test_wide_zeros(void **state)
{
    (void)state;
    obi_ptq_options options = { .method = OBI_PTQ_RTN, .bits = 2 };
    obi_ptq_maker *rtn;
    obi_convert_report plain, wide;
    obi_gguf gguf;
    obi_size size;
    float said;
    char path[640];
    snprintf(path, sizeof path, "%s", scratch_path("wide.gguf"));
    quantise(options, path, &plain);
    TEST_OK(obi_ptq_options_complete(&options));
    TEST_OK(obi_ptq_maker_create(NULL, source, tokenizer, &options, &rtn));
    obi_linear_maker maker = *obi_ptq_maker_linears(rtn);
    maker.make = make_wide;
    maker.bits = bits_of_wide;
    maker.user = (void *)(uintptr_t)obi_ptq_maker_linears(rtn);
    obi_convert_desc desc = { .output = path, .form = OBI_FORM_ONEBIT, .maker = &maker };
    TEST_OK(obi_convert(NULL, source, &desc, &wide));
    double more = wide.layers[0].rows + 16.0;
    assert_true(wide.layers[0].bits == plain.layers[0].bits + more && wide.layers[1].bits == plain.layers[1].bits);
    assert_true(wide.linear_bits == plain.linear_bits + more);
    TEST_OK(obi_gguf_open(&gguf, path));
    TEST_OK(obi_gguf_get_f32(&gguf, "onebit.linear_bits", true, &said));
    assert_true(said == (float)(wide.linear_bits / wide.linear_weights));
    TEST_OK(obi_size_of(&gguf, &size)); /* and whoever counts the file says so */
    assert_true(size.method_bits == (double)said);
    obi_gguf_close(&gguf);
    unlink(path);
    obi_convert_report_clear(&plain);
    obi_convert_report_clear(&wide);
    obi_ptq_maker_destroy(rtn);
}

/* ---- OPT: biases, and factors of inputs ----------------------------------------------------------------------------- */

#define OPT OB_SOURCE_DIR "/tests/data/gradients_opt/first" /* without a tokenizer: its ids lie beside it */
enum { OPT_WINDOWS = 2, OPT_TOKENS = 64 };

static obi_status make_opt(void *user, uint32_t layer, int kind, obi_status (*part)(void *convert, double part, const char *what),
                           void *convert, obi_made_linear *out)
{
    obi_calibrated *calibrated = user;
    if (layer == calibrated->layers_done) OBI_TRY(obi_calibrated_layer(calibrated, (obi_part){ part, convert }));
    *out = calibrated->made[kind];
    return OBI_OK;
}

static double bits_of_opt(void *user, uint32_t rows, uint32_t columns)
{
    (void)user;
    return obi_codes_bits(rows, columns, 2, 0, OBI_GRIDS_FREE);
}

static void opt_ids(uint32_t *out)
{
    obi_mapping file;
    obi_safetensors tensors;
    TEST_OK(obi_mapping_open(&file, OPT "/golden.safetensors"));
    TEST_OK(obi_safetensors_open(&tensors, &file));
    const obi_safetensors_tensor *tensor = obi_safetensors_find(&tensors, "ids");
    assert_true(tensor && tensor->bytes == OPT_WINDOWS * OPT_TOKENS * 4);
    for (uint32_t i = 0; i < OPT_WINDOWS * OPT_TOKENS; i++) out[i] = (uint32_t)((const float *)(const void *)tensor->data)[i];
    obi_safetensors_close(&tensors);
    obi_mapping_close(&file);
}

static void test_factors(void **state)
{
    (void)state;
    obi_source *opt = expect_opens(OPT, NULL);
    obi_ptq_options options = { .method = OBI_PTQ_OMNIQUANT, .bits = 2, .epochs = 2 };
    obi_calibration calibration = { .ids = obi_calloc(OPT_WINDOWS * OPT_TOKENS, 4), .windows = OPT_WINDOWS, .T = OPT_TOKENS };
    obi_calibrated *calibrated;
    obi_convert_report report;
    obi_gguf gguf;
    char path[640], dense[640];
    uint32_t of[OPT_WINDOWS * OPT_TOKENS];
    opt_ids(of);
    memcpy(calibration.ids, of, sizeof of);
    snprintf(path, sizeof path, "%s", scratch_path("factors.gguf"));
    snprintf(dense, sizeof dense, "%s", scratch_path("dense.gguf"));
    TEST_OK(obi_ptq_options_complete(&options));
    TEST_OK(obi_calibrated_create(test_device(), opt, &calibration, &options, &calibrated));
    obi_linear_maker maker = { .method = "omniquant",
                               .storage = OBI_STORAGE_PLANES,
                               .planes = 2,
                               .offset = true,
                               .input_factor = true,
                               .bits = bits_of_opt,
                               .make = make_opt,
                               .user = calibrated };
    obi_convert_desc desc = { .output = path, .form = OBI_FORM_ONEBIT, .maker = &maker };
    TEST_OK(obi_convert(test_device(), opt, &desc, &report));
    obi_convert_report_clear(&report);
    desc = (obi_convert_desc){ .output = dense, .form = OBI_FORM_F32 };
    TEST_OK(obi_convert(test_device(), opt, &desc, &report));
    obi_convert_report_clear(&report);
    TEST_OK(obi_gguf_open(&gguf, path));
    for (size_t i = 0; i < opt->tensor_count; i++) {
        const obi_source_tensor *tensor = &opt->tensors[i];
        if (!data_of(&gguf, tensor->name, "weight_scale")) continue; /* of linears alone */
        float *w = numbers_of(&gguf, tensor);
        put_numbers(dense, tensor->name, w, tensor->rows * tensor->columns);
        free(w);
    }
    obi_gguf_close(&gguf);
    double got = score(path, of, OPT_TOKENS), want = score(dense, of, OPT_TOKENS);
    print_message("OPT with factors: NLL %.5f, as ordinary weights %.5f\n", got, want);
    assert_true(fabs(got - want) < NLL_TOLERANCE);
    obi_calibrated_destroy(calibrated);
    obi_source_close(opt);
    test_device_check();
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_direct), cmocka_unit_test(test_calibrated), cmocka_unit_test(test_row_order),
                                        cmocka_unit_test(test_wide_zeros), cmocka_unit_test(test_factors) };
    return test_device_finish(cmocka_run_group_tests(tests, open_all, close_all));
}
