#include <stdio.h>
#include <string.h>

#include "api/api_internal.h"
#include "core/alloc.h"

void obi_copy_string(const obi_gguf *gguf, const char *key, char *out, size_t room)
{
    obi_gguf_string text = { "", 0 };
    if (obi_gguf_get_string(gguf, key, false, &text) != OBI_OK) return;
    size_t length = text.length < room - 1 ? (size_t)text.length : room - 1;
    memcpy(out, text.text, length);
    out[length] = 0;
}

static obi_status load_tokenizer(ob_model *model, const obi_gguf *gguf)
{
    if (!obi_gguf_find(gguf, "tokenizer.ggml.model")) return OBI_OK;
    obi_vocab vocab = { 0 };
    OBI_TRY(obi_vocab_from_gguf(&vocab, gguf));
    if (vocab.count > model->weights->config.vocabulary) {
        obi_status status = obi_fail(OBI_ERROR_DATA, "%s: the tokenizer has %u tokens and the model %u", gguf->mapping.path, vocab.count,
                                     model->weights->config.vocabulary);
        obi_vocab_free(&vocab);
        return status;
    }
    return obi_tokenizer_create(&model->tokenizer, &vocab);
}

static obi_status open_file(obi_gguf *gguf, const ob_model_desc *desc)
{
    if ((desc->path != NULL) + (desc->memory != NULL) + (desc->reader != NULL) > 1)
        return obi_fail(OBI_ERROR_ARGUMENT, "the model comes from a path, from memory or from a reader, and more than one was given");
    if (desc->path) return obi_gguf_open(gguf, desc->path);
    if (desc->memory) return obi_gguf_open_memory(gguf, desc->memory, desc->memory_bytes, "the model in memory");
    if (!desc->reader) return obi_fail(OBI_ERROR_ARGUMENT, "no model file was named");
    if (!desc->reader->read) return obi_fail(OBI_ERROR_ARGUMENT, "the reader has no function to read with");
    const obi_byte_source source = { desc->reader->bytes, desc->reader->read, desc->reader->user };
    return obi_gguf_open_source(gguf, &source, desc->reader->name ? desc->reader->name : "the model that is read");
}

ob_status ob_model_load(ob_model **out, ob_context *context, const ob_model_desc *desc)
{
    *out = NULL;
    ob_model *model = obi_calloc(1, sizeof *model);
    if (!model) return OB_ERROR_MEMORY;
    model->context = context;
    obi_gguf gguf = { 0 };
    obi_status status;
    OBI_TRY_GOTO(open_file(&gguf, desc));
    gguf.lend = desc->map;
    model->file_bytes = gguf.mapping.size;
    OBI_TRY_GOTO(obi_weights_load(context->device, &gguf, desc->progress, desc->user, &model->weights));
    OBI_TRY_GOTO(load_tokenizer(model, &gguf));
    obi_copy_string(&gguf, "general.architecture", model->architecture, sizeof model->architecture);
    obi_copy_string(&gguf, "general.name", model->name, sizeof model->name);
done:
    obi_gguf_close(&gguf);
    if (status != OBI_OK) ob_model_destroy(model);
    else *out = model;
    return obi_public(status);
}

void ob_model_destroy(ob_model *model)
{
    if (!model) return;
    obi_tokenizer_free(model->tokenizer);
    obi_weights_free(model->weights);
    obi_free(model);
}

ob_status ob_model_info_get(const ob_model *model, ob_model_info *info)
{
    const obi_config *config = &model->weights->config;
    const obi_vocab *vocab = model->tokenizer ? obi_tokenizer_vocab(model->tokenizer) : NULL;
    memset(info, 0, sizeof *info);
    snprintf(info->architecture, sizeof info->architecture, "%s", model->architecture);
    snprintf(info->name, sizeof info->name, "%s", model->name);
    info->onebit = config->onebit && !config->int8_rows && obi_config_planes(config) == 1;
    info->layers = config->layers;
    info->width = config->width;
    info->heads = config->heads;
    info->kv_heads = config->kv_heads;
    info->head_size = config->head_size;
    info->ffn = config->ffn;
    info->vocabulary = config->vocabulary;
    info->context = config->context;
    info->bos = vocab ? vocab->bos : -1;
    info->eos = vocab ? vocab->eos : -1;
    info->add_bos = vocab && vocab->add_bos;
    info->has_tokenizer = vocab != NULL;
    info->parameters = model->weights->parameters;
    info->device_bytes = model->weights->device_bytes;
    info->file_bytes = model->file_bytes;
    return OB_OK;
}

obi_status obi_no_tokenizer(void)
{
    return obi_fail(OBI_ERROR_DATA, "the model file has no tokenizer; convert it again with --tokenizer FILE");
}

ob_status ob_model_tokenize(const ob_model *model, const char *text, size_t length, unsigned flags, uint32_t *ids, size_t room,
                            size_t *count)
{
    *count = 0;
    if (!model->tokenizer) return obi_public(obi_no_tokenizer());
    unsigned encode = 0;
    if ((flags & OB_TOKENIZE_BOS) && obi_tokenizer_vocab(model->tokenizer)->add_bos) encode |= OBI_ENCODE_BOS;
    if (flags & OB_TOKENIZE_EOS) encode |= OBI_ENCODE_EOS;
    if (flags & OB_TOKENIZE_SPECIAL) encode |= OBI_ENCODE_SPECIAL;
    uint32_t *encoded = NULL;
    obi_status status = obi_tokenizer_encode(model->tokenizer, text, length, encode, &encoded, count);
    if (status == OBI_OK && room > 0 && *count > 0) memcpy(ids, encoded, (*count < room ? *count : room) * sizeof *ids);
    obi_free(encoded);
    return obi_public(status);
}

ob_status ob_model_detokenize(const ob_model *model, const uint32_t *ids, size_t count, char *text, size_t room, size_t *length)
{
    *length = 0;
    if (!model->tokenizer) return obi_public(obi_no_tokenizer());
    uint32_t vocabulary = model->weights->config.vocabulary;
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        if (ids[i] >= vocabulary)
            return obi_public(obi_fail(OBI_ERROR_ARGUMENT, "token %u is not in the model's vocabulary of %u", ids[i], vocabulary));
        int64_t previous = i > 0 ? (int64_t)ids[i - 1] : -1;
        bytes += ob_model_piece(model, previous, ids[i], bytes < room ? text + bytes : NULL, bytes < room ? room - bytes : 0);
    }
    *length = bytes;
    return OB_OK;
}

size_t ob_model_piece(const ob_model *model, int64_t previous, uint32_t id, char *bytes, size_t room)
{
    if (!model->tokenizer || id >= obi_tokenizer_vocab(model->tokenizer)->count) return 0;
    return obi_tokenizer_piece(model->tokenizer, previous, id, bytes, room);
}
