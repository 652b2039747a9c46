/* A Hugging Face directory of a LLaMA or an OPT: config.json and safetensors. */
#include "quant/import/import_hf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "quant/import/hf_config.h"

static const obi_import_hf_names names_of_llama = {
    .base = "model.", .embedding = "embed_tokens", .output_norm = "norm",
    .attention_norm = "input_layernorm", .ffn_norm = "post_attention_layernorm",
    .linears = { "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj",
                 "mlp.down_proj" },
};

static const obi_import_hf_names names_of_opt = {
    .base = "model.decoder.", .embedding = "embed_tokens", .positions = "embed_positions", .project_in = "project_in",
    .project_out = "project_out", .output_norm = "final_layer_norm",
    .attention_norm = "self_attn_layer_norm", .ffn_norm = "final_layer_norm",
    .linears = { "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj", NULL, "fc1", "fc2" },
};

static const char head_name[] = "lm_head.weight", layer_prefix[] = "layers.";

void obi_import_hf_name(const obi_import_hf_model *model, const obi_import_want *want, const char *suffix, char name[OBI_IMPORT_HF_NAME])
{
    const obi_import_hf_names *names = &model->names;
    const char *whole = NULL, *of_layer = NULL;
    switch (want->part) {
    case OBI_PART_OUTPUT: snprintf(name, OBI_IMPORT_HF_NAME, "%s", head_name); return;
    case OBI_PART_EMBEDDING: whole = names->embedding; break;
    case OBI_PART_POSITIONS: whole = names->positions; break;
    case OBI_PART_PROJECT_IN: whole = names->project_in; break;
    case OBI_PART_PROJECT_OUT: whole = names->project_out; break;
    case OBI_PART_OUTPUT_NORM: whole = names->output_norm; break;
    case OBI_PART_ATTENTION_NORM: of_layer = names->attention_norm; break;
    case OBI_PART_FFN_NORM: of_layer = names->ffn_norm; break;
    default: of_layer = names->linears[want->role]; break;
    }
    if (whole) snprintf(name, OBI_IMPORT_HF_NAME, "%s%s.%s", names->base, whole, suffix);
    else snprintf(name, OBI_IMPORT_HF_NAME, "%s%s%u.%s.%s", names->base, layer_prefix, want->layer, of_layer, suffix);
}

static void describe_shape(const obi_safetensors_tensor *tensor, char *text, size_t room)
{
    size_t used = 0;
    text[0] = 0;
    for (uint32_t i = 0; i < tensor->dimensions && used < room; i++)
        used += (size_t)snprintf(text + used, room - used, "%s%llu", i ? ", " : "", (unsigned long long)tensor->shape[i]);
}

obi_status obi_import_hf_find(const obi_import_hf_model *model, const char *name, uint64_t rows, uint64_t columns,
                              const obi_safetensors_tensor **found, const obi_mapping **mapping)
{
    const obi_safetensors_tensor *tensor = obi_shards_find(&model->shards, name, mapping);
    if (!tensor) return obi_fail(OBI_ERROR_DATA, "%s: tensor %s is missing; config.json asks for it", model->directory, name);
    bool fits = rows == 0 ? tensor->dimensions == 1 && tensor->shape[0] == columns
                          : tensor->dimensions == 2 && tensor->shape[0] == rows && tensor->shape[1] == columns;
    if (!fits) {
        char shape[128], wanted[64];
        describe_shape(tensor, shape, sizeof shape);
        if (rows == 0) snprintf(wanted, sizeof wanted, "%llu", (unsigned long long)columns);
        else snprintf(wanted, sizeof wanted, "%llu, %llu", (unsigned long long)rows, (unsigned long long)columns);
        return obi_fail(OBI_ERROR_DATA, "%s: tensor %s has shape (%s) where config.json asks for (%s)", (*mapping)->path, name, shape,
                        wanted);
    }
    *found = tensor;
    return OBI_OK;
}

obi_status obi_import_hf_floats(const obi_import_hf_model *model, const char *name, bool vector, obi_source_tensor *tensor)
{
    const obi_safetensors_tensor *found;
    OBI_TRY(obi_import_hf_find(model, name, vector ? 0 : tensor->rows, tensor->columns, &found, &tensor->mapping));
    if (!obi_import_type_readable(found->type))
        return obi_fail(OBI_ERROR_DATA, "%s: tensor %s has dtype %s; F32, F16, BF16 and F64 can be imported", tensor->mapping->path, name,
                        found->dtype_name);
    tensor->type = found->type;
    tensor->data = found->data;
    tensor->row_bytes = found->bytes / tensor->rows;
    return OBI_OK;
}

