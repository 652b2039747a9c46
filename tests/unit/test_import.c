/* quant/source with the real models: configurations, values that were read out of the files by another program, prompt
 * ids of golden.json; and llama2.c and GGUF files that are damaged or written here. */
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "import_files.h"
#include "core/alloc.h"

static float value_at(const obi_source *source, const char *name, uint64_t row, uint64_t column)
{
    const obi_source_tensor *tensor = obi_source_find(source, name);
    if (!tensor) fail_msg("%s is not there", name);
    float *values = malloc(tensor->columns * sizeof *values);
    assert_int_equal(obi_source_read(tensor, row, 1, values), OBI_OK);
    float value = values[column];
    free(values);
    return value;
}

#define EXPECT_VALUE(source, name, row, column, expected) \
    do { \
        double got_ = (double)value_at(source, name, row, column); \
        if (fabs(got_ - (expected)) > 1e-7 * fabs(expected)) fail_msg("%s[%d][%d] is %.9g, not %.9g", name, row, column, got_, expected); \
    } while (0)

/* ---- the real models ---------------------------------------------------------------------------------------- */

static void stories260k(void **state)
{
    (void)state;
    obi_source *source = expect_opens(test_data_path("models/stories260K/stories260K.bin"), NULL);
    const obi_config *config = &source->config;
    assert_string_equal(source->format, "llama2.c");
    assert_string_equal(source->name, "stories260K");
    assert_int_equal(config->width, 64);
    assert_int_equal(config->ffn, 172);
    assert_int_equal(config->layers, 5);
    assert_int_equal(config->heads, 8);
    assert_int_equal(config->kv_heads, 4);
    assert_int_equal(config->head_size, 8);
    assert_int_equal(config->vocabulary, 512);
    assert_int_equal(config->context, 512);
    assert_int_equal(config->rope_layout, OBI_ROPE_PAIRS);
    assert_true(config->norm_eps == 1e-5f && config->rope_theta == 10000.0f && config->rope_scale == 1.0f);
    assert_true(config->tied && !config->onebit && !config->post_norm);
    assert_int_equal(source->parameters, 260032);
    assert_int_equal(source->stored_bytes, 1040128);
    EXPECT_VALUE(source, "token_embd.weight", 511, 63, -0.424032598733902);
    EXPECT_VALUE(source, "blk.3.attn_norm.weight", 0, 1, 1.0510352849960327);
    EXPECT_VALUE(source, "blk.2.attn_k.weight", 31, 63, 0.018669389188289642);
    EXPECT_VALUE(source, "blk.4.ffn_down.weight", 63, 171, -0.0035068716388195753);
    EXPECT_VALUE(source, "blk.1.ffn_up.weight", 171, 1, 0.010169679298996925);
    EXPECT_VALUE(source, "output_norm.weight", 0, 63, 1.7077769041061401);
    assert_int_equal(source->vocab.count, 512);
    obi_source_close(source);
}

