/* test_convert: what the converter writes is what was there: F32 bit for bit, F16 to the nearest, signs and scales as SVID
 * defines them, 1-bit sources untouched; and the report's numbers follow from the file. */
#include "model_file.h"

#include <math.h>
#include <string.h>
#include <sys/stat.h>

#include "import_files.h"
#include "synthetic_model.h"

static const char *const models[] = { "tinystories656k", "stories260K/stories260K.bin", "babyllama105/babyllama105.bin",
                                      "stories260K/stories260K_q80.bin" };
enum { MODELS = sizeof models / sizeof *models };

static char names[4][640];

/* Converts a path of any kind to NAME in the scratch directory; returns its path (static). */
static const char *convert(const char *input, obi_form form, const char *name, obi_convert_report *report)
{
    static unsigned next;
    char *path = names[next++ % 4];
    obi_convert_report own;
    snprintf(path, sizeof names[0], "%s/%s", scratch_directory, name);
    obi_source *source = expect_opens(input, NULL);
    obi_convert_desc desc = { .output = path, .form = form };
    TEST_OK(obi_convert(test_device(), source, &desc, report ? report : &own));
    if (!report) obi_convert_report_clear(&own);
    obi_source_close(source);
    return path;
}

static const char *model_path(const char *relative)
{
    char path[256];
    snprintf(path, sizeof path, "models/%s", relative);
    return test_data_path(path);
}

static float *read_floats(const obi_source_tensor *tensor)
{
    float *values = malloc(tensor->rows * tensor->columns * sizeof *values);
    TEST_OK(obi_source_read(tensor, 0, tensor->rows, values));
    return values;
}

static bool is_role(const obi_source_tensor *tensor, const char *role) { return strstr(tensor->name, role) != NULL; }

/* The row of a Hugging Face q or k (pairs i and i + C/2) that row `row` of a file in pairs order (2i and 2i + 1) was. */
static uint64_t half_row(uint64_t row, uint32_t C)
{
    uint64_t in_head = row % C;
    return row - in_head + (in_head % 2 ? C / 2 + in_head / 2 : in_head / 2);
}

static uint64_t source_row(const obi_source *was, const obi_source_tensor *tensor, uint64_t row)
{
    bool moved = was->config.rope_layout == OBI_ROPE_HALF && (is_role(tensor, "attn_q.") || is_role(tensor, "attn_k."));
    return moved ? half_row(row, was->config.head_size) : row;
}

static void check_config(const obi_config *a, const obi_config *b)
{
    assert_true(a->onebit == b->onebit && a->post_norm == b->post_norm && a->tied == b->tied);
    assert_true(a->width == b->width && a->layers == b->layers && a->heads == b->heads && a->kv_heads == b->kv_heads);
    assert_true(a->head_size == b->head_size && a->ffn == b->ffn && a->vocabulary == b->vocabulary && a->context == b->context);
    assert_true(a->norm_eps == b->norm_eps && a->rope_theta == b->rope_theta && a->rope_scale == b->rope_scale);
    assert_int_equal(a->rope_dimensions, b->rope_dimensions);
    if (a->post_norm) assert_true(a->post_norm_eps == b->post_norm_eps);
    if (a->onebit) assert_int_equal(a->rope_layout, b->rope_layout);
}

static void check_vocab(const obi_vocab *a, const obi_vocab *b)
{
    assert_true(a->count > 0);
    assert_int_equal(a->kind, b->kind);
    assert_int_equal(a->count, b->count);
    assert_int_equal(a->merge_count, b->merge_count);
    assert_true(a->bos == b->bos && a->eos == b->eos && a->unk == b->unk && a->add_space_prefix == b->add_space_prefix);
    for (uint32_t i = 0; i < a->count; i++) {
        assert_int_equal(a->tokens[i].length, b->tokens[i].length);
        assert_memory_equal(a->tokens[i].text, b->tokens[i].text, a->tokens[i].length);
        assert_int_equal(a->types[i], b->types[i]);
        if (a->scores) assert_true(a->scores[i] == b->scores[i]);
    }
}

/* ---- dense ----------------------------------------------------------------------------------------------------- */

