/* random_gguf: writes a GGUF file of random weights in the shape of a LLaMA or an OPT, for measurements of speed: what it says is noise.
 *
 *     random-gguf OUT TYPE WIDTH FFN LAYERS HEADS KV_HEADS VOCABULARY
 *
 * TYPE is that of the linear layers. onebit: our 1-bit format (docs/format.md); onebitopt: the same of an OPT; q1_0 (128 signs under one
 * f16 scale), q4_0, q8_0, f16: an ordinary llama file for llama.cpp. Embedding and head are f16 and norms f32 in all of them, and all
 * have the same tokenizer, so that files of one shape differ in the linear layers alone. C and nothing else: it shares no code with
 * what is being measured. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ALIGNMENT 32
#define TENSORS_MAX 32768
#define BLOCK_BYTES_MAX 64
#define OPT_CONTEXT 2048
#define OPT_POSITION_OFFSET 2

enum { KEY_U32 = 4, KEY_F32 = 6, KEY_STRING = 8, KEY_ARRAY = 9 }; /* GGUF's ids of value types */

typedef struct encoding {
    const char *name;
    uint32_t id;      /* GGUF's */
    uint32_t columns; /* weights of a block */
    uint32_t bytes;   /* of a block */
    bool scaled;      /* a block begins with an f16 scale, and random bits follow */
    double largest;   /* of what the bits stand for, before the scale */
} encoding;

static const encoding f32 = { "f32", 0, 1, 4, false, 0 }, f16 = { "f16", 1, 1, 2, false, 0 }, i32 = { "i32", 26, 1, 4, false, 0 };
static const encoding linears[] = {
    { "f16", 1, 1, 2, false, 0 }, { "q4_0", 2, 32, 18, true, 8 }, { "q8_0", 8, 32, 34, true, 128 }, { "q1_0", 41, 128, 18, true, 1 }
};

typedef struct tensor {
    char name[64];
    const encoding *as;
    uint64_t columns, rows; /* rows 0: a vector */
    double scale;           /* numbers lie around 0 within it; 0: around 1, as of norms and of onebit's vectors */
    uint64_t offset, bytes;
} tensor;

typedef struct model {
    bool onebit, opt;
    const encoding *linear; /* of who is not onebit */
    uint32_t width, ffn, layers, heads, kv_heads, vocabulary;
    tensor *tensors;
    uint32_t tensor_count;
    uint64_t tensor_bytes;
    FILE *file;
    uint64_t position;
    uint64_t random;
} model;

static const char *output; /* removed when something fails */

static _Noreturn void refuse(int code, const char *sentence, const char *word)
{
    fprintf(stderr, "random-gguf: error: ");
    fprintf(stderr, sentence, word);
    fputc('\n', stderr);
    if (output) unlink(output);
    exit(code);
}

/* ---- bytes ----------------------------------------------------------------------------------------------------- */

static void put(model *to, const void *data, size_t bytes)
{
    if (fwrite(data, 1, bytes, to->file) != bytes) refuse(1, "the file cannot be written: %s", strerror(errno));
    to->position += bytes;
}

static void put_u32(model *to, uint32_t value) { put(to, &value, sizeof value); } /* little-endian machines only: checked in main */
static void put_u64(model *to, uint64_t value) { put(to, &value, sizeof value); }

static void put_text(model *to, const char *text)
{
    put_u64(to, strlen(text));
    put(to, text, strlen(text));
}

static uint64_t next_random(model *from) /* xorshift64* */
{
    from->random ^= from->random >> 12;
    from->random ^= from->random << 25;
    from->random ^= from->random >> 27;
    return from->random * UINT64_C(0x2545f4914f6cdd1d);
}

static double next_uniform(model *from) { return (double)(next_random(from) >> 11) * 0x1p-53; }

/* Truncated, which is near enough; the values here are normal halves. */
static uint16_t half_of(double value)
{
    int exponent;
    double fraction = frexp(fabs(value), &exponent);
    if (fraction == 0 || exponent < -13) return 0;
    return (uint16_t)((value < 0 ? 0x8000u : 0u) | (uint32_t)(exponent + 14) << 10 | ((uint32_t)(fraction * 2048) & 0x3ffu));
}

/* ---- tensors --------------------------------------------------------------------------------------------------- */

