#include "quant/train/options.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "core/alloc.h"
#include "ops/op_optim.h"

typedef enum option_type { TEXT, COUNT, SEED, REAL, SWITCH, CHOICE } option_type;

typedef struct option {
    const char *key;
    option_type type;
    size_t offset;
    const char *initial; /* the default */
    double least, most;  /* of COUNT and REAL */
    const char *choices; /* of CHOICE: "a|b|c", value = index */
    const char *help;
} option;

#define AT(field) offsetof(obi_train_options, field)
#define MANY 4294967295.0

static const option table[] = {
    { "preset", CHOICE, AT(preset), "none", 0, 0, "none|official|improved|llmqat",
      "sets keys that belong together; your own go over them. official: the OneBit authors' code; improved: better in our runs; llmqat: "
      "LLM-QAT's program" },
    { "stage", CHOICE, AT(stage), "kd", 0, 0, "pretrain|kd|sft|generate",
      "pretrain: ordinary weights from text; kd: a 1-bit student from a teacher; sft: a student learns to answer; generate: the "
      "teacher writes a training text" },
    { "model_name_or_path", TEXT, AT(model_name_or_path), "", 0, 0, NULL,
      "model to start from (pretrain: none makes a new one; kd: none makes a 1-bit one of the teacher by SVID; sft: the student)" },
    { "teacher_model_name_or_path", TEXT, AT(teacher_model_name_or_path), "", 0, 0, NULL,
      "the model that a kd run learns from, or that generate lets write" },
    { "tokenizer_name_or_path", TEXT, AT(tokenizer_name_or_path), "", 0, 0, NULL,
      "tokenizer.model, .json or .bin for a model made from nothing" },
    { "dataset", TEXT, AT(dataset), "", 0, 0, NULL, "training text, UTF-8; sft: examples, JSON Lines or an array" },
    { "eval_dataset", TEXT, AT(eval_dataset), "", 0, 0, NULL, "held-out text or examples" },
    { "template", CHOICE, AT(template), "alpaca", 0, 0, "alpaca|plain", "sft: what stands around instruction and input" },
    { "document_separator", TEXT, AT(document_separator), "<|endoftext|>", 0, 0, NULL, "what stands between two documents of a text" },
    { "output_dir", TEXT, AT(output_dir), "", 0, 0, NULL, "directory of the run: logs, checkpoints, model.gguf" },
    { "model_type", CHOICE, AT(model_type), "llama", 0, 0, "llama|opt",
      "family of a model made from nothing; opt: norms first, no use for num_key_value_heads and rope_theta" },
    { "hidden_size", COUNT, AT(hidden_size), "256", 2, 1048576, NULL, "width of a model made from nothing" },
    { "intermediate_size", COUNT, AT(intermediate_size), "688", 1, 1048576, NULL, "its feed-forward width" },
    { "num_hidden_layers", COUNT, AT(num_hidden_layers), "6", 1, 1024, NULL, "its layers" },
    { "num_attention_heads", COUNT, AT(num_attention_heads), "8", 1, 1024, NULL, "its heads" },
    { "num_key_value_heads", COUNT, AT(num_key_value_heads), "8", 1, 1024, NULL, "its key/value heads (llama)" },
    { "max_position_embeddings", COUNT, AT(max_position_embeddings), "512", 2, 16777216, NULL, "its context" },
    { "rms_norm_eps", REAL, AT(rms_norm_eps), "1e-5", 1e-12, 1, NULL, "of its norms" },
    { "rope_theta", REAL, AT(rope_theta), "10000", 1, 1e12, NULL, "base of its rotary positions" },
    { "initializer_range", REAL, AT(initializer_range), "0.02", 1e-9, 10, NULL, "standard deviation of its first weights" },
    { "cutoff_len", COUNT, AT(cutoff_len), "256", 64, 1048576, NULL, "tokens of a sequence; a multiple of 64" },
    { "per_device_train_batch_size", COUNT, AT(per_device_train_batch_size), "8", 1, 65536, NULL, "sequences at once" },
    { "gradient_accumulation_steps", COUNT, AT(gradient_accumulation_steps), "1", 1, 65536, NULL, "batches of a step" },
    { "gradient_checkpointing", SWITCH, AT(gradient_checkpointing), "false", 0, 0, NULL,
      "keep one layer's activations, compute the others' again for the backward pass: less memory, the same numbers, slower" },
    { "max_steps", COUNT, AT(max_steps), "0", 0, MANY, NULL, "steps; 0: by num_train_epochs" },
    { "num_train_epochs", REAL, AT(num_train_epochs), "1", 0, 1e9, NULL, "passes over the data when max_steps is 0" },
    { "learning_rate", REAL, AT(learning_rate), "4e-4", 0, 10, NULL, "of the latent weights W" },
    { "scales_learning_rate", REAL, AT(scales_learning_rate), "0", 0, 10, NULL, "of g and h; 0: learning_rate" },
    { "other_learning_rate", REAL, AT(other_learning_rate), "0", 0, 10, NULL, "of embedding, head and norms; 0: learning_rate" },
    { "weight_decay", REAL, AT(weight_decay), "0.01", 0, 10, NULL, "of W, embedding and head" },
    { "scales_weight_decay", REAL, AT(scales_weight_decay), "0", 0, 10, NULL, "of g, h and norms" },
    { "adam_beta1", REAL, AT(adam_beta1), "0.9", 0, 0.999999, NULL, "" },
    { "adam_beta2", REAL, AT(adam_beta2), "0.98", 0, 0.999999, NULL, "" },
    { "adam_epsilon", REAL, AT(adam_epsilon), "1e-8", 1e-30, 1, NULL, "" },
    { "max_grad_norm", REAL, AT(max_grad_norm), "1", 0, 1e9, NULL, "clips the global norm of the gradient; 0: off" },
    { "lr_scheduler_type", CHOICE, AT(lr_scheduler_type), "cosine", 0, 0, "cosine|linear|constant", "how the learning rate falls" },
    { "warmup_steps", COUNT, AT(warmup_steps), "0", 0, MANY, NULL, "steps over which it rises first" },
    { "warmup_ratio", REAL, AT(warmup_ratio), "0", 0, 1, NULL, "the same as a share of all steps; with warmup_steps: the fewer of both" },
    { "seed", SEED, AT(seed), "1", 0, 0, NULL, "of initial weights and of the order of the data" },
    { "method", CHOICE, AT(method), "onebit", 0, 0, "onebit|xnor|bitnet_b1|llmqat_sym|llmqat",
      "form of a layer. onebit: signs, g and h; xnor: a scale for each row, no g; bitnet_b1: one scale, signs of W - mean W; "
      "llmqat_sym: W at 2^bits - 1 levels, min-max; llmqat: LLM-QAT's own levels at 1 and 2 bits" },
    { "bits", COUNT, AT(bits), "2", 1, 4, NULL, "of a weight: method: llmqat_sym (from 2) and llmqat" },
    { "scales_init", CHOICE, AT(scales_init), "svid", 0, 0, "svid|plain|random",
      "onebit: first g and h. svid: the best for W; plain: 1 and mean|W|; random: normal numbers of that size" },
    { "post_norm", SWITCH, AT(post_norm), "true", 0, 0, NULL, "LayerNorm after each 1-bit layer" },
    { "estimator", CHOICE, AT(estimator), "onebit", 0, 0, "onebit|identity|clip|tanh",
      "gradient through the sign: 1.001-tanh^2, 1, |w|<alpha, alpha(1-tanh^2(alpha w))" },
    { "estimator_alpha", REAL, AT(estimator_alpha), "1", 1e-9, 1e9, NULL, "alpha of clip and tanh" },
    { "latent_init", CHOICE, AT(latent_init), "constant", 0, 0, "constant|rowmean|raw",
      "latent weights from W: c sign(W), c W / mean|W| of the row, W" },
    { "latent_scale", REAL, AT(latent_scale), "0.01", 1e-9, 1e3, NULL, "c of constant and rowmean" },
    { "trainable", CHOICE, AT(trainable), "linears", 0, 0, "linears|all", "linears: W, g, h; all: embedding, head and norms too" },
    { "kd_alpha", REAL, AT(kd_alpha), "1", 0, 1e6, NULL, "weight of the KL term, mean per token (the authors' code: 20.48)" },
    { "kd_beta", REAL, AT(kd_beta), "1", 0, 1e6, NULL, "weight of the hidden-state term, summed over layers" },
    { "num_samples", COUNT, AT(num_samples), "1000", 1, MANY, NULL, "generate: texts to write" },
    { "first_token", CHOICE, AT(first_token), "random", 0, 0, "random|enumerate",
      "generate: each text begins with a random token of the vocabulary, or with one after the other" },
    { "greedy_tokens_min", COUNT, AT(greedy_tokens_min), "3", 0, 1024, NULL,
      "generate: after it come at least this many likeliest tokens" },
    { "greedy_tokens_max", COUNT, AT(greedy_tokens_max), "5", 0, 1024, NULL, "generate: and at most this many; the others are drawn" },
    { "temperature", REAL, AT(temperature), "1", 0, 100, NULL, "generate: of the distribution that is drawn from; 0: the likeliest" },
    { "top_k", COUNT, AT(top_k), "0", 0, 1024, NULL, "generate: draw from the likeliest only; 0: from all" },
    { "logging_steps", COUNT, AT(logging_steps), "10", 1, MANY, NULL, "steps between two lines of the log" },
    { "eval_steps", COUNT, AT(eval_steps), "0", 0, MANY, NULL, "steps between two evaluations; 0: at the end only" },
    { "save_steps", COUNT, AT(save_steps), "0", 0, MANY, NULL, "steps between two checkpoints; 0: at the end only" },
    { "save_total_limit", COUNT, AT(save_total_limit), "3", 1, 1000000, NULL, "checkpoints to keep" },
    { "early_stopping_patience", COUNT, AT(early_stopping_patience), "0", 0, MANY, NULL,
      "evaluations without a better result before stopping; 0: never" },
    { "metric_for_best_model", CHOICE, AT(metric_for_best_model), "auto", 0, 0, "auto|eval_loss|eval_kl",
      "what makes an evaluation the best; auto: eval_kl with a teacher, else eval_loss" },
    { "load_best_model_at_end", SWITCH, AT(load_best_model_at_end), "false", 0, 0, NULL,
      "model.gguf is the model of the best evaluation, not of the last step" },
    { "resume_from_checkpoint", SWITCH, AT(resume), "true", 0, 0, NULL, "go on from the newest good checkpoint of output_dir" },
    { "overwrite_output_dir", SWITCH, AT(overwrite_output_dir), "false", 0, 0, NULL, "start anew in a directory that holds a run" },
    { "dry_run", SWITCH, AT(dry_run), "false", 0, 0, NULL, "print the memory plan, run one step, write nothing" },
};
#define OPTIONS (sizeof table / sizeof *table)
_Static_assert(OPTIONS <= OBI_TRAIN_OPTIONS_MAX, "obi_train_options.given is too short");

