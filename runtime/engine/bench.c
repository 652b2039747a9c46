#include "engine/bench.h"

#include "core/alloc.h"
#include "core/clock.h"
#include "core/rng.h"
#include "ops/op_bitlinear.h"
#include "ops/op_bitlinear_bwd.h"
#include "ops/op_dense.h"
#include "ops/op_dense_bwd.h"
#include "ops/sign_family.h"

/* What an operation may use; only what its row asks for is there. */
typedef struct operands {
    obi_bench_shape shape;
    obi_buffer *inputs, *outputs; /* (T,n), (T,m) */
    obi_weight dense, signs;      /* (m,n) */
    obi_buffer *scales;           /* g and h of the signs */
} operands;

enum { INPUTS = 1, OUTPUTS = 2, DENSE = 4, SIGNS = 8, HALVES = 16 /* the dense matrix is f16 */, SCALES = 32 };

static void onebit_forward(obi_cmd *cmd, const operands *o)
{
    obi_op_bitlinear_fwd(cmd, obi_view_of(o->outputs), obi_view_of(o->inputs), &o->signs, obi_view_of(o->scales), o->shape.T);
}

static void sign_forward(obi_cmd *cmd, const operands *o)
{
    obi_op_sign_gemm(cmd, obi_view_of(o->outputs), obi_view_of(o->inputs), &o->signs, o->shape.T);
}
static void sign_backward(obi_cmd *cmd, const operands *o)
{
    obi_op_bitlinear_bwd_x(cmd, obi_view_of(o->inputs), obi_view_of(o->outputs), &o->signs, o->shape.T);
}
static void weight_gradient(obi_cmd *cmd, const operands *o)
{
    obi_op_dense_bwd_w(cmd, &o->dense, obi_view_of(o->outputs), obi_view_of(o->inputs), o->shape.T);
}
static void dense_forward(obi_cmd *cmd, const operands *o)
{
    obi_op_dense_fwd(cmd, obi_view_of(o->outputs), obi_view_of(o->inputs), &o->dense, o->shape.T);
}
static void dense_backward(obi_cmd *cmd, const operands *o)
{
    obi_op_dense_bwd_x(cmd, obi_view_of(o->inputs), obi_view_of(o->outputs), &o->dense, o->shape.T, false);
}

/* Every one so far is a product of 2 T m n operations. */
static const struct {
    const char *name, *formula;
    unsigned needs;
    bool updates; /* the matrix is read and written */
    void (*record)(obi_cmd *cmd, const operands *o);
} table[] = {
    { "matmul_onebit_forward", "Y (T,m) = h * (S (g * X)), the 1-bit linear layer", INPUTS | OUTPUTS | SIGNS | SCALES, false,
      onebit_forward },
    { "matmul_sign_forward", "V (T,m) = U (T,n) S^T", INPUTS | OUTPUTS | SIGNS, false, sign_forward },
    { "matmul_sign_backward", "dU (T,n) = dV (T,m) S", INPUTS | OUTPUTS | SIGNS, false, sign_backward },
    { "matmul_weight_gradient", "dS (m,n) += dV^T U", INPUTS | OUTPUTS | DENSE, true, weight_gradient },
    { "matmul_dense_forward", "Y (T,m) = X (T,n) W^T, f32", INPUTS | OUTPUTS | DENSE, false, dense_forward },
    { "matmul_half_forward", "Y (T,m) = X (T,n) W^T, f16 weights", INPUTS | OUTPUTS | DENSE | HALVES, false, dense_forward },
    { "matmul_dense_backward", "dX (T,n) = dY (T,m) W, f32", INPUTS | OUTPUTS | DENSE, false, dense_backward },
};
#define OPERATIONS (sizeof table / sizeof *table)

bool obi_bench_describe(uint32_t i, const char **name, const char **formula)
{
    if (i >= OPERATIONS) return false;
    *name = table[i].name;
    *formula = table[i].formula;
    return true;
}

