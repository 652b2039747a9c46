#include "compare_settings.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const compare_kind_names[] = { "file", "quantize", "train" };

/* ---- values -------------------------------------------------------------------------------------------------------- */

bool compare_read_count(const char *value, uint64_t least, uint64_t most, uint64_t *out)
{
    char *end;
    errno = 0;
    unsigned long long number = strtoull(value, &end, 10);
    if (*value < '0' || *value > '9' || *end || errno || number < least || number > most) return false;
    *out = number;
    return true;
}

static bool read_real(const char *value, double least, double most, double *out)
{
    char *end;
    *out = strtod(value, &end);
    return end != value && !*end && isfinite(*out) && *out >= least && *out <= most;
}

bool compare_read_switch(const char *value, bool *out)
{
    *out = strcmp(value, "true") == 0 || strcmp(value, "yes") == 0 || strcmp(value, "1") == 0;
    return *out || strcmp(value, "false") == 0 || strcmp(value, "no") == 0 || strcmp(value, "0") == 0;
}

int compare_choice(const char *word, const char *words)
{
    size_t length = strlen(word);
    for (int index = 0; *words; index++) {
        size_t span = strcspn(words, "|");
        if (span == length && strncmp(word, words, span) == 0) return index;
        words += span + (words[span] == '|');
    }
    return -1;
}

/* ---- quantised rows -------------------------------------------------------------------------------------------------- */

#define METHODS "svid|xnor|bitnet_b1|rtn|gptq|omniquant|int8"
#define FORMS "onebit|f16|f32"

bool compare_set_quantize(ob_quantize_desc *desc, const char *key, const char *value, bool *known)
{
    uint64_t count = 0;
    double real = 0;
    int choice;
    *known = true;
    if (strcmp(key, "method") == 0) {
        choice = compare_choice(value, METHODS);
        desc->method = (ob_method)(choice < 0 ? 0 : choice);
        return choice >= 0;
    }
    if (strcmp(key, "form") == 0) {
        choice = compare_choice(value, FORMS);
        desc->form = (ob_form)(choice < 0 ? 0 : choice);
        return choice >= 0;
    }
    if (strcmp(key, "augmented_loss") == 0) {
        choice = compare_choice(value, "auto|on|off");
        desc->augmented_loss = choice == 2 ? -1 : choice;
        return choice >= 0;
    }
    if (strcmp(key, "natural_order") == 0) return compare_read_switch(value, &desc->natural_order);
    const struct {
        const char *key;
        uint32_t *at;
        uint64_t least, most;
    } counts[] = { { "bits", &desc->bits, 1, 4 },
                   { "group", &desc->group, 0, 1u << 20 },
                   { "calibration_windows", &desc->calibration_windows, 1, 1u << 20 },
                   { "calibration_window", &desc->calibration_window, 2, 1u << 20 },
                   { "epochs", &desc->epochs, 1, 100000 } };
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        if (strcmp(key, counts[i].key) == 0) {
            bool good = compare_read_count(value, counts[i].least, counts[i].most, &count);
            *counts[i].at = (uint32_t)count;
            return good;
        }
    if (strcmp(key, "seed") == 0) return compare_read_count(value, 0, UINT64_MAX, &desc->seed);
    if (strcmp(key, "damping") == 0) {
        bool good = read_real(value, 0, 1e6, &real);
        desc->damping = real == 0 ? -1 : real; /* 0 is the default there */
        return good;
    }
    if (strcmp(key, "learning_rate") == 0) return read_real(value, 1e-9, 1e3, &desc->learning_rate);
    if (strcmp(key, "int8_threshold") == 0) {
        bool good = read_real(value, 0, 1e9, &real);
        desc->int8_threshold = real == 0 ? 1e-30 : real;
        return good;
    }
    *known = false;
    return true;
}

