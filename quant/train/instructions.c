#include <string.h>

#include "core/alloc.h"
#include "ops/op_loss.h"
#include "quant/import/examples.h"
#include "quant/train/dataset.h"

/* What LLaMA-Factory calls the template alpaca. */
#define ALPACA_SYSTEM "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
#define ALPACA_INSTRUCTION "### Instruction:\n"
#define ALPACA_RESPONSE "\n\n### Response:\n"

typedef struct collector {
    obi_dataset *dataset;
    const obi_tokenizer *tokenizer;
    bool alpaca;
    uint64_t room; /* blocks */
} collector;

/* The parts one after the other; obi_free it. NULL: out of memory. */
static char *join(const char *const parts[], size_t count)
{
    size_t length = 1;
    for (size_t i = 0; i < count; i++) length += strlen(parts[i]);
    char *text = obi_calloc(length, 1), *at = text;
    for (size_t i = 0; text && i < count; i++) {
        size_t part = strlen(parts[i]);
        memcpy(at, parts[i], part);
        at += part;
    }
    return text;
}

static char *prompt_of(const collector *to, const obi_example *example)
{
    if (!example->instruction) return obi_strdup(example->prompt ? example->prompt : "");
    const char *between = example->input[0] ? "\n" : "";
    if (to->alpaca)
        return join(
            (const char *const[]){ ALPACA_SYSTEM, ALPACA_INSTRUCTION, example->instruction, between, example->input, ALPACA_RESPONSE }, 6);
    return join((const char *const[]){ example->instruction, between, example->input, "\n" }, 4);
}

static obi_status grow(collector *to)
{
    obi_dataset *dataset = to->dataset;
    if (dataset->blocks < to->room) return OBI_OK;
    uint64_t room = to->room * 2 + 64;
    if (room > SIZE_MAX / 8 / dataset->length) return obi_fail(OBI_ERROR_MEMORY, "there are more examples than memory can hold");
    uint32_t *ids = obi_realloc(dataset->ids, (size_t)room * dataset->length, sizeof *ids);
    if (!ids) return OBI_ERROR_MEMORY;
    dataset->ids = ids;
    uint32_t *targets = obi_realloc(dataset->targets, (size_t)room * dataset->length, sizeof *targets);
    if (!targets) return OBI_ERROR_MEMORY;
    dataset->targets = targets;
    to->room = room;
    return OBI_OK;
}

/* A block of prompt and answer. One that no answer fits into is left out. */
static obi_status add_block(collector *to, const uint32_t *prompt, size_t prompt_count, const uint32_t *answer, size_t answer_count)
{
    obi_dataset *dataset = to->dataset;
    size_t length = dataset->length, whole = prompt_count + answer_count, used = whole < length ? whole : length;
    dataset->cut += whole > length;
    if (prompt_count >= length || used < 2 || whole == prompt_count) {
        dataset->left_out++;
        return OBI_OK;
    }
    OBI_TRY(grow(to));
    uint32_t *ids = dataset->ids + dataset->blocks * length, *targets = dataset->targets + dataset->blocks * length;
    int32_t eos = obi_tokenizer_vocab(to->tokenizer)->eos;
    memcpy(ids, prompt, prompt_count * sizeof *ids);
    memcpy(ids + prompt_count, answer, (used - prompt_count) * sizeof *ids);
    for (size_t t = 0; t < length; t++) {
        if (t >= used) ids[t] = eos >= 0 ? (uint32_t)eos : 0;
        targets[t] = OBI_NO_TARGET;
    }
    for (size_t t = prompt_count > 0 ? prompt_count : 1; t < used; t++) targets[t - 1] = ids[t];
    dataset->blocks++;
    dataset->documents++;
    return OBI_OK;
}

/* Prompt and answer are tokenised apart, as they are when the model answers. */
static obi_status take(void *user, const obi_example *example)
{
    collector *to = user;
    uint32_t *prompt_ids = NULL, *answer_ids = NULL;
    size_t prompt_count, answer_count;
    obi_status status = OBI_ERROR_MEMORY;
    char *prompt = prompt_of(to, example);
    if (!prompt) goto done;
    OBI_TRY_GOTO(obi_tokenizer_encode(to->tokenizer, prompt, strlen(prompt), OBI_ENCODE_BOS, &prompt_ids, &prompt_count));
    OBI_TRY_GOTO(obi_tokenizer_encode(to->tokenizer, example->answer, strlen(example->answer), OBI_ENCODE_EOS, &answer_ids, &answer_count));
    status = add_block(to, prompt_ids, prompt_count, answer_ids, answer_count);
    to->dataset->bytes += strlen(prompt) + strlen(example->answer);
done:
    obi_free(prompt);
    obi_free(prompt_ids);
    obi_free(answer_ids);
    return status;
}

obi_status obi_dataset_open_instructions(obi_dataset *dataset, const char *path, const obi_tokenizer *tokenizer, bool alpaca,
                                         uint32_t length)
{
    memset(dataset, 0, sizeof *dataset);
    dataset->length = length;
    collector to = { .dataset = dataset, .tokenizer = tokenizer, .alpaca = alpaca };
    obi_status status = obi_examples_read(path, take, &to);
    if (status == OBI_OK && dataset->blocks == 0)
        status = dataset->left_out > 0
                     ? obi_fail(OBI_ERROR_DATA, "%s: no example has an answer within %u tokens; raise cutoff_len", path, length)
                     : obi_fail(OBI_ERROR_DATA, "%s has no examples", path);
    if (status != OBI_OK) obi_dataset_close(dataset);
    return status;
}
