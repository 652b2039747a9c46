/* compare_settings: what the keys of a row mean. */
#ifndef ONEBIT_EVAL_COMPARE_SETTINGS_H
#define ONEBIT_EVAL_COMPARE_SETTINGS_H

#include "compare_config.h"
#include "onebit/onebit_train.h"

extern const char *const compare_kind_names[]; /* "file", "quantize", "train" */

/* Values as text. False for what is none, or out of range. */
bool compare_read_count(const char *value, uint64_t least, uint64_t most, uint64_t *out);
bool compare_read_switch(const char *value, bool *out);
int compare_choice(const char *word, const char *words); /* the index of `word` in "one|two|three", or -1 */

/* Sets one key of ob_quantize's settings. False for a value that cannot be; *known is false where there is no such key. */
bool compare_set_quantize(ob_quantize_desc *desc, const char *key, const char *value, bool *known);
/* The settings of a quantized row, without names of files, calibration and progress. */
void compare_quantize_settings(const compare_row *row, ob_quantize_desc *desc);
bool compare_is_calibrated(const compare_row *row);
/* The methods that a key of a quantized row is for, when the row's is none of them: "gptq|omniquant"; else NULL. */
const char *compare_other_methods(const compare_row *row, const char *key);

/* Bits that a weight has by name: 16 for f16, 1 for the forms of one bit; NaN: nobody says. */
double compare_nominal_bits(const compare_config *config, const compare_row *row);
/* The key of a row, else of `train:` where it is trained, else NULL. */
const char *compare_setting(const compare_config *config, const compare_row *row, const char *key);

#define COMPARE_WORDS_MAX 160 /* more than there are keys */
typedef struct compare_words { /* key, value, key, value, ...: as ob_train_desc.overrides; they live in what they were made of */
    const char *words[2 * COMPARE_WORDS_MAX];
    size_t count;  /* pairs */
    bool too_many; /* some are missing: no run can be made of these */
    char seed[24];
} compare_words;
/* What a trained row is made with: its own keys, those of `train:` that it has not, and what the comparison gives: the teacher, where the
 * row names none, seed and directory. */
void compare_train_words(const compare_config *config, const compare_row *row, uint64_t seed, const char *teacher, const char *directory,
                         compare_words *out);

#endif