void compare_quantize_settings(const compare_row *row, ob_quantize_desc *desc)
{
    bool known;
    for (size_t i = 0; i < row->keys.count; i++) (void)compare_set_quantize(desc, row->keys.pairs[i].key, row->keys.pairs[i].value, &known);
}

bool compare_is_calibrated(const compare_row *row)
{
    ob_quantize_desc desc = { 0 };
    if (row->kind != COMPARE_QUANTIZE) return false;
    compare_quantize_settings(row, &desc);
    return desc.form == OB_FORM_ONEBIT && (desc.method == OB_METHOD_GPTQ || desc.method == OB_METHOD_OMNIQUANT);
}

const char *compare_other_methods(const compare_row *row, const char *key)
{
    static const struct {
        const char *key, *methods;
    } owners[] = {
        { "group", "rtn|gptq|omniquant" },
        { "calibration_windows", "gptq|omniquant" },
        { "calibration_window", "gptq|omniquant" },
        { "seed", "gptq|omniquant" },
        { "damping", "gptq" },
        { "natural_order", "gptq" },
        { "epochs", "omniquant" },
        { "learning_rate", "omniquant" },
        { "augmented_loss", "omniquant" },
        { "int8_threshold", "int8" },
    };
    const char *method = compare_keys_get(&row->keys, "method");
    for (size_t i = 0; row->kind == COMPARE_QUANTIZE && i < sizeof owners / sizeof *owners; i++)
        if (strcmp(key, owners[i].key) == 0)
            return compare_choice(method ? method : "svid", owners[i].methods) < 0 ? owners[i].methods : NULL;
    return NULL;
}

/* ---- trained rows ---------------------------------------------------------------------------------------------------- */

static void put(compare_words *to, const char *key, const char *value)
{
    to->too_many = to->too_many || to->count == COMPARE_WORDS_MAX;
    if (to->too_many) return;
    to->words[2 * to->count] = key;
    to->words[2 * to->count++ + 1] = value;
}

void compare_train_words(const compare_config *config, const compare_row *row, uint64_t seed, const char *teacher, const char *directory,
                         compare_words *out)
{
    out->count = 0;
    out->too_many = false;
    snprintf(out->seed, sizeof out->seed, "%" PRIu64, seed);
    for (size_t i = 0; i < config->train.count; i++)
        if (!compare_keys_get(&row->keys, config->train.pairs[i].key)) put(out, config->train.pairs[i].key, config->train.pairs[i].value);
    for (size_t i = 0; i < row->keys.count; i++) put(out, row->keys.pairs[i].key, row->keys.pairs[i].value);
    if (!compare_setting(config, row, "teacher_model_name_or_path")) put(out, "teacher_model_name_or_path", teacher);
    put(out, "seed", out->seed);
    put(out, "output_dir", directory);
}

/* ---- what a row is -------------------------------------------------------------------------------------------------- */

const char *compare_setting(const compare_config *config, const compare_row *row, const char *key)
{
    const char *value = compare_keys_get(&row->keys, key);
    return value || row->kind != COMPARE_TRAIN ? value : compare_keys_get(&config->train, key);
}

double compare_nominal_bits(const compare_config *config, const compare_row *row)
{
    const char *bits = compare_setting(config, row, "bits"), *method = compare_setting(config, row, "method");
    const char *form = compare_setting(config, row, "form"), *preset = compare_setting(config, row, "preset");
    if (row->kind == COMPARE_FILE) return bits ? strtod(bits, NULL) : NAN;
    if (row->kind == COMPARE_QUANTIZE && form && strcmp(form, "onebit") != 0) return strcmp(form, "f16") == 0 ? 16 : 32;
    if (!method) method = preset && strcmp(preset, "llmqat") == 0 ? "llmqat" : "onebit";
    if (strcmp(method, "int8") == 0) return 8;
    bool uniform = compare_choice(method, "rtn|gptq|omniquant|llmqat|llmqat_sym") >= 0;
    return !uniform ? 1 : bits ? strtod(bits, NULL) : 2;
}
