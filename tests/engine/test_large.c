/* test_large: sizes of a 70B model pass through the converter, and host memory does not grow with the model.
 *
 * Each conversion runs in a process of its own (this program again, with --convert), whose peak of resident memory,
 * VmHWM, counts everything: heap, stack, pages of the mapped model file that are in use, libraries, the driver, and on a
 * software driver the "device" memory too. The model files are sparse: full of holes that read as zeros, with some rows
 * of numbers that are looked for in the output.
 *
 * The full sizes run on one driver only (a subgroup of 8: lavapipe as it comes) and not under sanitizers, which
 * change what memory is used; elsewhere the same is done with smaller sizes. */
#include "model_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

#include "core/clock.h"
#include "core/half.h"
#include "import_files.h"

#define MIB (1024.0 * 1024)

typedef struct sizes { uint32_t width, ffn, heads, kv_heads, head_size, vocabulary; } sizes;

#if defined(__has_feature)
#define SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

/* What may be resident besides a matrix: far below the 2 GiB promised, and below the largest tensor of the full sizes.
 * AddressSanitizer keeps what was freed, and the validation layer under it is large. */
#define RESIDENT_MAX ((SANITIZED ? 2048 : 256) * MIB)

static bool full_sizes(void) { return !SANITIZED && test_device()->caps.subgroup_size == 8; }

/* ---- a sparse model -------------------------------------------------------------------------------------------- */

typedef struct sparse_tensor { const char *hf, *gguf; uint64_t rows, columns, begin; } sparse_tensor;
enum { TENSORS = 11, PLACES = 3 };

static void list_tensors(const sizes *s, sparse_tensor list[TENSORS])
{
    uint64_t D = s->width, F = s->ffn, q = (uint64_t)s->heads * s->head_size, kv = (uint64_t)s->kv_heads * s->head_size, at = 0;
    const sparse_tensor all[TENSORS] = {
        { "model.embed_tokens.weight", "token_embd.weight", s->vocabulary, D, 0 },
        { "model.norm.weight", "output_norm.weight", 1, D, 0 },
        { "model.layers.0.input_layernorm.weight", "blk.0.attn_norm.weight", 1, D, 0 },
        { "model.layers.0.post_attention_layernorm.weight", "blk.0.ffn_norm.weight", 1, D, 0 },
        { "model.layers.0.self_attn.q_proj.weight", "blk.0.attn_q.weight", q, D, 0 },
        { "model.layers.0.self_attn.k_proj.weight", "blk.0.attn_k.weight", kv, D, 0 },
        { "model.layers.0.self_attn.v_proj.weight", "blk.0.attn_v.weight", kv, D, 0 },
        { "model.layers.0.self_attn.o_proj.weight", "blk.0.attn_output.weight", D, q, 0 },
        { "model.layers.0.mlp.gate_proj.weight", "blk.0.ffn_gate.weight", F, D, 0 },
        { "model.layers.0.mlp.up_proj.weight", "blk.0.ffn_up.weight", F, D, 0 },
        { "model.layers.0.mlp.down_proj.weight", "blk.0.ffn_down.weight", D, F, 0 },
    };
    for (int t = 0; t < TENSORS; t++) {
        list[t] = all[t];
        list[t].begin = at;
        at += 2 * all[t].rows * all[t].columns;
    }
}

/* The rows of a tensor that hold numbers: the first, one in the middle and the last. */
static uint64_t written_row(const sparse_tensor *tensor, int place)
{
    return place == 0 ? 0 : place == 1 ? tensor->rows / 2 + tensor->rows / 7 : tensor->rows - 1;
}

/* Exact in BF16 and in F16; of either sign, none is 0. */
static float written_value(int t, uint64_t row, uint64_t column)
{
    int value = 1 + (int)((row * 7 + column * 13 + (uint64_t)t * 29 + column / 64) % 100);
    return (float)((row + column * column + column / 3) % 3 == 0 ? -value : value) / 64.0f;
}

