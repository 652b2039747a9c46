/* Hugging Face's tokenizer.json, model type BPE. Its parts are programs in disguise (normaliser, pre-tokeniser,
 * post-processor); the two combinations that LLaMA models use are recognised exactly and everything else is refused,
 * because a wrong split gives wrong ids without any other sign:
 *   characters  spaces become U+2581 (by a Prepend/Replace normaliser or a Metaspace pre-tokeniser), no split
 *   bytes       GPT-2's byte alphabet after a split by a known pattern */
#include "quant/import/vocab_file.h"

#include <string.h>

#include "core/log.h"
#include "quant/import/json.h"

#define SPACE "\xe2\x96\x81" /* U+2581 */

#define CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|"
#define PUNCTUATION_AND_SPACES "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

static const struct { const char *pattern, *name; } patterns[] = {
    { "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+", "gpt-2" },
    { CONTRACTIONS "\\p{N}{1,3}" PUNCTUATION_AND_SPACES, "llama-bpe" },
    { CONTRACTIONS "\\p{N}" PUNCTUATION_AND_SPACES, "qwen2" },
};

/* What the parts around the model say together. */
typedef struct pipeline {
    bool prepend, replace;   /* spaces are marked by the normaliser */
    bool metaspace;          /* ... or by the pre-tokeniser */
    bool splits_words;       /* Metaspace cuts before each mark */
    bool nfc;
    bool byte_level;
    const char *pre;         /* the name of the pattern of byte_level */
} pipeline;

static const char *type_of(const json_t *object)
{
    const char *type = json_string_value(json_object_get(object, "type"));
    return type ? type : "?";
}

static obi_status refuse(const obi_vocab_builder *builder, const char *part, const char *what)
{
    return obi_fail(OBI_ERROR_DATA, "%s: the %s \"%.80s\" is not supported: another one in its place would silently give wrong tokens",
                    builder->path, part, what);
}

static bool text_is(const json_t *object, const char *key, const char *expected)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text && strcmp(text, expected) == 0;
}

/* ---- normaliser --------------------------------------------------------------------------------------------- */

static obi_status read_normalizer_step(const obi_vocab_builder *builder, const json_t *step, pipeline *pipe)
{
    const char *type = type_of(step);
    if (strcmp(type, "Prepend") == 0 && text_is(step, "prepend", SPACE)) pipe->prepend = true;
    else if (strcmp(type, "Replace") == 0 && text_is(json_object_get(step, "pattern"), "String", " ") && text_is(step, "content", SPACE))
        pipe->replace = true;
    else if (strcmp(type, "NFC") == 0) pipe->nfc = true;
    else return refuse(builder, "normalizer", type);
    return OBI_OK;
}

static obi_status read_normalizer(const obi_vocab_builder *builder, const json_t *root, pipeline *pipe)
{
    const json_t *normalizer = NULL, *steps = NULL;
    OBI_TRY(obi_json_get_object(root, builder->path, "normalizer", false, &normalizer));
    if (!normalizer) return OBI_OK;
    if (strcmp(type_of(normalizer), "Sequence") != 0) return read_normalizer_step(builder, normalizer, pipe);
    OBI_TRY(obi_json_get_array(normalizer, builder->path, "normalizers", true, &steps));
    for (size_t i = 0; i < json_array_size(steps); i++) OBI_TRY(read_normalizer_step(builder, json_array_get(steps, i), pipe));
    return OBI_OK;
}

/* ---- pre-tokeniser ------------------------------------------------------------------------------------------ */

static obi_status read_byte_level(const obi_vocab_builder *builder, const json_t *step, pipeline *pipe)
{
    bool prefix = true, regex = true;
    OBI_TRY(obi_json_get_bool(step, builder->path, "add_prefix_space", &prefix));
    OBI_TRY(obi_json_get_bool(step, builder->path, "use_regex", &regex));
    if (prefix) return refuse(builder, "pre_tokenizer", "ByteLevel with add_prefix_space");
    if (regex && pipe->pre) return refuse(builder, "pre_tokenizer", "ByteLevel with use_regex after another split");
    if (regex) pipe->pre = "gpt-2";
    pipe->byte_level = true;
    return OBI_OK;
}

