#include "quant/import/vocab_file.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "core/alloc.h"
#include "quant/import/import.h"

/* DIRECTORY of a path, allocated; "." when it has none. */
static char *directory_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash) return obi_strdup(".");
    return obi_strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

static obi_status from_gguf(obi_vocab *vocab, const char *path, uint32_t limit)
{
    obi_gguf gguf;
    memset(&gguf, 0, sizeof gguf);
    obi_status status = obi_gguf_open(&gguf, path);
    if (status == OBI_OK) status = obi_vocab_from_gguf(vocab, &gguf);
    if (status == OBI_OK && vocab->count > limit)
        status = obi_fail(OBI_ERROR_DATA, "%s: the tokenizer has %u tokens and the model only %u: they do not belong together", path,
                          vocab->count, limit);
    obi_gguf_close(&gguf);
    return status;
}

static obi_status from_bytes(obi_vocab_builder *builder, const uint8_t *bytes, uint64_t size)
{
    if (size == 0) return obi_fail(OBI_ERROR_DATA, "%s is empty", builder->path);
    /* tokenizer.bin begins with a small number in four bytes, so its last two are 0; in the others they cannot be. */
    bool number = size >= 4 && bytes[2] == 0 && bytes[3] == 0;
    if (number) return obi_vocab_read_llama2c(builder, bytes, size);
    uint64_t start = 0;
    while (start < size && strchr(" \t\r\n", bytes[start]) && bytes[start]) start++;
    bool object = start < size && bytes[start] == '{', gpt2 = obi_vocab_is_gpt2(bytes, size);
    char *directory = directory_of(builder->path), *merges = directory ? obi_import_join(directory, "merges.txt") : NULL;
    obi_status status = merges ? OBI_OK : OBI_ERROR_MEMORY;
    if (status != OBI_OK) goto done;
    if (gpt2) status = obi_vocab_read_gpt2(builder, bytes, size, merges);
    else if (object) status = obi_vocab_read_hf(builder, bytes, size);
    else if (bytes[0] == 0x0a) status = obi_vocab_read_sentencepiece(builder, bytes, size);
    else
        status = obi_fail(OBI_ERROR_DATA, "%s: neither tokenizer.json, vocab.json, tokenizer.model, tokenizer.bin nor GGUF",
                          builder->path);
    if (status == OBI_OK) status = obi_vocab_read_specials(builder, directory);
    if (gpt2) obi_vocab_mark_gpt2(builder);
done:
    obi_free(merges);
    obi_free(directory);
    return status;
}

obi_status obi_vocab_file_read(obi_vocab *vocab, const char *path, uint32_t limit)
{
    memset(vocab, 0, sizeof *vocab);
    obi_mapping mapping;
    OBI_TRY(obi_mapping_open(&mapping, path));
    obi_status status;
    if (mapping.size >= 4 && memcmp(mapping.data, "GGUF", 4) == 0) {
        status = from_gguf(vocab, path, limit);
    } else {
        obi_vocab_builder builder;
        obi_vocab_build_begin(&builder, path, limit);
        status = from_bytes(&builder, mapping.data, mapping.size);
        if (status == OBI_OK) status = obi_vocab_build_finish(&builder, vocab);
        obi_vocab_build_free(&builder);
    }
    obi_mapping_close(&mapping);
    if (status != OBI_OK) obi_vocab_free(vocab);
    return status;
}

obi_status obi_vocab_file_beside(obi_vocab *vocab, const char *model_path, bool directory, uint32_t limit)
{
    char own[2][32];
    snprintf(own[0], sizeof own[0], "tok%u.bin", limit);
    snprintf(own[1], sizeof own[1], "tok%u.model", limit);
    const char *const in_directory[] = { "tokenizer.json", "tokenizer.model", "vocab.json", NULL };
    const char *const beside_file[] = { own[0], own[1], "tokenizer.bin", "tokenizer.model", "tokenizer.json", NULL };
    memset(vocab, 0, sizeof *vocab);
    char *place = directory ? obi_strdup(model_path) : directory_of(model_path);
    if (!place) return OBI_ERROR_MEMORY;
    obi_status status = OBI_OK;
    bool found = false;
    for (const char *const *name = directory ? in_directory : beside_file; *name && !found && status == OBI_OK; name++) {
        char *path = obi_import_join(place, *name);
        struct stat info;
        if (!path) status = OBI_ERROR_MEMORY;
        else if (stat(path, &info) == 0) {
            found = true;
            status = obi_vocab_file_read(vocab, path, limit);
        }
        obi_free(path);
    }
    obi_free(place);
    return status;
}
