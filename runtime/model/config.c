#include "model/config.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char packing[] = "i32-lsb0-neg1", packing_int8[] = "i8-row";

const char *const obi_linear_roles[OBI_LINEAR_COUNT] = {
    "attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down",
};

uint32_t obi_config_embedding_width(const obi_config *config)
{
    return config->embedding_width ? config->embedding_width : config->width;
}

uint32_t obi_config_position_rows(const obi_config *config) { return config->context + OBI_POSITION_OFFSET; }

bool obi_config_has_linear(const obi_config *config, int role)
{
    return role != OBI_LINEAR_GATE || config->family == OBI_FAMILY_LLAMA;
}

void obi_config_linear_shape(const obi_config *config, int role, uint32_t *rows, uint32_t *columns)
{
    if (!obi_config_has_linear(config, role)) {
        *rows = *columns = 0;
        return;
    }
    uint32_t query = config->heads * config->head_size, key = config->kv_heads * config->head_size;
    switch (role) {
    case OBI_LINEAR_Q: *rows = query; *columns = config->width; break;
    case OBI_LINEAR_K:
    case OBI_LINEAR_V: *rows = key; *columns = config->width; break;
    case OBI_LINEAR_O: *rows = config->width; *columns = query; break;
    case OBI_LINEAR_GATE:
    case OBI_LINEAR_UP: *rows = config->ffn; *columns = config->width; break;
    case OBI_LINEAR_DOWN: *rows = config->width; *columns = config->ffn; break;
    default: *rows = *columns = 0; break;
    }
}

/* ---- checks ------------------------------------------------------------------------------------------------- */

static obi_status check_count(const char *name, uint32_t value, uint32_t most)
{
    if (value >= 1 && value <= most) return OBI_OK;
    return obi_fail(OBI_ERROR_DATA, "the model's %s is %u where 1 to %u is possible: the file is damaged or not a model we can run",
                    name, value, most);
}

static obi_status check_positive(const char *name, float value)
{
    if (isfinite(value) && value > 0) return OBI_OK;
    return obi_fail(OBI_ERROR_DATA, "the model's %s is %g where a positive number is needed: the file is damaged", name, (double)value);
}

/* What follows from rotary positions. */
static obi_status check_rope(const obi_config *config)
{
    if (config->rope_dimensions == 0 || config->rope_dimensions % 2 != 0 || config->rope_dimensions > config->head_size)
        return obi_fail(OBI_ERROR_DATA, "the model rotates %u dimensions of heads of %u (rope.dimension_count): that must be even and "
                        "from 2 to the head size", config->rope_dimensions, config->head_size);
    OBI_TRY(check_positive("rotary base (rope.freq_base)", config->rope_theta));
    OBI_TRY(check_positive("rotary scaling (rope.scaling.factor)", config->rope_scale));
    if (config->rope_layout != OBI_ROPE_HALF && config->rope_layout != OBI_ROPE_PAIRS)
        return obi_fail(OBI_ERROR_DATA, "the model's rotary layout is %d, which does not exist", (int)config->rope_layout);
    return OBI_OK;
}

static obi_status check_opt(const obi_config *config)
{
    if (config->embedding_width) OBI_TRY(check_count("embedding width (embedding_projection)", config->embedding_width, 1u << 20));
    if (config->kv_heads != config->heads || (uint64_t)config->heads * config->head_size != config->width)
        return obi_fail(OBI_ERROR_DATA, "the model's width of %u is not that of %u heads of %u with a key and a value each, as OPT has: "
                        "the file is damaged", config->width, config->heads, config->head_size);
    return OBI_OK;
}

/* The form of the linears. */
static obi_status check_form(const obi_config *config)
{
    OBI_TRY(check_count("number of sign planes (onebit.planes)", obi_config_planes(config), OBI_PLANES_MAX));
    if (config->int8_rows) OBI_TRY(check_positive("threshold of outliers (onebit.int8_threshold)", config->int8_threshold));
    bool planes = obi_config_planes(config) > 1 || config->offset || config->no_input_factor;
    if (planes && config->int8_rows)
        return obi_fail(OBI_ERROR_DATA, "the model's linears are rows of bytes (onebit.packing) and have sign planes (onebit.planes, "
                        "onebit.input_factor, onebit.offset), too: that cannot be");
    if ((planes || config->int8_rows) && !config->onebit)
        return obi_fail(OBI_ERROR_DATA, "the model has sign planes or rows of bytes in an architecture that has neither");
    return OBI_OK;
}

