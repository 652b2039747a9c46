#include "quant/train/generate.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "quant/train/decoder.h"
#include "quant/train/directory.h"
#include "quant/train/samples.h"

#define FLUSH_SECONDS 2.0 /* between two writes to the disk: an interruption costs no more than that */

/* A sample on its way. */
typedef struct generating {
    bool live;
    uint64_t number;
    obi_rng rng;
    uint32_t fed;          /* tokens fed, bos included: the position of the next one */
    uint32_t greedy;       /* tokens behind the first that are the likeliest */
    uint32_t first, count; /* first token; ids made, the first one included */
    uint32_t *ids;         /* (cutoff_len) */
} generating;

/* A finished one that waits for those before it. */
typedef struct waiting {
    uint64_t number;
    obi_sample sample;
    char *text;
} waiting;

typedef struct writer {
    obi_device *device;
    const obi_train_options *options;
    const obi_run_hooks *hooks;
    int lock;
    obi_source *source;
    obi_tokenizer *tokenizer;
    obi_train_model *model;
    obi_decoder *decoder;
    obi_samples samples;
    uint32_t *starts; /* ids that a text may begin with */
    uint32_t start_count;
    generating *slots;
    uint32_t *ids, *positions; /* (B), what is fed next */
    uint64_t next;             /* number of the next sample to begin */
    waiting *waiting;
    size_t waiting_count, waiting_room;
    float *room; /* (top_k) */
} writer;

/* ---- choosing a token ------------------------------------------------------------------------------------------ */

uint32_t obi_generate_likeliest(const float *logits, uint32_t vocabulary)
{
    uint32_t best = vocabulary;
    for (uint32_t id = 0; id < vocabulary; id++)
        if (isfinite(logits[id]) && (best == vocabulary || logits[id] > logits[best])) best = id;
    return best;
}

/* The k-th largest logit; sorted[] has the k largest, falling. Logits that are no numbers do not count. */
static float threshold(const float *logits, uint32_t vocabulary, uint32_t k, float *sorted)
{
    uint32_t count = 0;
    for (uint32_t id = 0; id < vocabulary; id++) {
        if (!isfinite(logits[id]) || (count == k && logits[id] <= sorted[k - 1])) continue;
        uint32_t place = count < k ? count++ : k - 1;
        for (; place > 0 && sorted[place - 1] < logits[id]; place--) sorted[place] = sorted[place - 1];
        sorted[place] = logits[id];
    }
    return count > 0 ? sorted[count - 1] : 0;
}

uint32_t obi_generate_draw(const float *logits, uint32_t vocabulary, double temperature, uint32_t top_k, float *room, double draw)
{
    uint32_t best = obi_generate_likeliest(logits, vocabulary), chosen = best;
    if (best == vocabulary || temperature == 0) return best;
    float least = top_k > 0 && top_k < vocabulary ? threshold(logits, vocabulary, top_k, room) : -INFINITY;
    double sum = 0;
    for (int pass = 0; pass < 2; pass++) { /* the sum, then the place in it */
        double target = draw * sum, reached = 0;
        for (uint32_t id = 0; id < vocabulary; id++) {
            if (!isfinite(logits[id]) || logits[id] < least) continue;
            reached += exp(((double)logits[id] - (double)logits[best]) / temperature);
            if (pass == 0) continue;
            chosen = id;
            if (reached > target) return id;
        }
        sum = reached;
    }
    return chosen; /* rounding: the last */
}

/* ---- one sample ------------------------------------------------------------------------------------------------ */

static const obi_vocab *vocab_of(const writer *to) { return obi_tokenizer_vocab(to->tokenizer); }

/* Ids that stand for text. */
static obi_status find_starts(writer *to)
{
    const obi_vocab *vocab = vocab_of(to);
    to->starts = obi_calloc(vocab->count, sizeof *to->starts);
    if (!to->starts) return OBI_ERROR_MEMORY;
    for (uint32_t id = 0; id < vocab->count && id < to->model->config.vocabulary; id++) {
        int32_t type = vocab->types[id];
        bool text = type == OBI_TOKEN_NORMAL || type == OBI_TOKEN_USER || type == OBI_TOKEN_BYTE;
        if (text && (int64_t)id != vocab->bos && (int64_t)id != vocab->eos && (int64_t)id != vocab->unk && (int64_t)id != vocab->pad)
            to->starts[to->start_count++] = id;
    }
    return to->start_count > 0 ? OBI_OK : obi_fail(OBI_ERROR_DATA, "the tokenizer has no token that stands for text");
}

