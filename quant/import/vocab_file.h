/* vocab_file: a tokenizer file of any kind we read, recognised by content, becomes an obi_vocab. */
#ifndef OBI_QUANT_VOCAB_FILE_H
#define OBI_QUANT_VOCAB_FILE_H

#include "quant/import/vocab_build.h"

/* Reads a tokenizer.json, a vocab.json with merges.txt beside it, a tokenizer.model, tokenizer.bin or GGUF file. `limit` is the model's
 * vocabulary: a token id at or above it is OBI_ERROR_DATA. Hugging Face's small files beside it (tokenizer_config.json,
 * special_tokens_map.json, generation_config.json, config.json, added_tokens.json) say which tokens are special. Free with
 * obi_vocab_free. */
obi_status obi_vocab_file_read(obi_vocab *vocab, const char *path, uint32_t limit);

/* Finds the tokenizer of a model. In a directory: tokenizer.json, else tokenizer.model, else vocab.json. Beside a file:
 * tok<limit>.bin, tok<limit>.model, tokenizer.bin, tokenizer.model, tokenizer.json, the first that is there.
 * None: OBI_OK with an empty vocab. */
obi_status obi_vocab_file_beside(obi_vocab *vocab, const char *model_path, bool directory, uint32_t limit);

/* ---- the readers, over bytes in memory ------------------------------------------------------------------------- */

obi_status obi_vocab_read_llama2c(obi_vocab_builder *builder, const uint8_t *bytes, uint64_t size);
obi_status obi_vocab_read_sentencepiece(obi_vocab_builder *builder, const uint8_t *bytes, uint64_t size);
obi_status obi_vocab_read_hf(obi_vocab_builder *builder, const uint8_t *bytes, uint64_t size);

/* Whether this begins as an object that says of a token which id it has; and reads it. */
bool obi_vocab_is_gpt2(const uint8_t *bytes, uint64_t size);
obi_status obi_vocab_read_gpt2(obi_vocab_builder *builder, const uint8_t *bytes, uint64_t size, const char *merges_path);
/* Once the special ids are known: their tokens become control tokens, which those two files do not say. */
void obi_vocab_mark_gpt2(obi_vocab_builder *builder);

/* Adds what the small Hugging Face files in `directory` say; all of them are optional. */
obi_status obi_vocab_read_specials(obi_vocab_builder *builder, const char *directory);

#endif
