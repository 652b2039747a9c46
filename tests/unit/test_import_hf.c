/* quant/import_hf and import_onebit_ref: directories written here value by value come back the same; what we cannot
 * run is refused by name. */
#include <math.h>
#include <string.h>

#include "import_files.h"
#include "core/alloc.h"

#define LLAMA "{\"architectures\":[\"LlamaForCausalLM\"],\"model_type\":\"llama\","

static st_file file;

static void put_model(const char *config, const char *dtype, bool tied)
{
    put_text("config.json", config);
    st_begin(&file);
    toy_add(&file, 0, tied ? TOY_HEAD - 1 : TOY_HEAD, dtype);
    st_write(&file, "model.safetensors");
}

/* ---- values ------------------------------------------------------------------------------------------------- */

static void every_dtype_is_read(void **state)
{
    (void)state;
    static const char *const dtypes[] = { "F32", "F16", "BF16" };
    for (size_t d = 0; d < 3; d++) {
        put_model(LLAMA TOY_SIZES ",\"tie_word_embeddings\":false}", dtypes[d], false);
        obi_source *source = expect_opens(scratch_directory, NULL);
        assert_string_equal(source->format, "huggingface");
        assert_false(source->config.tied);
        assert_int_equal(source->tensor_count, TOY_COUNT);
        assert_int_equal(source->config.head_size, TOY_C);
        assert_int_equal(source->config.rope_layout, OBI_ROPE_HALF);
        assert_true(source->config.norm_eps == 1e-5f);
        assert_int_equal(source->vocab.count, 0);
        assert_null(source->rope_factors);
        for (size_t t = 0; t < TOY_COUNT; t++) toy_expect(source, t);
        assert_int_equal(source->stored_bytes, source->parameters * toy_width(dtypes[d]));
        obi_source_close(source);
    }
}

static void f64_fits_too(void **state)
{
    (void)state;
    put_text("config.json", LLAMA TOY_SIZES "}");
    st_begin(&file);
    toy_add(&file, 0, 4, "BF16");
    toy_add(&file, 5, 5, "F64");
    toy_add(&file, 6, TOY_HEAD, "F32");
    st_write(&file, "model.safetensors");
    obi_source *source = expect_opens(scratch_directory, NULL);
    for (size_t t = 0; t < TOY_COUNT; t++) toy_expect(source, t);
    obi_source_close(source);
}

static void shards_are_joined(void **state)
{
    (void)state;
    static const char *const names[] = { "model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors",
                                         "model-00003-of-00003.safetensors" };
    static const char *const dtypes[] = { "BF16", "F16", "F32" };
    static const size_t first[] = { 0, 3, 8, TOY_COUNT };
    char index[8192];
    size_t used = (size_t)snprintf(index, sizeof index, "{\"metadata\":{\"total_size\":1},\"weight_map\":{");
    put_text("config.json", LLAMA TOY_SIZES "}");
    for (size_t shard = 0; shard < 3; shard++) {
        st_begin(&file);
        toy_add(&file, first[shard], first[shard + 1] - 1, dtypes[shard]);
        st_write(&file, names[shard]);
    }
    /* in the index the last shard comes first */
    for (size_t t = TOY_COUNT; t-- > 0;)
        used += (size_t)snprintf(index + used, sizeof index - used, "%s\"%s\":\"%s\"", t == TOY_HEAD ? "" : ",", toy_tensors[t].hf,
                                 names[t < first[1] ? 0 : t < first[2] ? 1 : 2]);
    snprintf(index + used, sizeof index - used, "}}");
    put_text("model.safetensors.index.json", index);
    obi_source *source = expect_opens(scratch_directory, NULL);
    for (size_t t = 0; t < TOY_COUNT; t++) {
        toy_expect(source, t);
        obi_source_release(&source->tensors[t]);
        toy_expect(source, t);
    }
    obi_source_close(source);

    unlink(scratch_path(names[1]));
    expect_refused(scratch_directory, NULL, OBI_ERROR_DATA, names[1]);
    st_begin(&file);
    toy_add(&file, 4, 7, "F32");
    st_write(&file, names[1]);
    expect_refused(scratch_directory, NULL, OBI_ERROR_DATA, "self_attn.k_proj.weight is not in model-00002");
}

