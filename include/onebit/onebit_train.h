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

typedef struct ob_quantize_desc {
    const char *input;             /* required: a Hugging Face LLaMA directory, a llama2.c .bin, a GGUF file, or a OneBit checkpoint directory */
    const char *output;            /* required: the GGUF file to write; it appears only when complete */
    const char *tokenizer;         /* tokenizer.bin, tokenizer.model, tokenizer.json or GGUF; NULL: what lies beside the model */
    ob_form form;
    ob_progress_function progress; /* NULL: none */
    void *user;
} ob_quantize_desc;

/* One linear layer. Errors are relative: ||W - Ŵ||² / ||W||². */
typedef struct ob_quantize_row {
    char name[64];
    uint32_t rows, columns;
    double error_svid;   /* of sign(W) ⊙ (a bᵀ), with the F16 scales that were written */
    double error_rank1;  /* of the best rank-1 matrix for W itself: what the value vectors alone could do */
    double error_xnor;   /* of sign(W) with the row mean of |W| */
    double norm2;        /* ||W||², the weight of this row in the totals */
    double bits;         /* stored for this layer, scales included */
} ob_quantize_row;

typedef struct ob_quantize_report {
    char format[32];          /* of the input: "huggingface", "llama2.c", "gguf", "onebit-reference" */
    ob_quantize_row *layers;  /* empty unless SVID ran */
    uint32_t layer_count;
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

/* Converts a model. `context` is used for OB_FORM_ONEBIT and may be NULL for the other forms. Host memory stays small
 * whatever the model: tensors are streamed from a mapping. *report may be NULL; free it with ob_quantize_report_free. */
OB_API ob_status ob_quantize(ob_context *context, const ob_quantize_desc *desc, ob_quantize_report **report);
OB_API void ob_quantize_report_free(ob_quantize_report *report);

#ifdef __cplusplus
}
#endif
#endif