static void *field_of(const obi_train_options *options, const option *entry) { return (char *)(uintptr_t)options + entry->offset; }

/* ---- one key --------------------------------------------------------------------------------------------------- */

/* Letters to change one word into another; small words only. */
static size_t distance(const char *a, const char *b)
{
    enum { MOST = 40 };
    size_t row[MOST + 1], columns = strlen(b);
    if (columns > MOST) return MOST;
    for (size_t j = 0; j <= columns; j++) row[j] = j;
    for (size_t i = 0; a[i]; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < columns; j++) {
            size_t above = row[j + 1], best = diagonal + (a[i] != b[j]);
            if (above + 1 < best) best = above + 1;
            if (row[j] + 1 < best) best = row[j] + 1;
            diagonal = above;
            row[j + 1] = best;
        }
    }
    return row[columns];
}

static obi_status parse_number(const option *entry, const char *text, double *value)
{
    char *end;
    errno = 0;
    *value = strtod(text, &end);
    bool whole = entry->type != COUNT || *value == floor(*value);
    if (end == text || *end || !isfinite(*value) || !whole || *value < entry->least || *value > entry->most)
        return obi_fail(OBI_ERROR_ARGUMENT, "%s: \"%s\" is not %s between %g and %g", entry->key, text,
                        entry->type == COUNT ? "a whole number" : "a number", entry->least, entry->most);
    return OBI_OK;
}