static void put_sparse_model(const sizes *s, const sparse_tensor list[TENSORS])
{
    char *header = malloc(8192), config[512];
    size_t used = (size_t)sprintf(header, "{");
    uint64_t end = 0;
    for (int t = 0; t < TENSORS; t++) {
        char shape[64];
        end = list[t].begin + 2 * list[t].rows * list[t].columns;
        if (list[t].rows == 1) snprintf(shape, sizeof shape, "%llu", (unsigned long long)list[t].columns);
        else snprintf(shape, sizeof shape, "%llu,%llu", (unsigned long long)list[t].rows, (unsigned long long)list[t].columns);
        used += (size_t)sprintf(header + used, "%s\"%s\":{\"dtype\":\"BF16\",\"shape\":[%s],\"data_offsets\":[%llu,%llu]}", t ? "," : "",
                                list[t].hf, shape, (unsigned long long)list[t].begin, (unsigned long long)end);
    }
    used += (size_t)sprintf(header + used, "}");
    int file = open(scratch_path("model.safetensors"), O_RDWR | O_CREAT | O_TRUNC, 0644);
    uint64_t length = used, base = 8 + used;
    assert_true(file >= 0);
    assert_int_equal(write(file, &length, 8), 8);
    assert_int_equal(write(file, header, used), used);
    assert_int_equal(ftruncate(file, (off_t)(base + end)), 0);
    for (int t = 0; t < TENSORS; t++) {
        uint16_t *row = malloc(2 * list[t].columns);
        for (int place = 0; place < PLACES; place++) {
            uint64_t r = written_row(&list[t], place);
            for (uint64_t c = 0; c < list[t].columns; c++) row[c] = (uint16_t)(obi_float_bits(written_value(t, r, c)) >> 16);
            ssize_t bytes = (ssize_t)(2 * list[t].columns);
            assert_int_equal(pwrite(file, row, (size_t)bytes, (off_t)(base + list[t].begin + 2 * r * list[t].columns)), bytes);
        }
        free(row);
    }
    assert_int_equal(close(file), 0);
    free(header);
    snprintf(config, sizeof config,
             "{\"architectures\":[\"LlamaForCausalLM\"],\"model_type\":\"llama\",\"hidden_size\":%u,\"num_hidden_layers\":1,"
             "\"num_attention_heads\":%u,\"num_key_value_heads\":%u,\"head_dim\":%u,\"vocab_size\":%u,\"intermediate_size\":%u,"
             "\"max_position_embeddings\":64,\"rms_norm_eps\":1e-5,\"tie_word_embeddings\":true}", s->width, s->heads, s->kv_heads,
             s->head_size, s->vocabulary, s->ffn);
    put_text("config.json", config);
}

/* ---- a conversion in its own process --------------------------------------------------------------------------- */

/* argv: --convert DIRECTORY OUTPUT FORM. Prints the peak in KiB and the seconds. */
static int convert_alone(char **argv)
{
    obi_source *source = NULL;
    obi_device *device = NULL;
    obi_convert_report report = { 0 };
    obi_convert_desc desc = { .output = argv[3], .form = (obi_form)atoi(argv[4]) };
    obi_device_desc device_desc = { .cache_dir = "" };
    double start = obi_clock_seconds();
    obi_status status = desc.form == OBI_FORM_ONEBIT ? obi_device_open(&device, &device_desc) : OBI_OK;
    if (status == OBI_OK) status = obi_source_open(&source, argv[2], NULL);
    if (status == OBI_OK) status = obi_convert(device, source, &desc, &report);
    if (status != OBI_OK) fprintf(stderr, "%s\n", obi_last_error());
    obi_convert_report_clear(&report);
    obi_source_close(source);
    obi_device_close(device);
    char line[256];
    unsigned long peak = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file)) sscanf(line, "VmHWM: %lu", &peak);
    if (file) fclose(file);
    printf("%lu %.3f\n", peak, obi_clock_seconds() - start);
    return status == OBI_OK && peak > 0 ? 0 : 1;
}