static void stories260k_int8(void **state)
{
    (void)state;
    obi_source *source = expect_opens(test_data_path("models/stories260K/stories260K_q80.bin"), NULL);
    obi_source *floats = expect_opens(test_data_path("models/stories260K/stories260K.bin"), NULL);
    assert_string_equal(source->format, "llama2.c");
    assert_int_equal(source->parameters, 260032);
    assert_int_equal(source->stored_bytes, 392064 - 256);
    EXPECT_VALUE(source, "token_embd.weight", 511, 63, -0.4237059820443392);
    /* rows of 172 and groups of 8: row 1 begins inside a group */
    EXPECT_VALUE(source, "blk.4.ffn_down.weight", 1, 0, 0.15629293711390346);
    EXPECT_VALUE(source, "blk.4.ffn_down.weight", 1, 3, 0.00508269714191556);
    EXPECT_VALUE(source, "blk.4.ffn_down.weight", 1, 4, -0.07716280966997147);
    EXPECT_VALUE(source, "blk.4.ffn_down.weight", 1, 5, -0.15673695714212954);
    EXPECT_VALUE(source, "blk.4.ffn_down.weight", 63, 171, -0.0023480223026126623);
    EXPECT_VALUE(source, "output_norm.weight", 0, 63, 1.7077769041061401);
    /* it is the same model: every tensor is near the float one, and reading many rows is reading each */
    assert_int_equal(source->tensor_count, floats->tensor_count);
    for (size_t t = 0; t < source->tensor_count; t++) {
        const obi_source_tensor *a = &source->tensors[t], *b = &floats->tensors[t];
        assert_string_equal(a->name, b->name);
        size_t count = (size_t)(a->rows * a->columns);
        float *x = malloc(count * 4), *y = malloc(count * 4);
        double error = 0, norm = 0;
        assert_int_equal(obi_source_read(a, 0, a->rows, x), OBI_OK);
        assert_int_equal(obi_source_read(b, 0, b->rows, y), OBI_OK);
        for (size_t i = 0; i < count; i++) {
            error += (double)(x[i] - y[i]) * (double)(x[i] - y[i]);
            norm += (double)y[i] * (double)y[i];
        }
        if (error > 1e-4 * norm) fail_msg("%s differs from the float model by %g", a->name, sqrt(error / norm));
        for (uint64_t row = 0; row < a->rows; row += 7) {
            assert_int_equal(obi_source_read(a, row, 1, y), OBI_OK);
            assert_memory_equal(y, x + row * a->columns, a->columns * 4);
        }
        free(x);
        free(y);
    }
    obi_source_close(floats);
    obi_source_close(source);
}

static void babyllama105(void **state)
{
    (void)state;
    obi_source *source = expect_opens(test_data_path("models/babyllama105/babyllama105.bin"), NULL);
    assert_int_equal(source->config.width, 128);
    assert_int_equal(source->config.ffn, 352);
    assert_int_equal(source->config.vocabulary, 105);
    assert_int_equal(source->config.context, 256);
    EXPECT_VALUE(source, "token_embd.weight", 104, 0, 0.10242565721273422);
    EXPECT_VALUE(source, "token_embd.weight", 104, 1, -0.21586160361766815);
    obi_source_close(source);
}

static void tinystories656k(void **state)
{
    (void)state;
    obi_source *source = expect_opens(test_data_path("models/tinystories656k"), NULL);
    const obi_config *config = &source->config;
    assert_string_equal(source->format, "huggingface");
    assert_string_equal(source->name, "tinystories656k");
    assert_int_equal(config->width, 128);
    assert_int_equal(config->ffn, 384);
    assert_int_equal(config->layers, 2);
    assert_int_equal(config->heads, 8);
    assert_int_equal(config->kv_heads, 4);
    assert_int_equal(config->head_size, 16);
    assert_int_equal(config->vocabulary, 2048);
    assert_int_equal(config->context, 512);
    assert_int_equal(config->rope_layout, OBI_ROPE_HALF);
    assert_true(config->norm_eps == 1e-6f && config->rope_theta == 10000.0f);
    assert_true(config->tied);
    assert_int_equal(source->parameters, 656000);
    assert_int_equal(source->stored_bytes, 2624000);
    EXPECT_VALUE(source, "token_embd.weight", 2047, 125, -0.56640625);
    EXPECT_VALUE(source, "blk.1.attn_k.weight", 63, 0, 0.00860595703125);
    EXPECT_VALUE(source, "blk.0.ffn_down.weight", 5, 101, -1.0234375);
    EXPECT_VALUE(source, "blk.1.ffn_norm.weight", 0, 2, 0.34765625);
    EXPECT_VALUE(source, "output_norm.weight", 0, 1, 0.69921875);
    obi_source_close(source);
}