static void index_names_stay_inside(void **state)
{
    (void)state;
    static const char *const bad[] = { "../x.safetensors", "/etc/passwd", "a/b.safetensors", "..", ".", "", "a\\\\b", ".hidden" };
    put_text("config.json", LLAMA TOY_SIZES "}");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char index[256];
        snprintf(index, sizeof index, "{\"weight_map\":{\"model.norm.weight\":\"%s\"}}", bad[i]);
        put_text("model.safetensors.index.json", index);
        expect_refused(scratch_directory, NULL, OBI_ERROR_DATA, "plain name");
    }
    put_text("model.safetensors.index.json", "{\"weight_map\":{}}");
    expect_refused(scratch_directory, NULL, OBI_ERROR_DATA, "empty");
    put_text("model.safetensors.index.json", "{\"weight_map\":{\"a\":1}}");
    expect_refused(scratch_directory, NULL, OBI_ERROR_DATA, "not a text");
    put_text("model.safetensors.index.json", "{}");
    expect_refused(scratch_directory, NULL, OBI_ERROR_DATA, "weight_map");
    put_text("model.safetensors.index.json", "");
    expect_refused(scratch_directory, NULL, OBI_ERROR_DATA, "not valid JSON");
}

static void tied_heads(void **state)
{
    (void)state;
    /* the embedding alone */
    put_model(LLAMA TOY_SIZES ",\"tie_word_embeddings\":true}", "F32", true);
    obi_source *source = expect_opens(scratch_directory, NULL);
    assert_true(source->config.tied);
    assert_int_equal(source->tensor_count, TOY_COUNT - 1);
    assert_null(obi_source_find(source, "output.weight"));
    toy_expect(source, 0);
    uint64_t tied_parameters = source->parameters;
    obi_source_close(source);
    /* both stored: the head is the embedding all the same */
    put_model(LLAMA TOY_SIZES ",\"tie_word_embeddings\":true}", "F32", false);
    source = expect_opens(scratch_directory, NULL);
    assert_int_equal(source->parameters, tied_parameters);
    toy_expect(source, 0);
    obi_source_close(source);
    /* the head alone, which then is the embedding */
    st_begin(&file);
    toy_add(&file, 1, TOY_HEAD, "F32");
    st_write(&file, "model.safetensors");
    source = expect_opens(scratch_directory, NULL);
    float value;
    float row[TOY_D];
    assert_int_equal(obi_source_read(obi_source_find(source, "token_embd.weight"), 1, 1, row), OBI_OK);
    value = row[3];
    assert_true(value == toy_value(TOY_HEAD, TOY_D + 3));
    obi_source_close(source);
    /* not tied and absent */
    put_model(LLAMA TOY_SIZES "}", "F32", true);
    expect_refused(scratch_directory, NULL, OBI_ERROR_DATA, "lm_head.weight is missing");
}

static void rows_out_of_range(void **state)
{
    (void)state;
    put_model(LLAMA TOY_SIZES "}", "F32", false);
    obi_source *source = expect_opens(scratch_directory, NULL);
    const obi_source_tensor *tensor = obi_source_find(source, "token_embd.weight");
    float row[TOY_D];
    uint32_t words[2];
    assert_int_equal(obi_source_read(tensor, TOY_V, 0, row), OBI_OK);
    assert_int_equal(obi_source_read(tensor, TOY_V, 1, row), OBI_ERROR_ARGUMENT);
    assert_int_equal(obi_source_read(tensor, UINT64_MAX, 2, row), OBI_ERROR_ARGUMENT);
    assert_int_equal(obi_source_read_signs(tensor, 0, 1, words), OBI_ERROR_ARGUMENT);
    assert_null(obi_source_find(source, "blk.1.attn_q.weight"));
    assert_null(obi_source_find(source, "blk.0.attn_q.bias"));
    assert_null(obi_source_find(source, "blk.x"));
    assert_null(obi_source_find(source, ""));
    obi_source_close(source);
    obi_source_close(NULL);
}