typedef struct measured { double peak_bytes, seconds; } measured;

static measured convert_measured(const char *output, obi_form form)
{
    char form_text[8], line[128] = "";
    int ends[2], status;
    snprintf(form_text, sizeof form_text, "%d", (int)form);
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        char *const arguments[] = { "test_large", "--convert", scratch_directory, (char *)output, form_text, NULL };
        execv("/proc/self/exe", arguments);
        _exit(127);
    }
    close(ends[1]);
    size_t used = 0;
    for (ssize_t got; (got = read(ends[0], line + used, sizeof line - 1 - used)) != 0;) {
        if (got < 0 && errno == EINTR) continue;
        assert_true(got > 0);
        used += (size_t)got;
    }
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) fail_msg("the conversion ended with status %#x", (unsigned)status);
    unsigned long peak;
    measured made;
    assert_int_equal(sscanf(line, "%lu %lf", &peak, &made.seconds), 2);
    made.peak_bytes = 1024.0 * (double)peak;
    return made;
}

static void need_space(double bytes)
{
    struct statvfs info;
    assert_int_equal(statvfs(scratch_directory, &info), 0);
    double left = (double)info.f_bavail * (double)info.f_frsize;
    if (left < bytes)
        fail_msg("this test needs %.0f MiB in %s and there are %.0f; set TMPDIR to another place", bytes / MIB, scratch_directory,
                 left / MIB);
}

static double model_weights(const sparse_tensor list[TENSORS])
{
    double weights = 0;
    for (int t = 0; t < TENSORS; t++) weights += (double)list[t].rows * (double)list[t].columns;
    return weights;
}

/* Where row `row` of a Hugging Face q or k lies in a file of pairs order. */
static uint64_t pairs_row(const sizes *s, const sparse_tensor *tensor, uint64_t row)
{
    if (!strstr(tensor->gguf, "attn_q.") && !strstr(tensor->gguf, "attn_k.")) return row;
    uint64_t C = s->head_size, in_head = row % C;
    return row - in_head + (in_head < C / 2 ? 2 * in_head : 2 * (in_head - C / 2) + 1);
}

static uint64_t count_zeros(const uint8_t *bytes, uint64_t count)
{
    uint64_t zeros = 0;
    for (uint64_t i = 0; i < count; i++) zeros += bytes[i] == 0;
    return zeros;
}

/* ---- the tests ------------------------------------------------------------------------------------------------- */

/* Dense: no device, and no more than a few chunks and pages at a time. */
static void test_dense(void **state)
{
    (void)state;
    sizes s = { 8192, 28672, 64, 8, 128, 32000 }; /* LLaMA-2-70B with one layer */
    if (!full_sizes()) s = (sizes){ 512, 1792, 4, 2, 128, 2000 };
    sparse_tensor list[TENSORS];
    list_tensors(&s, list);
    double bytes = 2 * model_weights(list);
    need_space(bytes * 1.05 + 16 * MIB);
    put_sparse_model(&s, list);
    measured made = convert_measured(scratch_path("out.gguf"), OBI_FORM_F16);
    print_message("%s sizes, %.0f MiB of BF16 to F16: %.1f s, at most %.0f MiB resident\n", full_sizes() ? "70B" : "smaller", bytes / MIB,
                  made.seconds, made.peak_bytes / MIB);
    assert_true(made.peak_bytes < RESIDENT_MAX);
    obi_gguf gguf;
    TEST_OK(obi_gguf_open(&gguf, scratch_path("out.gguf")));
    for (int t = 0; t < TENSORS; t++) {
        const obi_gguf_tensor *tensor = obi_gguf_find_tensor(&gguf, list[t].gguf);
        assert_true(tensor && tensor->shape[0] == list[t].columns && tensor->shape[1] == list[t].rows);
        float *row = malloc(list[t].columns * sizeof *row);
        uint64_t row_bytes = tensor->bytes / list[t].rows;
        for (int place = 0; place < PLACES; place++) {
            uint64_t from = written_row(&list[t], place), to = pairs_row(&s, &list[t], from);
            TEST_OK(obi_dtype_to_float(tensor->type, tensor->data + to * row_bytes, list[t].columns, row));
            for (uint64_t c = 0; c < list[t].columns; c++)
                if (row[c] != written_value(t, from, c))
                    fail_msg("%s: row %llu column %llu is %g, not %g", tensor->name, (unsigned long long)from, (unsigned long long)c,
                             (double)row[c], (double)written_value(t, from, c));
        }
        if (list[t].rows > 8) /* and nothing where nothing was */
            assert_int_equal(count_zeros(tensor->data + 3 * row_bytes, 2 * row_bytes), 2 * row_bytes);
        free(row);
    }
    obi_gguf_close(&gguf);
}