static obi_status parse_choice(const option *entry, const char *text, int *value)
{
    const char *at = entry->choices;
    size_t length = strlen(text);
    for (*value = 0; *at; (*value)++) {
        size_t span = strcspn(at, "|");
        if (span == length && strncmp(at, text, span) == 0) return OBI_OK;
        at += span + (at[span] == '|');
    }
    return obi_fail(OBI_ERROR_ARGUMENT, "%s: \"%s\" is not one of %s", entry->key, text, entry->choices);
}

static obi_status set(obi_train_options *options, const option *entry, const char *text)
{
    void *field = field_of(options, entry);
    double number;
    int choice;
    switch (entry->type) {
    case TEXT: {
        char *copy = obi_strdup(text);
        if (!copy) return OBI_ERROR_MEMORY;
        obi_free(*(char **)field);
        *(char **)field = copy;
        return OBI_OK;
    }
    case COUNT:
        OBI_TRY(parse_number(entry, text, &number));
        *(uint32_t *)field = (uint32_t)number;
        return OBI_OK;
    case REAL:
        OBI_TRY(parse_number(entry, text, &number));
        *(double *)field = number;
        return OBI_OK;
    case SEED: {
        char *end;
        errno = 0;
        unsigned long long seed = strtoull(text, &end, 10);
        if (end == text || *end || errno || text[0] == '-')
            return obi_fail(OBI_ERROR_ARGUMENT, "%s: \"%s\" is not a whole number from 0 to 2^64-1", entry->key, text);
        *(uint64_t *)field = seed;
        return OBI_OK;
    }
    case SWITCH:
        if (strcmp(text, "true") == 0 || strcmp(text, "yes") == 0 || strcmp(text, "1") == 0) *(bool *)field = true;
        else if (strcmp(text, "false") == 0 || strcmp(text, "no") == 0 || strcmp(text, "0") == 0) *(bool *)field = false;
        else return obi_fail(OBI_ERROR_ARGUMENT, "%s: \"%s\" is neither true nor false", entry->key, text);
        return OBI_OK;
    default:
        OBI_TRY(parse_choice(entry, text, &choice));
        memcpy(field, &(unsigned){ (unsigned)choice }, sizeof(unsigned)); /* enums and uint32_t are alike here */
        return OBI_OK;
    }
}

