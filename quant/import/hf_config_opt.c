#include "quant/import/hf_config_opt.h"

#include <string.h>

/* Things that change what the model computes and that we do not compute. */
static obi_status refuse_variants(const json_t *root, const char *name, bool norm_last)
{
    const char *activation = "relu";
    bool biases = true, affine = true, no_final_norm = false;
    OBI_TRY(obi_json_get_text(root, name, "activation_function", false, &activation));
    if (strcmp(activation, "relu") != 0)
        return obi_fail(OBI_ERROR_DATA, "%s: \"activation_function\" is \"%.32s\": only relu is supported in OPT models", name, activation);
    OBI_TRY(obi_json_get_bool(root, name, "enable_bias", &biases));
    if (!biases) return obi_fail(OBI_ERROR_DATA, "%s: \"enable_bias\" is false: OPT models without biases are not supported", name);
    OBI_TRY(obi_json_get_bool(root, name, "layer_norm_elementwise_affine", &affine));
    if (!affine)
        return obi_fail(OBI_ERROR_DATA, "%s: \"layer_norm_elementwise_affine\" is false: OPT models whose norms have no weights are not "
                        "supported", name);
    /* Without effect where norms come last: then there is none to remove. */
    OBI_TRY(obi_json_get_bool(root, name, "_remove_final_layer_norm", &no_final_norm));
    if (no_final_norm && !norm_last)
        return obi_fail(OBI_ERROR_DATA, "%s: \"_remove_final_layer_norm\" is true with \"do_layer_norm_before\": such models, from before "
                        "transformers 4.20, are not supported; save it again with a final norm", name);
    return OBI_OK;
}

obi_status obi_hf_config_read_opt(const json_t *root, const char *name, obi_config *config)
{
    bool norm_first = true;
    config->family = OBI_FAMILY_OPT;
    OBI_TRY(obi_json_get_u32(root, name, "hidden_size", true, &config->width));
    OBI_TRY(obi_json_get_u32(root, name, "num_hidden_layers", true, &config->layers));
    OBI_TRY(obi_json_get_u32(root, name, "num_attention_heads", true, &config->heads));
    OBI_TRY(obi_json_get_u32(root, name, "ffn_dim", true, &config->ffn));
    OBI_TRY(obi_json_get_u32(root, name, "vocab_size", true, &config->vocabulary));
    config->context = 2048;
    OBI_TRY(obi_json_get_u32(root, name, "max_position_embeddings", false, &config->context));
    if (config->heads == 0 || config->width % config->heads != 0)
        return obi_fail(OBI_ERROR_DATA, "%s: \"hidden_size\" %u cannot be split into %u heads", name, config->width, config->heads);
    config->kv_heads = config->heads;
    config->head_size = config->width / config->heads;
    config->embedding_width = config->width;
    OBI_TRY(obi_json_get_u32(root, name, "word_embed_proj_dim", false, &config->embedding_width));
    if (config->embedding_width == 0)
        return obi_fail(OBI_ERROR_DATA, "%s: \"word_embed_proj_dim\" is 0, and an embedding has at least one column", name);
    if (config->embedding_width == config->width) config->embedding_width = 0; /* no projections */
    OBI_TRY(obi_json_get_bool(root, name, "do_layer_norm_before", &norm_first));
    config->norm_last = !norm_first;
    config->norm_eps = 1e-5f; /* no key has it: the default of PyTorch's LayerNorm */
    config->tied = true;
    OBI_TRY(obi_json_get_bool(root, name, "tie_word_embeddings", &config->tied));
    return refuse_variants(root, name, config->norm_last);
}
