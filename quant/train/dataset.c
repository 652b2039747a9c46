#include "quant/train/dataset.h"

#include <string.h>

#include "core/alloc.h"
#include "core/rng.h"
#include "ops/op_loss.h"

/* Ids as they grow. */
typedef struct id_list {
    uint32_t *ids;
    size_t count, room;
} id_list;

static obi_status append(id_list *list, const uint32_t *ids, size_t count)
{
    if (count > list->room - list->count) {
        size_t room = (list->count + count) * 2;
        uint32_t *grown = obi_realloc(list->ids, room, sizeof *grown);
        if (!grown) return OBI_ERROR_MEMORY;
        list->ids = grown;
        list->room = room;
    }
    if (count > 0) memcpy(list->ids + list->count, ids, count * sizeof *ids);
    list->count += count;
    return OBI_OK;
}

static bool is_space(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

static obi_status add_document(obi_dataset *dataset, id_list *list, const obi_tokenizer *tokenizer, const char *text, size_t length)
{
    while (length > 0 && is_space(*text)) text++, length--;
    while (length > 0 && is_space(text[length - 1])) length--;
    if (length == 0) return OBI_OK;
    uint32_t *ids;
    size_t count;
    OBI_TRY(obi_tokenizer_encode(tokenizer, text, length, OBI_ENCODE_BOS | OBI_ENCODE_EOS, &ids, &count));
    obi_status status = append(list, ids, count);
    obi_free(ids);
    dataset->documents++;
    return status;
}

obi_status obi_dataset_open(obi_dataset *dataset, const char *path, const obi_tokenizer *tokenizer, const char *separator, uint32_t length)
{
    memset(dataset, 0, sizeof *dataset);
    id_list list = { 0 };
    obi_mapping file;
    obi_status status;
    OBI_TRY(obi_mapping_open(&file, path));
    const char *at = (const char *)file.data, *end = at + file.size;
    size_t mark = strlen(separator);
    dataset->bytes = file.size;
    dataset->length = length;
    while (at < end) {
        const char *stop = mark > 0 ? memmem(at, (size_t)(end - at), separator, mark) : NULL;
        if (!stop) stop = end;
        OBI_TRY_GOTO(add_document(dataset, &list, tokenizer, at, (size_t)(stop - at)));
        at = stop < end ? stop + mark : end;
    }
    dataset->ids = list.ids;
    dataset->blocks = list.count / length;
    list.ids = NULL;
    status = dataset->blocks > 0
                 ? OBI_OK
                 : obi_fail(OBI_ERROR_DATA, "%s has %zu tokens: not one sequence of %u (cutoff_len)", path, list.count, length);
done:
    obi_free(list.ids);
    obi_mapping_close(&file);
    if (status != OBI_OK) obi_dataset_close(dataset);
    return status;
}

void obi_dataset_close(obi_dataset *dataset)
{
    obi_free(dataset->ids);
    obi_free(dataset->targets);
    memset(dataset, 0, sizeof *dataset);
}

/* A permutation of 0..n-1 without a table: a four-round Feistel network over the next even power of two, walked until it
 * lands inside. */
static uint64_t permute(uint64_t n, uint64_t seed, uint64_t i)
{
    unsigned half_bits = 1;
    while (half_bits < 31 && (1ull << 2 * half_bits) < n) half_bits++;
    uint64_t mask = (1ull << half_bits) - 1;
    do {
        uint64_t left = i >> half_bits, right = i & mask;
        for (unsigned round = 0; round < 4; round++) {
            obi_rng mix = obi_rng_seed(seed ^ (right * 4 + round) * 0x9e3779b97f4a7c15u);
            uint64_t next = left ^ (obi_rng_next(&mix) & mask);
            left = right;
            right = next;
        }
        i = left << half_bits | right;
    } while (i >= n);
    return i;
}

const uint32_t *obi_dataset_block(const obi_dataset *dataset, uint64_t seed, uint64_t position)
{
    uint64_t epoch = position / dataset->blocks;
    obi_rng mix = obi_rng_seed(seed + epoch * 0x632be59bd9b4e019u);
    uint64_t block = permute(dataset->blocks, obi_rng_next(&mix), position % dataset->blocks);
    return dataset->ids + block * dataset->length;
}

uint64_t obi_dataset_trained(const obi_dataset *dataset, const uint32_t *block)
{
    const uint32_t *targets = obi_dataset_targets(dataset, block);
    if (!targets) return dataset->length - 1;
    uint64_t count = 0;
    for (uint32_t t = 0; t < dataset->length; t++) count += targets[t] != OBI_NO_TARGET;
    return count;
}
