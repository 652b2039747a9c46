#include "quant/train/presets.h"

#include <stddef.h>

/* The authors' kd.py and scripts. Their KL is a sum over a sequence of 2048 tokens times 0.01: 20.48 for a mean per token.
 * Their hidden-state term is summed over the outputs of layers 0..L-2 with weight 1 whatever L is. Their AdamW decays all
 * that is trained, g and h too. Their warm-up of 500 steps belongs to 30 000; a run of less than 5000 warms up for a tenth. */
static const obi_preset_value official[] = {
    { "post_norm", "true" },
    { "latent_init", "constant" },
    { "latent_scale", "0.01" },
    { "estimator", "onebit" },
    { "trainable", "linears" },
    { "kd_alpha", "20.48" },
    { "kd_beta", "1" },
    { "learning_rate", "4e-4" },
    { "scales_learning_rate", "0" },
    { "weight_decay", "0.01" },
    { "scales_weight_decay", "0.01" },
    { "adam_beta1", "0.9" },
    { "adam_beta2", "0.98" },
    { "adam_epsilon", "1e-8" },
    { "max_grad_norm", "1" },
    { "lr_scheduler_type", "cosine" },
    { "warmup_steps", "500" },
    { "warmup_ratio", "0.1" },
    { NULL, NULL },
};

static const obi_preset_value improved[] = {
    { "post_norm", "false" },
    { "latent_init", "rowmean" },
    { "latent_scale", "0.02" },
    { "estimator", "identity" },
    { "trainable", "all" },
    { "kd_alpha", "1" },
    { "kd_beta", "0" },
    { "learning_rate", "2e-3" },
    { "scales_learning_rate", "0" },
    { "other_learning_rate", "0" },
    { "weight_decay", "0" },
    { "scales_weight_decay", "0" },
    { "lr_scheduler_type", "cosine" },
    { NULL, NULL },
};

/* LLM-QAT's script: the KL to the teacher alone, every weight trained at 2e-5 for an epoch; the rest are its library's defaults. Its KL
 * is a sum over the one sequence of 2048 tokens that a device takes at once: 2048 for a mean per token. AdamW divides such a factor out
 * again, but clipping comes before it. */
static const obi_preset_value llmqat[] = {
    { "method", "llmqat" },
    { "trainable", "all" },
    { "kd_alpha", "2048" },
    { "kd_beta", "0" },
    { "learning_rate", "2e-5" },
    { "other_learning_rate", "0" },
    { "weight_decay", "0" },
    { "scales_weight_decay", "0" },
    { "adam_beta1", "0.9" },
    { "adam_beta2", "0.999" },
    { "adam_epsilon", "1e-8" },
    { "max_grad_norm", "1" },
    { "lr_scheduler_type", "cosine" },
    { "warmup_steps", "0" },
    { "warmup_ratio", "0" },
    { "num_train_epochs", "1" },
    { NULL, NULL },
};

static const obi_preset_value none[] = { { NULL, NULL } };

const obi_preset_value *obi_preset_values(obi_preset preset)
{
    switch (preset) {
    case OBI_PRESET_OFFICIAL: return official;
    case OBI_PRESET_IMPROVED: return improved;
    case OBI_PRESET_LLMQAT: return llmqat;
    default: return none;
    }
}