/* Begins sample `number` in a slot: what is fed to it first. */
static void begin(writer *to, uint32_t index, uint64_t number)
{
    const obi_train_options *options = to->options;
    generating *slot = &to->slots[index];
    obi_rng mix = obi_rng_seed(options->seed + (number + 1) * 0xd1342543de82ef95u);
    slot->rng = obi_rng_seed(obi_rng_next(&mix));
    uint32_t span = options->greedy_tokens_max - options->greedy_tokens_min + 1;
    slot->live = true;
    slot->number = number;
    slot->greedy = options->greedy_tokens_min + (uint32_t)(obi_rng_uniform(&slot->rng) * span);
    double draw = obi_rng_uniform(&slot->rng);
    slot->first =
        options->first_token == OBI_FIRST_RANDOM ? to->starts[(uint32_t)(draw * to->start_count)] : to->starts[number % to->start_count];
    slot->ids[0] = slot->first;
    slot->count = 1;
    slot->fed = 0;
    bool bos = vocab_of(to)->bos >= 0;
    to->ids[index] = bos ? (uint32_t)vocab_of(to)->bos : slot->first;
    to->positions[index] = 0;
}

/* The text of a sample's ids. */
static obi_status decode(const writer *to, const generating *slot, char **text, size_t *length)
{
    size_t room = 256;
    int64_t previous = vocab_of(to)->bos;
    *length = 0;
    *text = obi_calloc(room, 1);
    if (!*text) return OBI_ERROR_MEMORY;
    for (uint32_t i = 0; i < slot->count; previous = slot->ids[i++]) {
        size_t piece = obi_tokenizer_piece(to->tokenizer, previous, slot->ids[i], *text + *length, room - *length);
        if (piece > room - *length) {
            room = (room + piece) * 2;
            char *grown = obi_realloc(*text, room, 1);
            if (!grown) return OBI_ERROR_MEMORY; /* the caller frees *text */
            *text = grown;
            obi_tokenizer_piece(to->tokenizer, previous, slot->ids[i], *text + *length, room - *length);
        }
        *length += piece;
    }
    return OBI_OK;
}

/* Keeps what can be kept in order. */
static obi_status keep_in_order(writer *to)
{
    for (size_t i = 0; i < to->waiting_count;) {
        waiting *entry = &to->waiting[i];
        if (entry->number != to->samples.count) {
            i++;
            continue;
        }
        obi_status status = obi_samples_add(&to->samples, &entry->sample);
        obi_free(entry->text);
        *entry = to->waiting[--to->waiting_count];
        OBI_TRY(status);
        i = 0;
    }
    return OBI_OK;
}

static obi_status finish_sample(writer *to, generating *slot, bool ended)
{
    if (to->waiting_count == to->waiting_room) {
        size_t room = to->waiting_room * 2 + 16;
        waiting *grown = obi_realloc(to->waiting, room, sizeof *grown);
        if (!grown) return OBI_ERROR_MEMORY;
        to->waiting = grown;
        to->waiting_room = room;
    }
    waiting entry = { .number = slot->number,
                      .sample = { .first_token = slot->first, .greedy_tokens = slot->greedy, .tokens = slot->count, .ended = ended } };
    slot->live = false;
    obi_status status = decode(to, slot, &entry.text, &entry.sample.length);
    if (status != OBI_OK) {
        obi_free(entry.text);
        return status;
    }
    entry.sample.text = entry.text;
    to->waiting[to->waiting_count++] = entry;
    return keep_in_order(to);
}

