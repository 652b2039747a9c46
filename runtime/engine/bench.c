#include "engine/bench_operation.h"

#include "core/alloc.h"
#include "core/clock.h"
#include "core/rng.h"
#include "ops/op_embed_bwd.h"
#include "ops/sign_family.h"

static const obi_bench_operation *operation_at(uint32_t i)
{
    const obi_bench_operation *const tables[] = { obi_bench_products, obi_bench_forward, obi_bench_training };
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (const obi_bench_operation *at = tables[t]; at->name; at++)
            if (i-- == 0) return at;
    return NULL;
}

bool obi_bench_describe(uint32_t i, const char **name, const char **formula, const obi_bench_shape **shapes, uint32_t *shape_count)
{
    const obi_bench_operation *operation = operation_at(i);
    if (!operation) return false;
    *name = operation->name;
    *formula = operation->formula;
    *shapes = operation->shapes;
    for (*shape_count = 0; *shape_count < OBI_BENCH_SHAPES && operation->shapes[*shape_count].T > 0;) ++*shape_count;
    return true;
}

obi_bench_heads obi_bench_heads_of(uint32_t n)
{
    uint32_t width = n + n % 2, C = width % 128 == 0 ? 128 : width % 64 == 0 ? 64 : width < 256 ? width : 256;
    while (width % C != 0) C -= 2; /* it ends at 2: the width is even, and so is C */
    return (obi_bench_heads){ width / C, C };
}

/* ---- random contents -------------------------------------------------------------------------------------------- */

#define CHUNK_WORDS (1u << 20)

static void random_floats(float *values, uint64_t count, float first, obi_rng *rng)
{
    for (uint64_t i = 0; i < count; i++) values[i] = first + (float)obi_rng_uniform(rng) * (first < 0 ? 1.0f : 0.5f);
}

/* The same numbers again and again. */
static obi_status fill_floats(obi_upload *upload, obi_rng *rng, float first, const obi_buffer *out)
{
    uint64_t words = out->size / 4, at_once = words < CHUNK_WORDS ? words : CHUNK_WORDS;
    float *values = obi_calloc((size_t)at_once, sizeof *values);
    if (!values) return OBI_ERROR_MEMORY;
    random_floats(values, at_once, first, rng);
    obi_status status = OBI_OK;
    for (uint64_t done = 0; done < words && status == OBI_OK; done += at_once) {
        uint64_t count = words - done < at_once ? words - done : at_once;
        obi_view part = { out, done * 4, count * 4 };
        status = obi_upload_bytes(upload, part, values, count * 4);
    }
    obi_free(values);
    return status;
}

static obi_status fill_ids(obi_upload *upload, obi_rng *rng, obi_bench_operands *o, bool scatter, const obi_buffer *out)
{
    uint32_t T = o->shape.T;
    uint32_t *ids = obi_calloc(T, sizeof *ids), *plan = obi_calloc((size_t)OBI_EMBED_PLAN_WORDS(T), sizeof *plan);
    obi_status status = ids && plan ? OBI_OK : OBI_ERROR_MEMORY;
    for (uint32_t t = 0; status == OBI_OK && t < T; t++) ids[t] = (uint32_t)(obi_rng_next(rng) % o->shape.m);
    if (status == OBI_OK && scatter) status = obi_embed_plan(plan, &o->distinct, ids, T, o->shape.m);
    if (status == OBI_OK) status = obi_upload_bytes(upload, obi_view_of(out), scatter ? plan : ids, out->size);
    obi_free(ids);
    obi_free(plan);
    return status;
}

static obi_status make_buffer(obi_upload *upload, obi_rng *rng, obi_bench_operands *o, const obi_bench_buffer *plan, obi_buffer **out)
{
    OBI_TRY(obi_buffer_create(o->device, plan->words * 4, OBI_MEMORY_DEVICE, out));
    if (plan->contents == OBI_BENCH_IDS || plan->contents == OBI_BENCH_SCATTER)
        return fill_ids(upload, rng, o, plan->contents == OBI_BENCH_SCATTER, *out);
    return fill_floats(upload, rng, plan->contents == OBI_BENCH_POSITIVE ? 0.5f : -0.5f, *out);
}