/* Every prompt of the golden results whose ids are given becomes these ids. */
static void prompts_become_golden_ids(void **state)
{
    (void)state;
    static const struct { const char *model, *path; bool int8; } models[] = {
        { "stories260K", "models/stories260K/stories260K.bin", false },
        { "babyllama105", "models/babyllama105/babyllama105.bin", false },
        { "tinystories656k", "models/tinystories656k", false },
    };
    json_t *golden = json_load_file(test_data_path("golden.json"), 0, NULL);
    assert_non_null(golden);
    int checked = 0;
    for (size_t m = 0; m < sizeof models / sizeof *models; m++) {
        obi_source *source = expect_opens(test_data_path(models[m].path), NULL);
        obi_tokenizer *tokenizer;
        if (obi_tokenizer_create(&tokenizer, &source->vocab) != OBI_OK) fail_msg("%s: %s", models[m].model, obi_last_error());
        const json_t *cases = json_object_get(json_object_get(golden, models[m].model), "cases");
        for (size_t c = 0; c < json_array_size(cases); c++) {
            const char *prompt = json_string_value(json_object_get(json_array_get(cases, c), "prompt"));
            const json_t *expected = json_object_get(json_array_get(cases, c), "prompt_ids");
            if (!expected) continue;
            uint32_t *ids;
            size_t count;
            unsigned flags = obi_tokenizer_vocab(tokenizer)->add_bos ? OBI_ENCODE_BOS : 0;
            assert_int_equal(obi_tokenizer_encode(tokenizer, prompt, strlen(prompt), flags, &ids, &count), OBI_OK);
            if (count != json_array_size(expected)) fail_msg("%s \"%s\" became %zu ids", models[m].model, prompt, count);
            for (size_t i = 0; i < count; i++) assert_int_equal(ids[i], json_integer_value(json_array_get(expected, i)));
            obi_free(ids);
            checked++;
        }
        obi_tokenizer_free(tokenizer);
        obi_source_close(source);
    }
    assert_int_equal(checked, 11);
    json_decref(golden);
}

/* ---- llama2.c ----------------------------------------------------------------------------------------------- */

static void put_le32(uint8_t *out, uint32_t value)
{
    for (int i = 0; i < 4; i++) out[i] = (uint8_t)(value >> (8 * i));
}

static void cut_llama2c_files(void **state)
{
    (void)state;
    static const char *const files[] = { "models/stories260K/stories260K_q80.bin", "models/stories260K/stories260K.bin" };
    for (size_t f = 0; f < 2; f++) {
        uint8_t *bytes;
        size_t size = slurp(test_data_path(files[f]), &bytes);
        for (size_t cut = 0; cut < size; cut += cut < 600 ? 1 : 60013) {
            put_bytes("cut", bytes, cut);
            obi_source *source;
            if (obi_source_open(&source, scratch_path("cut"), NULL) != OBI_ERROR_DATA)
                fail_msg("%zu of %zu bytes of %s", cut, size, files[f]);
        }
        put_bytes("cut", bytes, size - 1);
        expect_refused(scratch_path("cut"), NULL, OBI_ERROR_DATA, "its llama2.c header asks for");
        bytes[size] = 0;
        put_bytes("cut", bytes, size + 1);
        expect_refused(scratch_path("cut"), NULL, OBI_ERROR_DATA, "its llama2.c header asks for");
        free(bytes);
    }
}