/* ---- config.json -------------------------------------------------------------------------------------------- */

static void expect_config(const char *config, const char *words)
{
    put_model(config, "F32", false);
    expect_refused(scratch_directory, NULL, OBI_ERROR_DATA, words);
}

static void other_models_are_refused(void **state)
{
    (void)state;
    expect_config("{\"architectures\":[\"MistralForCausalLM\"]," TOY_SIZES "}", "MistralForCausalLM");
    expect_config("{\"architectures\":[\"GPTNeoXForCausalLM\"]," TOY_SIZES "}", "BitLlamaForCausalLMInf");
    expect_config("{\"model_type\":\"qwen2\"," TOY_SIZES "}", "qwen2");
    expect_config("{" TOY_SIZES "}", "architectures");
    expect_config(LLAMA TOY_SIZES ",\"attention_bias\":true}", "attention_bias");
    expect_config(LLAMA TOY_SIZES ",\"mlp_bias\":true}", "mlp_bias");
    expect_config(LLAMA TOY_SIZES ",\"hidden_act\":\"gelu\"}", "gelu");
    expect_config(LLAMA TOY_SIZES ",\"quantization_config\":{\"quant_method\":\"gptq\"}}", "gptq");
    expect_config(LLAMA TOY_SIZES ",\"rope_scaling\":{\"type\":\"yarn\",\"factor\":2}}", "yarn");
    expect_config(LLAMA TOY_SIZES ",\"rope_parameters\":{\"rope_type\":\"longrope\"}}", "longrope");
    expect_config(LLAMA TOY_SIZES ",\"rope_scaling\":{\"rope_type\":\"linear\"}}", "factor");
    expect_config(LLAMA TOY_SIZES ",\"rope_scaling\":{\"rope_type\":\"linear\",\"factor\":0}}", "config.json");
    expect_config(LLAMA TOY_SIZES ",\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8}}", "low_freq_factor");
    expect_config(LLAMA TOY_SIZES ",\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8,\"low_freq_factor\":4,\"high_freq_factor\":4,"
                  "\"original_max_position_embeddings\":8192}}", "impossible");
    expect_config(LLAMA TOY_SIZES ",\"partial_rotary_factor\":0.5}", "partial_rotary_factor");
}

static void wrong_sizes_are_refused(void **state)
{
    (void)state;
    expect_config("{\"model_type\":\"llama\"}", "hidden_size");
    expect_config(LLAMA TOY_SIZES ",\"head_dim\":12}", "self_attn.q_proj.weight has shape (40, 40) where config.json asks for (48, 40)");
    expect_config(LLAMA TOY_SIZES ",\"head_dim\":11}", "odd");
    expect_config(LLAMA TOY_SIZES ",\"rms_norm_eps\":0}", "duplicate");
    expect_config(LLAMA TOY_SIZES ",\"rope_theta\":-1}", "rotary base");
    expect_config(LLAMA TOY_SIZES ",\"rope_theta\":\"big\"}", "not a number");
    expect_config(LLAMA TOY_SIZES ",\"tie_word_embeddings\":1}", "true or false");
    static const char *const bad[] = { "0", "-1", "1.5", "\"2\"", "4294967296", "1e300", "[]", "null", "100000000000000000000000" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char config[512];
        snprintf(config, sizeof config, LLAMA "\"hidden_size\":40,\"num_hidden_layers\":1,\"num_attention_heads\":%s,\"vocab_size\":11,"
                 "\"intermediate_size\":24}", bad[i]);
        expect_config(config, "config.json");
        snprintf(config, sizeof config, LLAMA "\"hidden_size\":40,\"num_hidden_layers\":1,\"num_attention_heads\":4,\"vocab_size\":%s,"
                 "\"intermediate_size\":24}", bad[i]);
        expect_config(config, "config.json");
    }
    expect_config("{", "not valid JSON");
    expect_config("", "not valid JSON");
    expect_config("[]", "not an object");
}

