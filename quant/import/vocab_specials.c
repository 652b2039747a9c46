/* The small Hugging Face files beside a tokenizer: which tokens begin and end a text, and tokens that were added later.
 * A token named in tokenizer_config.json or special_tokens_map.json wins over an id in generation_config.json or
 * config.json, and that over what the tokenizer's own file says. */
#include "quant/import/vocab_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "quant/import/import.h"
#include "quant/import/json.h"

typedef struct named_tokens {
    bool bos, eos, pad;
    bool says_bos; /* whether one goes in front was said */
} named_tokens;

/* "bos_token": "<s>" or {"content": "<s>", ...}. */
static void read_name(const obi_vocab_builder *builder, const json_t *root, const char *key, int32_t *id, bool *named)
{
    if (*named) return;
    const json_t *value = obi_json_find(root, key);
    const char *text = json_string_value(json_is_object(value) ? json_object_get(value, "content") : value);
    int32_t found = text ? obi_vocab_build_find(builder, text) : -1;
    if (found < 0) return;
    *id = found;
    *named = true;
}

static void read_names(obi_vocab_builder *builder, const json_t *root, named_tokens *named)
{
    read_name(builder, root, "bos_token", &builder->vocab.bos, &named->bos);
    read_name(builder, root, "eos_token", &builder->vocab.eos, &named->eos);
    read_name(builder, root, "pad_token", &builder->vocab.pad, &named->pad);
}

/* "eos_token_id": 2 or [2, 5]; a negative id means none. */
static void read_id(const obi_vocab_builder *builder, const json_t *root, const char *key, int32_t *id, bool *named)
{
    if (*named) return;
    const json_t *value = obi_json_find(root, key);
    if (json_is_array(value)) value = json_array_get(value, 0);
    uint64_t number;
    if (!obi_json_is_count(value, &number) || number >= builder->count) return;
    *id = (int32_t)number;
    *named = true;
}

static void read_ids(obi_vocab_builder *builder, const json_t *root, named_tokens *named)
{
    read_id(builder, root, "bos_token_id", &builder->vocab.bos, &named->bos);
    read_id(builder, root, "eos_token_id", &builder->vocab.eos, &named->eos);
    read_id(builder, root, "pad_token_id", &builder->vocab.pad, &named->pad);
}

static bool taken(const obi_vocab_builder *builder, uint64_t id) { return id < builder->count && builder->entries[id].type != 0; }

/* A tokenizer.model knows nothing of tokens that were added later. {"32000": {"content": ..., "special": ...}} */
static obi_status read_decoder(obi_vocab_builder *builder, const json_t *root, const char *path)
{
    const json_t *decoder = NULL;
    OBI_TRY(obi_json_get_object(root, path, "added_tokens_decoder", false, &decoder));
    for (void *i = json_object_iter((json_t *)decoder); i; i = json_object_iter_next((json_t *)decoder, i)) {
        const char *digits = json_object_iter_key(i), *text = NULL;
        char *end;
        bool special = false;
        errno = 0;
        unsigned long id = strtoul(digits, &end, 10);
        if (*digits < '0' || *digits > '9' || *end || errno)
            return obi_fail(OBI_ERROR_DATA, "%s: \"added_tokens_decoder\" has the id \"%.32s\"", path, digits);
        if (taken(builder, id)) continue;
        OBI_TRY(obi_json_get_text(json_object_iter_value(i), path, "content", true, &text));
        OBI_TRY(obi_json_get_bool(json_object_iter_value(i), path, "special", &special));
        OBI_TRY(obi_vocab_build_token(builder, id, text, strlen(text), 0, special ? OBI_TOKEN_CONTROL : OBI_TOKEN_USER));
    }
    return OBI_OK;
}

/* {"<|im_end|>": 32000} */
static obi_status read_added(obi_vocab_builder *builder, const json_t *root, const char *path)
{
    for (void *i = json_object_iter((json_t *)root); i; i = json_object_iter_next((json_t *)root, i)) {
        const char *text = json_object_iter_key(i);
        uint64_t id;
        OBI_TRY(obi_json_u64(json_object_iter_value(i), path, text, &id));
        if (!taken(builder, id)) OBI_TRY(obi_vocab_build_token(builder, id, text, strlen(text), 0, OBI_TOKEN_USER));
    }
    return OBI_OK;
}

static obi_status read_file(obi_vocab_builder *builder, const char *file, const json_t *root, const char *path, named_tokens *named)
{
    bool model = builder->vocab.kind == OBI_VOCAB_SPM;
    if (strcmp(file, "added_tokens.json") == 0) return model ? read_added(builder, root, path) : OBI_OK;
    if (strcmp(file, "tokenizer_config.json") == 0) {
        if (model) OBI_TRY(read_decoder(builder, root, path));
        OBI_TRY(obi_json_get_bool(root, path, "add_bos_token", &builder->vocab.add_bos));
        named->says_bos = obi_json_find(root, "add_bos_token") != NULL;
        OBI_TRY(obi_json_get_bool(root, path, "add_eos_token", &builder->vocab.add_eos));
    }
    /* OPT's texts begin with a token, and its tokenizer is GPT-2's, of which that is not so. */
    const char *type = json_string_value(obi_json_find(root, "model_type"));
    if (strcmp(file, "config.json") == 0 && type && strcmp(type, "opt") == 0 && !named->says_bos) builder->vocab.add_bos = true;
    read_names(builder, root, named);
    read_ids(builder, root, named);
    return OBI_OK;
}

obi_status obi_vocab_read_specials(obi_vocab_builder *builder, const char *directory)
{
    static const char *const files[] = {
        "tokenizer_config.json", "added_tokens.json", "special_tokens_map.json", "generation_config.json", "config.json",
    };
    named_tokens named = { 0 };
    obi_status status = OBI_OK;
    for (size_t i = 0; i < sizeof files / sizeof files[0] && status == OBI_OK; i++) {
        char *path = obi_import_join(directory, files[i]);
        if (!path) return OBI_ERROR_MEMORY;
        json_t *root = NULL;
        status = obi_json_read_optional(&root, path);
        if (status == OBI_OK && root) status = read_file(builder, files[i], root, path, &named);
        json_decref(root);
        obi_free(path);
    }
    if (builder->vocab.bos < 0) builder->vocab.add_bos = false;
    if (builder->vocab.eos < 0) builder->vocab.add_eos = false;
    return status;
}
