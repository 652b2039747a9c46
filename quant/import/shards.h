/* shards: the safetensors files of a Hugging Face directory, one or many, as one set of tensors. */
#ifndef OBI_QUANT_SHARDS_H
#define OBI_QUANT_SHARDS_H

#include "quant/import/safetensors.h"
#include "quant/import/source.h"

typedef struct obi_shards {
    obi_safetensors *files;
    size_t count;
} obi_shards;

/* Opens DIRECTORY/model.safetensors, or the files that model.safetensors.index.json lists. The mappings go to the
 * source, which closes them; release the rest with obi_shards_close, on failure too. A file name in the index must be a
 * plain name, so that a model cannot make us read files elsewhere. Every tensor of the index is in the file it names. */
obi_status obi_shards_open(obi_shards *shards, obi_source *source, const char *directory);
void obi_shards_close(obi_shards *shards);

/* NULL when absent. *mapping is the file that holds it. */
const obi_safetensors_tensor *obi_shards_find(const obi_shards *shards, const char *name, const obi_mapping **mapping);

#endif