static obi_source *open_config(const char *config)
{
    put_model(config, "F32", false);
    return expect_opens(scratch_directory, NULL);
}

static void rope_variants(void **state)
{
    (void)state;
    obi_source *source = open_config(LLAMA TOY_SIZES ",\"rope_theta\":500000,\"rope_scaling\":{\"type\":\"linear\",\"factor\":4.0}}");
    assert_true(source->config.rope_theta == 500000.0f);
    assert_true(source->config.rope_scale == 4.0f);
    assert_null(source->rope_factors);
    obi_source_close(source);
    source = open_config(LLAMA TOY_SIZES ",\"rope_parameters\":{\"rope_type\":\"default\",\"rope_theta\":20000.0}}");
    assert_true(source->config.rope_theta == 20000.0f);
    assert_true(source->config.rope_scale == 1.0f);
    obi_source_close(source);
    source = open_config("{\"architectures\":null,\"model_type\":\"llama\"," TOY_SIZES ",\"rope_scaling\":null,"
                         "\"big\":1000000000000000019884624838656}");
    assert_true(source->config.rope_theta == 10000.0f);
    obi_source_close(source);
    /* LLaMA 3.1: the rule as published, worked in wavelengths; the importer works in turns. */
    source = open_config(LLAMA TOY_SIZES ",\"rope_theta\":500000,\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8,"
                         "\"low_freq_factor\":1,\"high_freq_factor\":4,\"original_max_position_embeddings\":8192}}");
    assert_non_null(source->rope_factors);
    int kept = 0, slowed = 0;
    for (int i = 0; i < TOY_C / 2; i++) {
        double wavelength = 2 * 3.14159265358979323846 * pow(500000.0, 2.0 * i / TOY_C), expected;
        if (wavelength < 8192.0 / 4) kept++, expected = 1;
        else if (wavelength > 8192.0 / 1) slowed++, expected = 8;
        else {
            double smooth = (8192.0 / wavelength - 1) / (4 - 1);
            expected = 1 / ((1 - smooth) / 8 + smooth);
        }
        if (fabs((double)source->rope_factors[i] - expected) > 1e-5 * expected)
            fail_msg("factor %d is %g, not %g", i, (double)source->rope_factors[i], expected);
    }
    assert_true(kept > 0 && slowed > 0);
    obi_source_close(source);
}

/* ---- tensors that are not as they should be ----------------------------------------------------------------- */

static void wrong_tensors_are_refused(void **state)
{
    (void)state;
    put_text("config.json", LLAMA TOY_SIZES "}");
    for (size_t missing = 0; missing < TOY_COUNT; missing++) {
        st_begin(&file);
        if (missing > 0) toy_add(&file, 0, missing - 1, "F16");
        if (missing < TOY_HEAD) toy_add(&file, missing + 1, TOY_HEAD, "F16");
        st_write(&file, "model.safetensors");
        expect_refused(scratch_directory, NULL, OBI_ERROR_DATA, toy_tensors[missing].hf);
    }
    static const char *const strangers[] = {
        "model.layers.0.self_attn.q_proj.bias", "model.layers.1.mlp.up_proj.weight", "model.layers.0.q_norm.weight",
        "model.layers.x.input_layernorm.weight", "model.layers.0.self_attn.q_proj.weight_scale", "extra",
    };
    for (size_t i = 0; i < sizeof strangers / sizeof *strangers; i++) {
        st_begin(&file);
        toy_add(&file, 0, TOY_HEAD, "F16");
        st_add(&file, strangers[i], "F16", 0, 4, 8);
        st_write(&file, "model.safetensors");
        expect_refused(scratch_directory, NULL, OBI_ERROR_DATA, strangers[i]);
    }
    st_begin(&file);
    toy_add(&file, 0, TOY_HEAD, "F16");
    st_add(&file, "model.layers.0.self_attn.rotary_emb.inv_freq", "F32", 0, 5, 20);
    st_write(&file, "model.safetensors");
    obi_source_close(expect_opens(scratch_directory, NULL));
    /* a dtype that can be sized but not converted, and a norm with a second axis */
    st_begin(&file);
    toy_add(&file, 0, 0, "F16");
    st_add(&file, toy_tensors[1].hf, "I32", 0, TOY_D, TOY_D * 4);
    toy_add(&file, 2, TOY_HEAD, "F16");
    st_write(&file, "model.safetensors");
    expect_refused(scratch_directory, NULL, OBI_ERROR_DATA, "dtype I32");
    st_begin(&file);
    toy_add(&file, 0, 0, "F16");
    st_add(&file, toy_tensors[1].hf, "F16", 1, TOY_D, TOY_D * 2);
    toy_add(&file, 2, TOY_HEAD, "F16");
    st_write(&file, "model.safetensors");
    expect_refused(scratch_directory, NULL, OBI_ERROR_DATA, "shape (1, 40)");
}