static const option *find(const char *key)
{
    for (size_t i = 0; i < OPTIONS; i++)
        if (strcmp(table[i].key, key) == 0) return &table[i];
    return NULL;
}

/* The preset's values, and the defaults, wherever the user has said nothing. */
static obi_status apply_preset(obi_train_options *options)
{
    for (size_t i = 0; i < OPTIONS; i++)
        if (!options->given[i]) OBI_TRY(set(options, &table[i], table[i].initial));
    for (const obi_preset_value *value = obi_preset_values(options->preset); value->key; value++) {
        const option *entry = find(value->key);
        if (!entry) return obi_fail(OBI_ERROR_RUNTIME, "a preset has the key \"%s\", which does not exist", value->key);
        if (!options->given[entry - table]) OBI_TRY(set(options, entry, value->value));
    }
    return OBI_OK;
}

obi_status obi_train_options_set(obi_train_options *options, const char *key, const char *value)
{
    const option *entry = find(key), *nearest = NULL;
    if (entry) {
        OBI_TRY(set(options, entry, value));
        options->given[entry - table] = true;
        return entry->offset == AT(preset) ? apply_preset(options) : OBI_OK;
    }
    size_t least = 4; /* more letters off is no hint */
    for (size_t i = 0; i < OPTIONS; i++) {
        size_t off = distance(key, table[i].key);
        if (off < least) {
            least = off;
            nearest = &table[i];
        }
    }
    if (nearest) return obi_fail(OBI_ERROR_ARGUMENT, "there is no key \"%s\"; did you mean %s?", key, nearest->key);
    return obi_fail(OBI_ERROR_ARGUMENT, "there is no key \"%s\" (see --help)", key);
}

obi_status obi_train_options_init(obi_train_options *options)
{
    memset(options, 0, sizeof *options);
    for (size_t i = 0; i < OPTIONS; i++) OBI_TRY(set(options, &table[i], table[i].initial));
    return OBI_OK;
}

void obi_train_options_clear(obi_train_options *options)
{
    for (size_t i = 0; i < OPTIONS; i++)
        if (table[i].type == TEXT) obi_free(*(char **)field_of(options, &table[i]));
    memset(options, 0, sizeof *options);
}

/* ---- the whole ------------------------------------------------------------------------------------------------- */

/* LLM-QAT trains the weights themselves; the gradient passes unless a weight's size is 2 or more, or everywhere by the mean. */
static obi_status resolve_llmqat(obi_train_options *options)
{
    bool min_max = options->method == OBI_METHOD_LLMQAT_SYM || options->bits > 2;
    if (options->method != OBI_METHOD_LLMQAT_SYM && options->method != OBI_METHOD_LLMQAT) return OBI_OK;
    if (options->method == OBI_METHOD_LLMQAT_SYM && options->bits < 2)
        return obi_fail(OBI_ERROR_ARGUMENT, "bits: min-max around 0 has no levels with 1 bit; take 2 to 4, or method: llmqat");
    options->latent_init = OBI_LATENT_RAW;
    options->post_norm = false;
    options->estimator = min_max ? OBI_ESTIMATOR_CLIP : OBI_ESTIMATOR_IDENTITY;
    options->estimator_alpha = min_max ? 2 : 1;
    return OBI_OK;
}

