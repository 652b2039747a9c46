/* What the programs do with what they cannot use: one sentence, the right exit code, nothing on stdout, no file left. */
#include "program.h"

#include <math.h>

#define STORIES "models/stories260K/stories260K.bin"
#define STORIES_TOKENIZER "models/stories260K/tok512.bin"

/* How many entries the scratch directory has. */
static size_t scratch_entries;

static int count_entry(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    (void)path;
    (void)info;
    (void)kind;
    (void)walk;
    scratch_entries++;
    return 0;
}

static size_t count_scratch(void)
{
    scratch_entries = 0;
    assert_int_equal(nftw(scratch_directory, count_entry, 16, FTW_PHYS), 0);
    return scratch_entries;
}

/* ---- wrong use ---------------------------------------------------------------------------------------------------- */

static void expect_usage_error(const program *run, const char *part)
{
    program_expect_failure(run, 2, part);
    assert_non_null(strstr(run->err, "--help'."));
}

static void test_wrong_use(void **state)
{
    (void)state;
    expect_usage_error(program_run("onebit-run-vk"), "-m names a GGUF file");
    expect_usage_error(program_run("onebit-quant-vk"), "no model was given");
    expect_usage_error(program_run("onebit-quant-vk", "in.bin"), "-o names the GGUF file");
    expect_usage_error(program_run("onebit-quant-vk", "in.bin", "-o", "x", "--method", "gptq"), "--calib names it");
    expect_usage_error(program_run("onebit-quant-vk", "in.bin", "-o", "x", "--method", "rtn", "--calib", "t"), "--calib is for gptq");
    expect_usage_error(program_run("onebit-quant-vk", "in.bin", "-o", "x", "--method", "xnor", "--bits", "2"), "--bits and --group");
    expect_usage_error(program_run("onebit-quant-vk", "in.bin", "-o", "x", "--method", "rtn", "--form", "f16"), "--form f16");
    static const struct {
        const char *method, *option, *value, *words;
    } others[] = { { "rtn", "--damping", "0", "--natural-order are for gptq" },
                   { "rtn", "--epochs", "3", "--let-rate are for omniquant" },
                   { "int8", "--let", "off", "--let-rate are for omniquant" },
                   { "xnor", "--int8-threshold", "0", "--int8-threshold is for int8" },
                   { "rtn", "-s", "0", "--seed are for gptq and omniquant" } };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        expect_usage_error(
            program_run("onebit-quant-vk", "in.bin", "-o", "x", "--method", others[i].method, others[i].option, others[i].value),
            others[i].words);
    expect_usage_error(program_run("onebit-eval-vk"), "say what to measure");
    expect_usage_error(program_run("onebit-eval-vk", "speed"), "'speed' cannot be measured");
    expect_usage_error(program_run("onebit-eval-vk", "ppl"), "-m names a GGUF file");
    expect_usage_error(program_run("onebit-eval-vk", "ppl", "-m", "x.gguf"), "-f names a text file");
    expect_usage_error(program_run("onebit-eval-vk", "ppl", "-m", "x.gguf", "-f", "t", "--docs", "3"), "--split");
    expect_usage_error(program_run("onebit-info-vk", "--selftest", "x.gguf"), "needs no model");
    expect_usage_error(program_run("onebit-bench-vk"), "say what to measure");
    expect_usage_error(program_run("onebit-bench-vk", "sleep"), "'sleep' cannot be measured");
    expect_usage_error(program_run("onebit-bench-vk", "kernels", "1x2"), "'1x2' is not a shape");
    expect_usage_error(program_run("onebit-bench-vk", "kernels", "--filter", "none"), "'none' in its name");
    expect_usage_error(program_run("onebit-bench-vk", "decode"), "no model was given");
    expect_usage_error(program_run("onebit-bench-vk", "decode", "-m", "x.gguf", "--random", "7B"), "use one of them");
    expect_usage_error(program_run("onebit-bench-vk", "decode", "--random", "8B"), "not '8B'");
    expect_usage_error(program_run("onebit-bench-vk", "decode", "--random", ""), "not ''");
    expect_usage_error(program_run("onebit-bench-vk", "decode", "--random", "width=64"), "lacks ffn");
    expect_usage_error(program_run("onebit-bench-vk", "decode", "--random", "width=64,width=64"), "has width twice");
    expect_usage_error(program_run("onebit-bench-vk", "decode", "--random", "width=64,depth=3"), "knows no 'depth'");
    expect_usage_error(program_run("onebit-bench-vk", "decode", "--random", "width=64x"), "not '64x'");
    expect_usage_error(program_run("onebit-bench-vk", "decode", "--random", "width=64,ffn=9,layers=1,heads=3,vocab=9"), "no multiple of 3");
    expect_usage_error(program_run("onebit-bench-vk", "decode", "--random", "width=63,ffn=9,layers=1,heads=3,vocab=9"), "must be even");
    expect_usage_error(program_run("onebit-bench-vk", "decode", "--random", "7B", "-n", "1,x"), "-n must be a whole number");
    expect_usage_error(program_run("onebit-bench-vk", "decode", "--random", "7B", "-n", "-1"), "-n must be a whole number");
    expect_usage_error(program_run("onebit-bench-vk", "decode", "--random", "7B", "-r", "0"), "-r must be");
    expect_usage_error(program_run("onebit-bench-vk", "prompt", "--random", "7B", "-p", "0"), "nothing to measure");
    expect_usage_error(program_run("onebit-bench-vk", "prompt", "--random", "7B", "-p", "1,2,"), "-p must be a whole number");
    expect_usage_error(program_run("onebit-bench-vk", "train", "word"), "'word' is not KEY=VALUE");
    expect_usage_error(program_run("onebit-bench-vk", "train", "--hidden", "0"), "--hidden must be");
    expect_usage_error(program_run("onebit-bench-vk", "train", "--steps", "0"), "--steps must be");
    expect_usage_error(program_run("onebit-bench-vk", "train", "-o", "xml"), "md|csv|json, not 'xml'");
    expect_usage_error(program_run("onebit-run-vk", "--nosuch"), "no option --nosuch");
    expect_usage_error(program_run("onebit-run-vk", "-Z"), "no option -Z");
    expect_usage_error(program_run("onebit-run-vk", "-m"), "-m needs a value");
    expect_usage_error(program_run("onebit-run-vk", "--model"), "--model needs a value");
    expect_usage_error(program_run("onebit-run-vk", "--ids=yes"), "--ids takes no value");
    expect_usage_error(program_run("onebit-run-vk", "-m", "x.gguf", "word"), "a word too many: 'word'");
    expect_usage_error(program_run("onebit-run-vk", "-m", "x.gguf", "-p", "a", "-f", "b"), "-p and -f");
    expect_usage_error(program_run("onebit-quant-vk", "in.bin", "-o", "out.gguf", "--form", "int8"), "onebit|f16|f32, not 'int8'");
}