static obi_status read_split(const obi_vocab_builder *builder, const json_t *step, pipeline *pipe)
{
    const char *regex = json_string_value(json_object_get(json_object_get(step, "pattern"), "Regex"));
    bool invert = false;
    OBI_TRY(obi_json_get_bool(step, builder->path, "invert", &invert));
    if (!regex) return refuse(builder, "pre_tokenizer", "Split by a text");
    if (!text_is(step, "behavior", "Isolated") || invert) return refuse(builder, "pre_tokenizer", "Split that is not Isolated");
    if (pipe->pre || pipe->byte_level) return refuse(builder, "pre_tokenizer", "Sequence of several splits");
    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++)
        if (strcmp(regex, patterns[i].pattern) == 0) pipe->pre = patterns[i].name;
    if (!pipe->pre)
        return obi_fail(OBI_ERROR_DATA, "%s: the pre_tokenizer splits by the pattern %.160s, which is not known; those of gpt-2, llama-bpe "
                        "(LLaMA 3) and qwen2 are", builder->path, regex);
    return OBI_OK;
}

static obi_status read_metaspace(obi_vocab_builder *builder, const json_t *step, pipeline *pipe)
{
    bool prefix = true;
    const char *scheme = NULL;
    pipe->metaspace = pipe->splits_words = true;
    OBI_TRY(obi_json_get_bool(step, builder->path, "add_prefix_space", &prefix));
    OBI_TRY(obi_json_get_bool(step, builder->path, "split", &pipe->splits_words));
    OBI_TRY(obi_json_get_text(step, builder->path, "prepend_scheme", false, &scheme));
    if (!obi_json_absent_or(step, "replacement", SPACE)) return refuse(builder, "pre_tokenizer", "Metaspace with another mark than U+2581");
    if (scheme) prefix = strcmp(scheme, "never") != 0;
    if (scheme && prefix && strcmp(scheme, "always") != 0 && strcmp(scheme, "first") != 0) return refuse(builder, "prepend_scheme", scheme);
    builder->vocab.add_space_prefix = prefix;
    return OBI_OK;
}

static obi_status read_pre_tokenizer_step(obi_vocab_builder *builder, const json_t *step, pipeline *pipe)
{
    const char *type = type_of(step);
    if (strcmp(type, "ByteLevel") == 0) return read_byte_level(builder, step, pipe);
    if (strcmp(type, "Split") == 0) return read_split(builder, step, pipe);
    if (strcmp(type, "Metaspace") == 0) return read_metaspace(builder, step, pipe);
    return refuse(builder, "pre_tokenizer", type);
}

static obi_status read_pre_tokenizer(obi_vocab_builder *builder, const json_t *root, pipeline *pipe)
{
    const json_t *pre = NULL, *steps = NULL;
    OBI_TRY(obi_json_get_object(root, builder->path, "pre_tokenizer", false, &pre));
    if (!pre) return OBI_OK;
    if (strcmp(type_of(pre), "Sequence") != 0) return read_pre_tokenizer_step(builder, pre, pipe);
    OBI_TRY(obi_json_get_array(pre, builder->path, "pretokenizers", true, &steps));
    for (size_t i = 0; i < json_array_size(steps); i++) OBI_TRY(read_pre_tokenizer_step(builder, json_array_get(steps, i), pipe));
    return OBI_OK;
}

/* Decides the kind. */
static obi_status conclude(obi_vocab_builder *builder, const pipeline *pipe, const json_t *model)
{
    obi_vocab *vocab = &builder->vocab;
    if (pipe->byte_level) {
        if (pipe->prepend || pipe->replace || pipe->metaspace) return refuse(builder, "pre_tokenizer", "ByteLevel with marked spaces");
        if (!pipe->pre) return refuse(builder, "pre_tokenizer", "ByteLevel without a split");
        if (pipe->nfc != (strcmp(pipe->pre, "qwen2") == 0))
            return refuse(builder, "normalizer", pipe->nfc ? "NFC with another split than qwen2's" : "none with qwen2's split");
        bool whole_words = json_is_true(json_object_get(model, "ignore_merges")), expected = strcmp(pipe->pre, "llama-bpe") == 0;
        if (whole_words && !expected) return refuse(builder, "model", "BPE with ignore_merges and another split than llama-bpe");
        if (!whole_words && expected)
            obi_log(OBI_LOG_WARNING, "%s: LLaMA 3's split without ignore_merges: a few rare words may get other tokens", builder->path);
        vocab->kind = OBI_VOCAB_BPE_BYTE;
        strncpy(vocab->pre, pipe->pre, sizeof vocab->pre - 1);
        vocab->add_space_prefix = false;
        return OBI_OK;
    }
    if (pipe->pre) return refuse(builder, "pre_tokenizer", "Split without ByteLevel");
    if (pipe->nfc) return refuse(builder, "normalizer", "NFC over characters");
    if (pipe->replace == pipe->metaspace)
        return refuse(builder, "pipeline", pipe->replace ? "Metaspace after a Replace normalizer"
                                                         : "no ByteLevel, no Metaspace, no Replace of spaces");
    if (pipe->prepend && pipe->metaspace) return refuse(builder, "pipeline", "Metaspace after a Prepend normalizer");
    if (pipe->replace) vocab->add_space_prefix = pipe->prepend;
    vocab->kind = OBI_VOCAB_BPE_CHAR;
    return OBI_OK;
}