static void places_without_a_model(void **state)
{
    (void)state;
    expect_refused(scratch_directory, NULL, OBI_ERROR_DATA, "config.json");
    expect_refused(scratch_path("absent"), NULL, OBI_ERROR_DATA, "absent");
    put_text("config.json", LLAMA TOY_SIZES "}");
    expect_refused(scratch_directory, NULL, OBI_ERROR_DATA, "neither model.safetensors");
    put_text("pytorch_model.bin", "PK\003\004");
    expect_refused(scratch_directory, NULL, OBI_ERROR_DATA, "safe_serialization");
    expect_refused(scratch_path("pytorch_model.bin"), NULL, OBI_ERROR_DATA, "safe_serialization");
    put_bytes("model.safetensors", "", 0);
    expect_refused(scratch_directory, NULL, OBI_ERROR_DATA, "not a safetensors file");
    expect_refused(scratch_path("model.safetensors"), NULL, OBI_ERROR_DATA, "is empty");
    expect_refused(scratch_path("config.json"), NULL, OBI_ERROR_DATA, "give the directory");
}

/* ---- the OneBit authors' checkpoints ------------------------------------------------------------------------ */

/* The sign of weight c of row r of linear t: true = -1. */
static bool toy_negative(size_t t, size_t r, size_t c) { return (r * 31 + c * 17 + t * 5 + (r * c) % 13) % 3 == 0; }

/* A linear of the toy as packed signs, or as latent floats, with its two vectors. */
static void add_onebit(size_t t, const char *weight_dtype)
{
    unsigned rows = toy_tensors[t].rows, columns = toy_tensors[t].columns;
    char name[128], stem[100];
    snprintf(stem, sizeof stem, "%s", toy_tensors[t].hf);
    *strrchr(stem, '.') = 0;
    if (strcmp(weight_dtype, "F32") == 0) {
        uint8_t *out = st_add(&file, toy_tensors[t].hf, "F32", rows, columns, (size_t)rows * columns * 4);
        for (size_t i = 0; i < (size_t)rows * columns; i++) {
            float value = toy_negative(t, i / columns, i % columns) ? -0.01f : i % 5 ? 0.01f : i % 2 ? 0.0f : -0.0f;
            memcpy(out + 4 * i, &value, 4);
        }
    } else {
        uint8_t *out = st_add(&file, toy_tensors[t].hf, weight_dtype, rows, columns / 8, (size_t)rows * columns / 8);
        for (size_t r = 0; r < rows; r++)
            for (size_t c = 0; c < columns; c++)
                if (toy_negative(t, r, c)) out[r * (columns / 8) + c / 8] |= (uint8_t)(1u << c % 8);
    }
    snprintf(name, sizeof name, "%s.weight_scale", stem);
    toy_fill(st_add(&file, name, "F32", 0, rows, rows * 4), "F32", t + 100, rows);
    snprintf(name, sizeof name, "%s.input_factor", stem);
    toy_fill(st_add(&file, name, "F16", 0, columns, columns * 2), "F16", t + 200, columns);
}

