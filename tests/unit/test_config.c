/* The configuration: read, written and refused; the rotary table against values computed in another way. */
#include <math.h>
#include <string.h>

#include "data.h"
#include "scratch.h"
#include "model/config.h"

static const obi_config onebit = {
    .onebit = true, .post_norm = true, .post_norm_eps = 1e-5f, .width = 64, .layers = 3, .heads = 8, .kv_heads = 4, .head_size = 8,
    .ffn = 172, .vocabulary = 512, .context = 256, .norm_eps = 1e-6f, .rope_theta = 10000, .rope_dimensions = 8, .rope_scale = 1,
    .rope_layout = OBI_ROPE_HALF, .tied = true,
};

static const obi_config plain = {
    .width = 64, .layers = 3, .heads = 8, .kv_heads = 4, .head_size = 8, .ffn = 172, .vocabulary = 512, .context = 256, .norm_eps = 1e-6f,
    .rope_theta = 500000, .rope_dimensions = 8, .rope_scale = 1, .rope_layout = OBI_ROPE_PAIRS, .tied = true,
};

static const obi_config opt = {
    .family = OBI_FAMILY_OPT, .onebit = true, .post_norm = true, .post_norm_eps = 1e-5f, .width = 64, .layers = 3, .heads = 8, .kv_heads = 8,
    .head_size = 8, .ffn = 256, .vocabulary = 512, .context = 256, .norm_eps = 1e-5f, .embedding_width = 40, .norm_last = true, .tied = true,
};

/* A file of keys that `put` writes and, when `rows` is not 0, an embedding of that many rows. */
typedef void (*put_function)(obi_gguf_writer *writer, const void *what);

static void write_file(const char *path, put_function put, const void *what, uint64_t rows, bool head)
{
    obi_gguf_writer *writer;
    uint64_t shape[2] = { 1, rows };
    static const uint8_t zeros[4096];
    assert_int_equal(obi_gguf_writer_create(&writer, path), OBI_OK);
    put(writer, what);
    if (rows > 0) obi_gguf_add_tensor(writer, "token_embd.weight", OBI_DTYPE_I8, 2, shape);
    if (head) obi_gguf_add_tensor(writer, "output.weight", OBI_DTYPE_I8, 2, shape);
    assert_int_equal(obi_gguf_writer_begin(writer), OBI_OK);
    if (rows > 0) assert_int_equal(obi_gguf_write(writer, zeros, rows), OBI_OK);
    if (head) assert_int_equal(obi_gguf_write(writer, zeros, rows), OBI_OK);
    assert_int_equal(obi_gguf_writer_commit(writer, NULL), OBI_OK);
}

static obi_status read_config(put_function put, const void *what, uint64_t rows, bool head, obi_config *config)
{
    const char *path = scratch_path("config.gguf");
    obi_gguf gguf;
    write_file(path, put, what, rows, head);
    assert_int_equal(obi_gguf_open(&gguf, path), OBI_OK);
    obi_status status = obi_config_from_gguf(config, &gguf);
    obi_gguf_close(&gguf);
    unlink(path);
    return status;
}

static void put_config(obi_gguf_writer *writer, const void *what) { obi_config_to_gguf(what, writer); }