/* ---- model -------------------------------------------------------------------------------------------------- */

static obi_status read_tokens(obi_vocab_builder *builder, const json_t *model)
{
    const json_t *tokens = NULL;
    bool byte_fallback = false;
    OBI_TRY(obi_json_get_object(model, builder->path, "vocab", true, &tokens));
    OBI_TRY(obi_json_get_bool(model, builder->path, "byte_fallback", &byte_fallback));
    for (void *i = json_object_iter((json_t *)tokens); i; i = json_object_iter_next((json_t *)tokens, i)) {
        const char *text = json_object_iter_key(i);
        size_t length = strlen(text);
        uint64_t id;
        OBI_TRY(obi_json_u64(json_object_iter_value(i), builder->path, "vocab", &id));
        bool byte = byte_fallback && obi_vocab_byte_piece(text, length) >= 0;
        OBI_TRY(obi_vocab_build_token(builder, id, text, length, 0, byte ? OBI_TOKEN_BYTE : OBI_TOKEN_NORMAL));
    }
    return OBI_OK;
}

/* Words that are cut before each mark give what uncut text gives only if no merge joins across or after a mark. */
static bool marks_only_in_front(const char *left, size_t left_length, const char *right, size_t right_length)
{
    size_t mark = sizeof SPACE - 1;
    if (memmem(right, right_length, SPACE, mark)) return false;
    return left_length <= 1 || !memmem(left + 1, left_length - 1, SPACE, mark);
}

static obi_status read_merges(obi_vocab_builder *builder, const json_t *model, const pipeline *pipe)
{
    const json_t *merges = NULL;
    OBI_TRY(obi_json_get_array(model, builder->path, "merges", true, &merges));
    for (size_t i = 0; i < json_array_size(merges); i++) {
        const json_t *merge = json_array_get(merges, i), *first = json_array_get(merge, 0), *second = json_array_get(merge, 1);
        const char *left = NULL, *right = NULL;
        size_t left_length = 0, right_length = 0;
        if (json_is_string(merge)) { /* "left right" */
            left = json_string_value(merge);
            const char *space = memchr(left, ' ', json_string_length(merge));
            if (space) {
                left_length = (size_t)(space - left);
                right = space + 1;
                right_length = json_string_length(merge) - left_length - 1;
                if (memchr(right, ' ', right_length)) right = NULL;
            }
        } else if (json_array_size(merge) == 2 && json_is_string(first) && json_is_string(second)) {
            left = json_string_value(first);
            left_length = json_string_length(first);
            right = json_string_value(second);
            right_length = json_string_length(second);
        }
        if (!left || !right || left_length == 0 || right_length == 0)
            return obi_fail(OBI_ERROR_DATA, "%s: merge %zu is neither \"left right\" nor [\"left\", \"right\"]", builder->path, i);
        if (pipe->splits_words && !marks_only_in_front(left, left_length, right, right_length))
            return refuse(builder, "pre_tokenizer", "Metaspace that splits, with merges across words");
        OBI_TRY(obi_vocab_build_merge(builder, left, left_length, right, right_length));
    }
    return OBI_OK;
}

static obi_status read_model(obi_vocab_builder *builder, const json_t *model, const pipeline *pipe)
{
    if (!obi_json_absent_or(model, "type", "BPE")) return refuse(builder, "model", type_of(model));
    if (!obi_json_absent_or(model, "continuing_subword_prefix", "")) return refuse(builder, "model", "BPE with continuing_subword_prefix");
    if (!obi_json_absent_or(model, "end_of_word_suffix", "")) return refuse(builder, "model", "BPE with end_of_word_suffix");
    OBI_TRY(read_tokens(builder, model));
    return read_merges(builder, model, pipe);
}

