/* hf_config_opt: an OPT's keys in a Hugging Face config.json. Private to hf_config. */
#ifndef OBI_QUANT_HF_CONFIG_OPT_H
#define OBI_QUANT_HF_CONFIG_OPT_H

#include "model/config.h"
#include "quant/import/json.h"

/* Fills a zeroed config, and leaves the check to its caller. `name` goes into messages. OBI_ERROR_DATA names the key that is missing or
 * wrong, or that asks for what we do not compute: another activation, no biases, norms without weights. */
obi_status obi_hf_config_read_opt(const json_t *root, const char *name, obi_config *config);

#endif