static void assert_equal(const obi_config *a, const obi_config *b)
{
    assert_int_equal(a->family, b->family);
    assert_int_equal(a->embedding_width, b->embedding_width);
    assert_int_equal(a->norm_last, b->norm_last);
    assert_int_equal(a->onebit, b->onebit);
    assert_int_equal(a->post_norm, b->post_norm);
    assert_true(a->post_norm_eps == b->post_norm_eps);
    assert_int_equal(a->width, b->width);
    assert_int_equal(a->layers, b->layers);
    assert_int_equal(a->heads, b->heads);
    assert_int_equal(a->kv_heads, b->kv_heads);
    assert_int_equal(a->head_size, b->head_size);
    assert_int_equal(a->ffn, b->ffn);
    assert_int_equal(a->vocabulary, b->vocabulary);
    assert_int_equal(a->context, b->context);
    assert_true(a->norm_eps == b->norm_eps);
    assert_true(a->rope_theta == b->rope_theta);
    assert_int_equal(a->rope_dimensions, b->rope_dimensions);
    assert_true(a->rope_scale == b->rope_scale);
    assert_int_equal(a->rope_layout, b->rope_layout);
    assert_int_equal(a->tied, b->tied);
    assert_int_equal(obi_config_planes(a), obi_config_planes(b));
    assert_int_equal(a->no_input_factor, b->no_input_factor);
    assert_int_equal(a->offset, b->offset);
    assert_int_equal(a->int8_rows, b->int8_rows);
    assert_true(a->int8_threshold == b->int8_threshold);
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    obi_config config;
    for (int i = 0; i < 12; i++) {
        obi_config wanted = i > 9 ? opt : i % 2 && i < 6 ? plain : onebit;
        if (i == 11) wanted.onebit = wanted.post_norm = wanted.norm_last = false, wanted.post_norm_eps = 0, wanted.embedding_width = 0;
        if (i == 2) wanted.rope_layout = OBI_ROPE_PAIRS, wanted.post_norm = false, wanted.tied = false;
        if (i == 3) wanted.rope_scale = 2.5f, wanted.rope_dimensions = 4;
        if (i == 4) wanted.head_size = 16, wanted.rope_dimensions = 16, wanted.post_norm_eps = 1e-6f;
        if (i == 5) wanted.kv_heads = 8, wanted.norm_eps = 1e-5f, wanted.tied = false;
        if (i == 6) wanted.planes = 4, wanted.offset = true, wanted.no_input_factor = true, wanted.post_norm = false;
        if (i == 7) wanted.planes = 2;
        if (i == 8) wanted.offset = true;
        if (i == 9) wanted.int8_rows = true, wanted.int8_threshold = 2.5f, wanted.post_norm = false;
        if (read_config(put_config, &wanted, 512, !wanted.tied, &config) != OBI_OK) fail_msg("%d: %s", i, obi_last_error());
        assert_equal(&config, &wanted);
    }
}

static void keys_are_those_that_others_read(void **state)
{
    (void)state;
    const char *path = scratch_path("keys.gguf");
    obi_gguf gguf;
    obi_gguf_string text;
    uint32_t number;
    float real;
    write_file(path, put_config, &onebit, 0, false);
    assert_int_equal(obi_gguf_open(&gguf, path), OBI_OK);
    static const struct { const char *key; uint32_t value; } numbers[] = {
        { "onebitllama.context_length", 256 }, { "onebitllama.embedding_length", 64 }, { "onebitllama.block_count", 3 },
        { "onebitllama.feed_forward_length", 172 }, { "onebitllama.attention.head_count", 8 },
        { "onebitllama.attention.head_count_kv", 4 }, { "onebitllama.rope.dimension_count", 8 }, { "onebitllama.vocab_size", 512 },
        { "onebit.version", 1 },
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        assert_int_equal(obi_gguf_get_u32(&gguf, numbers[i].key, true, &number), OBI_OK);
        assert_int_equal(number, numbers[i].value);
    }
    static const struct { const char *key, *value; } texts[] = {
        { "general.architecture", "onebitllama" }, { "onebit.packing", "i32-lsb0-neg1" }, { "onebit.post_norm", "layernorm" },
        { "onebit.rope_layout", "half" },
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_int_equal(obi_gguf_get_string(&gguf, texts[i].key, true, &text), OBI_OK);
        assert_int_equal(text.length, strlen(texts[i].value));
        assert_memory_equal(text.text, texts[i].value, text.length);
    }
    assert_int_equal(obi_gguf_get_f32(&gguf, "onebitllama.attention.layer_norm_rms_epsilon", true, &real), OBI_OK);
    assert_true(real == 1e-6f);
    assert_int_equal(obi_gguf_get_f32(&gguf, "onebitllama.rope.freq_base", true, &real), OBI_OK);
    assert_true(real == 10000);
    assert_int_equal(obi_gguf_get_f32(&gguf, "onebit.post_norm_eps", true, &real), OBI_OK);
    assert_true(real == 1e-5f);
    assert_null(obi_gguf_find(&gguf, "onebitllama.attention.key_length"));
    assert_null(obi_gguf_find(&gguf, "onebitllama.rope.scaling.type"));
    obi_gguf_close(&gguf);
    unlink(path);
}

