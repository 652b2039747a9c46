/* onebit_train.h: make 1-bit models. Rules of onebit.h hold. Link onebit::train. */
#ifndef ONEBIT_ONEBIT_TRAIN_H
#define ONEBIT_ONEBIT_TRAIN_H

#include "onebit/onebit.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum ob_form {
    OB_FORM_ONEBIT = 0, /* signs and two value vectors for each linear layer; embedding, head F16, norms F32 */
    OB_FORM_F16 = 1,    /* every matrix F16 (round to nearest even), norms F32 */
    OB_FORM_F32 = 2     /* every tensor F32 */
} ob_form;

/* How linear layers are quantised (docs/methods.md). All but SVID are for ordinary models and write what needs no training; a zero
 * in a setting below stands for its published default. */
typedef enum ob_method {
    OB_METHOD_SVID = 0,      /* signs with a value for each row and column: the start of OneBit */
    OB_METHOD_XNOR = 1,      /* signs with the mean |w| of each row */
    OB_METHOD_BITNET_B1 = 2, /* signs of W - mean W with one value */
    OB_METHOD_RTN = 3,       /* uniform grids, round to nearest */
    OB_METHOD_GPTQ = 4,      /* likewise, each column's error taken up by the columns behind it; calibrated */
    OB_METHOD_OMNIQUANT = 5, /* likewise, the grids' ends learnt block by block; calibrated */
    OB_METHOD_INT8 = 6       /* a byte a weight and a scale a row, as LLM.int8() */
} ob_method;

typedef struct ob_quantize_desc {
    const char *input;             /* required: a Hugging Face directory (LLaMA, OPT), a llama2.c .bin, a GGUF file, or a OneBit checkpoint
                                    * directory */
    const char *output;            /* required: the GGUF file to write; it appears only when complete */
    const char *tokenizer;         /* tokenizer.bin, tokenizer.model, tokenizer.json or GGUF; NULL: what lies beside the model */
    ob_form form;
    ob_progress_function progress; /* NULL: none */
    void *user;
    ob_method method;              /* with OB_FORM_ONEBIT */
    uint32_t bits;                 /* RTN, GPTQ, OMNIQUANT: 1 to 4; 0: 2 */
    uint32_t group;                /* of these: columns that share a grid; 0: a row has one. Grouped forms are written as F16 numbers */
    const char *calibration;       /* GPTQ, OMNIQUANT: required: a text */
    size_t calibration_bytes;
    uint32_t calibration_windows;  /* 0: 128; fewer when the text has fewer */
    uint32_t calibration_window;   /* tokens of a window; 0: 2048, or the model's context where that is less */
    uint64_t seed;                 /* of where the windows lie */
    double damping;                /* GPTQ: share of the Hessian's mean diagonal that is added to it; 0: 0.01; negative: none */
    bool natural_order;            /* GPTQ: columns as they come; false: those of the largest inputs first */
    uint32_t epochs;               /* OMNIQUANT: 0: 40 at 2 bits and below, else 20 */
    double learning_rate;          /* OMNIQUANT: 0: 0.01 */
    int augmented_loss;            /* OMNIQUANT: 1 on, -1 off, 0: on at 2 bits and below */
    int transform;                 /* OMNIQUANT: 1 and -1: scales of inputs are learnt, too, or not; 0: of OPT whose norms come first */
    double scale_rate;             /* OMNIQUANT: their learning rate; 0: 0.005 */
    double int8_threshold;         /* INT8: inputs from this size on are multiplied unrounded; 0: 6 */
} ob_quantize_desc;

/* One linear layer. Errors are relative: ||W - Ŵ||² / ||W||². */
typedef struct ob_quantize_row {
    char name[64];
    uint32_t rows, columns;
    double error;        /* of what was written */
    double output_error; /* ||X (W - Ŵ)ᵀ||² / ||X Wᵀ||² over the calibration's inputs X; NaN without a calibration */
    /* These three are NaN unless the method was SVID. */
    double error_svid;   /* of sign(W) ⊙ (a bᵀ), with the F16 scales that were written */
    double error_rank1;  /* of the best rank-1 matrix for W itself: what the value vectors alone could do */
    double error_xnor;   /* of sign(W) with the row mean of |W| */
    double norm2;        /* ||W||², the weight of this row in the totals */
    double bits;         /* of the method's own form, scales and zero points included */
} ob_quantize_row;