static obi_status read_added_tokens(obi_vocab_builder *builder, const json_t *root, const char *unknown)
{
    const json_t *list = NULL;
    OBI_TRY(obi_json_get_array(root, builder->path, "added_tokens", false, &list));
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *token = json_array_get(list, i);
        const char *text = NULL;
        uint32_t id = 0;
        bool special = false;
        OBI_TRY(obi_json_get_text(token, builder->path, "content", true, &text));
        OBI_TRY(obi_json_get_u32(token, builder->path, "id", true, &id));
        OBI_TRY(obi_json_get_bool(token, builder->path, "special", &special));
        int32_t type = unknown && strcmp(text, unknown) == 0 ? OBI_TOKEN_UNKNOWN : special ? OBI_TOKEN_CONTROL : OBI_TOKEN_USER;
        OBI_TRY(obi_vocab_build_token(builder, id, text, strlen(text), 0, type));
    }
    return OBI_OK;
}

/* ---- post-processor ----------------------------------------------------------------------------------------- */

/* The id that a template's special token stands for, or -1. */
static int32_t template_id(const json_t *template, const json_t *piece)
{
    const char *name = json_string_value(json_object_get(json_object_get(piece, "SpecialToken"), "id"));
    const json_t *ids = name ? json_object_get(json_object_get(json_object_get(template, "special_tokens"), name), "ids") : NULL;
    uint64_t id;
    if (json_array_size(ids) != 1 || !obi_json_is_count(json_array_get(ids, 0), &id) || id > INT32_MAX) return -1;
    return (int32_t)id;
}

static obi_status read_template(obi_vocab_builder *builder, const json_t *template)
{
    const json_t *single = NULL;
    OBI_TRY(obi_json_get_array(template, builder->path, "single", true, &single));
    bool after = false;
    for (size_t i = 0; i < json_array_size(single); i++) {
        const json_t *piece = json_array_get(single, i);
        if (json_object_get(piece, "Sequence")) {
            after = true;
            continue;
        }
        int32_t id = template_id(template, piece);
        if (id < 0 || (after ? builder->vocab.add_eos : builder->vocab.add_bos))
            return refuse(builder, "post_processor", "TemplateProcessing with other than one token before and one behind the text");
        if (after) {
            builder->vocab.eos = id;
            builder->vocab.add_eos = true;
        } else {
            builder->vocab.bos = id;
            builder->vocab.add_bos = true;
        }
    }
    return OBI_OK;
}

static obi_status read_post_processor_step(obi_vocab_builder *builder, const json_t *step)
{
    const char *type = type_of(step);
    if (strcmp(type, "ByteLevel") == 0) return OBI_OK; /* it moves offsets only */
    if (strcmp(type, "TemplateProcessing") == 0) return read_template(builder, step);
    return refuse(builder, "post_processor", type);
}

static obi_status read_post_processor(obi_vocab_builder *builder, const json_t *root)
{
    const json_t *processor = NULL, *steps = NULL;
    OBI_TRY(obi_json_get_object(root, builder->path, "post_processor", false, &processor));
    if (!processor) return OBI_OK;
    if (strcmp(type_of(processor), "Sequence") != 0) return read_post_processor_step(builder, processor);
    OBI_TRY(obi_json_get_array(processor, builder->path, "processors", true, &steps));
    for (size_t i = 0; i < json_array_size(steps); i++) OBI_TRY(read_post_processor_step(builder, json_array_get(steps, i)));
    return OBI_OK;
}

static obi_status read_root(obi_vocab_builder *builder, const json_t *root)
{
    const json_t *model = NULL;
    const char *unknown = NULL;
    pipeline pipe = { 0 };
    OBI_TRY(obi_json_get_object(root, builder->path, "model", true, &model));
    OBI_TRY(read_normalizer(builder, root, &pipe));
    OBI_TRY(read_pre_tokenizer(builder, root, &pipe));
    OBI_TRY(conclude(builder, &pipe, model));
    OBI_TRY(read_model(builder, model, &pipe));
    OBI_TRY(obi_json_get_text(model, builder->path, "unk_token", false, &unknown));
    OBI_TRY(read_added_tokens(builder, root, unknown));
    if (unknown) builder->vocab.unk = obi_vocab_build_find(builder, unknown);
    if (builder->vocab.unk >= 0 && builder->vocab.kind == OBI_VOCAB_BPE_CHAR)
        builder->entries[builder->vocab.unk].type = OBI_TOKEN_UNKNOWN;
    return read_post_processor(builder, root);
}

obi_status obi_vocab_read_hf(obi_vocab_builder *builder, const uint8_t *bytes, uint64_t size)
{
    json_t *root;
    OBI_TRY(obi_json_parse(&root, bytes, size, builder->path));
    obi_status status = read_root(builder, root);
    json_decref(root);
    return status;
}
