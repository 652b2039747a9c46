/* A Hugging Face LLaMA directory: config.json and safetensors. */
#include "quant/import/import_hf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "quant/import/hf_config.h"

static const char *const linear_names[OBI_LINEAR_COUNT] = {
    "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj",
};

static const char embedding_name[] = "model.embed_tokens.weight", head_name[] = "lm_head.weight", norm_name[] = "model.norm.weight";
static const char attention_norm[] = "input_layernorm.weight", ffn_norm[] = "post_attention_layernorm.weight";
static const char layer_prefix[] = "model.layers.";

void obi_import_hf_name(const obi_import_want *want, const char *suffix, char name[OBI_IMPORT_HF_NAME])
{
    const char *fixed = NULL;
    switch (want->part) {
    case OBI_PART_EMBEDDING: fixed = embedding_name; break;
    case OBI_PART_OUTPUT: fixed = head_name; break;
    case OBI_PART_OUTPUT_NORM: fixed = norm_name; break;
    case OBI_PART_ATTENTION_NORM: snprintf(name, OBI_IMPORT_HF_NAME, "%s%u.%s", layer_prefix, want->layer, attention_norm); return;
    case OBI_PART_FFN_NORM: snprintf(name, OBI_IMPORT_HF_NAME, "%s%u.%s", layer_prefix, want->layer, ffn_norm); return;
    default: snprintf(name, OBI_IMPORT_HF_NAME, "%s%u.%s.%s", layer_prefix, want->layer, linear_names[want->role], suffix); return;
    }
    snprintf(name, OBI_IMPORT_HF_NAME, "%s", fixed);
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
    obi_import_hf_name(want, "weight", name);
    /* Of two tied matrices a file may hold either. */
    if (want->part == OBI_PART_EMBEDDING && model->source->config.tied && !obi_shards_find(&model->shards, name, NULL))
        snprintf(name, sizeof name, "%s", head_name);
    bool vector = want->part == OBI_PART_ATTENTION_NORM || want->part == OBI_PART_FFN_NORM || want->part == OBI_PART_OUTPUT_NORM;
    return obi_import_hf_floats(model, name, vector, tensor);
}

/* True for the tensors that a model of this config has, and for tables that can be computed again. */
static bool expected(const obi_config *config, const char *name)
{
    if (strcmp(name, embedding_name) == 0 || strcmp(name, head_name) == 0 || strcmp(name, norm_name) == 0) return true;
    if (strstr(name, "rotary_emb.")) return true;
    if (strncmp(name, layer_prefix, sizeof layer_prefix - 1) != 0) return false;
    const char *number = name + sizeof layer_prefix - 1;
    if (*number < '0' || *number > '9') return false;
    char *rest;
    unsigned long layer = strtoul(number, &rest, 10);
    if (layer >= config->layers || *rest != '.') return false;
    rest++;
    if (strcmp(rest, attention_norm) == 0 || strcmp(rest, ffn_norm) == 0) return true;
    for (int role = 0; role < OBI_LINEAR_COUNT; role++) {
        size_t length = strlen(linear_names[role]);
        if (strncmp(rest, linear_names[role], length) != 0) continue;
        if (strcmp(rest + length, ".weight") == 0) return true;
        return config->onebit && (strcmp(rest + length, ".weight_scale") == 0 || strcmp(rest + length, ".input_factor") == 0);
    }
    return false;
}

/* A bias or a further norm would be left out silently otherwise, and the model would give other numbers. */
static obi_status refuse_strangers(const obi_import_hf_model *model)
{
    for (size_t i = 0; i < model->shards.count; i++) {
        const obi_safetensors *file = &model->shards.files[i];
        for (size_t k = 0; k < file->count; k++)
            if (!expected(&model->source->config, file->tensors[k].name))
                return obi_fail(OBI_ERROR_DATA, "%s: tensor %.128s has no place in a LLaMA model of %u layers, so leaving it out would "
                                "change the result", file->mapping->path, file->tensors[k].name, model->source->config.layers);
    }
    return OBI_OK;
}

obi_status obi_import_hf(obi_source *source, const char *directory)
{
    float *factors = NULL;
    OBI_TRY(obi_hf_config_read(directory, &source->config, &factors));
    source->rope_factors = factors;
    source->format = source->config.onebit ? "onebit-reference" : "huggingface";
    obi_import_hf_model model = { .source = source, .directory = directory };
    obi_status status;
    OBI_TRY_GOTO(obi_shards_open(&model.shards, source, directory));
    OBI_TRY_GOTO(obi_import_tensors(source, locate, &model));
    OBI_TRY_GOTO(refuse_strangers(&model));
done:
    obi_shards_close(&model.shards);
    return status;
}