static void put_onebit(const char *weight_dtype)
{
    st_begin(&file);
    for (size_t t = 0; t < TOY_COUNT; t++) {
        if (strstr(toy_tensors[t].hf, "_proj.")) add_onebit(t, weight_dtype);
        else toy_add(&file, t, t, "F16");
    }
    st_write(&file, "model.safetensors");
}

static void expect_onebit(void)
{
    obi_source *source = expect_opens(scratch_directory, NULL);
    assert_string_equal(source->format, "onebit-reference");
    assert_true(source->config.onebit && source->config.post_norm);
    assert_true(source->config.post_norm_eps == 1e-5f);
    assert_int_equal(source->tensor_count, TOY_COUNT + 2 * OBI_LINEAR_COUNT);
    for (size_t t = 0; t < TOY_COUNT; t++) {
        if (!strstr(toy_tensors[t].hf, "_proj.")) {
            toy_expect(source, t);
            continue;
        }
        const obi_source_tensor *signs = obi_source_find(source, toy_tensors[t].gguf);
        assert_non_null(signs);
        assert_true(signs->signs);
        size_t rows = toy_tensors[t].rows, columns = toy_tensors[t].columns, words = (columns + 31) / 32;
        assert_int_equal(signs->columns, columns);
        uint32_t *out = malloc(rows * words * 4);
        memset(out, 0xff, rows * words * 4);
        assert_int_equal(obi_source_read_signs(signs, 0, rows, out), OBI_OK);
        for (size_t r = 0; r < rows; r++)
            for (size_t c = 0; c < words * 32; c++) {
                bool bit = out[r * words + c / 32] >> c % 32 & 1u, expected = c < columns && toy_negative(t, r, c);
                if (bit != expected) fail_msg("%s row %zu column %zu", signs->name, r, c);
            }
        memset(out, 0xff, 4 * words);
        assert_int_equal(obi_source_read_signs(signs, rows - 1, 1, out), OBI_OK);
        assert_int_equal(out[0] & 1u, toy_negative(t, rows - 1, 0));
        free(out);
        float row[64];
        assert_int_equal(obi_source_read(signs, 0, 1, row), OBI_ERROR_ARGUMENT);
        char name[64];
        int stem = (int)(strrchr(toy_tensors[t].gguf, '.') - toy_tensors[t].gguf);
        snprintf(name, sizeof name, "%.*s.weight_scale", stem, toy_tensors[t].gguf);
        const obi_source_tensor *scale = obi_source_find(source, name);
        assert_non_null(scale);
        assert_int_equal(obi_source_read(scale, 0, 1, row), OBI_OK);
        assert_true(scale->columns == rows && row[rows - 1] == toy_value(t + 100, rows - 1));
        memcpy(strrchr(name, '.'), ".input_factor", 14);
        const obi_source_tensor *factor = obi_source_find(source, name);
        assert_non_null(factor);
        assert_int_equal(obi_source_read(factor, 0, 1, row), OBI_OK);
        assert_true(factor->columns == columns && row[columns - 1] == toy_value(t + 200, columns - 1));
    }
    obi_source_close(source);
}

static void onebit_checkpoints(void **state)
{
    (void)state;
    /* 40 columns are five bytes a row: no multiple of a word */
    put_text("config.json", "{\"architectures\":[\"BitLlamaForCausalLMInf\"],\"model_type\":\"bitllama\"," TOY_SIZES "}");
    put_onebit("I8");
    expect_onebit();
    put_text("config.json", "{\"model_type\":\"bitllama\"," TOY_SIZES "}");
    put_onebit("U8");
    expect_onebit();
    put_text("config.json", "{\"architectures\":[\"BitLlamaForCausalLM\"]," TOY_SIZES "}");
    put_onebit("F32");
    expect_onebit();
}