static void test_f32_is_the_source(void **state)
{
    (void)state;
    for (int m = 0; m < MODELS; m++) {
        const char *path = convert(model_path(models[m]), OBI_FORM_F32, "f32.gguf", NULL);
        obi_source *was = expect_opens(model_path(models[m]), NULL), *is = expect_opens(path, NULL);
        check_config(&was->config, &is->config);
        check_vocab(&was->vocab, &is->vocab);
        assert_int_equal(is->config.rope_layout, OBI_ROPE_PAIRS);
        assert_int_equal(was->tensor_count, is->tensor_count);
        for (size_t i = 0; i < was->tensor_count; i++) {
            const obi_source_tensor *from = &was->tensors[i], *to = obi_source_find(is, from->name);
            if (!to) fail_msg("%s: %s was lost", models[m], from->name);
            assert_int_equal(to->type, OBI_DTYPE_F32);
            assert_true(from->rows == to->rows && from->columns == to->columns);
            float *a = read_floats(from), *b = read_floats(to);
            for (uint64_t r = 0; r < to->rows; r++)
                if (memcmp(b + r * to->columns, a + source_row(was, from, r) * to->columns, to->columns * sizeof *a) != 0)
                    fail_msg("%s: row %llu of %s is not the source's", models[m], (unsigned long long)r, from->name);
            free(a);
            free(b);
        }
        obi_source_close(was);
        obi_source_close(is);
        unlink(path);
    }
}

/* No other half is nearer, and of two equally near ones it is the even one. */
static bool is_nearest_half(float value, uint16_t half)
{
    double here = fabs((double)value - (double)obi_half_to_float(half));
    for (int step = -1; step <= 1; step += 2) {
        if (step < 0 && (half & 0x7fff) == 0) continue;
        double there = fabs((double)value - (double)obi_half_to_float((uint16_t)(half + step)));
        if (there < here || (there == here && (half & 1))) return false;
    }
    return (half >> 15 & 1) == (signbit(value) != 0);
}

static void test_f16_is_the_nearest(void **state)
{
    (void)state;
    assert_true(is_nearest_half(1 + 0x1p-11f, 0x3c00) && !is_nearest_half(1 + 0x1p-11f, 0x3c01)); /* ties go to even */
    assert_true(is_nearest_half(1 + 0x3p-11f, 0x3c02) && !is_nearest_half(0x1p-25f, 1) && is_nearest_half(0x1p-25f, 0));
    for (int m = 0; m < MODELS; m++) {
        const char *path = convert(model_path(models[m]), OBI_FORM_F16, "f16.gguf", NULL);
        obi_source *was = expect_opens(model_path(models[m]), NULL);
        obi_gguf gguf;
        TEST_OK(obi_gguf_open(&gguf, path));
        for (size_t i = 0; i < was->tensor_count; i++) {
            const obi_source_tensor *from = &was->tensors[i];
            const obi_gguf_tensor *to = obi_gguf_find_tensor(&gguf, from->name);
            float *values = read_floats(from);
            assert_non_null(to);
            assert_int_equal(to->type, is_role(from, "norm.") ? OBI_DTYPE_F32 : OBI_DTYPE_F16);
            for (uint64_t k = 0; k < from->rows * from->columns; k++) {
                float value = values[source_row(was, from, k / from->columns) * from->columns + k % from->columns];
                uint16_t half;
                if (to->type == OBI_DTYPE_F32) {
                    assert_memory_equal(to->data + 4 * k, &value, 4);
                    continue;
                }
                memcpy(&half, to->data + 2 * k, 2);
                if (!is_nearest_half(value, half))
                    fail_msg("%s: %s[%llu] is %.9g, written as %g", models[m], from->name, (unsigned long long)k, (double)value,
                             (double)obi_half_to_float(half));
            }
            free(values);
        }
        obi_gguf_close(&gguf);
        obi_source_close(was);
        unlink(path);
    }
}

