/* export: a trained model as a GGUF file that onebit-run-vk runs: packed signs with F16 scales, or F32 for a dense one. */
#ifndef OBI_QUANT_TRAIN_EXPORT_H
#define OBI_QUANT_TRAIN_EXPORT_H

#include "quant/train/parameters.h"

/* Writes `path` atomically. `vocab` may be NULL. `name` goes into general.name. */
obi_status obi_train_export(const obi_train_model *model, const obi_vocab *vocab, const char *name, const char *path);

#endif