/* ---- random contents -------------------------------------------------------------------------------------------- */

#define CHUNK_WORDS (1u << 20)

static void random_floats(float *values, uint64_t count, obi_rng *rng)
{
    for (uint64_t i = 0; i < count; i++) values[i] = (float)(obi_rng_uniform(rng) - 0.5);
}

static obi_status make_buffer(obi_device *device, obi_upload *upload, obi_rng *rng, uint64_t floats, obi_buffer **out)
{
    OBI_TRY(obi_buffer_create(device, floats * 4, OBI_MEMORY_DEVICE, out));
    uint64_t at_once = floats < CHUNK_WORDS ? floats : CHUNK_WORDS;
    float *values = obi_calloc((size_t)at_once, sizeof *values);
    if (!values) return OBI_ERROR_MEMORY;
    random_floats(values, at_once, rng);
    obi_status status = OBI_OK;
    for (uint64_t first = 0; first < floats && status == OBI_OK; first += at_once) { /* the same numbers again and again */
        uint64_t count = floats - first < at_once ? floats - first : at_once;
        obi_view part = { *out, first * 4, count * 4 };
        status = obi_upload_bytes(upload, part, values, count * 4);
    }
    obi_free(values);
    return status;
}

/* Fills a weight that was created. */
static obi_status fill_weight(obi_upload *upload, obi_rng *rng, obi_bench_shape shape, const obi_weight *out)
{
    obi_weight_type type = out->type;
    uint32_t at_once = obi_weight_upload_rows(out, CHUNK_WORDS * 4);
    uint64_t words = (uint64_t)at_once * out->row_words;
    uint32_t *values = obi_calloc((size_t)words, sizeof *values);
    if (!values) return OBI_ERROR_MEMORY;
    if (type == OBI_WEIGHT_F32) random_floats((float *)(void *)values, words, rng);
    for (uint64_t i = 0; type == OBI_WEIGHT_F16 && i < words; i++) {
        values[i] = ((uint32_t)obi_rng_next(rng) & 0x83ff83ffu) | 0x34003400u; /* +-1/4 to 1/2 */
        if (shape.n % 2 && (i + 1) % out->row_words == 0) values[i] &= 0xffffu;
    }
    for (uint64_t i = 0; obi_weight_is_signs(type) && i < words; i++) {
        values[i] = (uint32_t)obi_rng_next(rng);
        if (shape.n % 32 && (i + 1) % out->row_words == 0) values[i] &= (1u << shape.n % 32) - 1;
    }
    obi_status status = OBI_OK;
    for (uint32_t first = 0; first < shape.m && status == OBI_OK; first += at_once)
        status = obi_weight_upload(upload, out, first, shape.m - first < at_once ? shape.m - first : at_once, values);
    if (status == OBI_OK) status = obi_upload_finish(upload);
    obi_free(values);
    return status;
}

static obi_status make_operands(obi_device *device, unsigned needs, operands *o)
{
    obi_upload *upload = NULL;
    obi_rng rng = obi_rng_seed(1);
    uint64_t T = o->shape.T, m = o->shape.m, n = o->shape.n;
    uint64_t bytes = (T * n + T * m) * 4 + (needs & HALVES ? m * n * 2 : needs & DENSE ? m * n * 4 : m * n / 8);
    obi_status status;
    OBI_TRY(obi_memory_fits(device, bytes, "the matrices"));
    OBI_TRY_GOTO(obi_upload_create(device, &upload));
    if (needs & INPUTS) OBI_TRY_GOTO(make_buffer(device, upload, &rng, T * n, &o->inputs));
    if (needs & OUTPUTS) OBI_TRY_GOTO(make_buffer(device, upload, &rng, T * m, &o->outputs));
    if (needs & DENSE) {
        OBI_TRY_GOTO(obi_weight_create(device, needs & HALVES ? OBI_WEIGHT_F16 : OBI_WEIGHT_F32, o->shape.m, o->shape.n, 0, &o->dense));
        OBI_TRY_GOTO(fill_weight(upload, &rng, o->shape, &o->dense));
    }
    if (needs & SCALES) OBI_TRY_GOTO(make_buffer(device, upload, &rng, obi_scales_floats(o->shape.m, o->shape.n), &o->scales));
    if (needs & SIGNS) {
        if (needs & SCALES) OBI_TRY_GOTO(obi_sign_weight_create(device, &o->shape.m, 1, o->shape.n, &o->signs)); /* as the engine */
        else OBI_TRY_GOTO(obi_weight_create(device, OBI_WEIGHT_SIGN, o->shape.m, o->shape.n, 0, &o->signs)); /* as training */
        OBI_TRY_GOTO(fill_weight(upload, &rng, o->shape, &o->signs));
    }
done:
    if (status == OBI_OK) status = obi_upload_finish(upload);
    obi_upload_destroy(upload);
    return status;
}

