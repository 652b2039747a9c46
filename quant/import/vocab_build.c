#include "quant/import/vocab_build.h"

#include <stdio.h>
#include <string.h>

#include "core/alloc.h"

enum { MAX_TOKENS = 1 << 22, MAX_MERGES = 1 << 24 };

void obi_vocab_build_begin(obi_vocab_builder *builder, const char *path, uint32_t limit)
{
    memset(builder, 0, sizeof *builder);
    builder->path = path;
    builder->limit = limit < MAX_TOKENS ? limit : MAX_TOKENS;
    builder->vocab.bos = builder->vocab.eos = builder->vocab.unk = builder->vocab.pad = -1;
}

void obi_vocab_build_free(obi_vocab_builder *builder)
{
    obi_vocab_free(&builder->vocab);
    obi_free(builder->bytes);
    obi_free(builder->entries);
    obi_free(builder->merges);
    memset(builder, 0, sizeof *builder);
}

static obi_status append(obi_vocab_builder *builder, const char *text, size_t length)
{
    if (length >= builder->room - builder->used) { /* never equal, so that even an empty text has an address */
        size_t room = builder->room * 2 + length + 4096;
        char *bytes = obi_realloc(builder->bytes, room, 1);
        if (!bytes) return OBI_ERROR_MEMORY;
        builder->bytes = bytes;
        builder->room = room;
    }
    if (length > 0) memcpy(builder->bytes + builder->used, text, length);
    builder->used += length;
    return OBI_OK;
}

static obi_status grow_entries(obi_vocab_builder *builder, uint32_t count)
{
    if (count > builder->entry_room) {
        uint32_t room = count + builder->entry_room + 256;
        obi_vocab_entry *entries = obi_realloc(builder->entries, room, sizeof *entries);
        if (!entries) return OBI_ERROR_MEMORY;
        memset(entries + builder->entry_room, 0, (room - builder->entry_room) * sizeof *entries);
        builder->entries = entries;
        builder->entry_room = room;
    }
    if (count > builder->count) builder->count = count;
    return OBI_OK;
}

obi_status obi_vocab_build_token(obi_vocab_builder *builder, uint64_t id, const char *text, size_t length, float score, int32_t type)
{
    if (id >= builder->limit)
        return obi_fail(OBI_ERROR_DATA, "%s: the tokenizer has a token %llu and the model only %u tokens: they do not belong together",
                        builder->path, (unsigned long long)id, builder->limit);
    OBI_TRY(grow_entries(builder, (uint32_t)id + 1));
    obi_vocab_entry *entry = &builder->entries[id];
    if (entry->type != 0) {
        if (entry->text.length != length || memcmp(builder->bytes + entry->text.offset, text, length) != 0)
            return obi_fail(OBI_ERROR_DATA, "%s: id %llu stands for two tokens, \"%.*s\" and \"%.*s\"", builder->path,
                            (unsigned long long)id, entry->text.length < 64 ? (int)entry->text.length : 64,
                            builder->bytes + entry->text.offset, length < 64 ? (int)length : 64, text);
        entry->type = type;
        return OBI_OK;
    }
    entry->text = (obi_vocab_text){ builder->used, length };
    OBI_TRY(append(builder, text, length));
    entry->score = score;
    entry->type = type;
    return OBI_OK;
}

obi_status obi_vocab_build_merge(obi_vocab_builder *builder, const char *left, size_t left_length, const char *right, size_t right_length)
{
    /* Readers split at the first space that leaves both sides non-empty. */
    if (left_length == 0 || right_length == 0 || memchr(left + 1, ' ', left_length - 1))
        return obi_fail(OBI_ERROR_DATA, "%s: merge %u is not two pieces that a space can separate", builder->path, builder->merge_count);
    if (builder->merge_count == MAX_MERGES) return obi_fail(OBI_ERROR_DATA, "%s: more than %d merges", builder->path, MAX_MERGES);
    if (builder->merge_count == builder->merge_room) {
        uint32_t room = builder->merge_room * 2 + 256;
        obi_vocab_text *merges = obi_realloc(builder->merges, room, sizeof *merges);
        if (!merges) return OBI_ERROR_MEMORY;
        builder->merges = merges;
        builder->merge_room = room;
    }
    obi_vocab_text *merge = &builder->merges[builder->merge_count];
    *merge = (obi_vocab_text){ builder->used, left_length + 1 + right_length };
    OBI_TRY(append(builder, left, left_length));
    OBI_TRY(append(builder, " ", 1));
    OBI_TRY(append(builder, right, right_length));
    builder->merge_count++;
    return OBI_OK;
}