/* LLaMA 3's frequency factors arrive, and an untied head. */
static void test_rope_factors_and_head(void **state)
{
    (void)state;
    st_file *file = malloc(sizeof *file);
    st_begin(file);
    toy_add(file, 0, TOY_HEAD, "BF16");
    st_write(file, "model.safetensors");
    free(file);
    put_text("config.json", "{\"architectures\":[\"LlamaForCausalLM\"],\"model_type\":\"llama\"," TOY_SIZES ",\"rope_theta\":500.0,"
             "\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8.0,\"low_freq_factor\":1.0,\"high_freq_factor\":4.0,"
             "\"original_max_position_embeddings\":32}}");
    static const obi_form forms[] = { OBI_FORM_F32, OBI_FORM_F16, OBI_FORM_ONEBIT };
    for (int f = 0; f < 3; f++) {
        const char *path = convert(scratch_directory, forms[f], "toy.gguf", NULL);
        obi_source *was = expect_opens(scratch_directory, NULL), *is = expect_opens(path, NULL);
        assert_non_null(was->rope_factors);
        assert_non_null(is->rope_factors);
        assert_memory_equal(was->rope_factors, is->rope_factors, TOY_C / 2 * sizeof(float));
        assert_true(was->rope_factors[TOY_C / 2 - 1] > 1);
        assert_true(is->config.rope_theta == 500.0f);
        toy_expect(is, 0);        /* its values are exact in F16 too */
        toy_expect(is, TOY_HEAD);
        obi_source_close(was);
        obi_source_close(is);
        unlink(path);
    }
    clear_scratch(NULL);
}

/* ---- 1 bit ----------------------------------------------------------------------------------------------------- */

static bool negative(const obi_gguf_tensor *words, uint64_t columns, uint64_t row, uint64_t column)
{
    uint32_t word;
    memcpy(&word, words->data + (row * ((columns + 31) / 32) + column / 32) * 4, 4);
    return word >> column % 32 & 1;
}

static float *file_vector(const obi_gguf *gguf, const char *weight, const char *suffix, uint64_t count)
{
    char name[64];
    snprintf(name, sizeof name, "%.*s%s", (int)(strlen(weight) - strlen("weight")), weight, suffix);
    const obi_gguf_tensor *tensor = obi_gguf_find_tensor(gguf, name);
    if (!tensor) fail_msg("%s is missing", name);
    assert_int_equal(tensor->type, OBI_DTYPE_F16);
    assert_int_equal(tensor->shape[0], count);
    float *values = malloc(count * sizeof *values);
    TEST_OK(obi_dtype_to_float(tensor->type, tensor->data, count, values));
    for (uint64_t i = 0; i < count; i++) assert_true(isfinite(values[i]) && values[i] >= 0);
    return values;
}

/* Signs of the file are those of the source (0 and -0: +), and the error of signs and scales in the file is the reported one. */
static void check_layer(const obi_gguf *gguf, const obi_source *source, const obi_convert_row *row)
{
    const obi_source_tensor *from = obi_source_find(source, row->name);
    const obi_gguf_tensor *words = obi_gguf_find_tensor(gguf, row->name);
    assert_true(from && words && words->type == OBI_DTYPE_I32);
    assert_true(row->rows == from->rows && row->columns == from->columns);
    assert_true(words->shape[0] == (from->columns + 31) / 32 && words->shape[1] == from->rows);
    float *w = read_floats(from), *g = file_vector(gguf, row->name, "input_factor", from->columns);
    float *h = file_vector(gguf, row->name, "weight_scale", from->rows);
    double error = 0, norm2 = 0;
    for (uint64_t i = 0; i < from->rows; i++)
        for (uint64_t j = 0; j < (from->columns + 31) / 32 * 32; j++) {
            bool bit = negative(words, from->columns, i, j);
            if (j >= from->columns) {
                assert_false(bit); /* the pad of a row */
                continue;
            }
            double value = (double)w[i * from->columns + j], size = (double)h[i] * (double)g[j];
            if (bit != (value < 0))
                fail_msg("%s: row %llu column %llu has the wrong sign", row->name, (unsigned long long)i, (unsigned long long)j);
            double difference = value - (bit ? -size : size);
            error += difference * difference;
            norm2 += value * value;
        }
    assert_true(fabs(row->norm2 - norm2) <= 1e-5 * norm2);
    assert_true(fabs(row->error_svid - (norm2 > 0 ? error / norm2 : 0)) <= 1e-5);
    assert_true(row->bits == (double)(from->rows * from->columns) + 16.0 * (double)(from->rows + from->columns));
    free(w);
    free(g);
    free(h);
}