/* 1 bit, with rows as long and as many as in a 70B model, in a tall and in a wide matrix. On a software driver the matrix
 * itself lies in host memory, in F32; what is left must not depend on it. (28672 x 8192 and its transpose were measured
 * once: 1020 MiB, of them 896 for one matrix; but 100 s.) */
static void test_onebit(void **state)
{
    (void)state;
    sizes s = { 2048, 64, 112, 1, 256, 64 }; /* q is 28672 x 2048 and o 2048 x 28672; the rest is small */
    if (!full_sizes()) s = (sizes){ 512, 64, 7, 1, 256, 64 };
    sparse_tensor list[TENSORS];
    list_tensors(&s, list);
    need_space(model_weights(list) / 8 * 1.05 + 64 * MIB);
    put_sparse_model(&s, list);
    measured made = convert_measured(scratch_path("out.gguf"), OBI_FORM_ONEBIT);
    double matrix = test_device()->caps.unified ? 4.0 * s.width * s.heads * s.head_size : 0;
    print_message("%s sizes, %u x %u and %u x %u by SVID: %.1f s, at most %.0f MiB resident, of them %.0f the matrix\n",
                  full_sizes() ? "70B" : "smaller", s.heads * s.head_size, s.width, s.width, s.heads * s.head_size, made.seconds,
                  made.peak_bytes / MIB, matrix / MIB);
    assert_true(made.peak_bytes - matrix < RESIDENT_MAX);
    obi_gguf gguf;
    TEST_OK(obi_gguf_open(&gguf, scratch_path("out.gguf")));
    for (int t = 4; t < TENSORS; t++) {
        const obi_gguf_tensor *tensor = obi_gguf_find_tensor(&gguf, list[t].gguf);
        uint64_t row_bytes = (list[t].columns + 31) / 32 * 4;
        assert_true(tensor && tensor->type == OBI_DTYPE_I32 && tensor->bytes == row_bytes * list[t].rows);
        for (int place = 0; place < PLACES; place++) {
            uint64_t r = written_row(&list[t], place);
            for (uint64_t c = 0; c < list[t].columns; c++)
                if ((tensor->data[r * row_bytes + c / 8] >> c % 8 & 1) != (written_value(t, r, c) < 0))
                    fail_msg("%s: row %llu column %llu has the wrong sign", tensor->name, (unsigned long long)r, (unsigned long long)c);
        }
        assert_int_equal(count_zeros(tensor->data + 3 * row_bytes, 2 * row_bytes), 2 * row_bytes); /* the sign of 0 is + */
    }
    obi_gguf_close(&gguf);
}

int main(int argc, char **argv)
{
    if (argc == 5 && strcmp(argv[1], "--convert") == 0) return convert_alone(argv);
    const struct CMUnitTest tests[] = { cmocka_unit_test_teardown(test_dense, clear_scratch),
                                        cmocka_unit_test_teardown(test_onebit, clear_scratch) };
    return test_device_finish(cmocka_run_group_tests(tests, scratch_open, scratch_close));
}