static void hostile_llama2c_headers(void **state)
{
    (void)state;
    static const uint32_t values[] = { 0, 1, 2, 7, 63, 65, 1024, 65536, 1u << 20, 1u << 24, INT32_MAX, 0x80000000u, UINT32_MAX };
    static const char *const files[] = { "models/stories260K/stories260K_q80.bin", "models/stories260K/stories260K.bin" };
    for (size_t f = 0; f < 2; f++) {
        uint8_t *bytes;
        size_t size = slurp(test_data_path(files[f]), &bytes);
        size_t fields = f == 0 ? 8 : 7; /* the context has no part in the size of a v2 file */
        for (size_t field = 0; field < fields; field++)
            for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
                uint8_t header[64];
                if (f == 0 && field == 1 && values[v] == 2) continue; /* its version */
                memcpy(header, bytes, sizeof header);
                put_le32(bytes + 4 * field, values[v]);
                put_bytes("bad", bytes, size);
                memcpy(bytes, header, sizeof header);
                obi_source *source;
                if (obi_source_open(&source, scratch_path("bad"), test_data_path("models/stories260K/tok512.bin")) == OBI_OK)
                    fail_msg("%s was accepted with %u in field %zu", files[f], values[v], field);
            }
        if (f == 0) {
            for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
                put_le32(bytes + 37, values[v]); /* the group size; 8 is the true one */
                put_bytes("bad", bytes, size);
                obi_source *source;
                if (obi_source_open(&source, scratch_path("bad"), NULL) != OBI_ERROR_DATA) fail_msg("group size %u", values[v]);
            }
        }
        free(bytes);
    }
}

/* v1: the same float tensors behind a longer header, the norms first. */
static void llama2c_version_1(void **state)
{
    (void)state;
    enum { D = 64, F = 172, L = 5, V = 512, KV = 32 };
    uint8_t *v0, *v1;
    slurp(test_data_path("models/stories260K/stories260K.bin"), &v0);
    size_t sizes[] = { V * D, L * D, L * D * D, L * KV * D, L * KV * D, L * D * D, L * D, L * F * D, L * D * F, L * F * D, D };
    size_t offsets[11], end = 28, total = 256;
    for (size_t i = 0; i < 11; i++) {
        offsets[i] = end;
        end += 4 * sizes[i];
        total += 4 * sizes[i];
    }
    static const size_t order[] = { 1, 6, 10, 0, 2, 3, 4, 5, 7, 8, 9 };
    v1 = calloc(total, 1);
    put_le32(v1, 0x616b3432);
    put_le32(v1 + 4, 1);
    memcpy(v1 + 8, v0, 28);
    v1[36] = 1;
    size_t out = 256;
    for (size_t i = 0; i < 11; i++) {
        memcpy(v1 + out, v0 + offsets[order[i]], 4 * sizes[order[i]]);
        out += 4 * sizes[order[i]];
    }
    put_bytes("v1.bin", v1, total);
    const char *tokenizer = test_data_path("models/stories260K/tok512.bin");
    obi_source *a = expect_opens(test_data_path("models/stories260K/stories260K.bin"), NULL);
    obi_source *b = expect_opens(scratch_path("v1.bin"), tokenizer);
    assert_string_equal(b->name, "v1");
    assert_int_equal(a->tensor_count, b->tensor_count);
    for (size_t t = 0; t < a->tensor_count; t++)
        assert_memory_equal(a->tensors[t].data, b->tensors[t].data, a->tensors[t].rows * a->tensors[t].row_bytes);
    obi_source_close(a);
    obi_source_close(b);
    put_le32(v1 + 4, 3);
    put_bytes("v1.bin", v1, total);
    expect_refused(scratch_path("v1.bin"), NULL, OBI_ERROR_DATA, "version 3");
    free(v0);
    free(v1);
}

/* A head of its own: vocab_size is negative and the head follows the old RoPE tables. */
static void llama2c_untied(void **state)
{
    (void)state;
    uint8_t *bytes;
    size_t size = slurp(test_data_path("models/stories260K/stories260K.bin"), &bytes), head = 512 * 64 * 4;
    uint8_t *untied = calloc(size + head, 1);
    memcpy(untied, bytes, size);
    put_le32(untied + 20, (uint32_t)-512);
    float marker = 3.25f;
    memcpy(untied + size + head - 4, &marker, 4);
    put_bytes("untied.bin", untied, size + head);
    obi_source *source = expect_opens(scratch_path("untied.bin"), test_data_path("models/stories260K/tok512.model"));
    assert_false(source->config.tied);
    assert_int_equal(source->config.vocabulary, 512);
    assert_int_equal(source->parameters, 260032 + 512 * 64);
    EXPECT_VALUE(source, "output.weight", 511, 63, 3.25);
    EXPECT_VALUE(source, "token_embd.weight", 511, 63, -0.424032598733902);
    obi_source_close(source);
    free(untied);
    free(bytes);
}