obi_status obi_train_options_check(obi_train_options *options)
{
    OBI_TRY(resolve_llmqat(options));
    if (options->scales_learning_rate == 0) options->scales_learning_rate = options->learning_rate;
    if (options->other_learning_rate == 0) options->other_learning_rate = options->learning_rate;
    bool generate = options->stage == OBI_STAGE_GENERATE;
    if (!generate && !options->dataset[0]) return obi_fail(OBI_ERROR_ARGUMENT, "dataset: name a training text");
    if (options->load_best_model_at_end && !options->eval_dataset[0])
        return obi_fail(OBI_ERROR_ARGUMENT, "load_best_model_at_end: only evaluations tell the best; name a held-out text (eval_dataset)");
    if (options->metric_for_best_model == OBI_METRIC_EVAL_KL && !options->teacher_model_name_or_path[0])
        return obi_fail(OBI_ERROR_ARGUMENT, "metric_for_best_model: eval_kl needs a teacher");
    if (!options->output_dir[0]) return obi_fail(OBI_ERROR_ARGUMENT, "output_dir: name a directory for the run");
    if (options->cutoff_len % 64) return obi_fail(OBI_ERROR_ARGUMENT, "cutoff_len: %u is not a multiple of 64", options->cutoff_len);
    if (options->stage == OBI_STAGE_KD && !options->teacher_model_name_or_path[0])
        return obi_fail(OBI_ERROR_ARGUMENT, "teacher_model_name_or_path: a kd run needs a teacher");
    if (generate && !options->teacher_model_name_or_path[0])
        return obi_fail(OBI_ERROR_ARGUMENT, "teacher_model_name_or_path: generate needs the model that writes");
    if (options->greedy_tokens_min > options->greedy_tokens_max)
        return obi_fail(OBI_ERROR_ARGUMENT, "greedy_tokens_min: %u is more than greedy_tokens_max, %u", options->greedy_tokens_min,
                        options->greedy_tokens_max);
    if (options->scales_init != OBI_SCALES_SVID && options->method != OBI_METHOD_ONEBIT)
        return obi_fail(OBI_ERROR_ARGUMENT, "scales_init: only method: onebit has a choice; the other methods begin with mean |W|");
    if (options->stage == OBI_STAGE_SFT && !options->model_name_or_path[0])
        return obi_fail(OBI_ERROR_ARGUMENT, "model_name_or_path: an sft run needs the model that learns to answer");
    if (options->stage == OBI_STAGE_PRETRAIN && !options->model_name_or_path[0]) {
        if (!options->tokenizer_name_or_path[0])
            return obi_fail(OBI_ERROR_ARGUMENT, "tokenizer_name_or_path: a model made from nothing needs a tokenizer");
        if (options->hidden_size % options->num_attention_heads || options->hidden_size / options->num_attention_heads % 2)
            return obi_fail(OBI_ERROR_ARGUMENT, "hidden_size: %u does not give each of %u heads an even size", options->hidden_size,
                            options->num_attention_heads);
        if (options->model_type == OBI_MODEL_LLAMA && options->num_attention_heads % options->num_key_value_heads)
            return obi_fail(OBI_ERROR_ARGUMENT, "num_key_value_heads: %u does not divide %u heads", options->num_key_value_heads,
                            options->num_attention_heads);
    }
    return OBI_OK;
}

/* The value of anything but a text. */
static void print_plain(const obi_train_options *options, const option *entry, char *text, size_t room)
{
    const void *field = field_of(options, entry);
    switch (entry->type) {
    case TEXT: return;
    case COUNT: snprintf(text, room, "%" PRIu32, *(const uint32_t *)field); return;
    case SEED: snprintf(text, room, "%" PRIu64, *(const uint64_t *)field); return;
    case REAL: snprintf(text, room, "%.17g", *(const double *)field); return;
    case SWITCH: snprintf(text, room, "%s", *(const bool *)field ? "true" : "false"); return;
    default: {
        const char *at = entry->choices;
        for (unsigned left = *(const unsigned *)field; left > 0; left--) at += strcspn(at, "|") + 1;
        snprintf(text, room, "%.*s", (int)strcspn(at, "|"), at);
    }
    }
}

