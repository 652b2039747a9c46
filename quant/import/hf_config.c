#include "quant/import/hf_config.h"

#include <math.h>
#include <string.h>

#include "core/alloc.h"
#include "quant/import/hf_config_opt.h"
#include "quant/import/import.h"
#include "quant/import/json.h"

#define READABLE "LlamaForCausalLM, OPTForCausalLM, BitLlamaForCausalLM and BitLlamaForCausalLMInf"

static obi_status read_architecture(const json_t *root, const char *name, obi_config *config)
{
    const char *architecture = NULL, *model_type = NULL;
    const json_t *list = NULL;
    OBI_TRY(obi_json_get_array(root, name, "architectures", false, &list));
    OBI_TRY(obi_json_get_text(root, name, "model_type", false, &model_type));
    if (json_array_size(list) > 0) architecture = json_string_value(json_array_get(list, 0));
    if (architecture) {
        config->onebit = strncmp(architecture, "BitLlamaForCausalLM", 19) == 0;
        if (strcmp(architecture, "OPTForCausalLM") == 0) {
            config->family = OBI_FAMILY_OPT;
            return OBI_OK;
        }
        if (strcmp(architecture, "LlamaForCausalLM") == 0 || strcmp(architecture, "LLaMAForCausalLM") == 0 ||
            strcmp(architecture, "BitLlamaForCausalLM") == 0 || strcmp(architecture, "BitLlamaForCausalLMInf") == 0)
            return OBI_OK;
        return obi_fail(OBI_ERROR_DATA, "%s: architecture \"%.64s\" is not one that we read; these are " READABLE, name, architecture);
    }
    if (!model_type) return obi_fail(OBI_ERROR_DATA, "%s: neither \"architectures\" nor \"model_type\" says what model this is", name);
    config->onebit = strcmp(model_type, "bitllama") == 0;
    if (strcmp(model_type, "opt") == 0) config->family = OBI_FAMILY_OPT;
    if (config->onebit || config->family == OBI_FAMILY_OPT || strcmp(model_type, "llama") == 0) return OBI_OK;
    return obi_fail(OBI_ERROR_DATA, "%s: model type \"%.64s\" is not one that we read; these are llama, opt and bitllama", name,
                    model_type);
}

static obi_status refuse_quantised(const json_t *root, const char *name)
{
    const json_t *quantization = NULL;
    OBI_TRY(obi_json_get_object(root, name, "quantization_config", false, &quantization));
    if (!quantization) return OBI_OK;
    const char *method = "?";
    OBI_TRY(obi_json_get_text(quantization, name, "quant_method", false, &method));
    return obi_fail(OBI_ERROR_DATA, "%s: the weights are already quantised by \"%.32s\": give the original F32, F16 or BF16 model", name,
                    method);
}

/* Things that change what the model computes and that we do not compute. */
static obi_status refuse_variants(const json_t *root, const char *name)
{
    bool attention_bias = false, mlp_bias = false;
    OBI_TRY(obi_json_get_bool(root, name, "attention_bias", &attention_bias));
    OBI_TRY(obi_json_get_bool(root, name, "mlp_bias", &mlp_bias));
    if (attention_bias || mlp_bias)
        return obi_fail(OBI_ERROR_DATA, "%s: \"%s\" is true: models with biases are not supported", name,
                        attention_bias ? "attention_bias" : "mlp_bias");
    const char *activation = "silu";
    OBI_TRY(obi_json_get_text(root, name, "hidden_act", false, &activation));
    if (strcmp(activation, "silu") != 0 && strcmp(activation, "swish") != 0)
        return obi_fail(OBI_ERROR_DATA, "%s: \"hidden_act\" is \"%.32s\": only silu is supported", name, activation);
    float partial = 1.0f;
    OBI_TRY(obi_json_get_f32(root, name, "partial_rotary_factor", false, &partial));
    if (partial != 1.0f) return obi_fail(OBI_ERROR_DATA, "%s: \"partial_rotary_factor\" is %g: only 1 is supported", name, (double)partial);
    return OBI_OK;
}

/* LLaMA 3: long wavelengths are slowed by `factor`, short ones kept, those between blended (in the frequency). */
static obi_status read_llama3(const json_t *scaling, const char *name, const obi_config *config, float **out)
{
    float factor = 0, low = 0, high = 0;
    uint32_t original = 0;
    OBI_TRY(obi_json_get_f32(scaling, name, "factor", true, &factor));
    OBI_TRY(obi_json_get_f32(scaling, name, "low_freq_factor", true, &low));
    OBI_TRY(obi_json_get_f32(scaling, name, "high_freq_factor", true, &high));
    OBI_TRY(obi_json_get_u32(scaling, name, "original_max_position_embeddings", true, &original));
    if (!(factor >= 1 && factor <= 65536 && low > 0 && high > low && high <= 65536) || original == 0)
        return obi_fail(OBI_ERROR_DATA, "%s: RoPE scaling of type llama3 has impossible numbers (factor %g, low %g, high %g, original %u)",
                        name, (double)factor, (double)low, (double)high, original);
    uint32_t half = config->rope_dimensions / 2;
    float *factors = obi_calloc(half, sizeof *factors);
    if (!factors) return OBI_ERROR_MEMORY;
    for (uint32_t i = 0; i < half; i++) {
        double frequency = pow((double)config->rope_theta, -2.0 * i / config->rope_dimensions);
        double turns = original * frequency / (2 * 3.14159265358979323846); /* within the original context */
        double kept = (turns - (double)low) / ((double)high - (double)low);
        if (kept < 0) kept = 0;
        if (kept > 1) kept = 1;
        factors[i] = (float)(1 / ((1 - kept) / (double)factor + kept));
    }
    *out = factors;
    return OBI_OK;
}