obi_status obi_config_check(const obi_config *config)
{
    OBI_TRY(check_count("width (embedding_length)", config->width, 1u << 20));
    OBI_TRY(check_count("number of layers (block_count)", config->layers, 1024));
    OBI_TRY(check_count("number of heads (head_count)", config->heads, 1u << 20));
    OBI_TRY(check_count("number of key and value heads (head_count_kv)", config->kv_heads, 1u << 20));
    OBI_TRY(check_count("head size (key_length)", config->head_size, 256));
    OBI_TRY(check_count("feed-forward size (feed_forward_length)", config->ffn, 1u << 20));
    OBI_TRY(check_count("vocabulary (vocab_size)", config->vocabulary, 1u << 22));
    OBI_TRY(check_count("context (context_length)", config->context, 1u << 24));
    if (config->heads % config->kv_heads != 0)
        return obi_fail(OBI_ERROR_DATA, "the model's %u heads cannot be shared among %u key and value heads: the file is damaged",
                        config->heads, config->kv_heads);
    if (config->head_size % 2 != 0)
        return obi_fail(OBI_ERROR_DATA, "the model's head size is %u, which is odd: %s", config->head_size,
                        config->family == OBI_FAMILY_LLAMA ? "rotary positions need pairs" : "the kernels here read a head's elements in pairs");
    if ((uint64_t)config->heads * config->head_size > 1u << 20)
        return obi_fail(OBI_ERROR_DATA, "the model's %u heads of %u are too large: the file is damaged or not a model we can run",
                        config->heads, config->head_size);
    OBI_TRY(check_positive(config->family == OBI_FAMILY_LLAMA ? "RMSNorm epsilon (layer_norm_rms_epsilon)"
                                                              : "LayerNorm epsilon (layer_norm_epsilon)", config->norm_eps));
    OBI_TRY(config->family == OBI_FAMILY_LLAMA ? check_rope(config) : check_opt(config));
    if (config->post_norm) OBI_TRY(check_positive("LayerNorm epsilon (onebit.post_norm_eps)", config->post_norm_eps));
    if (config->post_norm && !config->onebit)
        return obi_fail(OBI_ERROR_DATA, "the model has a LayerNorm after each linear but no signs: that combination is not supported");
    return check_form(config);
}

/* ---- from a file -------------------------------------------------------------------------------------------- */

static bool is(obi_gguf_string string, const char *text)
{
    return string.length == strlen(text) && memcmp(string.text, text, strlen(text)) == 0;
}

static obi_status unsupported(const obi_gguf *gguf, const char *key, obi_gguf_string value, const char *known)
{
    return obi_fail(OBI_ERROR_DATA, "%.160s: %s is \"%.*s\", which is not supported; we can run %s", gguf->mapping.path, key,
                    value.length < 64 ? (int)value.length : 64, value.text, known);
}

/* "llama.block_count" from "llama" and "block_count". Overwritten by the caller's next use of `key`. */
typedef struct key_name { char text[64]; } key_name;

static const char *key_of(key_name *key, const char *architecture, const char *name)
{
    snprintf(key->text, sizeof key->text, "%s.%s", architecture, name);
    return key->text;
}

static obi_status read_vocabulary(obi_config *config, const obi_gguf *gguf, const char *architecture)
{
    key_name key;
    const obi_gguf_tensor *embedding = obi_gguf_find_tensor(gguf, "token_embd.weight");
    OBI_TRY(obi_gguf_get_u32(gguf, key_of(&key, architecture, "vocab_size"), embedding == NULL, &config->vocabulary));
    if (!embedding || config->vocabulary != 0) return OBI_OK;
    if (embedding->shape[1] > UINT32_MAX)
        return obi_fail(OBI_ERROR_DATA, "%.160s: token_embd.weight has %llu rows: the file is damaged", gguf->mapping.path,
                        (unsigned long long)embedding->shape[1]);
    config->vocabulary = (uint32_t)embedding->shape[1];
    return OBI_OK;
}

static obi_status read_head_size(obi_config *config, const obi_gguf *gguf, const char *architecture)
{
    key_name key;
    if (config->heads == 0) return OBI_OK; /* obi_config_check says so */
    OBI_TRY(obi_gguf_get_u32(gguf, key_of(&key, architecture, "attention.key_length"), false, &config->head_size));
    if (config->head_size == 0) {
        if (config->width % config->heads != 0)
            return obi_fail(OBI_ERROR_DATA, "%.160s: %u heads do not divide a width of %u, and %s is missing: the file is damaged",
                            gguf->mapping.path, config->heads, config->width, key.text);
        config->head_size = config->width / config->heads;
    }
    uint32_t value_size = config->head_size;
    OBI_TRY(obi_gguf_get_u32(gguf, key_of(&key, architecture, "attention.value_length"), false, &value_size));
    if (value_size != config->head_size)
        return obi_fail(OBI_ERROR_DATA, "%.160s: %s is %u and the head size is %u; heads whose keys and values differ in size are not "
                        "supported", gguf->mapping.path, key.text, value_size, config->head_size);
    return OBI_OK;
}