/* The report's sums, from the formula (mn + 16 (m + n)) / mn and from the file itself. */
static void check_report(const obi_convert_report *report, const obi_gguf *gguf, const char *path, const char *what)
{
    double bits = 0, weights = 0, error = 0, rank1 = 0, xnor = 0, norm2 = 0;
    uint64_t bytes = 0;
    struct stat info;
    for (uint32_t i = 0; i < report->layer_count; i++) {
        const obi_convert_row *row = &report->layers[i];
        double m = row->rows, n = row->columns;
        bits += m * n + 16 * (m + n);
        weights += m * n;
        norm2 += row->norm2;
        error += row->error_svid * row->norm2;
        rank1 += row->error_rank1 * row->norm2;
        xnor += row->error_xnor * row->norm2;
        assert_true(row->error_svid <= row->error_rank1); /* proposition 2 of the paper */
    }
    assert_true(report->linear_bits == bits && report->linear_weights == weights);
    for (uint64_t i = 0; i < gguf->tensor_count; i++) bytes += gguf->tensors[i].bytes;
    assert_int_equal(report->tensor_bytes, bytes);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(report->file_bytes, info.st_size);
    print_message("%s: %.4f bits a weight, SVID error %.4f, rank 1 %.4f, row means %.4f\n", what, bits / weights, error / norm2,
                  rank1 / norm2, xnor / norm2);
}

static void test_onebit_is_what_svid_defines(void **state)
{
    (void)state;
    for (int m = 0; m < MODELS; m++) {
        obi_convert_report report;
        const char *path = convert(model_path(models[m]), OBI_FORM_ONEBIT, "onebit.gguf", &report);
        obi_source *was = expect_opens(model_path(models[m]), NULL), *is = expect_opens(path, NULL);
        obi_gguf gguf;
        TEST_OK(obi_gguf_open(&gguf, path));
        assert_true(is->config.onebit && is->config.post_norm && is->config.post_norm_eps == 1e-5f);
        assert_int_equal(is->config.rope_layout, was->config.rope_layout); /* rows stay where they are */
        check_vocab(&was->vocab, &is->vocab);
        assert_int_equal(report.layer_count, was->config.layers * OBI_LINEAR_COUNT);
        for (uint32_t i = 0; i < report.layer_count; i++) check_layer(&gguf, was, &report.layers[i]);
        check_report(&report, &gguf, path, models[m]);
        for (size_t i = 0; i < was->tensor_count; i++) { /* the rest is as in the F16 form */
            const obi_gguf_tensor *to = obi_gguf_find_tensor(&gguf, was->tensors[i].name);
            assert_non_null(to);
            obi_dtype matrix = is_role(&was->tensors[i], "blk.") ? OBI_DTYPE_I32 : OBI_DTYPE_F16;
            assert_int_equal(to->type, is_role(&was->tensors[i], "norm.") ? OBI_DTYPE_F32 : matrix);
        }
        obi_gguf_close(&gguf);
        obi_source_close(was);
        obi_source_close(is);
        obi_convert_report_clear(&report);
        unlink(path);
    }
    test_device_check();
}

/* Independent Gaussian weights: 1 - 2/pi = .3634 in the limit, .361 at these sizes; and one layer of zeros in between. */
static void test_gaussian_layers(void **state)
{
    (void)state;
    synthetic_model model = { .config = { .width = 256, .layers = 1, .heads = 8, .kv_heads = 8, .head_size = 32, .ffn = 512,
                                          .vocabulary = 40, .context = 32, .norm_eps = 1e-5f, .rope_theta = 10000, .rope_scale = 1,
                                          .rope_dimensions = 32, .rope_layout = OBI_ROPE_PAIRS, .tied = true },
                              .embedding = OBI_DTYPE_F32, .norm = OBI_DTYPE_F32, .seed = 9 };
    obi_convert_report report;
    char dense[640];
    snprintf(dense, sizeof dense, "%s", scratch_path("dense.gguf"));
    synthetic_write(&model, dense);
    const char *path = convert(dense, OBI_FORM_ONEBIT, "onebit.gguf", &report);
    for (uint32_t i = 0; i < report.layer_count; i++) {
        print_message("%s %u x %u: SVID %.4f, rank 1 %.4f, row means %.4f\n", report.layers[i].name, report.layers[i].rows,
                      report.layers[i].columns, report.layers[i].error_svid, report.layers[i].error_rank1, report.layers[i].error_xnor);
        assert_true(fabs(report.layers[i].error_svid - 0.361) <= 0.003);
    }
    assert_int_equal(report.layer_count, OBI_LINEAR_COUNT);
    obi_convert_report_clear(&report);
    unlink(dense);
    unlink(path);
}