/* ---- GGUF --------------------------------------------------------------------------------------------------- */

static void toy_config(obi_config *config, bool onebit)
{
    *config = (obi_config){ .onebit = onebit, .post_norm = onebit, .post_norm_eps = 1e-5f, .layers = 1, .heads = 4, .kv_heads = 2,
                            .head_size = 16, .ffn = 96, .vocabulary = 11, .context = 64, .norm_eps = 1e-5f, .rope_theta = 10000.0f,
                            .rope_dimensions = 16, .rope_scale = 1.0f, .rope_layout = OBI_ROPE_PAIRS, .tied = true };
    config->width = onebit ? 42 : 64; /* sign rows of 42 are two words, the second cut inside a byte */
}

static const char *const toy_linears[] = { "attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down" };

enum { NOTHING = 0, NO_NORM = 1, EXTRA_BIAS = 2, WRONG_TYPE = 4, ROPE_FACTORS = 8, BAD_FACTORS = 16 };

static void add_tensor(obi_gguf_writer *writer, const char *name, obi_dtype type, uint64_t columns, uint64_t rows)
{
    const uint64_t shape[2] = { columns, rows };
    obi_gguf_add_tensor(writer, name, type, rows ? 2 : 1, shape);
}

/* Writes a model whose linears have `type`; the bytes of every tensor count up from its index, floats are toy values. */
static void put_gguf(const char *name, const obi_config *config, obi_dtype type, unsigned flaws)
{
    obi_gguf_writer *writer;
    assert_int_equal(obi_gguf_writer_create(&writer, scratch_path(name)), OBI_OK);
    obi_config_to_gguf(config, writer);
    static obi_gguf_tensor list[40];
    size_t count = 0;
#define ADD(text, kind, columns, height) \
    do { \
        obi_gguf_tensor *tensor_ = &list[count++]; \
        memset(tensor_, 0, sizeof *tensor_); \
        snprintf(tensor_->name, sizeof tensor_->name, "%s", text); \
        tensor_->type = kind; \
        tensor_->shape[0] = columns; \
        tensor_->shape[1] = height; \
        add_tensor(writer, text, kind, columns, height); \
    } while (0)
    ADD("token_embd.weight", OBI_DTYPE_F32, config->width, config->vocabulary);
    ADD("blk.0.attn_norm.weight", OBI_DTYPE_F32, config->width, 0);
    for (int role = 0; role < OBI_LINEAR_COUNT; role++) {
        char text[64];
        uint32_t rows, columns;
        obi_config_linear_shape(config, role, &rows, &columns);
        snprintf(text, sizeof text, "blk.0.%s.weight", toy_linears[role]);
        if (config->onebit) {
            ADD(text, flaws & WRONG_TYPE && role == 3 ? OBI_DTYPE_F32 : OBI_DTYPE_I32, (columns + 31) / 32, rows);
            snprintf(text, sizeof text, "blk.0.%s.input_factor", toy_linears[role]);
            ADD(text, OBI_DTYPE_F16, columns, 0);
            snprintf(text, sizeof text, "blk.0.%s.weight_scale", toy_linears[role]);
            ADD(text, OBI_DTYPE_F32, rows, 0);
        } else {
            ADD(text, flaws & WRONG_TYPE && role == 3 ? OBI_DTYPE_I32 : type, columns, rows);
        }
    }
    ADD("blk.0.ffn_norm.weight", OBI_DTYPE_F32, config->width, 0);
    if (!(flaws & NO_NORM)) ADD("output_norm.weight", OBI_DTYPE_F32, config->width, 0);
    if (flaws & EXTRA_BIAS) ADD("blk.0.attn_q.bias", OBI_DTYPE_F32, config->width, 0);
    if (flaws & (ROPE_FACTORS | BAD_FACTORS)) ADD("rope_freqs.weight", OBI_DTYPE_F32, config->head_size / 2, 0);
#undef ADD
    assert_int_equal(obi_gguf_writer_begin(writer), OBI_OK);
    for (size_t t = 0; t < count; t++) {
        uint64_t bytes, elements = list[t].shape[0] * (list[t].shape[1] ? list[t].shape[1] : 1);
        assert_true(obi_dtype_bytes(list[t].type, elements, &bytes));
        uint8_t *data = malloc(bytes);
        for (uint64_t i = 0; i < bytes; i++) data[i] = (uint8_t)(i * 7 + t);
        /* block scales and floats must be numbers */
        if (obi_dtype_block(list[t].type) > 1)
            for (uint64_t i = 0; i < bytes; i += obi_dtype_block_bytes(list[t].type)) data[i] = 0, data[i + 1] = 0x30; /* 0.125 */
        if (list[t].type == OBI_DTYPE_F32) toy_fill(data, "F32", t, elements);
        if (list[t].type == OBI_DTYPE_F16) toy_fill(data, "F16", t, elements);
        if (list[t].type == OBI_DTYPE_BF16) toy_fill(data, "BF16", t, elements);
        if (strcmp(list[t].name, "rope_freqs.weight") == 0)
            for (uint64_t i = 0; i < elements; i++) {
                float factor = flaws & BAD_FACTORS ? (float)i : (float)(i + 1);
                memcpy(data + 4 * i, &factor, 4);
            }
        assert_int_equal(obi_gguf_write(writer, data, bytes), OBI_OK);
        free(data);
    }
    uint64_t size;
    if (obi_gguf_writer_commit(writer, &size) != OBI_OK) fail_msg("%s", obi_last_error());
}