/* A "llama" file as others write it, with one change. */
typedef struct change {
    const char *key;
    enum { LEAVE_OUT, AS_U32, AS_F32, AS_TEXT } how;
    uint32_t u32;
    float f32;
    const char *text;
} change;

static bool changed(obi_gguf_writer *writer, const change *c, const char *key)
{
    if (!c->key || strcmp(c->key, key) != 0) return false;
    if (c->how == AS_U32) obi_gguf_put_u32(writer, key, c->u32);
    if (c->how == AS_F32) obi_gguf_put_f32(writer, key, c->f32);
    if (c->how == AS_TEXT) obi_gguf_put_string(writer, key, c->text);
    return true;
}

static void put_changed(obi_gguf_writer *writer, const void *what)
{
    const change *c = what;
    static const struct { const char *key; uint32_t value; } numbers[] = {
        { "A.embedding_length", 64 }, { "A.block_count", 3 }, { "A.feed_forward_length", 172 }, { "A.context_length", 256 },
        { "A.attention.head_count", 8 }, { "onebit.version", 1 },
    };
    static const struct { const char *key, *value; } texts[] = {
        { "general.architecture", "onebitllama" }, { "onebit.packing", "i32-lsb0-neg1" }, { "onebit.post_norm", "none" },
        { "onebit.rope_layout", "pairs" },
    };
    char key[64];
    bool seen = false;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        snprintf(key, sizeof key, "%s%s", numbers[i].key[0] == 'A' ? "onebitllama" : "", numbers[i].key + (numbers[i].key[0] == 'A'));
        if (changed(writer, c, key)) seen = true;
        else obi_gguf_put_u32(writer, key, numbers[i].value);
    }
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (changed(writer, c, texts[i].key)) seen = true;
        else obi_gguf_put_string(writer, texts[i].key, texts[i].value);
    }
    const char *eps = "onebitllama.attention.layer_norm_rms_epsilon";
    if (changed(writer, c, eps)) seen = true;
    else obi_gguf_put_f32(writer, eps, 1e-5f);
    if (!seen && c->key) changed(writer, c, c->key);
}

static void defaults_fill_what_is_absent(void **state)
{
    (void)state;
    const change none = { .key = NULL };
    obi_config config;
    assert_int_equal(read_config(put_changed, &none, 77, true, &config), OBI_OK);
    assert_int_equal(config.kv_heads, 8);
    assert_int_equal(config.head_size, 8);
    assert_int_equal(config.rope_dimensions, 8);
    assert_int_equal(config.vocabulary, 77); /* from the embedding */
    assert_true(config.rope_theta == 10000 && config.rope_scale == 1 && config.post_norm_eps == 1e-5f);
    assert_false(config.tied);
    const change theirs = { "onebitllama.vocab_size", AS_U32, .u32 = 99 };
    assert_int_equal(read_config(put_changed, &theirs, 0, false, &config), OBI_OK);
    assert_int_equal(config.vocabulary, 99);
    assert_true(config.tied);
    assert_int_equal(read_config(put_changed, &none, 0, false, &config), OBI_ERROR_DATA);
    assert_non_null(strstr(obi_last_error(), "vocab_size"));
    const change old = { "onebitllama.rope.scale_linear", AS_F32, .f32 = 4 };
    assert_int_equal(read_config(put_changed, &old, 77, true, &config), OBI_OK);
    assert_true(config.rope_scale == 4);
}