/* What a slot is fed next, from what it was just fed and the logits that gave. */
static obi_status go_on(writer *to, uint32_t index, const float *logits)
{
    const obi_train_options *options = to->options;
    generating *slot = &to->slots[index];
    uint32_t V = to->model->config.vocabulary, eos_id = vocab_of(to)->eos >= 0 ? (uint32_t)vocab_of(to)->eos : V;
    bool bos = vocab_of(to)->bos >= 0;
    slot->fed++;
    to->positions[index] = slot->fed;
    if (bos && slot->fed == 1) { /* behind bos comes the first token, whatever the model thinks */
        to->ids[index] = slot->first;
        return OBI_OK;
    }
    bool greedy = slot->count <= slot->greedy;
    uint32_t id = greedy ? obi_generate_likeliest(logits, V)
                         : obi_generate_draw(logits, V, options->temperature, options->top_k, to->room, obi_rng_uniform(&slot->rng));
    if (id == V)
        return obi_fail(OBI_ERROR_RUNTIME,
                        "the teacher gave no finite logit; its weights or this device are broken (try onebit-info-vk --selftest)");
    if (id == eos_id) return finish_sample(to, slot, true);
    slot->ids[slot->count++] = id;
    if (slot->count + bos == options->cutoff_len) return finish_sample(to, slot, false);
    to->ids[index] = id;
    return OBI_OK;
}

/* ---- the whole ------------------------------------------------------------------------------------------------- */

/* All slots take the next samples that are not begun. */
static bool fill_slots(writer *to)
{
    bool any = false;
    for (uint32_t b = 0; b < to->decoder->rows; b++) {
        if (!to->slots[b].live && to->next < to->options->num_samples) begin(to, b, to->next++);
        any |= to->slots[b].live;
        if (!to->slots[b].live) to->ids[b] = to->positions[b] = 0; /* computed all the same, and not looked at */
    }
    return any;
}

static obi_status loop(writer *to)
{
    const obi_train_options *options = to->options;
    const obi_run_hooks *hooks = to->hooks;
    uint32_t V = to->model->config.vocabulary;
    double flushed = obi_clock_seconds(), started = flushed;
    obi_generate_progress progress = { .first = to->samples.count, .samples = options->num_samples };
    to->next = to->samples.count;
    while (fill_slots(to)) {
        const float *logits;
        OBI_TRY(obi_decoder_step(to->decoder, to->ids, to->positions, &logits));
        for (uint32_t b = 0; b < to->decoder->rows; b++) {
            if (!to->slots[b].live) continue;
            progress.tokens++;
            OBI_TRY(go_on(to, b, logits + (uint64_t)b * V));
        }
        double now = obi_clock_seconds();
        progress.done = to->samples.count;
        progress.seconds = now - started;
        progress.device_bytes = obi_train_model_bytes(to->model) + to->decoder->bytes;
        if (hooks->generated) hooks->generated(&progress, hooks->user);
        if (options->dry_run) return OBI_OK;
        if (now - flushed > FLUSH_SECONDS) {
            OBI_TRY(obi_samples_flush(&to->samples));
            flushed = now;
        }
        if (hooks->stop && hooks->stop(hooks->user)) {
            OBI_TRY(obi_samples_flush(&to->samples));
            return obi_fail(OBI_ERROR_CANCELLED, "stopped after sample %" PRIu64 " of %u; the same command goes on from there",
                            to->samples.count, options->num_samples);
        }
    }
    return OBI_OK;
}

/* JSON's form of a text; what does not fit is cut. */
static void quote(const char *text, char *out, size_t room)
{
    size_t used = 0;
    for (; *text && used + 8 < room; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\') out[used++] = '\\';
        if (c < 0x20) used += (size_t)snprintf(out + used, room - used, "\\u%04x", c);
        else out[used++] = (char)c;
    }
    out[used] = 0;
}

/* generate.json: all that decides what the samples are, but their number, which may grow. */
static void describe(const writer *to, char *text, size_t room)
{
    const obi_train_options *options = to->options;
    char teacher[1024], separator[256];
    quote(options->teacher_model_name_or_path, teacher, sizeof teacher);
    quote(options->document_separator, separator, sizeof separator);
    snprintf(
        text, room,
        "{\n  \"method\": \"LLM-QAT: first token, likeliest tokens, then sampling\",\n  \"teacher\": \"%s\",\n  \"vocabulary\": %u,\n"
        "  \"seed\": %" PRIu64 ",\n  \"bos\": %s,\n  \"first_token\": \"%s\",\n  \"first_tokens\": %u,\n"
        "  \"greedy_tokens_min\": %u,\n  \"greedy_tokens_max\": %u,\n  \"temperature\": %.17g,\n  \"top_k\": %u,\n"
        "  \"stop\": \"eos or cutoff_len\",\n  \"cutoff_len\": %u,\n  \"sequences_at_once\": %u,\n  \"document_separator\": \"%s\"\n}\n",
        teacher, to->model->config.vocabulary, options->seed, vocab_of(to)->bos >= 0 ? "true" : "false",
        options->first_token == OBI_FIRST_RANDOM ? "random" : "enumerate", to->start_count, options->greedy_tokens_min,
        options->greedy_tokens_max, options->temperature, options->top_k, options->cutoff_len, to->decoder->rows, separator);
}

