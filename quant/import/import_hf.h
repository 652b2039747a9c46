/* import_hf: a Hugging Face directory while it is being imported. Private to the two importers that read such
 * directories: plain LLaMA and OPT (import_hf.c) and the OneBit authors' checkpoints (import_onebit_ref.c). */
#ifndef OBI_QUANT_IMPORT_HF_H
#define OBI_QUANT_IMPORT_HF_H

#include "quant/import/import.h"
#include "quant/import/shards.h"

/* How a family calls its tensors. All but the head are behind `base` and end in ".weight" or ".bias"; those of a layer are behind
 * "layers.%u.", too. NULL: the family has none. */
typedef struct obi_import_hf_names {
    const char *base, *embedding, *positions, *project_in, *project_out, *output_norm;
    const char *attention_norm, *ffn_norm, *linears[OBI_LINEAR_COUNT];
} obi_import_hf_names;

typedef struct obi_import_hf_model {
    obi_source *source;
    const char *directory;
    obi_shards shards;
    obi_import_hf_names names;
} obi_import_hf_model;

enum { OBI_IMPORT_HF_NAME = 96 };

/* The name a wanted tensor has in the model's files; `suffix` is "weight", "bias", "input_factor" or "weight_scale". */
void obi_import_hf_name(const obi_import_hf_model *model, const obi_import_want *want, const char *suffix, char name[OBI_IMPORT_HF_NAME]);

/* Finds `name` and checks its shape: (rows, columns), or (columns) when rows is 0. OBI_ERROR_DATA when it is absent or
 * has another shape. */
obi_status obi_import_hf_find(const obi_import_hf_model *model, const char *name, uint64_t rows, uint64_t columns,
                              const obi_safetensors_tensor **found, const obi_mapping **mapping);

/* Points `tensor` at the float values of `name`. */
obi_status obi_import_hf_floats(const obi_import_hf_model *model, const char *name, bool vector, obi_source_tensor *tensor);

/* import_onebit_ref.c: locates one linear part of an OneBit checkpoint. */
obi_status obi_import_onebit_ref_linear(const obi_import_hf_model *model, const obi_import_want *want, obi_source_tensor *tensor);

#endif