typedef struct ob_quantize_report {
    char format[32];          /* of the input: "huggingface", "llama2.c", "gguf", "onebit-reference" */
    char method[16];          /* "svid", "xnor", "bitnet_b1", "rtn", "gptq", "omniquant", "int8"; "" unless one ran */
    uint32_t bits, group;     /* of the method */
    ob_quantize_row *layers;  /* empty unless a method ran */
    uint32_t layer_count;
    double error;             /* over all layers, weighted by ||W||², as are the next three */
    double error_svid, error_rank1, error_xnor; /* over all layers, weighted by ||W||² */
    double linear_bits;       /* strict bits per weight of the linear layers, scales included */
    double model_bits;        /* 8 * tensor bytes / parameters, embedding, head and norms included */
    uint64_t parameters;
    uint64_t source_bytes;    /* tensors as they came */
    uint64_t fp16_bytes;      /* 2 bytes a parameter: what compression is measured against */
    uint64_t tensor_bytes;    /* tensors as written */
    uint64_t file_bytes;      /* the whole file, tokenizer included */
    double seconds;
} ob_quantize_report;

/* Converts a model. `context` is used for OB_FORM_ONEBIT by SVID, GPTQ and OMNIQUANT, and may be NULL otherwise. Host memory stays small
 * whatever the model: tensors are streamed from a mapping; but a calibrated method keeps the activations of all windows between two
 * layers, windows x window x width x 4 bytes once (GPTQ) or three times, and what one layer takes. `report` may be NULL; free *report
 * with ob_quantize_report_free, before the allocator changes. OB_ERROR_ARGUMENT for settings that cannot be or that
 * are another method's, OB_ERROR_DATA for an input that is missing, damaged or unknown, for a calibration text of less than one window and
 * for a Hessian that is singular, OB_ERROR_RUNTIME when writing fails, OB_ERROR_CANCELLED when progress returned false: there is then no output, and *report is NULL.
 * Blocks; progress is called on the calling thread. */
OB_API ob_status ob_quantize(ob_context *context, const ob_quantize_desc *desc, ob_quantize_report **report);
OB_API void ob_quantize_report_free(ob_quantize_report *report);

/* ---- training -------------------------------------------------------------------------------------------------- */

/* Device memory that a run will take, in bytes, known before anything is made there. */
typedef struct ob_train_memory {
    uint64_t weights, gradients, optimiser; /* weights: with the packed signs and the copies that flips are counted by */
    uint64_t activations, logits;           /* of a micro-batch; one tile of logits */
    uint64_t teacher, teacher_activations;
    uint64_t other;                         /* losses, reductions */
    uint64_t transfers;                     /* what loading or saving takes for a moment beyond all this */
    uint64_t total;                         /* the peak */
    bool dry_run;
} ob_train_memory;

/* How long a run would take: the end of a dry run. */
typedef struct ob_train_estimate {
    uint64_t steps, evaluations, checkpoints;
    double step_seconds, evaluation_seconds; /* of one, measured */
    double checkpoint_seconds;               /* of one, assuming 200 MB/s */
    double seconds;                          /* of the whole run */
    uint64_t checkpoint_bytes;               /* of one */
    uint64_t peak_bytes;                     /* device memory that this one step took */
} ob_train_estimate;

typedef struct ob_train_plan {
    uint64_t steps, first_step;      /* of the whole run; where it goes on */
    uint64_t parameters, trained;    /* weights, and how many numbers are being trained */
    uint64_t train_tokens, held_out_tokens;
    uint64_t model_bytes, teacher_bytes, work_bytes; /* on the device: model with gradients and optimiser, teacher, activations */
} ob_train_plan;

typedef struct ob_train_step {
    uint64_t step, steps;
    double loss;                     /* what is minimised */
    double nll;                      /* pretrain: next-token loss */
    double kl, hidden;               /* kd: KL to the teacher per token, hidden-state term */
    double learning_rate, gradient_norm;
    double seconds;
    uint64_t tokens;
    bool distilled;                  /* there is a teacher: kl and hidden are given */
    bool skipped;                    /* the gradient was not finite */
    uint64_t signs, flipped, moved;  /* 1-bit models: signs in all, flipped by this step, other than at the start of the run */
    uint64_t device_bytes;           /* device memory that is allocated */
} ob_train_step;

typedef struct ob_generate_progress { /* of the stage generate */
    uint64_t first, done, samples;     /* samples that were there at the start; that are there; wanted */
    uint64_t tokens;                   /* made since the start */
    double seconds;                    /* since the start */
    uint64_t device_bytes;             /* of model and working buffers */
} ob_generate_progress;

