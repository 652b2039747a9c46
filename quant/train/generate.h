/* generate: a teacher writes the text that its student learns from, as LLM-QAT does (arXiv 2305.17888): a first token, a few
 * likeliest ones after it, then tokens drawn from the model's distribution until it ends the text or cutoff_len is reached.
 *
 * What a sample becomes depends on the seed and its number alone, whatever else is written beside it, and samples are kept
 * in the order of their numbers: a run that was interrupted goes on to the same file. */
#ifndef OBI_QUANT_TRAIN_GENERATE_H
#define OBI_QUANT_TRAIN_GENERATE_H

#include "quant/train/run.h"

/* Runs it; options must have been checked. OUTPUT/ then holds generated.txt (a dataset for kd), samples.jsonl, generate.json
 * and resolved.yaml. OBI_ERROR_CANCELLED when hooks->stop asks for it: the same call goes on. */
obi_status obi_generate_run(obi_device *device, const obi_train_options *options, const obi_run_hooks *hooks);

/* ---- parts, for tests ---- */

/* The id of the largest logit, the first among equals; the vocabulary's size when none is a number. */
uint32_t obi_generate_likeliest(const float *logits, uint32_t vocabulary);

/* Draws an id from softmax(logits / temperature), of the top_k largest only unless that is 0; `draw` is uniform in [0, 1).
 * `room` holds top_k floats. The vocabulary's size when no logit is a number. */
uint32_t obi_generate_draw(const float *logits, uint32_t vocabulary, double temperature, uint32_t top_k, float *room, double draw);

#endif