static void a_bad_key_is_named(void **state)
{
    (void)state;
    static const struct { change c; const char *sentence; } cases[] = {
        { { "general.architecture", AS_TEXT, .text = "gpt2" }, "\"gpt2\"" },
        { { "general.architecture", AS_TEXT, .text = "llama2" }, "\"llama\", \"onebitllama\", \"opt\" and \"onebitopt\"" },
        { { "general.architecture", AS_U32, .u32 = 1 }, "general.architecture" },
        { { "general.architecture", LEAVE_OUT, .u32 = 0 }, "general.architecture" },
        { { "onebit.version", AS_U32, .u32 = 2 }, "onebit.version is 2" },
        { { "onebit.version", LEAVE_OUT, .u32 = 0 }, "onebit.version is missing" },
        { { "onebit.packing", AS_TEXT, .text = "i32-msb0" }, "onebit.packing is \"i32-msb0\"" },
        { { "onebit.packing", LEAVE_OUT, .u32 = 0 }, "onebit.packing is missing" },
        { { "onebit.planes", AS_U32, .u32 = 0 }, "onebit.planes is 0" },
        { { "onebit.planes", AS_U32, .u32 = 5 }, "(onebit.planes) is 5 where 1 to 4" },
        { { "onebit.planes", AS_F32, .f32 = 2 }, "onebit.planes" },
        { { "onebit.input_factor", AS_U32, .u32 = 1 }, "onebit.input_factor" },
        { { "onebit.offset", AS_TEXT, .text = "yes" }, "onebit.offset" },
        { { "onebit.post_norm", AS_TEXT, .text = "rms" }, "onebit.post_norm is \"rms\"" },
        { { "onebit.rope_layout", AS_TEXT, .text = "" }, "onebit.rope_layout" },
        { { "onebitllama.embedding_length", AS_U32, .u32 = 0 }, "width" },
        { { "onebitllama.embedding_length", AS_F32, .f32 = 64 }, "embedding_length" },
        { { "onebitllama.embedding_length", AS_U32, .u32 = 63 }, "8 heads do not divide a width of 63" },
        { { "onebitllama.embedding_length", AS_U32, .u32 = 1u << 21 }, "2097152" },
        { { "onebitllama.block_count", AS_U32, .u32 = 0 }, "layers" },
        { { "onebitllama.block_count", AS_U32, .u32 = 1025 }, "1025" },
        { { "onebitllama.feed_forward_length", AS_U32, .u32 = UINT32_MAX }, "feed_forward_length" },
        { { "onebitllama.context_length", AS_U32, .u32 = (1u << 24) + 1 }, "context_length" },
        { { "onebitllama.attention.head_count", AS_U32, .u32 = 0 }, "head_count" },
        { { "onebitllama.attention.head_count", AS_U32, .u32 = UINT32_MAX }, "4294967295" },
        { { "onebitllama.attention.head_count", LEAVE_OUT, .u32 = 0 }, "head_count is missing" },
        { { "onebitllama.attention.head_count_kv", AS_U32, .u32 = 0 }, "head_count_kv" },
        { { "onebitllama.attention.head_count_kv", AS_U32, .u32 = 3 }, "8 heads cannot be shared among 3" },
        { { "onebitllama.attention.head_count_kv", AS_U32, .u32 = 16 }, "among 16" },
        { { "onebitllama.attention.key_length", AS_U32, .u32 = 7 }, "odd" },
        { { "onebitllama.attention.key_length", AS_U32, .u32 = 258 }, "258" },
        { { "onebitllama.attention.value_length", AS_U32, .u32 = 16 }, "value_length is 16" },
        { { "onebitllama.attention.layer_norm_rms_epsilon", AS_F32, .f32 = NAN }, "epsilon" },
        { { "onebitllama.attention.layer_norm_rms_epsilon", AS_F32, .f32 = 0 }, "epsilon" },
        { { "onebitllama.attention.layer_norm_rms_epsilon", AS_F32, .f32 = -1e-5f }, "epsilon" },
        { { "onebitllama.attention.layer_norm_rms_epsilon", AS_F32, .f32 = INFINITY }, "epsilon" },
        { { "onebitllama.rope.dimension_count", AS_U32, .u32 = 10 }, "rope.dimension_count" },
        { { "onebitllama.rope.dimension_count", AS_U32, .u32 = 5 }, "rope.dimension_count" },
        { { "onebitllama.rope.dimension_count", AS_U32, .u32 = 0 }, "rope.dimension_count" },
        { { "onebitllama.rope.freq_base", AS_F32, .f32 = 0 }, "rope.freq_base" },
        { { "onebitllama.rope.freq_base", AS_F32, .f32 = INFINITY }, "rope.freq_base" },
        { { "onebitllama.rope.scaling.type", AS_TEXT, .text = "yarn" }, "\"yarn\"" },
        { { "onebitllama.rope.scaling.type", AS_TEXT, .text = "linear" }, "rope.scaling.factor is missing" },
        { { "onebitllama.rope.scale_linear", AS_F32, .f32 = 0 }, "rope.scaling.factor" },
        { { "onebitllama.vocab_size", AS_U32, .u32 = (1u << 22) + 1 }, "vocab_size" },
        { { "onebitllama.expert_count", AS_U32, .u32 = 8 }, "8 experts" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        obi_config config;
        obi_fail(OBI_ERROR_RUNTIME, "nothing was said");
        if (read_config(put_changed, &cases[i].c, 77, true, &config) != OBI_ERROR_DATA) fail_msg("case %zu was accepted", i);
        if (!strstr(obi_last_error(), cases[i].sentence) || !strstr(obi_last_error(), "config.gguf: "))
            fail_msg("case %zu: expected \"%s\" and got \"%s\"", i, cases[i].sentence, obi_last_error());
    }
}

/* An OPT's file with one key of another value. */
static void put_opt(obi_gguf_writer *writer, const void *what)
{
    const change *c = what;
    static const struct { const char *key; uint32_t value; } numbers[] = {
        { "opt.context_length", 64 }, { "opt.embedding_length", 48 }, { "opt.block_count", 1 }, { "opt.feed_forward_length", 80 },
        { "opt.attention.head_count", 4 }, { "opt.position_offset", 2 }, { "opt.vocab_size", 77 },
    };
    obi_gguf_put_string(writer, "general.architecture", "opt");
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (!changed(writer, c, numbers[i].key)) obi_gguf_put_u32(writer, numbers[i].key, numbers[i].value);
    if (!changed(writer, c, "opt.attention.layer_norm_epsilon")) obi_gguf_put_f32(writer, "opt.attention.layer_norm_epsilon", 1e-5f);
    (void)changed(writer, c, "opt.norm_first");
    (void)changed(writer, c, "opt.embedding_projection");
    (void)changed(writer, c, "opt.attention.key_length");
    (void)changed(writer, c, "opt.attention.head_count_kv");
}

static void a_bad_key_of_opt_is_named(void **state)
{
    (void)state;
    static const struct { change c; const char *sentence; } cases[] = {
        { { "opt.attention.layer_norm_epsilon", LEAVE_OUT, 0, 0, NULL }, "opt.attention.layer_norm_epsilon is missing" },
        { { "opt.attention.layer_norm_epsilon", AS_F32, .f32 = -1 }, "layer_norm_epsilon" },
        { { "opt.position_offset", AS_U32, .u32 = 0 }, "has row p + 2" },
        { { "opt.norm_first", AS_U32, .u32 = 1 }, "opt.norm_first" },
        { { "opt.embedding_projection", AS_U32, .u32 = (1u << 20) + 1 }, "embedding_projection" },
        { { "opt.attention.head_count", AS_U32, .u32 = 5 }, "5 heads do not divide a width of 48" },
        { { "opt.attention.key_length", AS_U32, .u32 = 14 }, "4 heads of 14" },
        { { "opt.attention.head_count_kv", AS_U32, .u32 = 2 }, "a key and a value each" },
    };
    obi_config config;
    static const change none;
    if (read_config(put_opt, &none, 77, false, &config) != OBI_OK) fail_msg("%s", obi_last_error());
    assert_true(config.family == OBI_FAMILY_OPT && !config.norm_last && config.embedding_width == 0);
    assert_int_equal(obi_config_position_rows(&config), 66);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (read_config(put_opt, &cases[i].c, 77, true, &config) != OBI_ERROR_DATA) fail_msg("case %zu was accepted", i);
        if (!strstr(obi_last_error(), cases[i].sentence))
            fail_msg("case %zu: expected \"%s\" and got \"%s\"", i, cases[i].sentence, obi_last_error());
    }
}