/* The processes that train one model together, each with a device of its own, as the caller's transport (such as MPI) has them.
 * The functions are collective: all ranks call them, in the same order. They return false when the transport failed. */
typedef struct ob_ranks {
    uint32_t rank, size;
    bool (*sum_floats)(float *values, size_t count, void *user);   /* in place; every rank must get the same bits */
    bool (*sum_doubles)(double *values, size_t count, void *user); /* likewise */
    bool (*broadcast)(void *bytes, size_t count, void *user);      /* rank 0's bytes for all */
    void *user;
} ob_ranks;

typedef struct ob_train_desc {
    const char *config;              /* a YAML file, or NULL */
    const char *const *overrides;    /* key, value, key, value, ...: taken after the file */
    size_t override_count;           /* pairs */
    void (*memory)(const ob_train_memory *memory, void *user); /* before anything is made on the device */
    void (*plan)(const ob_train_plan *plan, void *user);
    void (*step)(const ob_train_step *step, void *user);
    void (*evaluation)(uint64_t step, double nll, double kl, bool best, void *user); /* kl is NaN without a teacher */
    /* If set: GPU time by kernel at the end of the run, longest first, of `steps` steps and the evaluations between them, and
     * the seconds these took by the clock. The first step is left out unless it is the only one. Profiling costs a little
     * time. No rows: the device has no timestamps. */
    void (*profile)(const ob_kernel_time *rows, uint32_t count, uint64_t steps, double seconds, void *user);
    void (*estimate)(const ob_train_estimate *estimate, void *user); /* dry run only */
    void (*generated)(const ob_generate_progress *progress, void *user); /* generate: often; the others are not called then */
    bool (*save)(void *user);        /* asked between steps; true: save a checkpoint now and go on */
    bool (*stop)(void *user);        /* asked between steps; true: save and return OB_ERROR_CANCELLED */
    void *user;
    /* NULL: this process alone. Otherwise every rank calls ob_train with the same keys; each takes its part of the sequences of
     * a step, so that `size` ranks learn in a step what one does with `size` times the accumulation. Rank 0 reads checkpoints,
     * writes and reports; `save` and `stop` are asked on every rank, and one rank's answer is enough. When ob_train
     * fails on one rank, other than by OB_ERROR_CANCELLED, the others may wait for it: the caller must end them. */
    const ob_ranks *ranks;
} ob_train_desc;

/* Runs one training run; the keys are listed by ob_train_option. Its directory then holds resolved.yaml, log.jsonl, loss.svg,
 * events.out.tfevents.*, checkpoint-N/, latest and model.gguf; with `stage: generate` it holds generated.txt, samples.jsonl and
 * generate.json instead. Calling it again with the same directory goes on from the newest good checkpoint or sample.
 * Blocks, and calls back on the calling thread. OB_ERROR_ARGUMENT for a key that is unknown or a value that cannot be, OB_ERROR_DATA for
 * models, texts and checkpoints, OB_ERROR_RUNTIME with "the training diverged" in its sentence for a run that is given up, as going back to
 * checkpoints did not help or its weights are beyond what its file holds: on the same device and with the same settings it would be again,
 * unless one of the two was stopped and gone on with, as a checkpoint that `stop` or `save` asked for is one more to go back to;
 * OB_ERROR_CANCELLED when `stop` asked for it: all is saved then. One run for a directory at a time. */
OB_API ob_status ob_train(ob_context *context, const ob_train_desc *desc);

/* What the keys of a run come to, without a run: calls `setting` for each, in the order of ob_train_option, with the value that the file,
 * the overrides, the preset and the method leave it, as text that is valid during the call. Of `desc` only config and overrides are looked
 * at. `setting` must not be NULL; it is called on the calling thread. OB_ERROR_ARGUMENT and OB_ERROR_DATA as ob_train has them for keys and
 * the file, OB_ERROR_MEMORY where there is none; then nothing is called. Thread-safe. */
OB_API ob_status ob_train_resolve(const ob_train_desc *desc, void (*setting)(const char *key, const char *value, void *user), void *user);

/* Key, default (as text, into `value`) and help of option i; false behind the last. Key and help are static. Thread-safe. */
OB_API bool ob_train_option(uint32_t i, const char **key, char *value, size_t room, const char **help);

#ifdef __cplusplus
}
#endif
#endif