static void wrong_onebit_checkpoints(void **state)
{
    (void)state;
    put_onebit("I8");
    put_text("config.json", LLAMA TOY_SIZES "}");
    expect_refused(scratch_directory, NULL, OBI_ERROR_DATA, "q_proj.weight has shape (40, 5)");
    put_text("config.json", "{\"model_type\":\"bitllama\"," TOY_SIZES ",\"head_dim\":6}");
    expect_refused(scratch_directory, NULL, OBI_ERROR_DATA, "q_proj.weight has shape (40, 5) where config.json asks for (24, 5)");
    put_text("config.json", "{\"model_type\":\"bitllama\"," TOY_SIZES "}");
    put_model("{\"model_type\":\"bitllama\"," TOY_SIZES "}", "F16", false);
    expect_refused(scratch_directory, NULL, OBI_ERROR_DATA, "q_proj.input_factor is missing");
    /* a width of 42 cannot be packed */
    put_text("config.json", "{\"model_type\":\"bitllama\",\"hidden_size\":42,\"head_dim\":10,\"num_hidden_layers\":1,"
             "\"num_attention_heads\":4,\"num_key_value_heads\":2,\"vocab_size\":11,\"intermediate_size\":24}");
    st_begin(&file);
    st_add(&file, toy_tensors[0].hf, "F16", TOY_V, 42, TOY_V * 42 * 2);
    st_add(&file, toy_tensors[1].hf, "F16", 0, 42, 42 * 2);
    st_add(&file, toy_tensors[2].hf, "I8", 40, 5, 200);
    st_write(&file, "model.safetensors");
    expect_refused(scratch_directory, NULL, OBI_ERROR_DATA, "no multiple of 8");
}

/* ---- memory ------------------------------------------------------------------------------------------------- */

static int allocations_left;

static void *limited_allocate(size_t bytes, void *user)
{
    (void)user;
    return allocations_left-- > 0 ? malloc(bytes) : NULL;
}

static void *limited_reallocate(void *old, size_t bytes, void *user)
{
    (void)user;
    return allocations_left-- > 0 ? realloc(old, bytes) : NULL;
}

static void plain_release(void *memory, void *user)
{
    (void)user;
    free(memory);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    const obi_alloc_hooks hooks = { limited_allocate, limited_reallocate, plain_release, NULL };
    put_model(LLAMA TOY_SIZES ",\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8,\"low_freq_factor\":1,\"high_freq_factor\":4,"
              "\"original_max_position_embeddings\":8192}}", "BF16", false);
    put_text("tokenizer.json", "{\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"\xe2\x96\x81\"},"
             "\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":3},\"merges\":[\"a b\"]}}");
    bool opened = false;
    int count = 0;
    for (; !opened && count < 1000; count++) {
        obi_source *source;
        allocations_left = count;
        obi_alloc_set_hooks(&hooks);
        obi_status status = obi_source_open(&source, scratch_directory, NULL);
        opened = status == OBI_OK;
        if (!opened && status != OBI_ERROR_MEMORY) fail_msg("after %d allocations: %d %s", count, status, obi_last_error());
        if (opened) obi_source_close(source);
        obi_alloc_set_hooks(NULL);
    }
    assert_true(opened && count > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(every_dtype_is_read, clear_scratch),
        cmocka_unit_test_teardown(f64_fits_too, clear_scratch),
        cmocka_unit_test_teardown(shards_are_joined, clear_scratch),
        cmocka_unit_test_teardown(index_names_stay_inside, clear_scratch),
        cmocka_unit_test_teardown(tied_heads, clear_scratch),
        cmocka_unit_test_teardown(rows_out_of_range, clear_scratch),
        cmocka_unit_test_teardown(other_models_are_refused, clear_scratch),
        cmocka_unit_test_teardown(wrong_sizes_are_refused, clear_scratch),
        cmocka_unit_test_teardown(rope_variants, clear_scratch),
        cmocka_unit_test_teardown(wrong_tensors_are_refused, clear_scratch),
        cmocka_unit_test_teardown(places_without_a_model, clear_scratch),
        cmocka_unit_test_teardown(onebit_checkpoints, clear_scratch),
        cmocka_unit_test_teardown(wrong_onebit_checkpoints, clear_scratch),
        cmocka_unit_test_teardown(every_allocation_may_fail, clear_scratch),
    };
    return cmocka_run_group_tests(tests, scratch_open, scratch_close);
}