static void test_bad_numbers(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        { "-n", "abc" }, { "-n", "" }, { "-n", "1x" }, { "-n", "-2" }, { "-n", "99999999999999999999" }, { "-n", "1.5" },
        { "-c", "-1" }, { "-b", "0" }, { "--temp", "nan" }, { "--temp", "inf" }, { "--temp", "-0.1" }, { "--temp", "hot" },
        { "--top-p", "1.1" }, { "--top-p", "0" }, { "--min-p", "-1" }, { "--top-k", "-1" }, { "--repeat-penalty", "0" },
        { "--repeat-last-n", "-2" }, { "-s", "-2" }, { "-s", "0x10" }, { "--seed", " 1" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const program *run = program_run("onebit-run-vk", "-m", "x.gguf", cases[i][0], cases[i][1]);
        expect_usage_error(run, cases[i][0]);
        assert_non_null(strstr(run->err, "must be"));
    }
    expect_usage_error(program_run("onebit-eval-vk", "ppl", "-m", "x.gguf", "-f", "t", "-c", "1"), "from 2 to");
    expect_usage_error(program_run("onebit-eval-vk", "ppl", "-m", "x.gguf", "-f", "t", "--bytes", "none"), "--bytes");
}

static void test_help_and_version(void **state)
{
    (void)state;
    static const char *const names[] = { "onebit-run-vk", "onebit-quant-vk", "onebit-eval-vk", "onebit-info-vk" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const program *run = program_run(names[i], "--help");
        assert_int_equal(run->code, 0);
        assert_string_equal(run->err, "");
        assert_non_null(strstr(run->out, "Usage: onebit-"));
        assert_non_null(strstr(run->out, "Examples:"));
        run = program_run(names[i], "--version");
        assert_int_equal(run->code, 0);
        assert_string_equal(run->err, "");
        assert_memory_equal(run->out, names[i], strlen(names[i]));
    }
    assert_non_null(strstr(program_run("onebit-bench-vk", "--help")->out, "Usage: onebit-bench-vk MEASUREMENT"));
    assert_memory_equal(program_run("onebit-bench-vk", "--version")->out, "onebit-bench-vk ", 16);
    assert_non_null(strstr(program_run("onebit-bench-vk", "train", "--help")->out, "Examples:"));
    static const char *const measurements[] = { "ppl", "agree", "zeroshot", "generate", "size" };
    for (size_t i = 0; i < sizeof measurements / sizeof *measurements; i++) {
        const program *run = program_run("onebit-eval-vk", measurements[i], "--help");
        assert_int_equal(run->code, 0);
        assert_non_null(strstr(run->out, "Examples:\n  onebit-eval-vk "));
    }
    /* Long names work behind one dash too, as people know them from other programs. */
    assert_int_equal(program_run("onebit-run-vk", "-help")->code, 0);
}

