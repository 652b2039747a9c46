/* GPT-2's two files, as OPT has them: vocab.json with each token's id, and merges.txt beside it with a merge a line. Both are in GPT-2's
 * byte alphabet, and the split is GPT-2's. */
#include "quant/import/vocab_file.h"

#include <string.h>

#include "core/alloc.h"
#include "core/file.h"
#include "quant/import/json.h"

static uint64_t skip_blanks(const uint8_t *bytes, uint64_t size, uint64_t at)
{
    while (at < size && bytes[at] && strchr(" \t\r\n", bytes[at])) at++;
    return at;
}

bool obi_vocab_is_gpt2(const uint8_t *bytes, uint64_t size)
{
    uint64_t at = skip_blanks(bytes, size, 0);
    if (at == size || bytes[at] != '{') return false;
    at = skip_blanks(bytes, size, at + 1);
    if (at == size || bytes[at++] != '"') return false;
    while (at < size && bytes[at] != '"') at += bytes[at] == '\\' ? 2 : 1;
    at = skip_blanks(bytes, size, at + 1);
    if (at >= size || bytes[at] != ':') return false;
    at = skip_blanks(bytes, size, at + 1);
    return at < size && bytes[at] >= '0' && bytes[at] <= '9';
}

static obi_status read_tokens(obi_vocab_builder *builder, const json_t *root)
{
    for (void *i = json_object_iter((json_t *)root); i; i = json_object_iter_next((json_t *)root, i)) {
        const char *token = json_object_iter_key(i);
        uint64_t id = 0;
        OBI_TRY(obi_json_u64(json_object_iter_value(i), builder->path, token, &id));
        OBI_TRY(obi_vocab_build_token(builder, id, token, strlen(token), 0, OBI_TOKEN_NORMAL));
    }
    for (uint32_t id = 0; id < builder->count; id++)
        if (builder->entries[id].type == 0)
            return obi_fail(OBI_ERROR_DATA, "%s: no token has the id %u, and one has %u: the file is damaged", builder->path, id,
                            builder->count - 1);
    builder->vocab.unk = obi_vocab_build_find(builder, "<unk>");
    return OBI_OK;
}

/* A line "left right"; the first may be a comment with a version. */
static obi_status read_merges(obi_vocab_builder *builder, const char *text, size_t size)
{
    size_t number = 1;
    for (size_t start = 0, end; start < size; start = end + 1, number++) {
        const char *line = text + start, *stop = memchr(line, '\n', size - start);
        end = stop ? (size_t)(stop - text) : size;
        size_t length = end - start;
        if (length > 0 && line[length - 1] == '\r') length--;
        if (length == 0 || (number == 1 && length >= 8 && memcmp(line, "#version", 8) == 0)) continue;
        const char *space = memchr(line, ' ', length);
        size_t left = space ? (size_t)(space - line) : 0, right = space ? length - left - 1 : 0;
        if (left == 0 || right == 0 || memchr(space + 1, ' ', right))
            return obi_fail(OBI_ERROR_DATA, "%s: line %zu of merges.txt beside it is not \"left right\"", builder->path, number);
        OBI_TRY(obi_vocab_build_merge(builder, line, left, space + 1, right));
    }
    return OBI_OK;
}

obi_status obi_vocab_read_gpt2(obi_vocab_builder *builder, const uint8_t *bytes, uint64_t size, const char *merges_path)
{
    json_t *root;
    OBI_TRY(obi_json_parse(&root, bytes, size, builder->path));
    obi_status status = read_tokens(builder, root);
    json_decref(root);
    if (status != OBI_OK) return status;
    obi_mapping mapping;
    status = obi_mapping_open(&mapping, merges_path);
    if (status != OBI_OK) return obi_fail_prefix(status, "%s needs merges.txt beside it", builder->path);
    status = read_merges(builder, (const char *)mapping.data, (size_t)mapping.size);
    obi_mapping_close(&mapping);
    builder->vocab.kind = OBI_VOCAB_BPE_BYTE;
    memcpy(builder->vocab.pre, "gpt-2", sizeof "gpt-2");
    return status;
}

void obi_vocab_mark_gpt2(obi_vocab_builder *builder)
{
    const int32_t specials[] = { builder->vocab.bos, builder->vocab.eos, builder->vocab.pad };
    for (size_t i = 0; i < sizeof specials / sizeof *specials; i++)
        if (specials[i] >= 0 && (uint32_t)specials[i] < builder->count) builder->entries[specials[i]].type = OBI_TOKEN_CONTROL;
}
