/* vocab: a tokenizer's data from GGUF keys and back. */
#include <string.h>

#include "core/alloc.h"
#include "core/checked.h"
#include "model/merge_map.h"
#include "model/piece_map.h"
#include "model/pretokenize.h"
#include "model/tokenizer.h"

#define KEY "tokenizer.ggml."
#define KIND_KEY "onebit.tokenizer.kind"
#define TOKENS_LIMIT (1u << 22)
#define MERGES_LIMIT (1u << 24)

void obi_vocab_free(obi_vocab *vocab)
{
    if (!vocab) return;
    obi_free(vocab->tokens);
    obi_free(vocab->scores);
    obi_free(vocab->types);
    obi_free(vocab->merges);
    obi_free(vocab->storage);
    memset(vocab, 0, sizeof *vocab);
}

static bool equals(const obi_gguf_string *string, const char *text)
{
    return string->length == strlen(text) && memcmp(string->text, text, strlen(text)) == 0;
}

/* A NUL-terminated copy, cut to the room: for names, which are compared and shown. */
static void copy_name(const obi_gguf_string *string, char *out, size_t room)
{
    size_t length = string->length < room - 1 ? (size_t)string->length : room - 1;
    for (size_t i = 0; i < length; i++) out[i] = string->text[i] < 0x20 ? '?' : string->text[i];
    out[length] = 0;
}

/* ---- from GGUF --------------------------------------------------------------------------------------- */

/* The kind, and whether one of our own programs wrote the file: then a key that is absent means "none". */
static obi_status read_kind(obi_vocab *vocab, const obi_gguf *gguf, bool *ours)
{
    obi_gguf_string model = { 0 }, kind = { 0 };
    OBI_TRY(obi_gguf_get_string(gguf, KEY "model", true, &model));
    OBI_TRY(obi_gguf_get_string(gguf, KIND_KEY, false, &kind));
    char name[32];
    *ours = kind.text != NULL;
    if (equals(&model, "llama")) {
        vocab->kind = OBI_VOCAB_SPM;
        if (*ours && equals(&kind, "bpe-char")) vocab->kind = OBI_VOCAB_BPE_CHAR;
        else if (*ours && !equals(&kind, "spm")) goto unknown_kind;
        return OBI_OK;
    }
    if (equals(&model, "gpt2")) {
        vocab->kind = OBI_VOCAB_BPE_BYTE;
        if (*ours && !equals(&kind, "bpe-byte")) goto unknown_kind;
        return OBI_OK;
    }
    copy_name(&model, name, sizeof name);
    return obi_fail(OBI_ERROR_DATA, "%.160s: the tokenizer model \"%s\" (" KEY "model) is not supported; llama and gpt2 are",
                    gguf->mapping.path, name);
unknown_kind:
    copy_name(&kind, name, sizeof name);
    return obi_fail(OBI_ERROR_DATA, "%.160s: " KIND_KEY " is \"%s\", which does not go with the tokenizer's model; the file is damaged or "
                    "newer than this program", gguf->mapping.path, name);
}

/* A byte BPE file without a pre-tokenizer's name is refused, too. The key came in only in 2024; files older than that
 * hold LLaMA 3 and other models as well as GPT-2, and nothing else in them says which split their merges were made for. */
static obi_status read_pre(obi_vocab *vocab, const obi_gguf *gguf)
{
    obi_gguf_string pre = { 0 };
    OBI_TRY(obi_gguf_get_string(gguf, KEY "pre", false, &pre));
    if (!pre.text)
        return obi_fail(OBI_ERROR_DATA, "%.160s: " KEY "pre is missing, so that the tokenizer's split of text into words is not known; "
                        "convert the model again with a current converter", gguf->mapping.path);
    char name[sizeof vocab->pre];
    copy_name(&pre, name, sizeof name);
    const char *canonical = obi_pretokenizer_canonical(name);
    if (!canonical)
        return obi_fail(OBI_ERROR_DATA, "%.160s: the pre-tokenizer \"%s\" (" KEY "pre) is not known, and another one's split would "
                        "silently give wrong tokens; gpt-2, llama-bpe (llama3) and qwen2 can be used", gguf->mapping.path, name);
    memcpy(vocab->pre, canonical, strlen(canonical) + 1);
    return OBI_OK;
}