/* ---- models that are none ------------------------------------------------------------------------------------------ */

static void test_not_a_model(void **state)
{
    (void)state;
    program_expect_failure(program_run("onebit-run-vk", "-m", scratch_path("nosuch.gguf")), 5, "No such file");
    program_expect_failure(program_run("onebit-eval-vk", "ppl", "-m", scratch_path("nosuch.gguf"), "-f", "t"), 5, "No such file");
    program_expect_failure(program_run("onebit-info-vk", scratch_path("nosuch.gguf")), 5, "No such file");
    program_expect_failure(program_run("onebit-run-vk", "-m", scratch_directory), 5, "onebit-quant-vk");
    program_expect_failure(program_run("onebit-run-vk", "-m", "/dev/null"), 5, "not a GGUF file");
    program_expect_failure(program_run("onebit-run-vk", "-m", test_data_path(STORIES)), 5, "convert a model of another format");
    const char *empty = program_write_file("empty.gguf", "", 0);
    program_expect_failure(program_run("onebit-run-vk", "-m", empty), 5, "not a GGUF file");
    unlink(scratch_path("empty.gguf"));
    program_expect_failure(program_run("onebit-run-vk", "-m", program_model(), "-f", scratch_path("nosuch.txt")), 5, "nosuch.txt");
    program_expect_failure(program_run("onebit-eval-vk", "ppl", "-m", program_model(), "-f", scratch_directory), 5, "is a directory");
}

/* The model, changed, in the scratch directory. */
typedef struct patched {
    uint8_t *data;
    size_t bytes;
} patched;

/* Where `text` occurs first; it must. */
static uint8_t *find(const patched *file, const char *text)
{
    uint8_t *at = memmem(file->data, file->bytes, text, strlen(text));
    if (!at) fail_msg("the model file does not hold '%s'", text);
    return at;
}