static void gguf_llama(void **state)
{
    (void)state;
    static const obi_dtype types[] = { OBI_DTYPE_F32, OBI_DTYPE_F16, OBI_DTYPE_BF16, OBI_DTYPE_Q8_0, OBI_DTYPE_Q4_0 };
    obi_config config;
    toy_config(&config, false);
    for (size_t k = 0; k < 5; k++) {
        put_gguf("toy.gguf", &config, types[k], k % 2 ? ROPE_FACTORS : NOTHING);
        obi_source *source = expect_opens(scratch_path("toy.gguf"), NULL);
        assert_string_equal(source->format, "gguf");
        assert_string_equal(source->name, "toy");
        assert_true(source->config.tied);
        assert_int_equal(source->config.rope_layout, OBI_ROPE_PAIRS);
        assert_int_equal(source->vocab.count, 0);
        assert_int_equal(source->tensor_count, 11);
        const obi_source_tensor *down = obi_source_find(source, "blk.0.ffn_down.weight");
        assert_non_null(down);
        assert_int_equal(down->type, types[k]);
        float row[96];
        assert_int_equal(obi_source_read(down, 63, 1, row), OBI_OK);
        /* its index in the file is 8; bytes of block b of row r count on from (r * 3 + b) * block size */
        if (types[k] == OBI_DTYPE_Q8_0) {
            size_t at = (63 * 3 + 2) * 34 + 2 + 31;
            assert_true(row[95] == 0.125f * (float)(int8_t)(uint8_t)(at * 7 + 8));
        } else if (types[k] == OBI_DTYPE_Q4_0) {
            size_t at = (63 * 3 + 2) * 18 + 2 + 15;
            uint8_t byte = (uint8_t)(at * 7 + 8);
            assert_true(row[64 + 15] == 0.125f * (float)((byte & 15) - 8));
            assert_true(row[64 + 31] == 0.125f * (float)((byte >> 4) - 8));
        } else {
            assert_true(row[95] == toy_value(8, 63 * 96 + 95));
        }
        if (k % 2) {
            assert_non_null(source->rope_factors);
            for (int i = 0; i < 8; i++) assert_true(source->rope_factors[i] == (float)(i + 1));
        } else {
            assert_null(source->rope_factors);
        }
        for (size_t t = 0; t < source->tensor_count; t++) obi_source_release(&source->tensors[t]);
        obi_source_close(source);
    }
}

