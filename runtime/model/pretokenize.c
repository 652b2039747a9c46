#include "model/pretokenize.h"

#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "core/alloc.h"
#include "model/utf8.h"

/* Unicode's White_Space, spelled out: the engine's own \s also takes U+180E, which the published patterns' engines do not. */
#define SPACE "\\t-\\r\\x{85}\\p{Z}"
#define APART_SUFFIX "|[" SPACE "]+(?![^" SPACE "])|[" SPACE "]+"
#define CONTRACTIONS "'s|'t|'re|'ve|'m|'ll|'d"
/* LLaMA 3's pattern with the longest run of digits that stays together. */
#define LLAMA3(digits)                                                                                         \
    "(?i:" CONTRACTIONS ")|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" digits "| ?[^" SPACE "\\p{L}\\p{N}]+[\\r\\n]*"       \
    "|[" SPACE "]*[\\r\\n]+" APART_SUFFIX

typedef struct family {
    const char *name;
    const char *pattern;
    bool whole_words, nfc, bos;
} family;

static const family families[] = {
    { "gpt-2", CONTRACTIONS "| ?\\p{L}+| ?\\p{N}+| ?[^" SPACE "\\p{L}\\p{N}]+" APART_SUFFIX, false, false, false },
    { "llama-bpe", LLAMA3("\\p{N}{1,3}"), true, false, true },
    { "qwen2", LLAMA3("\\p{N}"), false, true, false },
};

static const struct { const char *name, *canonical; } aliases[] = { { "llama3", "llama-bpe" }, { "llama-v3", "llama-bpe" } };

struct obi_pretokenizer {
    const family *family;
    pcre2_general_context *general;
    pcre2_match_context *limits;
    pcre2_code *code;
};

static const family *find_family(const char *name)
{
    for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++)
        if (strcmp(name, aliases[i].name) == 0) name = aliases[i].canonical;
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        if (strcmp(name, families[i].name) == 0) return &families[i];
    return NULL;
}

const char *obi_pretokenizer_canonical(const char *name)
{
    const family *found = find_family(name);
    return found ? found->name : NULL;
}

bool obi_pretokenizer_adds_bos(const char *name)
{
    const family *found = find_family(name);
    return found && found->bos;
}

bool obi_pretokenizer_takes_whole_words(const obi_pretokenizer *pretokenizer) { return pretokenizer->family->whole_words; }
bool obi_pretokenizer_wants_nfc(const obi_pretokenizer *pretokenizer) { return pretokenizer->family->nfc; }

static void *engine_allocate(size_t bytes, void *user)
{
    (void)user;
    return obi_calloc(bytes, 1);
}

static void engine_release(void *memory, void *user)
{
    (void)user;
    obi_free(memory);
}

obi_status obi_pretokenizer_create(obi_pretokenizer **out, const char *name)
{
    *out = NULL;
    const family *found = find_family(name);
    if (!found)
        return obi_fail(OBI_ERROR_DATA, "the pre-tokenizer \"%.31s\" is not known, and another one's split would silently give wrong "
                        "tokens; models with gpt-2, llama-bpe (llama3) or qwen2 can be used", name);
    obi_pretokenizer *pretokenizer = obi_calloc(1, sizeof *pretokenizer);
    if (!pretokenizer) return OBI_ERROR_MEMORY;
    pretokenizer->family = found;
    int problem = PCRE2_ERROR_NOMEMORY;
    PCRE2_SIZE where = 0;
    pretokenizer->general = pcre2_general_context_create(engine_allocate, engine_release, NULL);
    if (pretokenizer->general) pretokenizer->limits = pcre2_match_context_create(pretokenizer->general);
    pcre2_compile_context *compiling = pretokenizer->general ? pcre2_compile_context_create(pretokenizer->general) : NULL;
    if (compiling && pretokenizer->limits)
        pretokenizer->code = pcre2_compile((PCRE2_SPTR)found->pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP | PCRE2_ANCHORED,
                                           &problem, &where, compiling);
    pcre2_compile_context_free(compiling);
    if (!pretokenizer->code) {
        obi_pretokenizer_free(pretokenizer);
        /* The patterns are ours and valid: a compilation that fails ran out of memory or has no Unicode support. */
        if (problem == PCRE2_ERROR_NOMEMORY || problem == PCRE2_ERROR_HEAP_FAILED)
            return obi_fail(OBI_ERROR_MEMORY, "out of memory while the pre-tokenizer \"%s\" was set up", found->name);
        return obi_fail(OBI_ERROR_RUNTIME, "the installed PCRE2 library refused the pattern of the pre-tokenizer \"%s\" (error %d); "
                        "it must be built with Unicode support", found->name, problem);
    }
    /* A run of spaces costs a step each when it is backtracked over; a long run is no fault. */
    pcre2_set_match_limit(pretokenizer->limits, UINT32_MAX);
    (void)pcre2_jit_compile(pretokenizer->code, PCRE2_JIT_COMPLETE); /* where it is not available matching is interpreted */
    *out = pretokenizer;
    return OBI_OK;
}

void obi_pretokenizer_free(obi_pretokenizer *pretokenizer)
{
    if (!pretokenizer) return;
    pcre2_code_free(pretokenizer->code);
    pcre2_match_context_free(pretokenizer->limits);
    pcre2_general_context_free(pretokenizer->general);
    obi_free(pretokenizer);
}

obi_status obi_words_open(obi_words *words, const obi_pretokenizer *pretokenizer)
{
    words->pretokenizer = pretokenizer;
    words->match = pcre2_match_data_create(1, pretokenizer->general);
    if (!words->match) return obi_fail(OBI_ERROR_MEMORY, "out of memory while a text was split into words");
    return OBI_OK;
}

void obi_words_close(obi_words *words)
{
    pcre2_match_data_free(words->match);
    memset(words, 0, sizeof *words);
}

obi_status obi_words_next(obi_words *words, const char *text, size_t length, size_t start, size_t *end)
{
    const obi_pretokenizer *pretokenizer = words->pretokenizer;
    /* The caller has checked the UTF-8; the engine would check the whole rest of the text again for each word. */
    int found = pcre2_match(pretokenizer->code, (PCRE2_SPTR)text, length, start, PCRE2_NO_UTF_CHECK, words->match, pretokenizer->limits);
    if (found == PCRE2_ERROR_JIT_STACKLIMIT)
        found = pcre2_match(pretokenizer->code, (PCRE2_SPTR)text, length, start, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, words->match,
                            pretokenizer->limits);
    if (found >= 0) {
        *end = pcre2_get_ovector_pointer(words->match)[1];
        if (*end > start) return OBI_OK;
    } else if (found == PCRE2_ERROR_NOMEMORY) {
        return obi_fail(OBI_ERROR_MEMORY, "out of memory while a text was split into words");
    } else if (found != PCRE2_ERROR_NOMATCH) {
        return obi_fail(OBI_ERROR_RUNTIME, "the text could not be split into words at byte %zu (PCRE2 error %d)", start, found);
    }
    uint32_t codepoint; /* the patterns take every character; this only guarantees progress */
    size_t bytes = obi_utf8_decode(text + start, length - start, &codepoint);
    *end = start + (bytes ? bytes : 1);
    return OBI_OK;
}
