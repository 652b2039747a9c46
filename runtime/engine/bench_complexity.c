#include "engine/bench_complexity.h"

#include <math.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "core/rng.h"
#include "ops/op_bitlinear.h"
#include "ops/op_bitlinear_bwd.h"
#include "ops/op_dense.h"
#include "ops/op_scale_matrix.h"
#include "ops/sign_family.h"

/* f32 sums of another order differ by some 1e-6 here; family int8 rounds activations to bytes, by about 1 % of them. */
#define DIFFERENCE_MAX 0.05
#define SIZE_MAX_LETTER (1u << 16)

enum { X, U, Y, SCALES, BUFFERS };

typedef struct bench {
    obi_device *device;
    obi_bench_shape shape;
    obi_buffer *buffers[BUFFERS];
    obi_weight dense, made, signs; /* S in f32; W; S packed as the engine has it */
    obi_cmd *cmd;
    float *host[OBI_WAYS];
} bench;

static obi_view view(const bench *b, int i) { return obi_view_of(b->buffers[i]); }
static obi_view g_of(const bench *b) { return (obi_view){ b->buffers[SCALES], 0, (uint64_t)b->shape.n * 4 }; }
static obi_view h_of(const bench *b)
{
    return (obi_view){ b->buffers[SCALES], (uint64_t)obi_scales_h_offset(b->shape.n) * 4, (uint64_t)b->shape.m * 4 };
}

/* ---- operands -------------------------------------------------------------------------------------------------------- */

static obi_status fill(obi_upload *upload, obi_rng *rng, obi_view to, float first, float last)
{
    uint64_t count = to.size / 4;
    float *values = obi_calloc((size_t)count, sizeof *values);
    if (!values) return OBI_ERROR_MEMORY;
    for (uint64_t i = 0; i < count; i++) values[i] = first + (last - first) * (float)obi_rng_uniform(rng);
    obi_status status = obi_upload_bytes(upload, to, values, to.size);
    obi_free(values);
    return status;
}

/* The same signs as floats and packed. */
static obi_status fill_signs(obi_upload *upload, obi_rng *rng, const bench *b)
{
    uint32_t m = b->shape.m, n = b->shape.n, words = b->signs.row_words;
    uint32_t *packed = obi_calloc((size_t)m * words, sizeof *packed);
    float *row = obi_calloc(n, sizeof *row);
    obi_status status = packed && row ? OBI_OK : OBI_ERROR_MEMORY;
    for (uint32_t i = 0; i < m && status == OBI_OK; i++) {
        for (uint32_t j = 0; j < n; j++) {
            bool minus = obi_rng_next(rng) >> 63;
            row[j] = minus ? -1.0f : 1.0f;
            if (minus) packed[(size_t)i * words + j / 32] |= 1u << j % 32;
        }
        status = obi_weight_upload(upload, &b->dense, i, 1, row);
    }
    if (status == OBI_OK) status = obi_weight_upload(upload, &b->signs, 0, m, packed);
    if (status == OBI_OK) status = obi_upload_finish(upload);
    obi_free(packed);
    obi_free(row);
    return status;
}

static obi_status make_operands(bench *b)
{
    uint32_t T = b->shape.T, m = b->shape.m, n = b->shape.n;
    const uint64_t words[BUFFERS] = { (uint64_t)T * n, (uint64_t)T * n, (uint64_t)T * m, obi_scales_floats(m, n) };
    uint64_t bytes = 8ull * m * n + obi_sign_weight_bytes(b->device, m, n);
    for (int i = 0; i < BUFFERS; i++) bytes += words[i] * 4;
    OBI_TRY(obi_memory_fits(b->device, bytes, "the matrices to compare"));
    obi_upload *upload = NULL;
    obi_rng rng = obi_rng_seed(1);
    obi_status status;
    OBI_TRY_GOTO(obi_upload_create(b->device, &upload));
    for (int i = 0; i < BUFFERS; i++) OBI_TRY_GOTO(obi_buffer_create(b->device, words[i] * 4, OBI_MEMORY_DEVICE, &b->buffers[i]));
    OBI_TRY_GOTO(obi_weight_create(b->device, OBI_WEIGHT_F32, m, n, 0, &b->dense));
    OBI_TRY_GOTO(obi_weight_create(b->device, OBI_WEIGHT_F32, m, n, 0, &b->made));
    OBI_TRY_GOTO(obi_sign_weight_create(b->device, &m, 1, n, &b->signs));
    OBI_TRY_GOTO(fill(upload, &rng, view(b, X), -1, 1));
    OBI_TRY_GOTO(fill(upload, &rng, view(b, SCALES), 0.5f, 1));
    OBI_TRY_GOTO(fill_signs(upload, &rng, b));
    OBI_TRY_GOTO(obi_cmd_create(b->device, &b->cmd));
    for (int way = 0; way < OBI_WAYS; way++) {
        b->host[way] = obi_calloc((size_t)T * m, sizeof(float));
        if (!b->host[way]) OBI_TRY_GOTO(OBI_ERROR_MEMORY);
    }
done:
    if (upload && status == OBI_OK) status = obi_upload_finish(upload);
    obi_upload_destroy(upload);
    return status;
}