static void gguf_onebit(void **state)
{
    (void)state;
    obi_config config;
    toy_config(&config, true);
    put_gguf("toy.gguf", &config, OBI_DTYPE_I32, NOTHING);
    obi_source *source = expect_opens(scratch_path("toy.gguf"), NULL);
    assert_true(source->config.onebit);
    assert_int_equal(source->tensor_count, 4 + 3 * 7);
    const obi_source_tensor *q = obi_source_find(source, "blk.0.attn_q.weight");
    assert_non_null(q);
    assert_true(q->signs);
    assert_int_equal(q->columns, 42);
    assert_int_equal(q->row_bytes, 8);
    uint32_t words[4];
    assert_int_equal(obi_source_read_signs(q, 62, 2, words), OBI_OK);
    for (size_t w = 0; w < 4; w++) {
        uint32_t expected = 0;
        for (size_t b = 0; b < 4; b++) expected |= (uint32_t)(uint8_t)((62 * 8 + 4 * w + b) * 7 + 2) << (8 * b);
        if (w % 2) expected &= 0x3ff; /* pad bits are cleared whatever the file has there */
        assert_int_equal(words[w], expected);
    }
    uint64_t signs = 2 * 64 * 42 + 2 * 32 * 42 + 3 * 96 * 42, vectors = 2 * (42 + 64) + 2 * (42 + 32) + 3 * (42 + 96);
    assert_int_equal(source->parameters, 11 * 42 + 3 * 42 + signs + vectors);
    obi_source_close(source);
}

static void wrong_gguf_files(void **state)
{
    (void)state;
    obi_config config;
    toy_config(&config, false);
    put_gguf("toy.gguf", &config, OBI_DTYPE_F16, NO_NORM);
    expect_refused(scratch_path("toy.gguf"), NULL, OBI_ERROR_DATA, "output_norm.weight is missing");
    put_gguf("toy.gguf", &config, OBI_DTYPE_F16, EXTRA_BIAS);
    expect_refused(scratch_path("toy.gguf"), NULL, OBI_ERROR_DATA, "attn_q.bias has no place");
    put_gguf("toy.gguf", &config, OBI_DTYPE_F16, WRONG_TYPE);
    expect_refused(scratch_path("toy.gguf"), NULL, OBI_ERROR_DATA, "attn_output.weight has type I32");
    put_gguf("toy.gguf", &config, OBI_DTYPE_F16, BAD_FACTORS);
    expect_refused(scratch_path("toy.gguf"), NULL, OBI_ERROR_DATA, "rope_freqs.weight holds 0");
    toy_config(&config, true);
    put_gguf("toy.gguf", &config, OBI_DTYPE_I32, WRONG_TYPE);
    expect_refused(scratch_path("toy.gguf"), NULL, OBI_ERROR_DATA, "attn_output.weight has type F32 where sign words");
    expect_refused(test_data_path("tokenizers/gguf/ggml-vocab-gpt-2.gguf"), NULL, OBI_ERROR_DATA, "gpt2");
    expect_refused(test_data_path("tokenizers/gguf/ggml-vocab-llama-spm.gguf"), NULL, OBI_ERROR_DATA, "token_embd.weight is missing");
}