static void test_zero_layer(void **state)
{
    (void)state;
    st_file *file = malloc(sizeof *file);
    st_begin(file);
    toy_add(file, 0, TOY_HEAD, "F32");
    for (size_t t = 0, at = 0; t < TOY_COUNT; t++) {
        size_t bytes = (size_t)(toy_tensors[t].rows ? toy_tensors[t].rows : 1) * toy_tensors[t].columns * 4;
        if (strstr(toy_tensors[t].hf, "k_proj")) memset(file->data + at, 0, bytes);
        if (strstr(toy_tensors[t].hf, "up_proj")) memset(file->data + at + 4 * TOY_D, 0, 4 * TOY_D); /* and one row of another */
        at += bytes;
    }
    st_write(file, "model.safetensors");
    free(file);
    put_text("config.json", "{\"architectures\":[\"LlamaForCausalLM\"],\"model_type\":\"llama\"," TOY_SIZES "}");
    obi_convert_report report;
    const char *path = convert(scratch_directory, OBI_FORM_ONEBIT, "toy.gguf", &report);
    obi_source *was = expect_opens(scratch_directory, NULL);
    obi_gguf gguf;
    TEST_OK(obi_gguf_open(&gguf, path));
    assert_int_equal(report.layer_count, OBI_LINEAR_COUNT);
    for (uint32_t i = 0; i < report.layer_count; i++) {
        const obi_convert_row *row = &report.layers[i];
        assert_true(isfinite(row->error_svid) && isfinite(row->error_rank1) && isfinite(row->error_xnor));
        check_layer(&gguf, was, row);
        assert_int_equal(row->norm2 == 0, strstr(row->name, "attn_k") != NULL);
    }
    obi_gguf_close(&gguf);
    obi_source_close(was);
    obi_convert_report_clear(&report);
    clear_scratch(NULL);
}

/* ---- sources that are 1-bit already ---------------------------------------------------------------------------- */

static void test_onebit_again(void **state)
{
    (void)state;
    char first[640];
    snprintf(first, sizeof first, "%s", convert(model_path(models[0]), OBI_FORM_ONEBIT, "first.gguf", NULL));
    const char *second = convert(first, OBI_FORM_ONEBIT, "second.gguf", NULL);
    obi_source *a = expect_opens(first, NULL), *b = expect_opens(second, NULL);
    check_config(&a->config, &b->config);
    check_vocab(&a->vocab, &b->vocab);
    obi_source_close(a);
    obi_source_close(b);
    obi_gguf was, is;
    TEST_OK(obi_gguf_open(&was, first));
    TEST_OK(obi_gguf_open(&is, second));
    assert_int_equal(was.tensor_count, is.tensor_count);
    for (uint64_t i = 0; i < was.tensor_count; i++) {
        const obi_gguf_tensor *from = &was.tensors[i], *to = obi_gguf_find_tensor(&is, from->name);
        assert_non_null(to);
        assert_int_equal(from->type, to->type);
        assert_int_equal(from->bytes, to->bytes);
        assert_memory_equal(from->data, to->data, from->bytes);
    }
    obi_gguf_close(&was);
    obi_gguf_close(&is);
    unlink(first);
    unlink(second);
}

/* The sign of column c of row r of tensor t in the checkpoint below: true = -1. */
static bool toy_negative(size_t t, size_t r, size_t c) { return (r * 29 + c * 23 + t * 7 + (r * c) % 11) % 5 < 2; }