static obi_status read_rope(obi_config *config, const obi_gguf *gguf, const char *architecture)
{
    key_name key;
    obi_gguf_string scaling = { "none", 4 };
    config->rope_dimensions = config->head_size;
    config->rope_theta = 10000;
    config->rope_scale = 1;
    OBI_TRY(obi_gguf_get_u32(gguf, key_of(&key, architecture, "rope.dimension_count"), false, &config->rope_dimensions));
    OBI_TRY(obi_gguf_get_f32(gguf, key_of(&key, architecture, "rope.freq_base"), false, &config->rope_theta));
    /* The name of linear scaling's factor before there was a type. */
    OBI_TRY(obi_gguf_get_f32(gguf, key_of(&key, architecture, "rope.scale_linear"), false, &config->rope_scale));
    OBI_TRY(obi_gguf_get_string(gguf, key_of(&key, architecture, "rope.scaling.type"), false, &scaling));
    if (is(scaling, "none")) return OBI_OK;
    if (!is(scaling, "linear")) return unsupported(gguf, key.text, scaling, "\"none\" and \"linear\"");
    return obi_gguf_get_f32(gguf, key_of(&key, architecture, "rope.scaling.factor"), true, &config->rope_scale);
}

static obi_status read_planes(obi_config *config, const obi_gguf *gguf)
{
    bool input_factor = true;
    config->planes = 1;
    OBI_TRY(obi_gguf_get_u32(gguf, "onebit.planes", false, &config->planes));
    OBI_TRY(obi_gguf_get_bool(gguf, "onebit.input_factor", false, &input_factor));
    OBI_TRY(obi_gguf_get_bool(gguf, "onebit.offset", false, &config->offset));
    config->no_input_factor = !input_factor;
    if (config->planes == 0) return obi_fail(OBI_ERROR_DATA, "%.160s: onebit.planes is 0: the file is damaged", gguf->mapping.path);
    return OBI_OK;
}

static obi_status read_onebit(obi_config *config, const obi_gguf *gguf)
{
    uint32_t version;
    obi_gguf_string text;
    OBI_TRY(obi_gguf_get_u32(gguf, "onebit.version", true, &version));
    if (version != 1)
        return obi_fail(OBI_ERROR_DATA, "%.160s: onebit.version is %u and this program reads 1; update it or convert the model again",
                        gguf->mapping.path, version);
    OBI_TRY(obi_gguf_get_string(gguf, "onebit.packing", true, &text));
    config->int8_rows = is(text, packing_int8);
    if (!config->int8_rows && !is(text, packing)) return unsupported(gguf, "onebit.packing", text, "\"i32-lsb0-neg1\" and \"i8-row\"");
    if (config->int8_rows) {
        config->int8_threshold = OBI_INT8_THRESHOLD;
        OBI_TRY(obi_gguf_get_f32(gguf, "onebit.int8_threshold", false, &config->int8_threshold));
    }
    OBI_TRY(read_planes(config, gguf));
    OBI_TRY(obi_gguf_get_string(gguf, "onebit.post_norm", true, &text));
    config->post_norm = is(text, "layernorm");
    if (!config->post_norm && !is(text, "none")) return unsupported(gguf, "onebit.post_norm", text, "\"layernorm\" and \"none\"");
    config->post_norm_eps = 1e-5f;
    OBI_TRY(obi_gguf_get_f32(gguf, "onebit.post_norm_eps", false, &config->post_norm_eps));
    if (config->family == OBI_FAMILY_OPT) return OBI_OK;
    OBI_TRY(obi_gguf_get_string(gguf, "onebit.rope_layout", true, &text));
    if (is(text, "half")) config->rope_layout = OBI_ROPE_HALF;
    else if (is(text, "pairs")) config->rope_layout = OBI_ROPE_PAIRS;
    else return unsupported(gguf, "onebit.rope_layout", text, "\"half\" and \"pairs\"");
    return OBI_OK;
}