static void cut_gguf_files(void **state)
{
    (void)state;
    obi_config config;
    toy_config(&config, true);
    put_gguf("toy.gguf", &config, OBI_DTYPE_I32, NOTHING);
    uint8_t *bytes;
    size_t size = slurp(scratch_path("toy.gguf"), &bytes);
    for (size_t cut = 0; cut + 64 < size; cut += cut < 4096 ? 13 : 401) {
        put_bytes("cut", bytes, cut);
        obi_source *source;
        if (obi_source_open(&source, scratch_path("cut"), NULL) != OBI_ERROR_DATA) fail_msg("%zu of %zu bytes", cut, size);
    }
    free(bytes);
}

/* ---- files that are nothing --------------------------------------------------------------------------------- */

static void other_files(void **state)
{
    (void)state;
    expect_refused(test_data_path("text/tinyshakespeare.txt"), NULL, OBI_ERROR_DATA, "is no model that we read");
    expect_refused(test_data_path("models/tinystories656k/model.safetensors"), NULL, OBI_ERROR_DATA, "give the directory");
    expect_refused(test_data_path("models/tinystories656k/config.json"), NULL, OBI_ERROR_DATA, "give the directory");
    expect_refused(test_data_path("models"), NULL, OBI_ERROR_DATA, "config.json");
    expect_refused(scratch_path("nothing"), NULL, OBI_ERROR_DATA, "nothing");
    expect_refused("", NULL, OBI_ERROR_DATA, "cannot open");
    put_bytes("empty", "", 0);
    expect_refused(scratch_path("empty"), NULL, OBI_ERROR_DATA, "is empty");
    expect_refused("/dev/null", NULL, OBI_ERROR_DATA, "/dev/null");
    const char *model = test_data_path("models/stories260K/stories260K.bin");
    expect_refused(model, scratch_path("absent"), OBI_ERROR_DATA, "absent");
    expect_refused(model, scratch_path("empty"), OBI_ERROR_DATA, "is empty");
    expect_refused(model, scratch_directory, OBI_ERROR_DATA, "directory");
    expect_refused(model, test_data_path("text/tinyshakespeare.txt"), OBI_ERROR_DATA, "neither tokenizer.json");
    expect_refused(model, test_data_path("tokenizers/llama32k/tokenizer.model"), OBI_ERROR_DATA, "do not belong together");
    expect_refused(model, test_data_path("tokenizers/llama32k/tokenizer.bin"), OBI_ERROR_DATA, "do not belong together");
    expect_refused(model, test_data_path("tokenizers/gguf/ggml-vocab-llama-spm.gguf"), OBI_ERROR_DATA, "do not belong together");
    expect_refused(model, test_data_path("models/tinystories656k/tokenizer.json"), OBI_ERROR_DATA, "do not belong together");
    /* fewer tokens than rows are padding */
    obi_source *source = expect_opens(model, test_data_path("models/babyllama105/tok105.model"));
    assert_int_equal(source->vocab.count, 105);
    obi_source_close(source);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stories260k),
        cmocka_unit_test(stories260k_int8),
        cmocka_unit_test(babyllama105),
        cmocka_unit_test(tinystories656k),
        cmocka_unit_test(prompts_become_golden_ids),
        cmocka_unit_test_teardown(cut_llama2c_files, clear_scratch),
        cmocka_unit_test_teardown(hostile_llama2c_headers, clear_scratch),
        cmocka_unit_test_teardown(llama2c_version_1, clear_scratch),
        cmocka_unit_test_teardown(llama2c_untied, clear_scratch),
        cmocka_unit_test_teardown(gguf_llama, clear_scratch),
        cmocka_unit_test_teardown(gguf_onebit, clear_scratch),
        cmocka_unit_test_teardown(wrong_gguf_files, clear_scratch),
        cmocka_unit_test_teardown(cut_gguf_files, clear_scratch),
        cmocka_unit_test_teardown(other_files, clear_scratch),
    };
    return cmocka_run_group_tests(tests, scratch_open, scratch_close);
}