static void check_refuses_each_field(void **state)
{
    (void)state;
    assert_int_equal(obi_config_check(&onebit), OBI_OK);
    assert_int_equal(obi_config_check(&plain), OBI_OK);
    for (int i = 0; i < 16; i++) {
        obi_config config = i < 13 ? onebit : plain;
        if (i == 0) config.post_norm_eps = 0;
        if (i == 1) config.post_norm_eps = NAN;
        if (i == 2) config.onebit = false;
        if (i == 3) config.rope_layout = (obi_rope_layout)2;
        if (i == 4) config.rope_scale = -1;
        if (i == 5) config.heads = config.kv_heads = 1u << 13, config.head_size = 256, config.rope_dimensions = 2;
        if (i == 6) config.vocabulary = 0;
        if (i == 7) config.context = 0;
        if (i == 8) config.planes = OBI_PLANES_MAX + 1;
        if (i == 9) config.int8_rows = true, config.int8_threshold = NAN;
        if (i == 10) config.int8_rows = true, config.int8_threshold = 0;
        if (i == 11) config.int8_rows = true, config.int8_threshold = 6, config.planes = 2;
        if (i == 12) config.int8_rows = true, config.int8_threshold = 6, config.offset = true;
        if (i == 13) config.planes = 2;
        if (i == 14) config.no_input_factor = true;
        if (i == 15) config.int8_rows = true, config.int8_threshold = 6;
        if (obi_config_check(&config) != OBI_ERROR_DATA) fail_msg("case %d was accepted", i);
    }
    obi_config most = onebit;
    most.width = most.ffn = 1u << 20, most.layers = 1024, most.heads = most.kv_heads = 1u << 12, most.head_size = 256;
    most.rope_dimensions = 256, most.vocabulary = 1u << 22, most.context = 1u << 24;
    assert_int_equal(obi_config_check(&most), OBI_OK);
}