/* `rope_scaling` in older files; newer ones have `rope_parameters`, which also holds rope_theta. */
static obi_status read_rope(const json_t *root, const char *name, obi_config *config, float **factors)
{
    const json_t *scaling = NULL, *parameters = NULL;
    OBI_TRY(obi_json_get_f32(root, name, "rope_theta", false, &config->rope_theta));
    OBI_TRY(obi_json_get_object(root, name, "rope_scaling", false, &scaling));
    OBI_TRY(obi_json_get_object(root, name, "rope_parameters", false, &parameters));
    if (parameters) {
        OBI_TRY(obi_json_get_f32(parameters, name, "rope_theta", false, &config->rope_theta));
        scaling = parameters;
    }
    /* The factors below are powers of theta, so it is checked before they are made. */
    OBI_TRY(obi_config_check(config));
    if (!scaling) return OBI_OK;
    const char *type = "default";
    OBI_TRY(obi_json_get_text(scaling, name, "type", false, &type));
    OBI_TRY(obi_json_get_text(scaling, name, "rope_type", false, &type));
    if (strcmp(type, "default") == 0) return OBI_OK;
    if (strcmp(type, "linear") == 0) return obi_json_get_f32(scaling, name, "factor", true, &config->rope_scale);
    if (strcmp(type, "llama3") == 0) return read_llama3(scaling, name, config, factors);
    return obi_fail(OBI_ERROR_DATA, "%s: RoPE scaling of type \"%.32s\" is not supported; linear and llama3 are", name, type);
}

static obi_status read_sizes(const json_t *root, const char *name, obi_config *config)
{
    OBI_TRY(obi_json_get_u32(root, name, "hidden_size", true, &config->width));
    OBI_TRY(obi_json_get_u32(root, name, "num_hidden_layers", true, &config->layers));
    OBI_TRY(obi_json_get_u32(root, name, "num_attention_heads", true, &config->heads));
    config->kv_heads = config->heads;
    OBI_TRY(obi_json_get_u32(root, name, "num_key_value_heads", false, &config->kv_heads));
    OBI_TRY(obi_json_get_u32(root, name, "intermediate_size", true, &config->ffn));
    OBI_TRY(obi_json_get_u32(root, name, "vocab_size", true, &config->vocabulary));
    config->context = 2048;
    OBI_TRY(obi_json_get_u32(root, name, "max_position_embeddings", false, &config->context));
    OBI_TRY(obi_json_get_u32(root, name, "head_dim", false, &config->head_size));
    if (config->head_size == 0) {
        if (config->heads == 0 || config->width % config->heads != 0)
            return obi_fail(OBI_ERROR_DATA, "%s: \"hidden_size\" %u cannot be split into %u heads and \"head_dim\" is absent", name,
                            config->width, config->heads);
        config->head_size = config->width / config->heads;
    }
    config->norm_eps = 1e-6f;
    OBI_TRY(obi_json_get_f32(root, name, "rms_norm_eps", false, &config->norm_eps));
    OBI_TRY(obi_json_get_bool(root, name, "tie_word_embeddings", &config->tied));
    return OBI_OK;
}

static obi_status read_config(const json_t *root, const char *name, obi_config *config, float **factors)
{
    memset(config, 0, sizeof *config);
    OBI_TRY(read_architecture(root, name, config));
    OBI_TRY(refuse_quantised(root, name));
    if (config->family == OBI_FAMILY_OPT) {
        OBI_TRY(obi_hf_config_read_opt(root, name, config));
        return obi_config_check(config);
    }
    OBI_TRY(refuse_variants(root, name));
    OBI_TRY(read_sizes(root, name, config));
    config->post_norm = config->onebit;
    config->post_norm_eps = 1e-5f;
    config->rope_theta = 10000.0f;
    config->rope_dimensions = config->head_size;
    config->rope_scale = 1.0f;
    config->rope_layout = OBI_ROPE_HALF;
    OBI_TRY(read_rope(root, name, config, factors));
    return obi_config_check(config);
}

obi_status obi_hf_config_read(const char *directory, obi_config *config, float **rope_factors)
{
    *rope_factors = NULL;
    char *path = obi_import_join(directory, "config.json");
    if (!path) return OBI_ERROR_MEMORY;
    json_t *root = NULL;
    obi_status status;
    OBI_TRY_GOTO(obi_json_read(&root, path));
    OBI_TRY_GOTO(read_config(root, path, config, rope_factors));
done:
    /* obi_config_check knows no file name; the getters have said it already. */
    if (status == OBI_ERROR_DATA && !strstr(obi_last_error(), path)) obi_fail_prefix(status, "%s", path);
    if (status != OBI_OK) {
        obi_free(*rope_factors);
        *rope_factors = NULL;
    }
    json_decref(root);
    obi_free(path);
    return status;
}