/* ---- measurement ------------------------------------------------------------------------------------------------ */

static obi_status one_round(obi_cmd *cmd, uint32_t i, const operands *o, double *seconds, double *device_seconds)
{
    obi_profile_row rows[OBI_KERNEL_COUNT];
    obi_cmd_profile(cmd, true);
    obi_cmd_begin(cmd);
    table[i].record(cmd, o);
    double start = obi_clock_seconds();
    OBI_TRY(obi_cmd_run(cmd));
    *seconds = obi_clock_seconds() - start;
    *device_seconds = 0;
    for (uint32_t k = 0, count = obi_cmd_profile_rows(cmd, rows); k < count; k++) *device_seconds += rows[k].seconds;
    return OBI_OK;
}

obi_status obi_bench_run(obi_device *device, uint32_t i, obi_bench_shape shape, uint32_t warmup, uint32_t rounds, obi_bench_times *times)
{
    if (i >= OPERATIONS || rounds == 0 || shape.T == 0 || shape.m == 0 || shape.n == 0)
        return obi_fail(OBI_ERROR_ARGUMENT, "there is no such operation, or a number that must not be 0 is");
    if (shape.T > 1u << 24 || shape.m > 1u << 24 || shape.n > 1u << 24)
        return obi_fail(OBI_ERROR_ARGUMENT, "a matrix of %u, %u or %u rows or columns is too large", shape.T, shape.m, shape.n);
    operands o = { .shape = shape };
    obi_cmd *cmd = NULL;
    double unused[2];
    obi_status status;
    OBI_TRY_GOTO(make_operands(device, table[i].needs, &o));
    OBI_TRY_GOTO(obi_cmd_create(device, &cmd));
    for (uint32_t round = 0; round < warmup; round++) OBI_TRY_GOTO(one_round(cmd, i, &o, &unused[0], &unused[1]));
    for (uint32_t round = 0; round < rounds; round++)
        OBI_TRY_GOTO(one_round(cmd, i, &o, &times->seconds[round], &times->device_seconds[round]));
    uint64_t matrix = (uint64_t)shape.m * (table[i].needs & DENSE ? o.dense.row_words : o.signs.row_words) * 4;
    times->operations = 2.0 * shape.T * shape.m * shape.n;
    times->bytes = ((uint64_t)shape.T * shape.n + (uint64_t)shape.T * shape.m) * 4 + matrix * (table[i].updates ? 2 : 1);
    if (table[i].needs & SCALES) times->bytes += ((uint64_t)shape.m + shape.n) * 4;
    times->signs = table[i].needs & SIGNS ? (uint64_t)shape.m * shape.n : 0;
done:
    obi_cmd_destroy(cmd);
    obi_buffer_destroy(device, o.inputs);
    obi_buffer_destroy(device, o.outputs);
    obi_weight_destroy(device, &o.dense);
    obi_weight_destroy(device, &o.signs);
    obi_buffer_destroy(device, o.scales);
    return status;
}