static obi_status open_teacher(writer *to)
{
    const obi_train_options *options = to->options;
    const char *tokenizer = options->tokenizer_name_or_path[0] ? options->tokenizer_name_or_path : NULL;
    OBI_TRY(obi_source_open(&to->source, options->teacher_model_name_or_path, tokenizer));
    if (to->source->vocab.count == 0)
        return obi_fail(OBI_ERROR_DATA, "there is no tokenizer beside the model; name one (tokenizer_name_or_path)");
    if (options->cutoff_len > to->source->config.context)
        return obi_fail(OBI_ERROR_ARGUMENT, "cutoff_len: the teacher's context is %u", to->source->config.context);
    return obi_tokenizer_create(&to->tokenizer, &to->source->vocab);
}

static obi_status make_slots(writer *to)
{
    const obi_train_options *options = to->options;
    uint32_t B = options->per_device_train_batch_size;
    OBI_TRY(obi_train_model_from_source(to->device, to->source, NULL, &to->model));
    OBI_TRY(find_starts(to));
    OBI_TRY(obi_decoder_create(to->model, B, options->cutoff_len, &to->decoder));
    to->slots = obi_calloc(B, sizeof *to->slots);
    to->ids = obi_calloc(B, sizeof *to->ids);
    to->positions = obi_calloc(B, sizeof *to->positions);
    to->room = obi_calloc(options->top_k, sizeof *to->room);
    if (!to->slots || !to->ids || !to->positions || !to->room) return OBI_ERROR_MEMORY;
    for (uint32_t b = 0; b < B; b++) {
        to->slots[b].ids = obi_calloc(options->cutoff_len, sizeof *to->slots[b].ids);
        if (!to->slots[b].ids) return OBI_ERROR_MEMORY;
    }
    return OBI_OK;
}

static void close_all(writer *to)
{
    uint32_t B = to->options->per_device_train_batch_size;
    for (uint32_t b = 0; to->slots && b < B; b++) obi_free(to->slots[b].ids);
    for (size_t i = 0; i < to->waiting_count; i++) obi_free(to->waiting[i].text);
    obi_free(to->slots);
    obi_free(to->ids);
    obi_free(to->positions);
    obi_free(to->room);
    obi_free(to->waiting);
    obi_free(to->starts);
    obi_decoder_destroy(to->decoder);
    obi_train_model_free(to->model);
    obi_tokenizer_free(to->tokenizer);
    obi_source_close(to->source);
    obi_samples_close(&to->samples);
    if (to->lock >= 0) close(to->lock);
}

obi_status obi_generate_run(obi_device *device, const obi_train_options *options, const obi_run_hooks *hooks)
{
    writer to = { .device = device, .options = options, .hooks = hooks, .lock = -1, .samples = { .text = -1, .record = -1 } };
    char settings[2048];
    obi_status status;
    OBI_TRY_GOTO(open_teacher(&to));
    if (!options->dry_run) OBI_TRY_GOTO(obi_directory_open(options->output_dir, &to.lock));
    OBI_TRY_GOTO(make_slots(&to));
    describe(&to, settings, sizeof settings);
    if (!options->dry_run) {
        bool anew = options->overwrite_output_dir;
        OBI_TRY_GOTO(obi_samples_open(&to.samples, options->output_dir, options->document_separator, settings, anew));
        if (to.samples.count > 0 && !options->resume) {
            status =
                obi_fail(OBI_ERROR_ARGUMENT,
                         "%s holds samples; go on with them (resume_from_checkpoint: true) or give them up (overwrite_output_dir: true)",
                         options->output_dir);
            goto done;
        }
        OBI_TRY_GOTO(obi_directory_write_options(options));
    }
    OBI_TRY_GOTO(loop(&to));
    if (!options->dry_run) status = obi_samples_finish(&to.samples);
done:
    close_all(&to);
    return status;
}