static void put_u64(uint8_t *at, uint64_t value)
{
    for (int i = 0; i < 8; i++) at[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t get_u64(const uint8_t *at)
{
    uint64_t value = 0;
    for (int i = 7; i >= 0; i--) value = value << 8 | at[i];
    return value;
}

static patched open_model(void)
{
    patched file;
    file.data = program_file(program_model(), &file.bytes);
    return file;
}

/* Writes it, expects that the programs refuse it as bad data with `part` in the sentence, and frees it. */
static void expect_refused(patched file, const char *part)
{
    char path[1024];
    snprintf(path, sizeof path, "%s", program_write_file("bad.gguf", file.data, file.bytes));
    free(file.data);
    program_expect_failure(program_run("onebit-run-vk", "-m", path, "-p", "x", "-n", "1"), 5, part);
    size_t before = count_scratch();
    program_expect_failure(program_run("onebit-quant-vk", path, "-o", scratch_path("out.gguf"), "--form", "f16"), 5, part);
    assert_int_equal(count_scratch(), before);
    unlink(path);
}

static void test_truncated(void **state)
{
    (void)state;
    static const size_t keep_percent[] = { 1, 50, 99 };
    for (size_t i = 0; i < 3; i++) {
        patched file = open_model();
        file.bytes = file.bytes * keep_percent[i] / 100;
        expect_refused(file, "bad.gguf");
    }
    patched file = open_model();
    file.bytes = 12;
    expect_refused(file, "bad.gguf");
}

static void test_absurd_sizes(void **state)
{
    (void)state;
    patched file = open_model();
    put_u64(file.data + 8, UINT64_C(1) << 60); /* the number of tensors */
    expect_refused(file, "bad.gguf");
    file = open_model();
    put_u64(file.data + 16, UINT64_MAX); /* the number of keys */
    expect_refused(file, "bad.gguf");
    file = open_model();
    uint8_t *value = find(&file, "llama.embedding_length") + strlen("llama.embedding_length") + 4;
    memset(value, 0xff, 4);
    expect_refused(file, "4294967295");
    file = open_model();
    uint8_t *columns = find(&file, "blk.0.ffn_gate.weight") + strlen("blk.0.ffn_gate.weight") + 4;
    put_u64(columns, UINT64_C(1) << 62);
    expect_refused(file, "blk.0.ffn_gate.weight");
}

static void test_unknown_kinds(void **state)
{
    (void)state;
    patched file = open_model();
    memcpy(file.data + 4, "\x09\0\0", 4); /* the version of the format */
    expect_refused(file, "version");
    file = open_model();
    memcpy(find(&file, "general.architecture") + strlen("general.architecture") + 4 + 8, "mamba", 5);
    expect_refused(file, "mamba");
    file = open_model();
    memcpy(find(&file, "tokenizer.ggml.model") + strlen("tokenizer.ggml.model") + 4 + 8, "nosuc", 5);
    expect_refused(file, "nosuc");
    file = open_model();
    uint8_t *type = find(&file, "blk.0.ffn_gate.weight") + strlen("blk.0.ffn_gate.weight") + 4 + 16;
    memcpy(type, "\x63\0\0", 4);
    expect_refused(file, "blk.0.ffn_gate.weight");
}

static void test_unknown_pretokenizer(void **state)
{
    (void)state;
    patched file;
    file.data = program_file(test_data_path("tokenizers/gguf/ggml-vocab-gpt-2.gguf"), &file.bytes);
    uint8_t *name = find(&file, "tokenizer.ggml.pre") + strlen("tokenizer.ggml.pre") + 4 + 8;
    assert_memory_equal(name, "gpt-2", 5);
    memcpy(name, "gpt-9", 5);
    char path[1024];
    snprintf(path, sizeof path, "%s", program_write_file("bad.gguf", file.data, file.bytes));
    free(file.data);
    program_expect_failure(program_run("onebit-quant-vk", test_data_path(STORIES), "--tokenizer", path, "--form", "f32", "-o",
                                       scratch_path("out.gguf")), 5, "gpt-9");
    assert_int_equal(access(scratch_path("out.gguf"), F_OK), -1);
    unlink(path);
}

static void test_tensor_of_the_wrong_shape(void **state)
{
    (void)state;
    patched file = open_model();
    uint8_t *shape = find(&file, "blk.0.ffn_gate.weight") + strlen("blk.0.ffn_gate.weight") + 4;
    uint64_t columns = get_u64(shape), rows = get_u64(shape + 8);
    assert_int_equal(columns, 64);
    put_u64(shape, rows); /* as many bytes, turned around */
    put_u64(shape + 8, columns);
    expect_refused(file, "blk.0.ffn_gate.weight");
}

/* ---- what does not fit ---------------------------------------------------------------------------------------------- */

static void test_prompt_longer_than_the_context(void **state)
{
    (void)state;
    const program *run = program_run("onebit-run-vk", "-m", program_model(), "-c", "4", "-p", "Once upon a time");
    program_expect_failure(run, 2, "prompt has 5 tokens"); /* bos and four */
    assert_non_null(strstr(run->err, "room for 4"));
    program_expect_failure(program_run("onebit-run-vk", "-m", program_model(), "-c", "100000", "-p", "x"), 2, "512");
    program_expect_failure(program_run("onebit-eval-vk", "ppl", "-m", program_model(), "-f",
                                       test_data_path("text/tinystories_valid_head.txt"), "-c", "100000"), 2, "512");
    program_expect_failure(program_run("onebit-run-vk", "-m", program_model(), "--no-bos", "-n", "1"), 2, "--no-bos");
}

/* Of every kind of cache there is a text and a score; int8 is another than f32, and near it. */
static void test_cache_types(void **state)
{
    (void)state;
    static const char *const types[] = { "f32", "f16", "int8" };
    double nll[3];
    for (int i = 0; i < 3; i++) {
        const program *run = program_run("onebit-run-vk", "-m", program_model(), "-n", "5", "--temp", "0", "-ctk", types[i]);
        if (run->code != 0 || strlen(run->out) < 5) fail_msg("%s: %s%s", types[i], run->out, run->err);
        run = program_run("onebit-eval-vk", "ppl", "-m", program_model(), "-f", test_data_path("text/tinystories_valid_head.txt"), "--bytes",
                          "1000", "-c", "64", "--json", "--cache-type", types[i]);
        if (run->code != 0) fail_msg("%s", run->err);
        nll[i] = json_number(run->out, "nll");
    }
    if (nll[2] == nll[0] || !(fabs(nll[2] - nll[0]) < 0.02 * nll[0])) fail_msg("%.9g with f32, %.9g with int8", nll[0], nll[2]);
}

/* The same text with two tokens in flight and without, to its end, to that of the context and to that of -n. */
static void test_overlapped_submissions(void **state)
{
    (void)state;
    static const char *const ends[][2] = { { "-n", "40" }, { "-c", "24" }, { "-n", "400" }, { "-n", "1" } };
    static const char *const settings[][2] = { { "ONEBIT_OVERLAP=0", NULL }, { "ONEBIT_OVERLAP=1", NULL } };
    char text[4096];
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
        for (int overlap = 0; overlap < 2; overlap++) {
            const char *argv[] = { "onebit-run-vk", "-m", program_model(), "-p", "Once upon a time", "--temp", "0",
                                   ends[i][0],      ends[i][1], NULL };
            const program *run = program_run_with(argv, settings[overlap], NULL);
            if (run->code != 0) fail_msg("%s", run->err);
            if (overlap) assert_string_equal(run->out, text);
            else assert_in_range(snprintf(text, sizeof text, "%s", run->out), 16, sizeof text - 1);
        }
    const char *argv[] = { "onebit-run-vk", "-m", program_model(), "-n", "1", NULL }, *wrong[] = { "ONEBIT_OVERLAP=yes", NULL };
    program_expect_failure(program_run_with(argv, wrong, NULL), 2, "ONEBIT_OVERLAP");
}

static void put_bytes(FILE *file, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++) fputc((int)(value >> (8 * i) & 255), file);
}

static void put_text(FILE *file, const char *text)
{
    put_bytes(file, strlen(text), 8);
    fputs(text, file);
}

/* A file of 128 GiB, nearly all of it a hole, that holds one embedding of that size: more than this machine has. */
static void test_model_larger_than_memory(void **state)
{
    (void)state;
    static const struct { const char *key; uint32_t value;
    } keys[] = { { "llama.context_length", 512 },       { "llama.embedding_length", 8192 },   { "llama.block_count", 1 },
                 { "llama.feed_forward_length", 8192 }, { "llama.attention.head_count", 64 }, { "llama.rope.dimension_count", 128 },
                 { "llama.vocab_size", 4194304 } };
    char path[1024];
    snprintf(path, sizeof path, "%s", program_write_file("huge.gguf", "", 0));
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs("GGUF", file);
    put_bytes(file, 3, 4);
    put_bytes(file, 1, 8);
    put_bytes(file, 2 + sizeof keys / sizeof *keys, 8);
    put_text(file, "general.architecture");
    put_bytes(file, 8, 4);
    put_text(file, "llama");
    put_text(file, "llama.attention.layer_norm_rms_epsilon");
    put_bytes(file, 6, 4);
    put_bytes(file, 0x3727c5ac, 4); /* 1e-5 */
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        put_text(file, keys[i].key);
        put_bytes(file, 4, 4);
        put_bytes(file, keys[i].value, 4);
    }
    put_text(file, "token_embd.weight");
    put_bytes(file, 2, 4);
    put_bytes(file, 8192, 8);
    put_bytes(file, 4194304, 8);
    put_bytes(file, 0, 4); /* F32 */
    put_bytes(file, 0, 8);
    long header = (ftell(file) + 31) / 32 * 32;
    fclose(file);
    assert_int_equal(truncate(path, header + (off_t)8192 * 4194304 * 4), 0);
    const program *run = program_run("onebit-run-vk", "-m", path, "-p", "x");
    program_expect_failure(run, 4, "the weights need 131072.0 MiB");
    assert_non_null(strstr(run->err, "use a smaller model"));
    unlink(path);
}