/* A checkpoint as the OneBit authors pack theirs: 40 and 24 columns are 5 and 3 bytes a row, no whole words. */
static void put_checkpoint(void)
{
    st_file *file = malloc(sizeof *file);
    st_begin(file);
    for (size_t t = 0; t < TOY_COUNT; t++) {
        unsigned rows = toy_tensors[t].rows, columns = toy_tensors[t].columns;
        if (!strstr(toy_tensors[t].hf, "_proj.")) {
            toy_add(file, t, t, "F16");
            continue;
        }
        char name[128];
        int stem = (int)(strrchr(toy_tensors[t].hf, '.') - toy_tensors[t].hf);
        uint8_t *bytes = st_add(file, toy_tensors[t].hf, "I8", rows, columns / 8, (size_t)rows * columns / 8);
        for (size_t r = 0; r < rows; r++)
            for (size_t c = 0; c < columns; c++)
                if (toy_negative(t, r, c)) bytes[r * (columns / 8) + c / 8] |= (uint8_t)(1u << c % 8);
        snprintf(name, sizeof name, "%.*s.weight_scale", stem, toy_tensors[t].hf);
        toy_fill(st_add(file, name, "F32", 0, rows, rows * 4), "F32", t + 40, rows);
        snprintf(name, sizeof name, "%.*s.input_factor", stem, toy_tensors[t].hf);
        toy_fill(st_add(file, name, "F32", 0, columns, columns * 4), "F32", t + 80, columns);
    }
    st_write(file, "model.safetensors");
    free(file);
    put_text("config.json", "{\"architectures\":[\"BitLlamaForCausalLMInf\"],\"model_type\":\"bitllama\"," TOY_SIZES "}");
}

static void test_reference_checkpoint(void **state)
{
    (void)state;
    put_checkpoint();
    obi_convert_report report;
    char path[640];
    snprintf(path, sizeof path, "%s", convert(scratch_directory, OBI_FORM_ONEBIT, "out.gguf", &report));
    assert_int_equal(report.layer_count, 0); /* nothing was decomposed */
    assert_true(report.linear_bits > report.linear_weights);
    obi_convert_report_clear(&report);
    obi_source *is = expect_opens(path, NULL);
    assert_int_equal(is->config.rope_layout, OBI_ROPE_HALF);
    assert_true(is->config.onebit && is->config.post_norm && is->config.post_norm_eps == 1e-5f);
    obi_gguf gguf;
    TEST_OK(obi_gguf_open(&gguf, path));
    for (size_t t = 0; t < TOY_COUNT; t++) {
        const obi_gguf_tensor *tensor = obi_gguf_find_tensor(&gguf, toy_tensors[t].gguf);
        assert_non_null(tensor);
        if (!strstr(toy_tensors[t].hf, "_proj.")) {
            toy_expect(is, t);
            continue;
        }
        uint64_t rows = toy_tensors[t].rows, columns = toy_tensors[t].columns;
        for (uint64_t r = 0; r < rows; r++)
            for (uint64_t c = 0; c < (columns + 31) / 32 * 32; c++)
                if (negative(tensor, columns, r, c) != (c < columns && toy_negative(t, r, c)))
                    fail_msg("%s: row %llu column %llu", tensor->name, (unsigned long long)r, (unsigned long long)c);
        static const char *const suffixes[2] = { "weight_scale", "input_factor" };
        for (int s = 0; s < 2; s++) {
            char name[64];
            float values[64];
            uint64_t count = s == 0 ? rows : columns;
            snprintf(name, sizeof name, "%.*s%s", (int)(strlen(tensor->name) - 6), tensor->name, suffixes[s]);
            const obi_gguf_tensor *vector = obi_gguf_find_tensor(&gguf, name);
            assert_true(vector && vector->type == OBI_DTYPE_F16 && vector->shape[0] == count);
            TEST_OK(obi_dtype_to_float(vector->type, vector->data, count, values));
            for (uint64_t i = 0; i < count; i++) assert_true(values[i] == toy_value(t + (s == 0 ? 40 : 80), i)); /* exact in F16 */
        }
    }
    obi_gguf_close(&gguf);
    obi_source_close(is);
    /* and it runs */
    obi_gguf again;
    obi_weights *weights;
    TEST_OK(obi_gguf_open(&again, path));
    TEST_OK(obi_weights_load(test_device(), &again, NULL, NULL, &weights));
    obi_gguf_close(&again);
    obi_session *session;
    obi_session_desc desc = { 0 };
    uint32_t ids[3] = { 1, 2, 10 };
    float logits[TOY_V];
    TEST_OK(obi_session_create(weights, &desc, &session));
    TEST_OK(obi_session_feed(session, ids, 3));
    TEST_OK(obi_session_logits(session, logits));
    for (int i = 0; i < TOY_V; i++) assert_true(isfinite(logits[i]));
    obi_session_destroy(session);
    obi_weights_free(weights);
    clear_scratch(NULL);
    test_device_check();
}

