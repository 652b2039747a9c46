/* compare_config: what is compared: a YAML file of keys, a list of rows and a list of figures (docs/comparison.md). */
#ifndef ONEBIT_EVAL_COMPARE_CONFIG_H
#define ONEBIT_EVAL_COMPARE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COMPARE_SEEDS_MAX 16

/* Keys with values, as the file has them. */
typedef struct compare_pair {
    char *key, *value; /* value: with its ${NAME} filled in */
    size_t line;
} compare_pair;

typedef struct compare_keys {
    compare_pair *pairs;
    size_t count;
} compare_keys;

const char *compare_keys_get(const compare_keys *keys, const char *key); /* NULL: it is not there */

typedef enum compare_kind {
    COMPARE_FILE = 0,     /* a model file that is there */
    COMPARE_QUANTIZE = 1, /* made of the model by ob_quantize */
    COMPARE_TRAIN = 2     /* a student of the model, made by ob_train: once for each seed */
} compare_kind;

typedef struct compare_row {
    char *name;
    compare_kind kind;
    bool shown;        /* in the table; false: made for figures only */
    compare_keys keys; /* of quantize and train: settings; of file: path, bits */
    uint64_t seeds[COMPARE_SEEDS_MAX];
    size_t seed_count; /* 1, and the seed is 0, unless it is trained */
    size_t line;
} compare_row;

typedef enum compare_figure_kind {
    COMPARE_LOSSES = 0, /* the loss of trained rows over steps */
    COMPARE_RATES = 1   /* their last loss over the learning rate, a line for each method */
} compare_figure_kind;

typedef struct compare_figure {
    char *file, *title;
    compare_figure_kind kind;
    size_t *rows; /* indices */
    size_t row_count, line;
} compare_figure;

typedef struct compare_config {
    const char *path;
    char *source; /* the file as it is */
    size_t source_bytes;
    char *title, *model, *tokenizer, *output_dir, *document, *text, *wikitext2, *c4, *zeroshot, *calibration; /* NULL: not given */
    uint64_t bytes, window, zeroshot_items, calibration_bytes;                                                /* 0: all, or the default */
    compare_keys train; /* of every trained row, unless it says otherwise */
    uint64_t seeds[COMPARE_SEEDS_MAX];
    size_t seed_count;
    compare_row *rows;
    size_t row_count;
    compare_figure *figures;
    size_t figure_count;
} compare_config;

/* Reads and checks it all. Returns APP_GO_ON or the exit code, and has said why with file and line: 5 for what cannot be read or is no
 * YAML, 2 for unknown keys and values that cannot be. compare_config_free must follow in either case. */
int compare_config_read(compare_config *config, const char *path);
void compare_config_free(compare_config *config);

#endif