/* Copies tokens and merges into one block of memory that the vocab owns. */
static obi_status copy_texts(obi_vocab *vocab, const obi_gguf_value *tokens, const obi_gguf_value *merges)
{
    uint64_t bytes = 0;
    bool fits = true;
    for (uint64_t i = 0; i < tokens->count; i++) fits = fits && obi_checked_add(bytes, tokens->strings[i].length, &bytes);
    for (uint64_t i = 0; merges && i < merges->count; i++) fits = fits && obi_checked_add(bytes, merges->strings[i].length, &bytes);
    if (!fits || bytes > SIZE_MAX) return obi_fail(OBI_ERROR_DATA, "the tokens of the vocabulary are too long for this machine's memory");
    vocab->count = (uint32_t)tokens->count;
    vocab->merge_count = merges ? (uint32_t)merges->count : 0;
    vocab->tokens = obi_calloc(vocab->count, sizeof *vocab->tokens);
    vocab->merges = merges ? obi_calloc(vocab->merge_count, sizeof *vocab->merges) : NULL;
    vocab->storage = obi_calloc((size_t)bytes, 1);
    if (!vocab->tokens || (merges && !vocab->merges) || !vocab->storage) return OBI_ERROR_MEMORY;
    char *end = vocab->storage;
    for (uint64_t i = 0; i < (uint64_t)vocab->count + vocab->merge_count; i++) {
        bool token = i < vocab->count;
        const obi_gguf_string *from = token ? &tokens->strings[i] : &merges->strings[i - vocab->count];
        obi_gguf_string *to = token ? &vocab->tokens[i] : &vocab->merges[i - vocab->count];
        if (from->length) memcpy(end, from->text, (size_t)from->length);
        *to = (obi_gguf_string){ end, from->length };
        end += from->length;
    }
    return OBI_OK;
}

/* The array of `key`, which must have one element for each token; *array stays NULL when it is absent and not required. */
static obi_status get_per_token(const obi_gguf *gguf, const char *key, obi_gguf_type element, bool required, uint32_t count,
                                const obi_gguf_value **array)
{
    OBI_TRY(obi_gguf_get_array(gguf, key, element, required, array));
    if (*array && (*array)->count != count)
        return obi_fail(OBI_ERROR_DATA, "%.160s: %s has %llu elements for %u tokens; the file is damaged", gguf->mapping.path, key,
                        (unsigned long long)(*array)->count, count);
    return OBI_OK;
}

/* What a file that leaves the types out means: <0xNN> are bytes, the three names every SentencePiece vocabulary starts
 * with are what they are, all else is text. */
static int32_t type_by_spelling(const obi_vocab *vocab, const obi_gguf_string *text)
{
    if (vocab->kind == OBI_VOCAB_BPE_BYTE) return OBI_TOKEN_NORMAL;
    if (equals(text, "<unk>")) return OBI_TOKEN_UNKNOWN;
    if (equals(text, "<s>") || equals(text, "</s>")) return OBI_TOKEN_CONTROL;
    if (text->length == 6 && memcmp(text->text, "<0x", 3) == 0 && text->text[5] == '>') return OBI_TOKEN_BYTE;
    return OBI_TOKEN_NORMAL;
}

static obi_status read_types_and_scores(obi_vocab *vocab, const obi_gguf *gguf)
{
    const obi_gguf_value *types = NULL, *scores = NULL;
    OBI_TRY(get_per_token(gguf, KEY "token_type", OBI_GGUF_I32, false, vocab->count, &types));
    vocab->types = obi_calloc(vocab->count, sizeof *vocab->types);
    if (!vocab->types) return OBI_ERROR_MEMORY;
    for (uint32_t id = 0; id < vocab->count; id++)
        vocab->types[id] = types ? obi_gguf_array_i32(types, id) : type_by_spelling(vocab, &vocab->tokens[id]);
    if (vocab->kind != OBI_VOCAB_SPM) return OBI_OK;
    OBI_TRY(get_per_token(gguf, KEY "scores", OBI_GGUF_F32, true, vocab->count, &scores));
    vocab->scores = obi_calloc(vocab->count, sizeof *vocab->scores);
    if (!vocab->scores) return OBI_ERROR_MEMORY;
    for (uint32_t id = 0; id < vocab->count; id++) vocab->scores[id] = obi_gguf_array_f32(scores, id);
    return OBI_OK;
}