/* What only OPT has. No other program writes such files, so that a position offset we do not know is somebody's mistake. */
static obi_status read_opt(obi_config *config, const obi_gguf *gguf, const char *architecture)
{
    key_name key;
    uint32_t offset = OBI_POSITION_OFFSET;
    bool first = true;
    OBI_TRY(obi_gguf_get_f32(gguf, key_of(&key, architecture, "attention.layer_norm_epsilon"), true, &config->norm_eps));
    OBI_TRY(obi_gguf_get_u32(gguf, key_of(&key, architecture, "embedding_projection"), false, &config->embedding_width));
    OBI_TRY(obi_gguf_get_bool(gguf, key_of(&key, architecture, "norm_first"), false, &first));
    OBI_TRY(obi_gguf_get_u32(gguf, key_of(&key, architecture, "position_offset"), false, &offset));
    config->norm_last = !first;
    if (offset == OBI_POSITION_OFFSET) return OBI_OK;
    return obi_fail(OBI_ERROR_DATA, "%.160s: %s is %u, and position p of an OPT model has row p + %u of its table", gguf->mapping.path,
                    key.text, offset, OBI_POSITION_OFFSET);
}

/* The names of the families, without and with signs. */
static const char *const architectures[][2] = { { "llama", "onebitllama" }, { "opt", "onebitopt" } };

static obi_status read_architecture(obi_config *config, const obi_gguf *gguf)
{
    obi_gguf_string text;
    OBI_TRY(obi_gguf_get_string(gguf, "general.architecture", true, &text));
    for (int family = OBI_FAMILY_LLAMA; family <= OBI_FAMILY_OPT; family++)
        for (int onebit = 0; onebit < 2; onebit++)
            if (is(text, architectures[family][onebit])) {
                config->family = (obi_family)family;
                config->onebit = onebit == 1;
                return OBI_OK;
            }
    return unsupported(gguf, "general.architecture", text, "\"llama\", \"onebitllama\", \"opt\" and \"onebitopt\"");
}

obi_status obi_config_from_gguf(obi_config *config, const obi_gguf *gguf)
{
    key_name key;
    uint32_t experts = 0;
    memset(config, 0, sizeof *config);
    OBI_TRY(read_architecture(config, gguf));
    bool llama = config->family == OBI_FAMILY_LLAMA;
    const char *architecture = architectures[config->family][config->onebit];
    if (llama) config->rope_layout = OBI_ROPE_PAIRS; /* how every "llama" file is permuted */
    if (config->onebit) OBI_TRY(read_onebit(config, gguf));
    OBI_TRY(obi_gguf_get_u32(gguf, key_of(&key, architecture, "embedding_length"), true, &config->width));
    OBI_TRY(obi_gguf_get_u32(gguf, key_of(&key, architecture, "block_count"), true, &config->layers));
    OBI_TRY(obi_gguf_get_u32(gguf, key_of(&key, architecture, "feed_forward_length"), true, &config->ffn));
    OBI_TRY(obi_gguf_get_u32(gguf, key_of(&key, architecture, "context_length"), true, &config->context));
    OBI_TRY(obi_gguf_get_u32(gguf, key_of(&key, architecture, "attention.head_count"), true, &config->heads));
    config->kv_heads = config->heads;
    OBI_TRY(obi_gguf_get_u32(gguf, key_of(&key, architecture, "attention.head_count_kv"), false, &config->kv_heads));
    if (llama) OBI_TRY(obi_gguf_get_f32(gguf, key_of(&key, architecture, "attention.layer_norm_rms_epsilon"), true, &config->norm_eps));
    else OBI_TRY(read_opt(config, gguf, architecture));
    OBI_TRY(obi_gguf_get_u32(gguf, key_of(&key, architecture, "expert_count"), false, &experts));
    if (experts > 0)
        return obi_fail(OBI_ERROR_DATA, "%.160s: the model is a mixture of %u experts, which is not supported", gguf->mapping.path,
                        experts);
    OBI_TRY(read_head_size(config, gguf, architecture));
    if (llama) OBI_TRY(read_rope(config, gguf, architecture));
    OBI_TRY(read_vocabulary(config, gguf, architecture));
    config->tied = obi_gguf_find_tensor(gguf, "output.weight") == NULL;
    obi_status status = obi_config_check(config);
    return status == OBI_OK ? OBI_OK : obi_fail_prefix(status, "%.160s", gguf->mapping.path);
}

/* ---- to a file ---------------------------------------------------------------------------------------------- */

