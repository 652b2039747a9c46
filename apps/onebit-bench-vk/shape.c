#include "shape.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/args.h"

static const struct {
    const char *word;
    model_shape shape;
} known[] = {
    { "7B", { 4096, 11008, 32, 32, 32, 32000, 1, "" } },
    { "1.1B", { 2048, 5632, 22, 32, 4, 32000, 1, "" } },
    { "0.26M", { 64, 172, 5, 8, 4, 512, 1, "" } }, /* stories260K */
};

static const struct {
    const char *key;
    size_t field;
    int64_t most;
} keys[] = {
    { "width", offsetof(model_shape, width), 65536 },       { "ffn", offsetof(model_shape, ffn), 65536 },
    { "layers", offsetof(model_shape, layers), 1024 },      { "heads", offsetof(model_shape, heads), 65536 },
    { "kv_heads", offsetof(model_shape, kv_heads), 65536 }, { "vocab", offsetof(model_shape, vocabulary), 1 << 22 },
    { "planes", offsetof(model_shape, planes), 4 },
};
#define KEYS (sizeof keys / sizeof *keys)

static int64_t *field_of(model_shape *shape, size_t key) { return (int64_t *)(void *)((char *)shape + keys[key].field); }

/* One "key=number" of `length` bytes. */
static int read_pair(const char *pair, size_t length, model_shape *out)
{
    const char *equals = memchr(pair, '=', length);
    if (!equals)
        return app_usage_error("--random takes 7B, 1.1B, 0.26M or sizes like width=2048,ffn=5632,layers=22,heads=32,vocab=32000, "
                               "not '%.*s'",
                               (int)length, pair);
    for (size_t i = 0; i < KEYS; i++) {
        if (strlen(keys[i].key) != (size_t)(equals - pair) || strncmp(keys[i].key, pair, (size_t)(equals - pair)) != 0) continue;
        if (*field_of(out, i) != 0) return app_usage_error("--random has %s twice", keys[i].key);
        char *end = NULL;
        errno = 0;
        long long value = strtoll(equals + 1, &end, 10);
        if (end != pair + length || end == equals + 1 || errno || value < 1 || value > keys[i].most)
            return app_usage_error("--random %s must be a whole number from 1 to %" PRId64 ", not '%.*s'", keys[i].key, keys[i].most,
                                   (int)(pair + length - equals - 1), equals + 1);
        *field_of(out, i) = value;
        return APP_GO_ON;
    }
    return app_usage_error("--random knows no '%.*s'; it takes width, ffn, layers, heads, kv_heads, vocab and planes", (int)(equals - pair), pair);
}

/* A known shape, alone or with ",planes=2" behind it; *pairs is what is behind it. */
static bool is_known(const char *word, model_shape *out, const char **pairs)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        size_t length = strlen(known[i].word);
        if (strncmp(word, known[i].word, length) != 0 || (word[length] != 0 && word[length] != ',')) continue;
        *out = known[i].shape;
        *pairs = word + length + (word[length] == ',');
        if (**pairs) out->planes = 0; /* to be given */
        snprintf(out->name, sizeof out->name, "random %.40s", word);
        return true;
    }
    *out = (model_shape){ 0 };
    *pairs = word;
    return false;
}

int shape_read(const char *word, model_shape *out)
{
    const char *pairs;
    bool named = is_known(word, out, &pairs);
    if (named && !*pairs) return APP_GO_ON;
    for (const char *pair = pairs;;) {
        size_t length = strcspn(pair, ",");
        int outcome = read_pair(pair, length, out);
        if (outcome != APP_GO_ON) return outcome;
        if (!pair[length]) break;
        pair += length + 1;
    }
    if (named) return APP_GO_ON;
    if (!out->kv_heads) out->kv_heads = out->heads;
    if (!out->planes) out->planes = 1;
    for (size_t i = 0; i < KEYS; i++)
        if (*field_of(out, i) == 0) return app_usage_error("--random lacks %s", keys[i].key);
    /* The library refuses these as well; here no device has been opened for them. */
    if (out->width % out->heads)
        return app_usage_error("--random: the width %" PRId64 " is no multiple of %" PRId64 " heads", out->width, out->heads);
    if (out->heads % out->kv_heads)
        return app_usage_error("--random: %" PRId64 " heads are no multiple of %" PRId64 " kv_heads", out->heads, out->kv_heads);
    if (out->width / out->heads % 2 || out->width / out->heads > 256)
        return app_usage_error("--random: heads of %" PRId64 " cannot be; their width must be even and at most 256",
                               out->width / out->heads);
    snprintf(out->name, sizeof out->name, "random %" PRId64 "/%" PRId64 "x%" PRId64, out->width, out->ffn, out->layers);
    size_t length = strlen(out->name);
    if (out->planes > 1) snprintf(out->name + length, sizeof out->name - length, " of %" PRId64 " planes", out->planes);
    return APP_GO_ON;
}

uint64_t shape_bytes(const model_shape *shape)
{
    uint64_t width = (uint64_t)shape->width, kv_width = width / (uint64_t)shape->heads * (uint64_t)shape->kv_heads;
    uint64_t bits = (uint64_t)shape->layers * width * (2 * width + 2 * kv_width + 3 * (uint64_t)shape->ffn);
    return width * (uint64_t)shape->vocabulary * 4 + bits / 8 * (uint64_t)shape->planes; /* embedding and head are f16 */
}