/* Fills a weight that was created. */
static obi_status fill_weight(obi_upload *upload, obi_rng *rng, obi_bench_shape shape, const obi_weight *out)
{
    obi_weight_type type = out->type;
    uint32_t at_once = obi_weight_upload_rows(out, CHUNK_WORDS * 4);
    uint64_t words = (uint64_t)at_once * out->row_words;
    uint32_t *values = obi_calloc((size_t)words, sizeof *values);
    if (!values) return OBI_ERROR_MEMORY;
    if (type == OBI_WEIGHT_F32) random_floats((float *)(void *)values, words, -0.5f, rng);
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

static obi_status make_matrices(obi_upload *upload, obi_rng *rng, const obi_bench_plan *plan, obi_bench_operands *o)
{
    uint32_t m = o->shape.m, n = o->shape.n, rows[OBI_GROUP_MAX] = { m, m, m }, count = plan->matrices ? plan->matrices : 1;
    switch (plan->matrix) {
    case OBI_BENCH_NO_MATRIX: return OBI_OK;
    case OBI_BENCH_F32: OBI_TRY(obi_weight_create(o->device, OBI_WEIGHT_F32, m, n, 0, &o->weights[0])); break;
    case OBI_BENCH_F16: OBI_TRY(obi_weight_create(o->device, OBI_WEIGHT_F16, m, n, 0, &o->weights[0])); break;
    case OBI_BENCH_SIGN_ROWS: OBI_TRY(obi_weight_create(o->device, OBI_WEIGHT_SIGN, m, n, 0, &o->weights[0])); break;
    case OBI_BENCH_SIGNS: OBI_TRY(obi_sign_weight_create(o->device, rows, count, n, o->weights)); break;
    }
    for (uint32_t i = 0; i < count; i++) OBI_TRY(fill_weight(upload, rng, o->shape, &o->weights[i]));
    return OBI_OK;
}

static uint64_t needed_bytes(const obi_device *device, const obi_bench_plan *plan, obi_bench_shape shape)
{
    uint64_t bytes = 0, elements = (uint64_t)shape.m * shape.n;
    for (int i = 0; i < OBI_BENCH_BUFFERS; i++) bytes += plan->buffers[i].words * 4 * (plan->buffers[i].restored ? 2 : 1);
    switch (plan->matrix) {
    case OBI_BENCH_NO_MATRIX: return bytes;
    case OBI_BENCH_F32: return bytes + 4 * elements;
    case OBI_BENCH_F16: return bytes + 2 * elements;
    default: return bytes + obi_sign_weight_bytes(device, shape.m, shape.n) * (plan->matrices ? plan->matrices : 1);
    }
}

static obi_status make_operands(const obi_bench_plan *plan, obi_bench_operands *o)
{
    obi_upload *upload = NULL;
    obi_rng rng = obi_rng_seed(1);
    obi_status status;
    OBI_TRY(obi_memory_fits(o->device, needed_bytes(o->device, plan, o->shape), "the operation's matrices"));
    OBI_TRY_GOTO(obi_upload_create(o->device, &upload));
    for (int i = 0; i < OBI_BENCH_BUFFERS; i++) {
        const obi_bench_buffer *buffer = &plan->buffers[i];
        if (buffer->words == 0) continue;
        OBI_TRY_GOTO(make_buffer(upload, &rng, o, buffer, &o->buffers[i]));
        if (buffer->restored) OBI_TRY_GOTO(make_buffer(upload, &rng, o, buffer, &o->kept[i]));
    }
    OBI_TRY_GOTO(make_matrices(upload, &rng, plan, o));
done:
    if (status == OBI_OK) status = obi_upload_finish(upload);
    obi_upload_destroy(upload);
    return status;
}

static void destroy_operands(obi_bench_operands *o)
{
    for (int i = 0; i < OBI_BENCH_BUFFERS; i++) {
        obi_buffer_destroy(o->device, o->buffers[i]);
        obi_buffer_destroy(o->device, o->kept[i]);
    }
    for (uint32_t i = 0; i < OBI_GROUP_MAX; i++) obi_weight_destroy(o->device, &o->weights[i]);
}

/* ---- measurement ------------------------------------------------------------------------------------------------ */

static obi_status restore(obi_cmd *cmd, const obi_bench_operands *o)
{
    bool any = false;
    for (int i = 0; i < OBI_BENCH_BUFFERS; i++) {
        if (!o->kept[i]) continue;
        if (!any) obi_cmd_begin(cmd);
        obi_cmd_copy(cmd, obi_view_of(o->buffers[i]), obi_view_of(o->kept[i]));
        any = true;
    }
    return any ? obi_cmd_run(cmd) : OBI_OK;
}

static obi_status one_round(obi_cmd *cmd, const obi_bench_operation *operation, const obi_bench_operands *o, double *seconds,
                            double *device_seconds, obi_bench_times *times)
{
    obi_profile_row rows[OBI_KERNEL_COUNT];
    obi_cmd_profile(cmd, true);
    obi_cmd_begin(cmd);
    operation->record(cmd, o);
    double start = obi_clock_seconds();
    OBI_TRY(obi_cmd_run(cmd));
    *seconds = obi_clock_seconds() - start;
    *device_seconds = 0;
    times->kernel_count = 0;
    for (uint32_t k = 0, count = obi_cmd_profile_rows(cmd, rows); k < count; k++) {
        *device_seconds += rows[k].seconds;
        if (k < OBI_BENCH_KERNELS) times->kernels[times->kernel_count++] = rows[k].kernel;
    }
    return OBI_OK;
}

obi_status obi_bench_run(obi_device *device, uint32_t i, obi_bench_shape shape, uint32_t warmup, uint32_t rounds, obi_bench_times *times)
{
    const obi_bench_operation *operation = operation_at(i);
    if (!operation || rounds == 0 || shape.T == 0 || shape.m == 0 || shape.n == 0)
        return obi_fail(OBI_ERROR_ARGUMENT, "there is no such operation, or a number that must not be 0 is");
    if (shape.T > 1u << 24 || shape.m > 1u << 24 || shape.n > 1u << 24)
        return obi_fail(OBI_ERROR_ARGUMENT, "a matrix of %u, %u or %u rows or columns is too large", shape.T, shape.m, shape.n);
    obi_bench_operands o = { .device = device, .shape = shape };
    obi_bench_plan plan = { 0 };
    obi_cmd *cmd = NULL, *before = NULL;
    double unused[2];
    obi_status status;
    operation->plan(device, shape, &plan);
    OBI_TRY_GOTO(make_operands(&plan, &o));
    OBI_TRY_GOTO(obi_cmd_create(device, &cmd));
    OBI_TRY_GOTO(obi_cmd_create(device, &before));
    for (uint32_t round = 0; round < warmup + rounds; round++) {
        double *seconds = round < warmup ? &unused[0] : &times->seconds[round - warmup];
        double *device_seconds = round < warmup ? &unused[1] : &times->device_seconds[round - warmup];
        OBI_TRY_GOTO(restore(before, &o));
        OBI_TRY_GOTO(one_round(cmd, operation, &o, seconds, device_seconds, times));
    }
    times->operations = plan.operations;
    times->bytes = plan.bytes + plan.distinct_bytes * o.distinct;
    times->signs = plan.signs;
done:
    obi_cmd_destroy(cmd);
    obi_cmd_destroy(before);
    destroy_operands(&o);
    return status == OBI_OK ? OBI_OK : obi_fail_prefix(status, "%s", operation->name);
}