static void add(model *to, const char *name, const encoding *as, uint64_t columns, uint64_t rows, double scale)
{
    if (to->tensor_count == TENSORS_MAX) refuse(2, "there are too many layers%s", "");
    if (columns % as->columns != 0) refuse(2, "%s needs rows that fill its blocks, and this shape's do not; f16 takes any width", as->name);
    tensor *made = &to->tensors[to->tensor_count++];
    snprintf(made->name, sizeof made->name, "%s", name);
    made->as = as;
    made->columns = columns;
    made->rows = rows;
    made->scale = scale;
    made->offset = to->tensor_bytes;
    made->bytes = columns / as->columns * as->bytes * (rows ? rows : 1);
    to->tensor_bytes += (made->bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static void add_linear(model *to, uint32_t layer, const char *role, uint32_t rows, uint32_t columns)
{
    char name[64];
    double spread = 1 / sqrt(columns); /* what goes in and what comes out are of one size */
    snprintf(name, sizeof name, "blk.%" PRIu32 ".%s.weight", layer, role);
    if (!to->onebit) {
        add(to, name, to->linear, columns, rows, spread);
        return;
    }
    if (columns % 32 != 0) add(to, name, &i32, columns / 32 + 1, rows, 0); /* pad bits: the reader clears them */
    else add(to, name, &i32, columns / 32, rows, 0);
    snprintf(name, sizeof name, "blk.%" PRIu32 ".%s.input_factor", layer, role);
    add(to, name, &f16, columns, 0, 0);
    snprintf(name, sizeof name, "blk.%" PRIu32 ".%s.weight_scale", layer, role);
    add(to, name, &f16, rows, 0, 0);
    if (!to->opt) return;
    snprintf(name, sizeof name, "blk.%" PRIu32 ".%s.bias", layer, role);
    add(to, name, &f32, rows, 0, 0.1);
}

/* A norm; of OPT with what it adds. */
static void add_norm(model *to, const char *stem)
{
    char name[64];
    snprintf(name, sizeof name, "%.48s.weight", stem);
    add(to, name, &f32, to->width, 0, 0);
    snprintf(name, sizeof name, "%.48s.bias", stem);
    if (to->opt) add(to, name, &f32, to->width, 0, 0.1);
}

static void list_tensors(model *to)
{
    uint32_t width = to->width, kv_width = width / to->heads * to->kv_heads;
    char name[64];
    add(to, "token_embd.weight", &f16, width, to->vocabulary, 1 / sqrt(width));
    add_norm(to, "output_norm");
    if (to->opt) add(to, "position_embd.weight", &f16, width, OPT_CONTEXT + OPT_POSITION_OFFSET, 1 / sqrt(width));
    else add(to, "output.weight", &f16, width, to->vocabulary, 1 / sqrt(width)); /* OPT's head is its embedding */
    for (uint32_t i = 0; i < to->layers; i++) {
        snprintf(name, sizeof name, "blk.%" PRIu32 ".attn_norm", i);
        add_norm(to, name);
        snprintf(name, sizeof name, "blk.%" PRIu32 ".ffn_norm", i);
        add_norm(to, name);
        add_linear(to, i, "attn_q", width, width);
        add_linear(to, i, "attn_k", kv_width, width);
        add_linear(to, i, "attn_v", kv_width, width);
        add_linear(to, i, "attn_output", width, width);
        if (!to->opt) add_linear(to, i, "ffn_gate", to->ffn, width);
        add_linear(to, i, "ffn_up", to->ffn, width);
        add_linear(to, i, "ffn_down", width, to->ffn);
    }
}

static void fill_block(model *from, const tensor *which, uint8_t *block)
{
    const encoding *as = which->as;
    if (which->rows == 0) { /* norms, scales and biases */
        double value = which->scale > 0 ? which->scale * (2 * next_uniform(from) - 1) : 0.5 + next_uniform(from);
        float single = (float)value;
        uint16_t half = half_of(value);
        memcpy(block, as == &f32 ? (void *)&single : (void *)&half, as->bytes);
    } else if (as->id == f16.id) {
        uint16_t half = half_of(which->scale * (2 * next_uniform(from) - 1) * sqrt(3));
        memcpy(block, &half, sizeof half);
    } else {
        for (uint32_t i = 0; i < as->bytes; i += 8) {
            uint64_t bits = next_random(from);
            memcpy(block + i, &bits, as->bytes - i < 8 ? as->bytes - i : 8);
        }
        uint16_t half = half_of(which->scale / (as->largest > 0 ? as->largest : 1));
        if (as->scaled) memcpy(block, &half, sizeof half);
    }
}

static void write_tensor(model *to, const tensor *which)
{
    static uint8_t buffer[BLOCK_BYTES_MAX * 4096], zeros[ALIGNMENT];
    uint64_t blocks = which->bytes / which->as->bytes;
    while (blocks > 0) {
        uint64_t now = blocks < 4096 ? blocks : 4096;
        for (uint64_t i = 0; i < now; i++) fill_block(to, which, buffer + i * which->as->bytes);
        put(to, buffer, (size_t)now * which->as->bytes);
        blocks -= now;
    }
    put(to, zeros, (ALIGNMENT - which->bytes % ALIGNMENT) % ALIGNMENT);
}

/* ---- keys ------------------------------------------------------------------------------------------------------ */

static uint64_t key_count; /* counted in a first pass over the same calls */
static bool counting;

static bool begins_key(model *to, const char *key, uint32_t type)
{
    key_count++;
    if (counting) return false;
    put_text(to, key);
    put_u32(to, type);
    return true;
}

static void key_u32(model *to, const char *key, uint32_t value)
{
    if (begins_key(to, key, KEY_U32)) put_u32(to, value);
}
static void key_f32(model *to, const char *key, float value)
{
    if (begins_key(to, key, KEY_F32)) put(to, &value, sizeof value);
}
static void key_text(model *to, const char *key, const char *value)
{
    if (begins_key(to, key, KEY_STRING)) put_text(to, value);
}
static const char *architecture(const model *of) { return of->opt ? "onebitopt" : of->onebit ? "onebitllama" : "llama"; }

static void key_of_model(model *to, const char *key, uint32_t value)
{
    char whole[96];
    snprintf(whole, sizeof whole, "%s.%s", architecture(to), key);
    key_u32(to, whole, value);
}

/* Control tokens, bytes, then words without meaning; a smaller vocabulary lacks the last of them. */
static void keys_of_tokenizer(model *to)
{
    enum { NORMAL = 1, UNKNOWN = 2, CONTROL = 3, BYTE = 6 };
    char word[16];
    key_text(to, "tokenizer.ggml.model", "llama");
    if (begins_key(to, "tokenizer.ggml.tokens", KEY_ARRAY)) {
        put_u32(to, KEY_STRING);
        put_u64(to, to->vocabulary);
        for (uint32_t i = 0; i < to->vocabulary; i++) {
            static const char *const control[] = { "<unk>", "<s>", "</s>" };
            if (i < 3) snprintf(word, sizeof word, "%s", control[i]);
            else if (i < 259) snprintf(word, sizeof word, "<0x%02X>", (unsigned)(i - 3));
            else snprintf(word, sizeof word, "w%" PRIu32, i);
            put_text(to, word);
        }
    }
    if (begins_key(to, "tokenizer.ggml.scores", KEY_ARRAY)) {
        put_u32(to, KEY_F32);
        put_u64(to, to->vocabulary);
        for (uint32_t i = 0; i < to->vocabulary; i++) put(to, &(float){ -(float)i }, sizeof(float));
    }
    if (begins_key(to, "tokenizer.ggml.token_type", KEY_ARRAY)) {
        put_u32(to, 5); /* i32 */
        put_u64(to, to->vocabulary);
        for (uint32_t i = 0; i < to->vocabulary; i++) put_u32(to, i == 0 ? UNKNOWN : i < 3 ? CONTROL : i < 259 ? BYTE : NORMAL);
    }
    key_u32(to, "tokenizer.ggml.bos_token_id", 1);
    key_u32(to, "tokenizer.ggml.eos_token_id", 2);
}

static void write_keys(model *to)
{
    key_count = 0;
    key_text(to, "general.architecture", architecture(to));
    key_text(to, "general.name", "random");
    key_of_model(to, "context_length", to->opt ? OPT_CONTEXT : 4096);
    key_of_model(to, "embedding_length", to->width);
    key_of_model(to, "block_count", to->layers);
    key_of_model(to, "feed_forward_length", to->ffn);
    key_of_model(to, "attention.head_count", to->heads);
    key_of_model(to, "vocab_size", to->vocabulary);
    if (to->opt) {
        key_of_model(to, "position_offset", OPT_POSITION_OFFSET);
        key_f32(to, "onebitopt.attention.layer_norm_epsilon", 1e-5f);
    } else {
        key_of_model(to, "attention.head_count_kv", to->kv_heads);
        key_of_model(to, "rope.dimension_count", to->width / to->heads);
        key_f32(to, to->onebit ? "onebitllama.attention.layer_norm_rms_epsilon" : "llama.attention.layer_norm_rms_epsilon", 1e-5f);
    }
    keys_of_tokenizer(to);
    if (!to->onebit) return;
    key_u32(to, "onebit.version", 1);
    key_text(to, "onebit.packing", "i32-lsb0-neg1");
    key_text(to, "onebit.post_norm", "layernorm");
    key_f32(to, "onebit.post_norm_eps", 1e-5f);
    if (!to->opt) key_text(to, "onebit.rope_layout", "half");
}

static void write_file(model *to)
{
    counting = true;
    write_keys(to);
    counting = false;
    put(to, "GGUF", 4);
    put_u32(to, 3);
    put_u64(to, to->tensor_count);
    put_u64(to, key_count);
    write_keys(to);
    for (uint32_t i = 0; i < to->tensor_count; i++) {
        const tensor *each = &to->tensors[i];
        put_text(to, each->name);
        put_u32(to, each->rows ? 2 : 1);
        put_u64(to, each->columns);
        if (each->rows) put_u64(to, each->rows);
        put_u32(to, each->as->id);
        put_u64(to, each->offset);
    }
    while (to->position % ALIGNMENT != 0) put(to, "", 1);
    for (uint32_t i = 0; i < to->tensor_count; i++) write_tensor(to, &to->tensors[i]);
}

/* ---- the command line ------------------------------------------------------------------------------------------ */

static uint32_t read_size(const char *word, uint32_t most)
{
    char *end = NULL;
    errno = 0;
    unsigned long long value = strtoull(word, &end, 10);
    if (word[0] < '0' || word[0] > '9' || *end || errno || value < 1 || value > most) refuse(2, "'%s' is no size of a model", word);
    return (uint32_t)value;
}

int main(int argc, char **argv)
{
    if (argc != 9) {
        fprintf(stderr, "usage: random-gguf OUT onebit|onebitopt|q1_0|q4_0|q8_0|f16 WIDTH FFN LAYERS HEADS KV_HEADS VOCABULARY\n");
        return 2;
    }
    if (*(const uint8_t *)&(uint16_t){ 1 } != 1) refuse(1, "this machine is not little-endian%s", "");
    model made = { .random = 88172645463325252u, .opt = strcmp(argv[2], "onebitopt") == 0 };
    made.onebit = made.opt || strcmp(argv[2], "onebit") == 0;
    for (size_t i = 0; i < sizeof linears / sizeof *linears; i++)
        if (strcmp(argv[2], linears[i].name) == 0) made.linear = &linears[i];
    if (!made.linear && !made.onebit) refuse(2, "the type must be one of onebit, onebitopt, q1_0, q4_0, q8_0 and f16, not '%s'", argv[2]);
    made.width = read_size(argv[3], 1 << 16);
    made.ffn = read_size(argv[4], 1 << 16);
    made.layers = read_size(argv[5], 1024);
    made.heads = read_size(argv[6], 1 << 16);
    made.kv_heads = read_size(argv[7], 1 << 16);
    made.vocabulary = read_size(argv[8], 1 << 22);
    if (made.opt && made.kv_heads != made.heads) refuse(2, "an OPT has as many kv_heads as heads%s", "");
    if (made.width % made.heads || made.heads % made.kv_heads) refuse(2, "heads must divide the width, and kv_heads the heads%s", "");
    made.tensors = calloc(TENSORS_MAX, sizeof *made.tensors);
    if (!made.tensors) refuse(4, "there is not enough memory%s", "");
    list_tensors(&made);
    made.file = fopen(argv[1], "wb");
    if (!made.file) refuse(1, "the file cannot be created: %s", strerror(errno));
    output = argv[1];
    write_file(&made);
    if (fclose(made.file) != 0) refuse(1, "the file cannot be written: %s", strerror(errno));
    free(made.tensors);
    printf("%s: %" PRIu64 " bytes, %" PRIu32 " tensors\n", argv[1], made.position, made.tensor_count);
    return 0;
}
