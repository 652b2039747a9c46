/* size: bits and bytes from a file's table of tensors: signs in one plane and in several, bytes, numbers, and what a file says itself. */
#include <math.h>
#include <string.h>

#include "core/alloc.h"
#include "data.h"
#include "model/size.h"
#include "scratch.h"

/* One layer of width 40 (a word and a quarter), 8 outputs of k and v, 70 in the feed-forward part. */
enum { D = 40, KV = 8, F = 70, V = 11, W = 2 * D * D + 2 * KV * D + 3 * F * D };
static const struct {
    const char *role;
    uint64_t rows, columns;
} shapes[] = { { "attn_q", D, D },   { "attn_k", KV, D }, { "attn_v", KV, D }, { "attn_output", D, D },
               { "ffn_gate", F, D }, { "ffn_up", F, D },  { "ffn_down", D, F } };
enum { LINEARS = sizeof shapes / sizeof *shapes };

typedef struct form {
    obi_dtype type;       /* of the weights */
    uint32_t planes;      /* of signs; 0: the key is left out */
    bool factor, offset;  /* values beside them */
    float bits;           /* onebit.linear_bits; 0: left out */
    uint64_t wrong_rows;  /* of attn_output: this many more */
    uint64_t wrong_words; /* of ffn_down */
} form;

static uint64_t added; /* bytes of the tensors */

static void add(obi_gguf_writer *writer, const char *role, const char *leaf, obi_dtype type, uint64_t columns, uint64_t rows)
{
    char name[64];
    uint64_t shape[2] = { columns, rows }, bytes;
    snprintf(name, sizeof name, role ? "blk.0.%s.%s" : "%s%s", role ? role : "", leaf);
    obi_gguf_add_tensor(writer, name, type, rows ? 2 : 1, shape);
    assert_true(obi_dtype_bytes(type, columns * (rows ? rows : 1), &bytes));
    added += bytes;
}

static void add_linear(obi_gguf_writer *writer, const form *f, int i)
{
    uint64_t planes = f->planes ? f->planes : 1, rows = shapes[i].rows, columns = shapes[i].columns;
    bool signs = f->type == OBI_DTYPE_I32;
    if (i == 3) rows += f->wrong_rows;
    add(writer, shapes[i].role, "weight", f->type, signs ? (columns + 31) / 32 + (i == 6 ? f->wrong_words : 0) : columns,
        signs ? planes * rows : rows);
    if (signs || f->type == OBI_DTYPE_I8) add(writer, shapes[i].role, "weight_scale", OBI_DTYPE_F16, planes * rows, 0);
    if (f->factor) add(writer, shapes[i].role, "input_factor", OBI_DTYPE_F16, columns, 0);
    if (f->offset) add(writer, shapes[i].role, "weight_offset", OBI_DTYPE_F16, rows, 0);
    if (f->offset) add(writer, shapes[i].role, "bias", OBI_DTYPE_F32, rows, 0);
}

static obi_status count(const form *f, obi_size *size)
{
    obi_gguf_writer *writer;
    obi_gguf gguf = { 0 };
    const char *path = scratch_path("size");
    added = 0;
    assert_int_equal(obi_gguf_writer_create(&writer, path), OBI_OK);
    obi_gguf_put_string(writer, "general.architecture", "onebitopt");
    obi_gguf_put_u32(writer, "onebitopt.embedding_length", D);
    if (f->planes) obi_gguf_put_u32(writer, "onebit.planes", f->planes);
    if (f->bits != 0) obi_gguf_put_f32(writer, "onebit.linear_bits", f->bits);
    add(writer, NULL, "token_embd.weight", OBI_DTYPE_F16, D, V);
    add(writer, NULL, "output_norm.weight", OBI_DTYPE_F32, D, 0);
    for (int i = 0; i < LINEARS; i++) add_linear(writer, f, i);
    assert_int_equal(obi_gguf_writer_begin(writer), OBI_OK);
    uint8_t *zeros = obi_calloc(1, added);
    assert_non_null(zeros);
    /* Any order of bytes will do: all are zero. */
    for (uint64_t left = added; left > 0;) {
        uint64_t piece = left < 2 ? left : 2;
        if (obi_gguf_write(writer, zeros, piece) != OBI_OK) break;
        left -= piece;
    }
    obi_free(zeros);
    assert_int_equal(obi_gguf_writer_commit(writer, NULL), OBI_OK);
    assert_int_equal(obi_gguf_open(&gguf, path), OBI_OK);
    obi_status status = obi_size_of(&gguf, size);
    obi_gguf_close(&gguf);
    unlink(path);
    return status;
}

static void expect(const form *f, double bits, uint64_t values)
{
    obi_size size;
    assert_int_equal(count(f, &size), OBI_OK);
    assert_int_equal(size.linear_weights, W);
    assert_int_equal(size.linear_values, values);
    if (size.stored_bits != bits) fail_msg("%.1f bits instead of %.1f", size.stored_bits, bits);
    assert_int_equal(size.tensor_bytes, added);
    assert_int_equal(size.table_bytes, 2 * V * D);
    assert_int_equal(size.planes, f->type == OBI_DTYPE_I32 ? (f->planes ? f->planes : 1) : 0);
    assert_int_equal(size.parameters, W + V * D + D + (f->offset ? 3 * D + 2 * KV + 2 * F : 0));
    assert_true(size.method_bits == (double)f->bits);
}

static void forms(void **state)
{
    (void)state;
    enum { OUT = 3 * D + 2 * KV + 2 * F, IN = 6 * D + F }; /* outputs and inputs of all seven */
    expect(&(form){ .type = OBI_DTYPE_I32, .factor = true }, W + 16.0 * (OUT + IN), OUT + IN);
    expect(&(form){ .type = OBI_DTYPE_I32, .planes = 2, .offset = true }, 2.0 * W + 16.0 * 3 * OUT, 3 * OUT);
    expect(&(form){ .type = OBI_DTYPE_I32, .planes = 4 }, 4.0 * W + 16.0 * 4 * OUT, 4 * OUT);
    expect(&(form){ .type = OBI_DTYPE_I8, .bits = 8.5f }, 8.0 * W + 16.0 * OUT, OUT);
    expect(&(form){ .type = OBI_DTYPE_F16, .bits = 2.25f }, 16.0 * W, 0); /* dequantised: the file says what the method takes */
    expect(&(form){ .type = OBI_DTYPE_F32 }, 32.0 * W, 0);
}

static void refused(void **state)
{
    (void)state;
    obi_size size;
    assert_int_equal(count(&(form){ .type = OBI_DTYPE_I32, .planes = 3, .wrong_rows = 0, .wrong_words = 1 }, &size), OBI_ERROR_DATA);
    assert_non_null(strstr(obi_last_error(), "blk.0.ffn_down.weight"));
    assert_int_equal(count(&(form){ .type = OBI_DTYPE_I32, .wrong_rows = 1 }, &size), OBI_OK); /* outputs are what the file says */
    assert_int_equal(size.linear_weights, W + D);
    static const float wrong[] = { 1e30f, 32.5f, -1, NAN, INFINITY };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(count(&(form){ .type = OBI_DTYPE_F16, .bits = wrong[i] }, &size), OBI_ERROR_DATA);
        assert_non_null(strstr(obi_last_error(), "onebit.linear_bits"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(forms), cmocka_unit_test(refused) };
    return cmocka_run_group_tests(tests, scratch_open, scratch_close);
}