static obi_status read_id(const obi_vocab *vocab, const obi_gguf *gguf, const char *key, int32_t absent, int32_t *id)
{
    uint32_t value = UINT32_MAX;
    OBI_TRY(obi_gguf_get_u32(gguf, key, false, &value));
    if (value == UINT32_MAX) {
        *id = absent;
        return OBI_OK;
    }
    if (value >= vocab->count)
        return obi_fail(OBI_ERROR_DATA, "%.160s: %s is %u, but the vocabulary has %u tokens; the file is damaged", gguf->mapping.path, key,
                        value, vocab->count);
    *id = (int32_t)value;
    return OBI_OK;
}

/* Ids and switches. Files for SentencePiece models often leave the usual ones out: unk 0, bos 1, eos 2, a bos in front. */
static obi_status read_settings(obi_vocab *vocab, const obi_gguf *gguf, bool ours)
{
    bool usual = vocab->kind == OBI_VOCAB_SPM && !ours && vocab->count > 2;
    OBI_TRY(read_id(vocab, gguf, KEY "bos_token_id", usual && vocab->types[1] == OBI_TOKEN_CONTROL ? 1 : -1, &vocab->bos));
    OBI_TRY(read_id(vocab, gguf, KEY "eos_token_id", usual && vocab->types[2] == OBI_TOKEN_CONTROL ? 2 : -1, &vocab->eos));
    OBI_TRY(read_id(vocab, gguf, KEY "unknown_token_id", usual && vocab->types[0] == OBI_TOKEN_UNKNOWN ? 0 : -1, &vocab->unk));
    OBI_TRY(read_id(vocab, gguf, KEY "padding_token_id", -1, &vocab->pad));
    bool byte = vocab->kind == OBI_VOCAB_BPE_BYTE;
    vocab->add_bos = byte ? obi_pretokenizer_adds_bos(vocab->pre) : true;
    vocab->add_eos = false;
    vocab->add_space_prefix = !byte;
    OBI_TRY(obi_gguf_get_bool(gguf, KEY "add_bos_token", false, &vocab->add_bos));
    OBI_TRY(obi_gguf_get_bool(gguf, KEY "add_eos_token", false, &vocab->add_eos));
    return obi_gguf_get_bool(gguf, KEY "add_space_prefix", false, &vocab->add_space_prefix);
}

obi_status obi_vocab_from_gguf(obi_vocab *vocab, const obi_gguf *gguf)
{
    memset(vocab, 0, sizeof *vocab);
    vocab->bos = vocab->eos = vocab->unk = vocab->pad = -1;
    obi_status status;
    bool ours = false;
    const obi_gguf_value *tokens = NULL, *merges = NULL;
    OBI_TRY_GOTO(read_kind(vocab, gguf, &ours));
    if (vocab->kind == OBI_VOCAB_BPE_BYTE) OBI_TRY_GOTO(read_pre(vocab, gguf));
    OBI_TRY_GOTO(obi_gguf_get_array(gguf, KEY "tokens", OBI_GGUF_STRING, true, &tokens));
    if (vocab->kind != OBI_VOCAB_SPM) OBI_TRY_GOTO(obi_gguf_get_array(gguf, KEY "merges", OBI_GGUF_STRING, true, &merges));
    if (tokens->count == 0 || tokens->count > TOKENS_LIMIT || (merges && merges->count > MERGES_LIMIT)) {
        status = obi_fail(OBI_ERROR_DATA, "%.160s: the vocabulary has %llu tokens and %llu merges; from 1 to %u tokens and up to %u "
                          "merges are supported", gguf->mapping.path, (unsigned long long)tokens->count,
                          (unsigned long long)(merges ? merges->count : 0),
                          TOKENS_LIMIT, MERGES_LIMIT);
        goto done;
    }
    OBI_TRY_GOTO(copy_texts(vocab, tokens, merges));
    OBI_TRY_GOTO(read_types_and_scores(vocab, gguf));
    OBI_TRY_GOTO(read_settings(vocab, gguf, ours));
    return OBI_OK;
done:
    obi_vocab_free(vocab);
    return status;
}