static obi_status locate(void *user, const obi_import_want *want, obi_source_tensor *tensor)
{
    const obi_import_hf_model *model = user;
    bool linear = want->part == OBI_PART_LINEAR || want->part == OBI_PART_INPUT_FACTOR || want->part == OBI_PART_WEIGHT_SCALE;
    if (linear && model->source->config.onebit) return obi_import_onebit_ref_linear(model, want, tensor);
    char name[OBI_IMPORT_HF_NAME];
    obi_import_hf_name(model, want, want->bias ? "bias" : "weight", name);
    /* Of two tied matrices a file may hold either. */
    if (want->part == OBI_PART_EMBEDDING && model->source->config.tied && !obi_shards_find(&model->shards, name, NULL))
        snprintf(name, sizeof name, "%s", head_name);
    bool vector = want->part == OBI_PART_ATTENTION_NORM || want->part == OBI_PART_FFN_NORM || want->part == OBI_PART_OUTPUT_NORM;
    vector = vector || want->bias;
    return obi_import_hf_floats(model, name, vector, tensor);
}

static bool starts_with(const char *name, const char *prefix, const char **rest)
{
    size_t length = strlen(prefix);
    if (strncmp(name, prefix, length) != 0) return false;
    *rest = name + length;
    return true;
}

/* Whether `name` is STEM.weight, or a family with biases has STEM.bias. */
static bool is_of(const char *name, const char *stem, bool biases)
{
    const char *rest;
    if (!stem || !starts_with(name, stem, &rest)) return false;
    return strcmp(rest, ".weight") == 0 || (biases && strcmp(rest, ".bias") == 0);
}

/* True for the tensors that a model of this config has, and for tables that can be computed again. */
static bool expected(const obi_import_hf_model *model, const char *name)
{
    const obi_config *config = &model->source->config;
    const obi_import_hf_names *names = &model->names;
    bool opt = config->family == OBI_FAMILY_OPT;
    const char *rest;
    if (strcmp(name, head_name) == 0) return true;
    if (!opt && strstr(name, "rotary_emb.")) return true;
    if (!starts_with(name, names->base, &rest)) return false;
    if (is_of(rest, names->embedding, false) || is_of(rest, names->positions, false)) return true;
    if (!config->norm_last && is_of(rest, names->output_norm, opt)) return true;
    if (config->embedding_width && (is_of(rest, names->project_in, false) || is_of(rest, names->project_out, false))) return true;
    if (!starts_with(rest, layer_prefix, &rest) || *rest < '0' || *rest > '9') return false;
    char *end;
    unsigned long layer = strtoul(rest, &end, 10);
    if (layer >= config->layers || *end != '.') return false;
    rest = end + 1;
    if (is_of(rest, names->attention_norm, opt) || is_of(rest, names->ffn_norm, opt)) return true;
    for (int role = 0; role < OBI_LINEAR_COUNT; role++) {
        const char *suffix;
        if (is_of(rest, names->linears[role], opt)) return true;
        if (config->onebit && starts_with(rest, names->linears[role], &suffix) &&
            (strcmp(suffix, ".weight_scale") == 0 || strcmp(suffix, ".input_factor") == 0))
            return true;
    }
    return false;
}

/* A bias or a further norm would be left out silently otherwise, and the model would give other numbers. */
static obi_status refuse_strangers(const obi_import_hf_model *model)
{
    const obi_config *config = &model->source->config;
    for (size_t i = 0; i < model->shards.count; i++) {
        const obi_safetensors *file = &model->shards.files[i];
        for (size_t k = 0; k < file->count; k++)
            if (!expected(model, file->tensors[k].name))
                return obi_fail(OBI_ERROR_DATA, "%s: tensor %.128s has no place in %s model of %u layers%s, so leaving it out would "
                                "change the result", file->mapping->path, file->tensors[k].name,
                                config->family == OBI_FAMILY_OPT ? "an OPT" : "a LLaMA", config->layers,
                                config->norm_last ? " whose norms come last" : "");
    }
    return OBI_OK;
}

obi_status obi_import_hf(obi_source *source, const char *directory)
{
    float *factors = NULL;
    OBI_TRY(obi_hf_config_read(directory, &source->config, &factors));
    source->rope_factors = factors;
    source->format = source->config.onebit ? "onebit-reference" : "huggingface";
    bool opt = source->config.family == OBI_FAMILY_OPT;
    obi_import_hf_model model = { .source = source, .directory = directory, .names = opt ? names_of_opt : names_of_llama };
    obi_status status;
    OBI_TRY_GOTO(obi_shards_open(&model.shards, source, directory));
    /* Early OPT checkpoints were saved without the head's class around the model. */
    if (opt && obi_shards_find(&model.shards, "decoder.embed_tokens.weight", NULL)) model.names.base = "decoder.";
    OBI_TRY_GOTO(obi_import_tensors(source, locate, &model));
    OBI_TRY_GOTO(refuse_strangers(&model));
done:
    obi_shards_close(&model.shards);
    return status;
}