static void destroy_operands(bench *b)
{
    obi_cmd_destroy(b->cmd);
    for (int i = 0; i < BUFFERS; i++) obi_buffer_destroy(b->device, b->buffers[i]);
    obi_weight_destroy(b->device, &b->dense);
    obi_weight_destroy(b->device, &b->made);
    obi_weight_destroy(b->device, &b->signs);
    for (int way = 0; way < OBI_WAYS; way++) obi_free(b->host[way]);
}

/* ---- the ways ------------------------------------------------------------------------------------------------------- */

static void record(bench *b, obi_complexity_way way)
{
    uint32_t T = b->shape.T, m = b->shape.m, n = b->shape.n;
    switch (way) {
    case OBI_WAY_MATERIALISED:
        obi_op_scale_matrix(b->cmd, &b->made, &b->dense, h_of(b), g_of(b));
        obi_op_dense_fwd(b->cmd, view(b, Y), view(b, X), &b->made, T);
        break;
    case OBI_WAY_BRACKETED:
        obi_op_scale_columns(b->cmd, view(b, U), view(b, X), g_of(b), T, n, false);
        obi_op_dense_fwd(b->cmd, view(b, Y), view(b, U), &b->dense, T);
        obi_op_scale_columns(b->cmd, view(b, Y), view(b, Y), h_of(b), T, m, false);
        break;
    default: obi_op_bitlinear_fwd(b->cmd, view(b, Y), view(b, X), &b->signs, view(b, SCALES), T); break;
    }
}

/* Whether a kernel is one of those around the product. */
static bool is_outside(int kernel)
{
    return kernel == OBI_KERNEL_BITLINEAR_SCALE_MATRIX || kernel == OBI_KERNEL_BITLINEAR_SCALE_COLUMNS ||
           kernel == OBI_KERNEL_ACT_ROWS_STRAIGHT;
}

static obi_status run_way(bench *b, obi_complexity_way way, double *seconds, double *outside, bool *timestamps)
{
    obi_profile_row rows[OBI_KERNEL_COUNT];
    obi_cmd_profile(b->cmd, true);
    obi_cmd_begin(b->cmd);
    record(b, way);
    double start = obi_clock_seconds();
    OBI_TRY(obi_cmd_run(b->cmd));
    double wall = obi_clock_seconds() - start;
    *seconds = *outside = 0;
    for (uint32_t k = 0, count = obi_cmd_profile_rows(b->cmd, rows); k < count; k++) {
        *seconds += rows[k].seconds;
        if (is_outside(rows[k].kernel)) *outside += rows[k].seconds;
    }
    *timestamps = *seconds > 0;
    if (!*timestamps) *seconds = wall;
    return OBI_OK;
}

/* ---- results that must be equal ------------------------------------------------------------------------------------------ */

static obi_status check_results(bench *b, obi_complexity_times *times)
{
    uint64_t count = (uint64_t)b->shape.T * b->shape.m;
    for (int way = 0; way < OBI_WAYS; way++) {
        double unused[2], squares = 0, off = 0;
        bool timestamps;
        OBI_TRY(run_way(b, (obi_complexity_way)way, &unused[0], &unused[1], &timestamps));
        OBI_TRY(obi_download_bytes(b->device, view(b, Y), b->host[way], count * 4));
        for (uint64_t i = 0; i < count; i++) {
            double want = (double)b->host[0][i], difference = (double)b->host[way][i] - want;
            squares += want * want;
            off += difference * difference;
        }
        times->difference[way] = sqrt(off / (squares > 0 ? squares : 1));
        if (!(times->difference[way] <= DIFFERENCE_MAX))
            return obi_fail(OBI_ERROR_RUNTIME,
                            "the bracketed product differs from the materialised one by %.3g of it; check the device "
                            "with onebit-info-vk --selftest",
                            times->difference[way]);
    }
    return OBI_OK;
}

obi_status obi_complexity_run(obi_device *device, obi_bench_shape shape, uint32_t warmup, uint32_t rounds, obi_complexity_times *times)
{
    if (rounds == 0 || shape.T == 0 || shape.m == 0 || shape.n == 0) return obi_fail(OBI_ERROR_ARGUMENT, "a number that must not be 0 is");
    if (shape.T > SIZE_MAX_LETTER || shape.m > SIZE_MAX_LETTER || shape.n > SIZE_MAX_LETTER)
        return obi_fail(OBI_ERROR_ARGUMENT, "a matrix of %u, %u or %u rows or columns is too large", shape.T, shape.m, shape.n);
    bench b = { .device = device, .shape = shape };
    obi_status status;
    OBI_TRY_GOTO(make_operands(&b));
    OBI_TRY_GOTO(check_results(&b, times));
    for (uint32_t round = 0; round < warmup + rounds; round++)
        for (int i = 0; i < OBI_WAYS; i++) {
            int way = round % 2 ? OBI_WAYS - 1 - i : i;
            double seconds, outside;
            OBI_TRY_GOTO(run_way(&b, (obi_complexity_way)way, &seconds, &outside, &times->timestamps));
            if (round < warmup) continue;
            times->seconds[way][round - warmup] = seconds;
            times->outside[way][round - warmup] = way == OBI_WAY_SIGNS ? 0 : outside;
        }
done:
    destroy_operands(&b);
    return status == OBI_OK ? OBI_OK : obi_fail_prefix(status, "complexity");
}