int32_t obi_vocab_build_find(const obi_vocab_builder *builder, const char *text)
{
    size_t length = strlen(text);
    for (uint32_t id = 0; id < builder->count; id++) {
        const obi_vocab_entry *entry = &builder->entries[id];
        if (entry->type != 0 && entry->text.length == length && memcmp(builder->bytes + entry->text.offset, text, length) == 0)
            return (int32_t)id;
    }
    return -1;
}

static obi_status fill_holes(obi_vocab_builder *builder)
{
    for (uint32_t id = 0; id < builder->count; id++) {
        if (builder->entries[id].type != 0) continue;
        char text[32];
        int length = snprintf(text, sizeof text, "[unused id %u]", id);
        OBI_TRY(obi_vocab_build_token(builder, id, text, (size_t)length, 0, OBI_TOKEN_UNUSED));
    }
    return OBI_OK;
}

/* An id that points past the last token comes from a configuration that belongs to another file. */
static obi_status check_special(const obi_vocab_builder *builder, const char *what, int32_t id)
{
    if (id < 0 || (uint32_t)id < builder->count) return OBI_OK;
    return obi_fail(OBI_ERROR_DATA, "%s: the %s token has id %d and the tokenizer only %u tokens", builder->path, what, id, builder->count);
}

obi_status obi_vocab_build_finish(obi_vocab_builder *builder, obi_vocab *out)
{
    if (builder->count == 0) return obi_fail(OBI_ERROR_DATA, "%s: the tokenizer has no tokens", builder->path);
    OBI_TRY(fill_holes(builder));
    OBI_TRY(check_special(builder, "bos", builder->vocab.bos));
    OBI_TRY(check_special(builder, "eos", builder->vocab.eos));
    OBI_TRY(check_special(builder, "unk", builder->vocab.unk));
    OBI_TRY(check_special(builder, "pad", builder->vocab.pad));
    obi_vocab *vocab = &builder->vocab;
    bool scored = vocab->kind == OBI_VOCAB_SPM;
    vocab->tokens = obi_calloc(builder->count, sizeof *vocab->tokens);
    vocab->types = obi_calloc(builder->count, sizeof *vocab->types);
    vocab->merges = builder->merge_count ? obi_calloc(builder->merge_count, sizeof *vocab->merges) : NULL;
    vocab->scores = scored ? obi_calloc(builder->count, sizeof *vocab->scores) : NULL;
    if (!vocab->tokens || !vocab->types || (builder->merge_count && !vocab->merges) || (scored && !vocab->scores)) return OBI_ERROR_MEMORY;
    for (uint32_t id = 0; id < builder->count; id++) {
        const obi_vocab_entry *entry = &builder->entries[id];
        vocab->tokens[id] = (obi_gguf_string){ builder->bytes + entry->text.offset, entry->text.length };
        vocab->types[id] = entry->type;
        if (scored) vocab->scores[id] = entry->score;
    }
    for (uint32_t i = 0; i < builder->merge_count; i++)
        vocab->merges[i] = (obi_gguf_string){ builder->bytes + builder->merges[i].offset, builder->merges[i].length };
    vocab->count = builder->count;
    vocab->merge_count = builder->merge_count;
    vocab->storage = builder->bytes;
    builder->bytes = NULL;
    *out = *vocab;
    memset(vocab, 0, sizeof *vocab);
    return OBI_OK;
}

static int hexadecimal(char digit)
{
    if (digit >= '0' && digit <= '9') return digit - '0';
    if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
    if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
    return -1;
}

int obi_vocab_byte_piece(const char *text, size_t length)
{
    if (length != 6 || memcmp(text, "<0x", 3) != 0 || text[5] != '>') return -1;
    int high = hexadecimal(text[3]), low = hexadecimal(text[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}