static void put_llama(const obi_config *config, obi_gguf_writer *writer, const char *architecture)
{
    key_name key;
    if (!config->onebit && config->rope_layout != OBI_ROPE_PAIRS)
        obi_gguf_writer_fail(writer, obi_fail(OBI_ERROR_ARGUMENT, "a file of architecture llama has the rows of attn_q and attn_k in "
                                              "pairs order, and this model's are in half order: permute them first"));
    obi_gguf_put_f32(writer, key_of(&key, architecture, "attention.layer_norm_rms_epsilon"), config->norm_eps);
    if ((uint64_t)config->heads * config->head_size != config->width) {
        obi_gguf_put_u32(writer, key_of(&key, architecture, "attention.key_length"), config->head_size);
        obi_gguf_put_u32(writer, key_of(&key, architecture, "attention.value_length"), config->head_size);
    }
    obi_gguf_put_u32(writer, key_of(&key, architecture, "rope.dimension_count"), config->rope_dimensions);
    obi_gguf_put_f32(writer, key_of(&key, architecture, "rope.freq_base"), config->rope_theta);
    if (config->rope_scale != 1) {
        obi_gguf_put_string(writer, key_of(&key, architecture, "rope.scaling.type"), "linear");
        obi_gguf_put_f32(writer, key_of(&key, architecture, "rope.scaling.factor"), config->rope_scale);
    }
}

static void put_opt(const obi_config *config, obi_gguf_writer *writer, const char *architecture)
{
    key_name key;
    obi_gguf_put_f32(writer, key_of(&key, architecture, "attention.layer_norm_epsilon"), config->norm_eps);
    obi_gguf_put_u32(writer, key_of(&key, architecture, "position_offset"), OBI_POSITION_OFFSET);
    obi_gguf_put_bool(writer, key_of(&key, architecture, "norm_first"), !config->norm_last);
    if (config->embedding_width) obi_gguf_put_u32(writer, key_of(&key, architecture, "embedding_projection"), config->embedding_width);
}

void obi_config_to_gguf(const obi_config *config, obi_gguf_writer *writer)
{
    key_name key;
    const char *architecture = architectures[config->family][config->onebit];
    obi_gguf_put_string(writer, "general.architecture", architecture);
    obi_gguf_put_u32(writer, key_of(&key, architecture, "context_length"), config->context);
    obi_gguf_put_u32(writer, key_of(&key, architecture, "embedding_length"), config->width);
    obi_gguf_put_u32(writer, key_of(&key, architecture, "block_count"), config->layers);
    obi_gguf_put_u32(writer, key_of(&key, architecture, "feed_forward_length"), config->ffn);
    obi_gguf_put_u32(writer, key_of(&key, architecture, "attention.head_count"), config->heads);
    obi_gguf_put_u32(writer, key_of(&key, architecture, "attention.head_count_kv"), config->kv_heads);
    if (config->family == OBI_FAMILY_LLAMA) put_llama(config, writer, architecture);
    else put_opt(config, writer, architecture);
    obi_gguf_put_u32(writer, key_of(&key, architecture, "vocab_size"), config->vocabulary);
    if (!config->onebit) return;
    obi_gguf_put_u32(writer, "onebit.version", 1);
    obi_gguf_put_string(writer, "onebit.packing", config->int8_rows ? packing_int8 : packing);
    if (config->int8_rows) obi_gguf_put_f32(writer, "onebit.int8_threshold", config->int8_threshold);
    if (obi_config_planes(config) > 1) obi_gguf_put_u32(writer, "onebit.planes", config->planes);
    if (config->no_input_factor) obi_gguf_put_bool(writer, "onebit.input_factor", false);
    if (config->offset) obi_gguf_put_bool(writer, "onebit.offset", true);
    obi_gguf_put_string(writer, "onebit.post_norm", config->post_norm ? "layernorm" : "none");
    obi_gguf_put_f32(writer, "onebit.post_norm_eps", config->post_norm_eps);
    if (config->family == OBI_FAMILY_LLAMA)
        obi_gguf_put_string(writer, "onebit.rope_layout", config->rope_layout == OBI_ROPE_HALF ? "half" : "pairs");
}

/* ---- rotary table ------------------------------------------------------------------------------------------- */

void obi_config_rope_table(const obi_config *config, const float *factors, uint32_t first, uint32_t count, float *out)
{
    uint32_t half = config->rope_dimensions / 2;
    for (uint32_t i = 0; i < half; i++) {
        double frequency = pow((double)config->rope_theta, -2.0 * i / config->rope_dimensions);
        if (factors) frequency /= (double)factors[i];
        for (uint32_t p = 0; p < count; p++) {
            double angle = ((double)first + p) / (double)config->rope_scale * frequency;
            float *pair = out + ((uint64_t)p * half + i) * 2;
            pair[0] = (float)cos(angle);
            pair[1] = (float)sin(angle);
        }
    }
}