static void test_no_device(void **state)
{
    (void)state;
    static const char *const no_driver[] = { "VK_ICD_FILENAMES=/nonexistent", "VK_DRIVER_FILES=/nonexistent", NULL };
    const char *const run_it[] = { "onebit-run-vk", "-m", program_model(), NULL };
    program_expect_failure(program_run_with(run_it, no_driver, NULL), 3, "driver");
    static const char *const info[] = { "onebit-info-vk", NULL };
    program_expect_failure(program_run_with(info, no_driver, NULL), 3, "driver");
    static const char *const list[] = { "onebit-eval-vk", "--list-devices", NULL };
    program_expect_failure(program_run_with(list, no_driver, NULL), 3, "driver");

    const char *const device[] = { "onebit-run-vk", "-m", program_model(), "-dev", "nosuch", NULL };
    program_expect_failure(program_run_with(device, NULL, NULL), 3, "nosuch");
    program_expect_failure(program_run("onebit-info-vk", "--device", "99"), 3, "99");
    program_expect_failure(program_run("onebit-info-vk", "--device", "5"), 3, "no device \"5\""); /* not the one with a 5 in its name */

    size_t before = count_scratch();
    program_expect_failure(program_run("onebit-quant-vk", program_model(), "-o", scratch_path("out.gguf"), "--device", "nosuch"), 3,
                           "nosuch");
    assert_int_equal(count_scratch(), before);
}