/* ---- the same again -------------------------------------------------------------------------------------------- */

static void test_same_bytes_again(void **state)
{
    (void)state;
    static const obi_form forms[] = { OBI_FORM_ONEBIT, OBI_FORM_F16, OBI_FORM_F32 };
    for (int f = 0; f < 3; f++) {
        uint8_t *a, *b;
        const char *first = convert(model_path(models[0]), forms[f], "first.gguf", NULL);
        const char *second = convert(model_path(models[0]), forms[f], "second.gguf", NULL);
        size_t size = slurp(first, &a);
        assert_int_equal(slurp(second, &b), size);
        assert_memory_equal(a, b, size);
        free(a);
        free(b);
        /* An output that is there already is replaced. */
        assert_string_equal(convert(model_path(models[1]), forms[f], "first.gguf", NULL) + strlen(scratch_directory), "/first.gguf");
        assert_true(slurp(first, &a) != size);
        free(a);
        unlink(first);
        unlink(second);
    }
}

/* ---- memory ---------------------------------------------------------------------------------------------------- */

/* Pages of files that are in this process's memory now. */
static long file_pages(void)
{
    long size, resident, shared = -1;
    FILE *statm = fopen("/proc/self/statm", "r");
    assert_non_null(statm);
    assert_int_equal(fscanf(statm, "%ld %ld %ld", &size, &resident, &shared), 3);
    fclose(statm);
    return shared;
}

static bool note_pages(double fraction, const char *what, void *user)
{
    (void)fraction;
    (void)what;
    long *most = user, now = file_pages();
    if (now > *most) *most = now;
    return true;
}

/* A tensor passes through, however large it is: of an embedding of 64 MiB no more than a few chunks are ever in memory. */
static void test_large_tensors_pass_through(void **state)
{
    (void)state;
    synthetic_model model = { .config = { .width = 1024, .layers = 1, .heads = 16, .kv_heads = 16, .head_size = 64, .ffn = 64,
                                          .vocabulary = 16384, .context = 8, .norm_eps = 1e-5f, .rope_theta = 10000, .rope_scale = 1,
                                          .rope_layout = OBI_ROPE_PAIRS, .rope_dimensions = 64, .tied = true },
                              .embedding = OBI_DTYPE_F32, .head = OBI_DTYPE_F32, .norm = OBI_DTYPE_F32, .seed = 3 };
    for (int i = 0; i < OBI_LINEAR_COUNT; i++) model.linear[i] = OBI_DTYPE_F32;
    const char *input = scratch_path("large.gguf"), *output = scratch_path("large-f16.gguf");
    synthetic_write(&model, input);
    obi_source *source = expect_opens(input, NULL);
    long before = file_pages(), most = before;
    obi_convert_report report;
    obi_convert_desc desc = { .output = output, .form = OBI_FORM_F16, .progress = note_pages, .user = &most };
    TEST_OK(obi_convert(test_device(), source, &desc, &report));
    obi_convert_report_clear(&report);
    obi_source_close(source);
    double mib = (double)(most - before) * (double)sysconf(_SC_PAGESIZE) / 1048576;
    print_message("at most %.1f MiB of a file of 81 MiB were in memory\n", mib);
    if (mib > 24) fail_msg("%.1f MiB of the model were in memory at once", mib);
    unlink(input);
    unlink(output);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_f32_is_the_source),
        cmocka_unit_test(test_f16_is_the_nearest),
        cmocka_unit_test(test_rope_factors_and_head),
        cmocka_unit_test(test_onebit_is_what_svid_defines),
        cmocka_unit_test(test_gaussian_layers),
        cmocka_unit_test(test_zero_layer),
        cmocka_unit_test(test_onebit_again),
        cmocka_unit_test(test_reference_checkpoint),
        cmocka_unit_test(test_same_bytes_again),
        cmocka_unit_test(test_large_tensors_pass_through),
    };
    return test_device_finish(cmocka_run_group_tests(tests, scratch_open, scratch_close));
}