static void half_layout_cannot_be_called_llama(void **state)
{
    (void)state;
    obi_gguf_writer *writer;
    obi_config config = plain;
    config.rope_layout = OBI_ROPE_HALF;
    assert_int_equal(obi_gguf_writer_create(&writer, scratch_path("half.gguf")), OBI_OK);
    obi_config_to_gguf(&config, writer);
    assert_int_equal(obi_gguf_writer_begin(writer), OBI_ERROR_ARGUMENT);
    assert_non_null(strstr(obi_last_error(), "pairs"));
    obi_gguf_writer_abandon(writer);
}

/* A vocabulary that was published with a LLaMA model's keys. */
static void a_published_file_is_read(void **state)
{
    (void)state;
    obi_gguf gguf;
    obi_config config;
    assert_int_equal(obi_gguf_open(&gguf, test_data_path("tokenizers/gguf/ggml-vocab-llama-spm.gguf")), OBI_OK);
    if (obi_config_from_gguf(&config, &gguf) != OBI_OK) fail_msg("%s", obi_last_error());
    assert_false(config.onebit);
    assert_int_equal(config.width, 4096);
    assert_int_equal(config.layers, 32);
    assert_int_equal(config.heads, 32);
    assert_int_equal(config.head_size, 128);
    assert_int_equal(config.ffn, 11008);
    assert_int_equal(config.vocabulary, 32000);
    assert_int_equal(config.rope_dimensions, 128);
    assert_int_equal(config.rope_layout, OBI_ROPE_PAIRS);
    obi_gguf_close(&gguf);
    assert_int_equal(obi_gguf_open(&gguf, test_data_path("tokenizers/gguf/ggml-vocab-gpt-2.gguf")), OBI_OK);
    assert_int_equal(obi_config_from_gguf(&config, &gguf), OBI_ERROR_DATA);
    assert_non_null(strstr(obi_last_error(), "\"gpt2\""));
    obi_gguf_close(&gguf);
}