/* A loader that cannot be loaded is found before the system's own. */
static void test_no_loader(void **state)
{
    (void)state;
    program_write_file("libvulkan.so.1", "no library", 10);
    program_write_file("libvulkan.so", "no library", 10);
    char path[2048];
    const char *old = getenv("LD_LIBRARY_PATH");
    snprintf(path, sizeof path, "LD_LIBRARY_PATH=%s%s%s", scratch_directory, old && *old ? ":" : "", old ? old : "");
    const char *const set[] = { path, NULL };
    const char *const run_it[] = { "onebit-run-vk", "-m", program_model(), NULL };
    program_expect_failure(program_run_with(run_it, set, NULL), 3, "loader");
    static const char *const info[] = { "onebit-info-vk", NULL };
    program_expect_failure(program_run_with(info, set, NULL), 3, "loader");
    unlink(scratch_path("libvulkan.so.1"));
    unlink(scratch_path("libvulkan.so"));
}

/* ---- outputs that cannot be ----------------------------------------------------------------------------------------- */

static void test_output_that_cannot_be(void **state)
{
    (void)state;
    const char *model = test_data_path(STORIES), *tokenizer = test_data_path(STORIES_TOKENIZER);
    size_t before = count_scratch();
    program_expect_failure(program_run("onebit-quant-vk", model, "--tokenizer", tokenizer, "--form", "f32", "-o",
                                       scratch_path("nosuch/out.gguf")), 1, "nosuch/out.gguf");
    program_expect_failure(program_run("onebit-quant-vk", model, "--tokenizer", tokenizer, "--form", "f32", "-o", scratch_directory), 2,
                           "is not a file");
    expect_usage_error(program_run("onebit-quant-vk", program_model(), "-o", program_model(), "--form", "f32"), "the model itself");
    assert_int_equal(count_scratch(), before);
    program_expect_failure(program_run("onebit-quant-vk", scratch_path("nosuch.bin"), "-o", scratch_path("out.gguf"), "--form", "f32"), 5,
                           "nosuch.bin");
    program_expect_failure(program_run("onebit-quant-vk", model, "--tokenizer", scratch_path("nosuch.bin"), "--form", "f32", "-o",
                                       scratch_path("out.gguf")), 5, "nosuch.bin");
    assert_int_equal(count_scratch(), before);
}