/* The value as YAML; texts are quoted. */
static void print_value(const obi_train_options *options, const option *entry, char *text, size_t room)
{
    if (entry->type != TEXT) {
        print_plain(options, entry, text, room);
        return;
    }
    size_t used = 0;
    text[used++] = '\'';
    for (const char *at = *(char *const *)field_of(options, entry); *at && used + 3 < room; at++) {
        if (*at == '\'') text[used++] = '\'';
        text[used++] = *at;
    }
    text[used++] = '\'';
    text[used] = 0;
}

obi_status obi_train_options_write(const obi_train_options *options, obi_writer *writer)
{
    char value[4200], line[4300];
    for (size_t i = 0; i < OPTIONS; i++) {
        print_value(options, &table[i], value, sizeof value);
        int length = snprintf(line, sizeof line, "%s: %s\n", table[i].key, value);
        OBI_TRY(obi_write(writer, line, (uint64_t)length));
    }
    return OBI_OK;
}

bool obi_train_options_value(const obi_train_options *options, uint32_t i, const char **key, const char **value,
                             char room[OBI_TRAIN_VALUE_MAX])
{
    if (i >= OPTIONS) return false;
    *key = table[i].key;
    *value = table[i].type == TEXT ? *(char *const *)field_of(options, &table[i]) : room;
    print_plain(options, &table[i], room, OBI_TRAIN_VALUE_MAX);
    return true;
}

bool obi_train_options_describe(uint32_t i, const char **key, char *value, size_t room, const char **help)
{
    if (i >= OPTIONS) return false;
    *key = table[i].key;
    *help = table[i].help;
    snprintf(value, room, "%s", table[i].initial);
    return true;
}

/* ---- YAML ------------------------------------------------------------------------------------------------------ */

/* Takes events of one flat mapping; the first problem ends it. */
static obi_status read_events(obi_train_options *options, yaml_parser_t *parser, const char *path)
{
    char *key = NULL;
    obi_status status = OBI_OK;
    unsigned depth = 0;
    for (bool more = true; more && status == OBI_OK;) {
        yaml_event_t event;
        if (!yaml_parser_parse(parser, &event)) {
            status =
                obi_fail(OBI_ERROR_DATA, "%s:%zu: %s", path, parser->problem_mark.line + 1, parser->problem ? parser->problem : "not YAML");
            break;
        }
        size_t line = event.start_mark.line + 1;
        const char *text = event.type == YAML_SCALAR_EVENT ? (const char *)event.data.scalar.value : NULL;
        switch (event.type) {
        case YAML_STREAM_END_EVENT: more = false; break;
        case YAML_MAPPING_START_EVENT:
            if (depth++ > 0) status = obi_fail(OBI_ERROR_DATA, "%s:%zu: a value here is a plain one, not a list or a mapping", path, line);
            break;
        case YAML_SEQUENCE_START_EVENT:
            status = obi_fail(OBI_ERROR_DATA, "%s:%zu: a value here is a plain one, not a list or a mapping", path, line);
            break;
        case YAML_ALIAS_EVENT: status = obi_fail(OBI_ERROR_DATA, "%s:%zu: aliases are not used here", path, line); break;
        case YAML_SCALAR_EVENT:
            if (depth == 0) {
                status = obi_fail(OBI_ERROR_DATA, "%s:%zu: the file must be a list of lines `key: value`", path, line);
            } else if (!key) {
                key = obi_strdup(text);
                if (!key) status = OBI_ERROR_MEMORY;
            } else {
                status = obi_train_options_set(options, key, strcmp(text, "~") == 0 || strcmp(text, "null") == 0 ? "" : text);
                if (status != OBI_OK) obi_fail_prefix(status, "%s:%zu", path, line);
                obi_free(key);
                key = NULL;
            }
            break;
        default: break;
        }
        yaml_event_delete(&event);
    }
    obi_free(key);
    return status;
}

obi_status obi_train_options_read(obi_train_options *options, const char *path)
{
    obi_mapping file;
    OBI_TRY(obi_mapping_open(&file, path));
    yaml_parser_t parser;
    obi_status status = OBI_ERROR_MEMORY;
    if (yaml_parser_initialize(&parser)) {
        yaml_parser_set_input_string(&parser, file.data, (size_t)file.size);
        status = read_events(options, &parser, path);
        yaml_parser_delete(&parser);
    } else {
        obi_fail(OBI_ERROR_MEMORY, "out of memory");
    }
    obi_mapping_close(&file);
    return status;
}