static void linears_have_their_shapes(void **state)
{
    (void)state;
    obi_config config = onebit;
    config.head_size = 16; /* so that heads * head_size is not the width */
    static const struct { const char *role; uint32_t rows, columns; } shapes[OBI_LINEAR_COUNT] = {
        { "attn_q", 128, 64 }, { "attn_k", 64, 64 }, { "attn_v", 64, 64 }, { "attn_output", 64, 128 },
        { "ffn_gate", 172, 64 }, { "ffn_up", 172, 64 }, { "ffn_down", 64, 172 },
    };
    for (int role = 0; role < OBI_LINEAR_COUNT; role++) {
        uint32_t rows, columns;
        assert_string_equal(obi_linear_roles[role], shapes[role].role);
        obi_config_linear_shape(&config, role, &rows, &columns);
        assert_int_equal(rows, shapes[role].rows);
        assert_int_equal(columns, shapes[role].columns);
    }
    uint32_t rows, columns;
    assert_false(obi_config_has_linear(&opt, OBI_LINEAR_GATE));
    obi_config_linear_shape(&opt, OBI_LINEAR_GATE, &rows, &columns);
    assert_true(rows == 0 && columns == 0);
    obi_config_linear_shape(&opt, OBI_LINEAR_DOWN, &rows, &columns);
    assert_true(rows == 64 && columns == 256);
}

/* By repeated multiplication of complex numbers in long double: no cos or sin of a large angle. */
static void rope_table_matches_an_oracle(void **state)
{
    (void)state;
    static const float factors[4] = { 1, 2, 8, 32 };
    enum { FIRST = 5000, COUNT = 64, HALF = 4 };
    for (int variant = 0; variant < 3; variant++) {
        obi_config config = onebit;
        float table[COUNT * HALF * 2], single[HALF * 2];
        if (variant == 2) config.rope_scale = 4, config.rope_theta = 500000;
        obi_config_rope_table(&config, variant == 1 ? factors : NULL, FIRST, COUNT, table);
        for (int i = 0; i < HALF; i++) {
            long double step = powl((long double)config.rope_theta, -2.0L * i / 8) / (long double)config.rope_scale;
            if (variant == 1) step /= (long double)factors[i];
            long double c = cosl(step), s = sinl(step), x = 1, y = 0;
            for (int p = 0; p < FIRST + COUNT; p++) {
                if (p >= FIRST) {
                    const float *pair = table + ((p - FIRST) * HALF + i) * 2;
                    assert_true(fabsl(x - (long double)pair[0]) < 1e-7L && fabsl(y - (long double)pair[1]) < 1e-7L);
                }
                long double turned = x * c - y * s;
                y = x * s + y * c;
                x = turned;
            }
        }
        /* A position has the same values whichever range asked for it. */
        obi_config_rope_table(&config, variant == 1 ? factors : NULL, FIRST + 17, 1, single);
        assert_memory_equal(single, table + 17 * HALF * 2, sizeof single);
    }
    float first[8];
    obi_config_rope_table(&onebit, NULL, 0, 1, first);
    for (int i = 0; i < 4; i++) assert_true(first[2 * i] == 1 && first[2 * i + 1] == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(keys_are_those_that_others_read),
        cmocka_unit_test(defaults_fill_what_is_absent),
        cmocka_unit_test(a_bad_key_is_named),
        cmocka_unit_test(a_bad_key_of_opt_is_named),
        cmocka_unit_test(check_refuses_each_field),
        cmocka_unit_test(half_layout_cannot_be_called_llama),
        cmocka_unit_test(a_published_file_is_read),
        cmocka_unit_test(linears_have_their_shapes),
        cmocka_unit_test(rope_table_matches_an_oracle),
    };
    return cmocka_run_group_tests(tests, scratch_open, scratch_close);
}