/* A failed conversion leaves what was there before. */
static void test_an_old_output_survives_a_failure(void **state)
{
    (void)state;
    program_write_file("old.gguf", "precious", 8);
    program_expect_failure(program_run("onebit-quant-vk", test_data_path(STORIES), "--tokenizer", scratch_path("nosuch.bin"), "--form",
                                       "f32", "-o", scratch_path("old.gguf")), 5, "nosuch.bin");
    size_t bytes;
    uint8_t *data = program_file(scratch_path("old.gguf"), &bytes);
    assert_int_equal(bytes, 8);
    assert_memory_equal(data, "precious", 8);
    free(data);
    unlink(scratch_path("old.gguf"));
}

/* The model is made before the tests that count files. */
static int set_up(void **state)
{
    if (scratch_open(state) != 0) return -1;
    program_model();
    return 0;
}

/* A family of kernels that there is not, or not here, is refused before anything is read. */
static void test_wrong_kernel(void **state)
{
    (void)state;
    setenv("ONEBIT_KERNEL", "fast", 1);
    program_expect_failure(program_run("onebit-info-vk", "--device", "0"), 2, "none of xor, table, int8, straight, half");
    setenv("ONEBIT_KERNEL", "table", 1); /* with 8 lanes a subgroup */
    program_expect_failure(program_run("onebit-info-vk", "--device", "0"), 2, "it runs xor, int8, straight");
    setenv("ONEBIT_KERNEL", "int8", 1);
    program_expect_failure(program_run("onebit-bench-vk", "kernels", "--exact", "1x8x8"), 2, "exact arithmetic was asked for");
    setenv("ONEBIT_KERNEL", "", 1);
}

/* Lavapipe's threads: one for a small model, unless the user or the environment says otherwise; the text is the same. */
static void test_threads_of_lavapipe(void **state)
{
    (void)state;
    char text[256];
    unsetenv("LP_NUM_THREADS"); /* the shell's */
    const program *run = program_run("onebit-run-vk", "-m", program_model(), "-p", "Once", "-n", "6", "--temp", "0", "-v");
    assert_int_equal(run->code, 0);
    assert_non_null(strstr(run->err, "LP_NUM_THREADS=0"));
    snprintf(text, sizeof text, "%.255s", run->out);
    run = program_run("onebit-run-vk", "-m", program_model(), "-p", "Once", "-n", "6", "--temp", "0", "-v", "-t", "2");
    assert_int_equal(run->code, 0);
    assert_non_null(strstr(run->err, "LP_NUM_THREADS=2"));
    assert_string_equal(run->out, text);
    setenv("LP_NUM_THREADS", "1", 1);
    run = program_run("onebit-run-vk", "-m", program_model(), "-p", "Once", "-n", "6", "--temp", "0", "-v");
    unsetenv("LP_NUM_THREADS");
    assert_int_equal(run->code, 0);
    assert_null(strstr(run->err, "LP_NUM_THREADS"));
    assert_string_equal(run->out, text);
    program_expect_failure(program_run("onebit-run-vk", "-m", program_model(), "-t", "0"), 2, "-t must be a whole number from 1 to 256");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads_of_lavapipe),
        cmocka_unit_test(test_wrong_kernel),
        cmocka_unit_test(test_wrong_use),
        cmocka_unit_test(test_bad_numbers),
        cmocka_unit_test(test_help_and_version),
        cmocka_unit_test(test_not_a_model),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_absurd_sizes),
        cmocka_unit_test(test_unknown_kinds),
        cmocka_unit_test(test_unknown_pretokenizer),
        cmocka_unit_test(test_tensor_of_the_wrong_shape),
        cmocka_unit_test(test_prompt_longer_than_the_context),
        cmocka_unit_test(test_cache_types),
        cmocka_unit_test(test_overlapped_submissions),
        cmocka_unit_test(test_model_larger_than_memory),
        cmocka_unit_test(test_no_device),
        cmocka_unit_test(test_no_loader),
        cmocka_unit_test(test_output_that_cannot_be),
        cmocka_unit_test(test_an_old_output_survives_a_failure),
    };
    return cmocka_run_group_tests(tests, set_up, program_scratch_remove);
}
