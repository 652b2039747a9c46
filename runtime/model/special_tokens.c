#include "model/special_tokens.h"

#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "model/tokenizer_internal.h"

static int compare(const void *left, const void *right)
{
    const obi_special *a = left, *b = right;
    uint64_t shorter = a->text.length < b->text.length ? a->text.length : b->text.length;
    int order = memcmp(a->text.text, b->text.text, (size_t)shorter);
    if (order) return order;
    if (a->text.length != b->text.length) return a->text.length < b->text.length ? -1 : 1;
    if (a->control != b->control) return a->control ? 1 : -1;
    return a->id < b->id ? -1 : a->id > b->id;
}

static bool is_special(const obi_vocab *vocab, uint32_t id)
{
    return (vocab->types[id] == OBI_TOKEN_CONTROL || vocab->types[id] == OBI_TOKEN_USER) && vocab->tokens[id].length > 0;
}

obi_status obi_special_tokens_create(obi_special_tokens *specials, const obi_vocab *vocab)
{
    memset(specials, 0, sizeof *specials);
    uint64_t bytes = 0;
    uint32_t count = 0;
    for (uint32_t id = 0; id < vocab->count; id++) {
        if (!is_special(vocab, id)) continue;
        count++;
        bytes += vocab->tokens[id].length; /* no overflow: the texts exist in memory or in a mapping */
    }
    specials->entries = obi_calloc(count, sizeof *specials->entries);
    specials->storage = obi_calloc((size_t)bytes, 1);
    if (!specials->entries || !specials->storage) {
        obi_special_tokens_free(specials);
        return OBI_ERROR_MEMORY;
    }
    char *end = specials->storage;
    uint32_t filled = 0;
    for (uint32_t id = 0; id < vocab->count; id++) {
        if (!is_special(vocab, id)) continue;
        size_t length;
        if (vocab->kind == OBI_VOCAB_BPE_BYTE) {
            length = (size_t)vocab->tokens[id].length;
            memcpy(end, vocab->tokens[id].text, length);
        } else {
            length = obi_spaces_plain(&vocab->tokens[id], end, (size_t)vocab->tokens[id].length);
        }
        specials->entries[filled++] = (obi_special){ { end, length }, id, vocab->types[id] == OBI_TOKEN_CONTROL };
        end += length;
    }
    if (count) qsort(specials->entries, count, sizeof *specials->entries, compare);
    for (uint32_t i = 0; i < count; i++) {
        obi_special *entry = &specials->entries[i], *last = &specials->entries[specials->count ? specials->count - 1 : 0];
        if (specials->count && last->text.length == entry->text.length &&
            memcmp(last->text.text, entry->text.text, (size_t)entry->text.length) == 0)
            continue;
        specials->entries[specials->count++] = *entry;
        uint8_t first = (uint8_t)entry->text.text[0];
        specials->starts[1][first] = true;
        if (!entry->control) specials->starts[0][first] = true;
    }
    return OBI_OK;
}

void obi_special_tokens_free(obi_special_tokens *specials)
{
    obi_free(specials->entries);
    obi_free(specials->storage);
    memset(specials, 0, sizeof *specials);
}

/* The first of entries [low, high), which agree on `depth` bytes and are longer, whose next byte is at least `byte`. */
static uint32_t first_at_least(const obi_special *entries, uint32_t low, uint32_t high, size_t depth, unsigned byte)
{
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if ((uint8_t)entries[middle].text.text[depth] < byte) low = middle + 1;
        else high = middle;
    }
    return low;
}

static const obi_special *longest_at(const obi_special_tokens *specials, const char *text, size_t left, bool control)
{
    const obi_special *best = NULL;
    uint32_t low = 0, high = specials->count;
    for (size_t depth = 0; low < high; depth++) {
        const obi_special *entry = &specials->entries[low]; /* the shortest of the range comes first */
        if (entry->text.length == depth) {
            if (control || !entry->control) best = entry;
            low++;
        }
        if (depth == left) break;
        unsigned byte = (uint8_t)text[depth];
        low = first_at_least(specials->entries, low, high, depth, byte);
        high = first_at_least(specials->entries, low, high, depth, byte + 1);
    }
    return best;
}

const obi_special *obi_special_tokens_next(const obi_special_tokens *specials, const char *text, size_t length, size_t position,
                                           bool control, size_t *start)
{
    if (specials->count == 0) return NULL;
    for (size_t i = position; i < length; i++) {
        if (!specials->starts[control][(uint8_t)text[i]]) continue;
        const obi_special *found = longest_at(specials, text + i, length - i, control);
        if (found) {
            *start = i;
            return found;
        }
    }
    return NULL;
}
