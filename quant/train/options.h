/* options: what a training run is told, from a YAML file and from the command line, under the key names of Hugging Face
 * Trainer and LLaMA-Factory. One table gives parsing, ranges, defaults, help and the resolved file that a run keeps. */
#ifndef OBI_QUANT_TRAIN_OPTIONS_H
#define OBI_QUANT_TRAIN_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/file.h"
#include "quant/train/presets.h"

typedef enum obi_stage { OBI_STAGE_PRETRAIN, OBI_STAGE_KD, OBI_STAGE_SFT, OBI_STAGE_GENERATE } obi_stage;
typedef enum obi_model_type { OBI_MODEL_LLAMA, OBI_MODEL_OPT } obi_model_type;
typedef enum obi_template { OBI_TEMPLATE_ALPACA, OBI_TEMPLATE_PLAIN } obi_template; /* around an instruction */
typedef enum obi_schedule_kind { OBI_SCHEDULE_COSINE, OBI_SCHEDULE_LINEAR, OBI_SCHEDULE_CONSTANT } obi_schedule_kind;
typedef enum obi_latent_init {
    OBI_LATENT_CONSTANT, /* sign(W) * latent_scale: the authors' code */
    OBI_LATENT_ROWMEAN,  /* latent_scale * W / mean |W| of the row: keeps the order of magnitudes */
    OBI_LATENT_RAW       /* W */
} obi_latent_init;
typedef enum obi_method { /* the first three: quant/train/scales.h, the others: quant/train/quantiser.h */
    OBI_METHOD_ONEBIT,
    OBI_METHOD_XNOR,
    OBI_METHOD_BITNET_B1,
    OBI_METHOD_LLMQAT_SYM,
    OBI_METHOD_LLMQAT
} obi_method;
typedef enum obi_scales_init {
    OBI_SCALES_SVID,  /* the best g and h for W */
    OBI_SCALES_PLAIN, /* g = 1, h = mean |W| */
    OBI_SCALES_RANDOM /* absolute normal numbers, g h of mean |W| */
} obi_scales_init;
typedef enum obi_first_token { OBI_FIRST_RANDOM, OBI_FIRST_ENUMERATE } obi_first_token; /* of a generated text */
typedef enum obi_trainable { OBI_TRAIN_LINEARS, OBI_TRAIN_ALL } obi_trainable; /* W, g, h only; or embedding, head and norms too */

#define OBI_TRAIN_OPTIONS_MAX 128 /* room for the table's keys */

typedef enum obi_metric { OBI_METRIC_AUTO, OBI_METRIC_EVAL_LOSS, OBI_METRIC_EVAL_KL } obi_metric; /* auto: KL where there is a teacher */

typedef struct obi_train_options {
    bool given[OBI_TRAIN_OPTIONS_MAX]; /* by the user, in the table's order: a preset leaves these alone */
    obi_preset preset;
    obi_stage stage;
    char *model_name_or_path;         /* pretrain: optional start; kd: optional student to go on with; sft: the student */
    char *teacher_model_name_or_path; /* kd, generate */
    char *tokenizer_name_or_path;     /* pretrain from nothing */
    char *dataset;                    /* text file, documents separated by `document_separator`; sft: examples in JSON */
    char *eval_dataset;
    obi_template template;
    char *document_separator;
    char *output_dir;
    /* shape of a model made from nothing */
    obi_model_type model_type;
    uint32_t hidden_size, intermediate_size, num_hidden_layers, num_attention_heads, num_key_value_heads, max_position_embeddings;
    double rms_norm_eps, rope_theta, initializer_range;
    /* steps */
    uint32_t cutoff_len, per_device_train_batch_size, gradient_accumulation_steps, max_steps;
    double num_train_epochs;
    bool gradient_checkpointing; /* activations are computed again for the backward pass */
    /* optimiser */
    double learning_rate, scales_learning_rate, other_learning_rate;
    double weight_decay, scales_weight_decay, adam_beta1, adam_beta2, adam_epsilon, max_grad_norm;
    obi_schedule_kind lr_scheduler_type;
    uint32_t warmup_steps;
    double warmup_ratio;
    uint64_t seed;
    /* 1-bit */
    obi_method method;
    uint32_t bits; /* of a weight: llmqat_sym and llmqat */
    obi_scales_init scales_init;
    bool post_norm;
    uint32_t estimator;
    double estimator_alpha;
    obi_latent_init latent_init;
    double latent_scale;
    obi_trainable trainable;
    double kd_alpha;      /* weight of the mean KL per token */
    double kd_beta;       /* weight of the hidden-state term, summed over layers 0..L-2 */
    /* generate */
    uint32_t num_samples;
    obi_first_token first_token;
    uint32_t greedy_tokens_min, greedy_tokens_max; /* likeliest tokens behind the first; drawn for each sample */
    double temperature;
    uint32_t top_k;       /* 0: off */
    /* keeping */
    uint32_t logging_steps, eval_steps, save_steps, save_total_limit, early_stopping_patience;
    obi_metric metric_for_best_model;
    bool load_best_model_at_end;
    bool resume, overwrite_output_dir, dry_run;
} obi_train_options;

/* Fills in the defaults. Release with obi_train_options_clear. */
obi_status obi_train_options_init(obi_train_options *options);
void obi_train_options_clear(obi_train_options *options);

/* Sets one key from text. `preset` sets its keys except those that were set by this function, before or after.
 * OBI_ERROR_ARGUMENT names an unknown key (with the nearest known one) or a bad value. */
obi_status obi_train_options_set(obi_train_options *options, const char *key, const char *value);

/* Reads a flat YAML mapping of scalars. OBI_ERROR_DATA names the line. */
obi_status obi_train_options_read(obi_train_options *options, const char *path);

/* What only the whole can tell: required keys of the stage, divisibility. Resolves scales_learning_rate and
 * other_learning_rate (0 = learning_rate), and what LLM-QAT's methods leave no choice in: latent_init, post_norm, estimator. */
obi_status obi_train_options_check(obi_train_options *options);

/* Writes every key as YAML, readable by obi_train_options_read. */
obi_status obi_train_options_write(const obi_train_options *options, obi_writer *writer);

/* Key and value of option i; false behind the last. A text is the options' own, any other value is written into `room`. */
#define OBI_TRAIN_VALUE_MAX 64
bool obi_train_options_value(const obi_train_options *options, uint32_t i, const char **key, const char **value,
                             char room[OBI_TRAIN_VALUE_MAX]);

/* The table for --help: key, default as text and help of option i; false behind the last. */
bool obi_train_options_describe(uint32_t i, const char **key, char *value, size_t room, const char **help);

#endif
