/* hf_config: a Hugging Face config.json of a LLaMA, of the OneBit authors' variant of it, or of an OPT. */
#ifndef OBI_QUANT_HF_CONFIG_H
#define OBI_QUANT_HF_CONFIG_H

#include "model/config.h"

/* Reads DIRECTORY/config.json into a checked config (rope layout HALF). *rope_factors is NULL, or head_size/2 divisors
 * that the caller frees with obi_free. OBI_ERROR_DATA names the key, and for another architecture what we read. */
obi_status obi_hf_config_read(const char *directory, obi_config *config, float **rope_factors);

#endif