/* ---- to GGUF ----------------------------------------------------------------------------------------- */

static void put_id(obi_gguf_writer *writer, const char *key, int32_t id)
{
    if (id >= 0) obi_gguf_put_u32(writer, key, (uint32_t)id);
}

/* For programs that know scores only: a token that a merge makes scores minus the merge's rank, so that the order of
 * joining is nearly ours; the rest score below. */
static obi_status put_scores_of_merges(const obi_vocab *vocab, obi_gguf_writer *writer)
{
    obi_status status = OBI_ERROR_MEMORY;
    obi_piece_map pieces = { 0 };
    float *scores = obi_calloc(vocab->count, sizeof *scores);
    char *joined = NULL;
    if (!scores) goto done;
    OBI_TRY_GOTO(obi_piece_map_create(&pieces, vocab->tokens, vocab->count));
    for (uint32_t id = 0; id < vocab->count; id++) {
        if (vocab->types[id] == OBI_TOKEN_NORMAL) scores[id] = -(float)vocab->merge_count;
        obi_piece_map_add(&pieces, id);
    }
    status = OBI_ERROR_MEMORY;
    joined = obi_calloc((size_t)pieces.longest + 1, 1);
    if (!joined) goto done;
    for (uint32_t rank = vocab->merge_count; rank-- > 0;) { /* backwards: of two merges that make a token, the first counts */
        const obi_gguf_string *merge = &vocab->merges[rank];
        uint64_t at = obi_merge_split(merge);
        if (at == 0 || merge->length - 1 > pieces.longest) continue;
        obi_merge_join(merge, at, joined);
        uint32_t id = obi_piece_map_find(&pieces, joined, merge->length - 1);
        if (id != OBI_PIECE_NONE) scores[id] = -(float)rank;
    }
    obi_gguf_put_f32s(writer, KEY "scores", scores, vocab->count);
    status = OBI_OK;
done:
    obi_free(joined);
    obi_free(scores);
    obi_piece_map_free(&pieces);
    return status;
}

void obi_vocab_to_gguf(const obi_vocab *vocab, obi_gguf_writer *writer)
{
    static const char *const kinds[] = { "spm", "bpe-char", "bpe-byte" };
    bool byte = vocab->kind == OBI_VOCAB_BPE_BYTE;
    obi_gguf_put_string(writer, KEY "model", byte ? "gpt2" : "llama");
    if (byte) obi_gguf_put_string(writer, KEY "pre", vocab->pre);
    obi_gguf_put_string(writer, KIND_KEY, kinds[vocab->kind]);
    obi_gguf_put_strings(writer, KEY "tokens", vocab->tokens, vocab->count);
    if (vocab->kind == OBI_VOCAB_SPM) obi_gguf_put_f32s(writer, KEY "scores", vocab->scores, vocab->count);
    if (vocab->kind == OBI_VOCAB_BPE_CHAR) {
        obi_status status = put_scores_of_merges(vocab, writer);
        if (status != OBI_OK) obi_gguf_writer_fail(writer, status);
    }
    obi_gguf_put_i32s(writer, KEY "token_type", vocab->types, vocab->count);
    if (vocab->kind != OBI_VOCAB_SPM) obi_gguf_put_strings(writer, KEY "merges", vocab->merges, vocab->merge_count);
    put_id(writer, KEY "bos_token_id", vocab->bos);
    put_id(writer, KEY "eos_token_id", vocab->eos);
    put_id(writer, KEY "unknown_token_id", vocab->unk);
    put_id(writer, KEY "padding_token_id", vocab->pad);
    obi_gguf_put_bool(writer, KEY "add_bos_token", vocab->add_bos);
    obi_gguf_put_bool(writer, KEY "add_eos_token", vocab->add_eos);
    obi_gguf_put_bool(writer, KEY "add_space_prefix", vocab->add_space_prefix);
}
