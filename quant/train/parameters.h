/* parameters: a model being trained, or the teacher it learns from, on the device: each tensor with its gradient and
 * optimiser state, in the order in which files and checkpoints have them. One thread. */
#ifndef OBI_QUANT_TRAIN_PARAMETERS_H
#define OBI_QUANT_TRAIN_PARAMETERS_H

#include "core/rng.h"
#include "ops/op_bitlinear.h"
#include "ops/op_optim.h"
#include "quant/import/source.h"
#include "quant/train/options.h"

typedef enum obi_group { /* what shares a learning rate and a weight decay */
    OBI_GROUP_WEIGHT,    /* linears: latent or ordinary */
    OBI_GROUP_SCALES,    /* g and h */
    OBI_GROUP_BIAS,      /* of linears: the rates of g and h, trained with them */
    OBI_GROUP_TABLE,     /* embedding, head; OPT's positions and projections */
    OBI_GROUP_NORM       /* weights and biases */
} obi_group;

typedef struct obi_param {
    char name[64];       /* GGUF's; the scales of a linear are "blk.N.R.scales" */
    obi_group group;
    bool trained;        /* false: gradient, m and v do not exist */
    uint32_t first, count; /* of scales whose g is fixed: what is trained of the row; count 0: all of it */
    bool tied;           /* that is one number, which stands `count` times */
    obi_weight w, gradient, m, v; /* F32; a vector is one row */
} obi_param;

/* How the layers of a model see their weights (quantiser.h). */
typedef struct obi_quantiser {
    obi_fake_quant_kind kind;
    uint32_t bits; /* 0: as they are, or as signs where the config is onebit */
} obi_quantiser;

/* Indices into the model's params, and what the layer sees of the latent weights, made anew from `weight` after every update
 * (obi_train_model_pack): signs of a 1-bit model, levels and steps of one with a quantiser, else nothing. */
typedef struct obi_train_linear {
    uint32_t weight;
    uint32_t scales;     /* only of a 1-bit model */
    uint32_t bias;       /* only of OPT */
    obi_weight signs;
    obi_weight levels, steps; /* (m,n), and one row (m) */
} obi_train_linear;

typedef struct obi_train_layer {
    uint32_t attn_norm, ffn_norm;
    uint32_t attn_norm_bias, ffn_norm_bias; /* only of OPT */
    obi_train_linear linear[OBI_LINEAR_COUNT];
} obi_train_layer;

#define OBI_TRAIN_PARAMS_MAX(layers) (8 + (size_t)(layers) * (4 + 3 * OBI_LINEAR_COUNT))

typedef struct obi_train_model {
    obi_device *device;
    obi_config config;        /* of a model with a quantiser: that of its ordinary weights */
    obi_quantiser quantiser;
    obi_method method;        /* of a 1-bit model or one with a quantiser */
    obi_param *params;
    uint32_t param_count;
    uint32_t embedding, output_norm, head; /* head = embedding when tied; no output_norm where norms come last */
    uint32_t output_norm_bias, positions, project_in, project_out; /* only of OPT; projections only with an embedding_width */
    obi_train_layer *layers;
    float *rope_factors;   /* or NULL */
} obi_train_model;

/* The model of a source as it is. With options it is trained: a dense one wholly; of a 1-bit one what options->trainable says,
 * g, h and post_norm are the file's and each latent weight starts as its sign times options->latent_scale, since a packed
 * file has no more. Without options it is a teacher. */
obi_status obi_train_model_from_source(obi_device *device, const obi_source *source, const obi_train_options *options,
                                       obi_train_model **out);

/* The dense shape of the options, for a vocabulary of `vocabulary` tokens; tied. */
obi_config obi_train_random_config(const obi_train_options *options, uint32_t vocabulary);

/* A dense model of the options' shape with normal weights (sd initializer_range; o and down divided by sqrt(2 L)) and norms
 * of 1, for a vocabulary of `vocabulary` tokens; tied. */
obi_status obi_train_model_random(obi_device *device, const obi_train_options *options, uint32_t vocabulary, obi_train_model **out);

/* The same model with nothing trained, and its 1-bit student: what a measurement of the kd stage needs. */
obi_status obi_train_model_random_teacher(obi_device *device, const obi_train_options *options, uint32_t vocabulary, obi_train_model **out);
obi_status obi_train_model_random_student(obi_device *device, const obi_train_options *options, uint32_t vocabulary, obi_train_model **out);

/* The config of such a student, and its quantiser, which leaves the config as it is. */
obi_quantiser obi_train_student_form(const obi_train_options *options, obi_config *config);

/* A student of a dense source. LLM-QAT's methods begin at its weights; else it is 1-bit, g and h begin as options->method and
 * scales_init say (scales.h), the latent weights as latent_init does. Embedding, head and norms are the source's, trained when options->trainable says so. */
obi_status obi_train_model_student(obi_device *device, const obi_source *source, const obi_train_options *options, obi_train_model **out);

void obi_train_model_free(obi_train_model *model); /* NULL is allowed */

/* Whether layers see something that obi_train_model_pack makes. */
static inline bool obi_train_model_packed(const obi_train_model *model) { return model->config.onebit || model->quantiser.bits > 0; }

/* Records: signs, or levels, of every linear from its latent weights. Nothing for a dense model. */
void obi_train_model_pack(obi_cmd *cmd, const obi_train_model *model);

/* Bytes of weights, gradients and optimiser state on the device. */
uint64_t obi_train_model_bytes(const obi_train_model *model);

#endif
