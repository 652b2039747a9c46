#include "quant/svid.h"

#include <math.h>
#include <string.h>

#include "core/alloc.h"
#include "core/half.h"
#include "core/rng.h"
#include "ops/op_svid.h"

#define ITERATIONS 8          /* one is within 0.45 % of the optimum, two within 1e-5 (onebit notes, measured) */
#define RANK1_TOLERANCE 1e-4  /* relative change of sigma at which its iteration ends */
#define HALF_MAX 65504.0

/* A device buffer that only grows, and as much of it as is in use. */
typedef struct slot {
    obi_buffer *buffer;
    obi_view view;
} slot;

typedef enum slot_name {
    SLOT_A, SLOT_B, SLOT_AA, SLOT_BB, SLOT_SCRATCH, SLOT_PARTIALS, SLOT_SUMS, SLOT_SQUARES, SLOT_WORDS, SLOT_COUNT
} slot_name;

struct obi_svid {
    obi_device *device;
    obi_upload *upload;
    obi_cmd *cmd;
    slot slots[SLOT_COUNT];
    float *a, *b, *host; /* host: the largest of what is downloaded at once */
    uint64_t a_room, b_room, host_room;
};

/* ---- memory -------------------------------------------------------------------------------------------- */

obi_status obi_svid_create(obi_device *device, obi_upload *upload, obi_svid **out)
{
    *out = NULL;
    obi_svid *svid = obi_calloc(1, sizeof *svid);
    if (!svid) return OBI_ERROR_MEMORY;
    svid->device = device;
    svid->upload = upload;
    obi_status status = obi_cmd_create(device, &svid->cmd);
    if (status != OBI_OK) {
        obi_free(svid);
        return status;
    }
    *out = svid;
    return OBI_OK;
}

void obi_svid_destroy(obi_svid *svid)
{
    if (!svid) return;
    obi_cmd_destroy(svid->cmd); /* waits; then nothing uses the buffers */
    for (int i = 0; i < SLOT_COUNT; i++) obi_buffer_destroy(svid->device, svid->slots[i].buffer);
    obi_free(svid->a);
    obi_free(svid->b);
    obi_free(svid->host);
    obi_free(svid);
}

/* No command of this svid is in flight when it is called: every step waits. */
static obi_status reserve_slot(obi_svid *svid, slot_name name, uint64_t floats)
{
    slot *at = &svid->slots[name];
    if (!at->buffer || at->buffer->size < floats * 4) {
        obi_buffer_destroy(svid->device, at->buffer);
        at->buffer = NULL;
        OBI_TRY(obi_buffer_create(svid->device, floats * 4, OBI_MEMORY_DEVICE, &at->buffer));
    }
    at->view = (obi_view){ at->buffer, 0, floats * 4 };
    return OBI_OK;
}

static obi_status reserve_host(float **array, uint64_t *room, uint64_t floats)
{
    if (*room >= floats) return OBI_OK;
    float *grown = obi_realloc(*array, (size_t)floats, sizeof *grown);
    if (!grown) return OBI_ERROR_MEMORY;
    *array = grown;
    *room = floats;
    return OBI_OK;
}

static uint64_t larger(uint64_t a, uint64_t b) { return a > b ? a : b; }

uint64_t obi_svid_bytes(const obi_weight *w)
{
    uint64_t words = (uint64_t)w->block_rows * obi_weight_row_words(OBI_WEIGHT_SIGN, w->columns);
    return 4 * (3 * (uint64_t)w->rows + w->columns + obi_svid_scratch_floats(w) + obi_svid_residual_floats(w) + words);
}

static obi_status reserve(obi_svid *svid, const obi_weight *w)
{
    uint64_t m = w->rows, n = w->columns, words = (uint64_t)w->block_rows * obi_weight_row_words(OBI_WEIGHT_SIGN, w->columns);
    uint64_t partials = obi_svid_residual_floats(w);
    OBI_TRY(reserve_slot(svid, SLOT_A, m));
    OBI_TRY(reserve_slot(svid, SLOT_B, n));
    OBI_TRY(reserve_slot(svid, SLOT_AA, 1));
    OBI_TRY(reserve_slot(svid, SLOT_BB, 1));
    OBI_TRY(reserve_slot(svid, SLOT_SCRATCH, obi_svid_scratch_floats(w)));
    OBI_TRY(reserve_slot(svid, SLOT_PARTIALS, partials));
    OBI_TRY(reserve_slot(svid, SLOT_SUMS, m));
    OBI_TRY(reserve_slot(svid, SLOT_SQUARES, m));
    OBI_TRY(reserve_slot(svid, SLOT_WORDS, words));
    OBI_TRY(reserve_host(&svid->a, &svid->a_room, m));
    OBI_TRY(reserve_host(&svid->b, &svid->b_room, n));
    return reserve_host(&svid->host, &svid->host_room, larger(larger(m, n), larger(partials, words)));
}

static obi_view view_of(const obi_svid *svid, slot_name name) { return svid->slots[name].view; }

static obi_status download(obi_svid *svid, slot_name name, float *to)
{
    return obi_download_bytes(svid->device, view_of(svid, name), to, view_of(svid, name).size);
}

static obi_status upload(obi_svid *svid, slot_name name, const float *from)
{
    return obi_upload_bytes(svid->upload, view_of(svid, name), from, view_of(svid, name).size);
}

/* ---- steps --------------------------------------------------------------------------------------------- */

/* Half an iteration each, with b.b in SLOT_BB and a.a in SLOT_AA before and after. */
static obi_status step_rows(obi_svid *svid, const obi_weight *w, bool absolute)
{
    obi_cmd_begin(svid->cmd);
    obi_op_svid_rows(svid->cmd, view_of(svid, SLOT_A), w, view_of(svid, SLOT_B), view_of(svid, SLOT_BB), absolute);
    obi_op_svid_dot(svid->cmd, view_of(svid, SLOT_AA), view_of(svid, SLOT_A), w->rows);
    return obi_cmd_run(svid->cmd);
}

static obi_status step_columns(obi_svid *svid, const obi_weight *w, bool absolute)
{
    obi_cmd_begin(svid->cmd);
    obi_op_svid_columns(svid->cmd, view_of(svid, SLOT_B), view_of(svid, SLOT_SCRATCH), w, view_of(svid, SLOT_A), view_of(svid, SLOT_AA),
                        absolute);
    obi_op_svid_dot(svid->cmd, view_of(svid, SLOT_BB), view_of(svid, SLOT_B), w->columns);
    return obi_cmd_run(svid->cmd);
}

static obi_status step_start(obi_svid *svid, const obi_weight *w)
{
    obi_cmd_begin(svid->cmd);
    obi_op_svid_dot(svid->cmd, view_of(svid, SLOT_BB), view_of(svid, SLOT_B), w->columns);
    return obi_cmd_run(svid->cmd);
}

/* norm2 and error_xnor. The best scale of a row of signs is its mean |w|, which leaves sum w^2 - (sum |w|)^2 / n. */
static obi_status measure(obi_svid *svid, const obi_weight *w, obi_svid_result *result, double *mean)
{
    obi_cmd_begin(svid->cmd);
    obi_op_svid_stats(svid->cmd, view_of(svid, SLOT_SUMS), view_of(svid, SLOT_SQUARES), w);
    OBI_TRY(obi_cmd_run(svid->cmd));
    double kept = 0, sum = 0;
    OBI_TRY(download(svid, SLOT_SUMS, svid->host));
    for (uint32_t i = 0; i < w->rows; i++) {
        double row = (double)svid->host[i];
        sum += row;
        kept += row * row / w->columns;
    }
    OBI_TRY(download(svid, SLOT_SQUARES, svid->host));
    for (uint32_t i = 0; i < w->rows; i++) result->norm2 += (double)svid->host[i];
    if (!isfinite(sum) || !isfinite(result->norm2))
        return obi_fail(OBI_ERROR_DATA, "a weight holds NaN, infinity or numbers too large to square; it cannot be quantised");
    *mean = sum / ((double)w->rows * w->columns);
    if (result->norm2 > 0) result->error_xnor = fmax(0, 1 - kept / result->norm2);
    return OBI_OK;
}

/* ALS on |W| from the constant b = sqrt(mean |W|): a and b on the host. */
static obi_status decompose(obi_svid *svid, const obi_weight *w, double mean)
{
    obi_cmd_begin(svid->cmd);
    obi_cmd_fill(svid->cmd, view_of(svid, SLOT_B), obi_float_bits((float)sqrt(mean)));
    OBI_TRY(obi_cmd_run(svid->cmd));
    OBI_TRY(step_start(svid, w));
    for (int i = 0; i < ITERATIONS; i++) {
        OBI_TRY(step_rows(svid, w, true));
        OBI_TRY(step_columns(svid, w, true));
    }
    OBI_TRY(download(svid, SLOT_A, svid->a));
    return download(svid, SLOT_B, svid->b);
}

static double mean_square(const float *v, uint32_t count)
{
    double sum = 0;
    for (uint32_t i = 0; i < count; i++) sum += (double)v[i] * (double)v[i];
    return sum / count;
}

static void scale_to_half(float *v, uint32_t count, double scale)
{
    for (uint32_t i = 0; i < count; i++) v[i] = obi_half_to_float(obi_float_to_half((float)fmin((double)v[i] * scale, HALF_MAX)));
}

/* Moves scale between a and b until their rms are the same, and rounds both to f16. */
static void balance(obi_svid *svid, const obi_weight *w)
{
    double a2 = mean_square(svid->a, w->rows), b2 = mean_square(svid->b, w->columns);
    double scale = a2 > 0 && b2 > 0 ? sqrt(sqrt(b2 / a2)) : 0;
    scale_to_half(svid->a, w->rows, scale);
    scale_to_half(svid->b, w->columns, scale > 0 ? 1 / scale : 0);
}

static obi_status measure_svid(obi_svid *svid, const obi_weight *w, obi_svid_result *result)
{
    OBI_TRY(upload(svid, SLOT_A, svid->a));
    OBI_TRY(upload(svid, SLOT_B, svid->b));
    obi_cmd_begin(svid->cmd);
    obi_op_svid_residual(svid->cmd, view_of(svid, SLOT_PARTIALS), w, view_of(svid, SLOT_A), view_of(svid, SLOT_B), true);
    OBI_TRY(obi_cmd_run(svid->cmd));
    OBI_TRY(download(svid, SLOT_PARTIALS, svid->host));
    double sum = 0;
    for (uint64_t i = 0; i < obi_svid_residual_floats(w); i++) sum += (double)svid->host[i];
    result->error_svid = sum / result->norm2;
    return OBI_OK;
}

/* Power iteration on W itself: after b = WT a / (a.a), a bT is the best fit for this a and keeps |a|^2 |b|^2 of the norm. */
static obi_status measure_rank1(obi_svid *svid, const obi_weight *w, const obi_svid_options *options, obi_svid_result *result)
{
    obi_rng rng = obi_rng_seed(options->seed);
    for (uint32_t j = 0; j < w->columns; j++) svid->host[j] = (float)obi_rng_normal(&rng);
    OBI_TRY(upload(svid, SLOT_B, svid->host));
    OBI_TRY(step_start(svid, w));
    double sigma = 0;
    for (uint32_t i = 0; i < options->rank1_iterations; i++) {
        float aa, bb;
        OBI_TRY(step_rows(svid, w, false));
        OBI_TRY(step_columns(svid, w, false));
        OBI_TRY(download(svid, SLOT_AA, &aa));
        OBI_TRY(download(svid, SLOT_BB, &bb));
        double before = sigma;
        sigma = sqrt((double)aa * (double)bb);
        if (fabs(sigma - before) <= RANK1_TOLERANCE * sigma) break;
    }
    result->error_rank1 = fmax(0, 1 - sigma * sigma / result->norm2);
    return OBI_OK;
}

static obi_status pack(obi_svid *svid, const obi_weight *w, const obi_svid_options *options)
{
    uint64_t row_words = obi_weight_row_words(OBI_WEIGHT_SIGN, w->columns);
    for (uint32_t block = 0; block < w->block_count; block++) {
        uint32_t first, count;
        (void)obi_weight_block(w, block, &first, &count);
        obi_view words = view_of(svid, SLOT_WORDS);
        words.size = count * row_words * 4;
        obi_cmd_begin(svid->cmd);
        obi_op_sign_pack(svid->cmd, words, w, block);
        OBI_TRY(obi_cmd_run(svid->cmd));
        OBI_TRY(obi_download_bytes(svid->device, words, svid->host, words.size));
        OBI_TRY(options->words(options->user, first, count, (const uint32_t *)(const void *)svid->host));
    }
    return OBI_OK;
}

obi_status obi_svid_run(obi_svid *svid, const obi_weight *w, const obi_svid_options *options, obi_svid_result *result)
{
    memset(result, 0, sizeof *result);
    if (w->type != OBI_WEIGHT_F32) return obi_fail(OBI_ERROR_ARGUMENT, "only an f32 weight can be decomposed");
    OBI_TRY(reserve(svid, w));
    double mean = 0;
    OBI_TRY(measure(svid, w, result, &mean));
    if (result->norm2 > 0) {
        OBI_TRY(decompose(svid, w, mean));
        balance(svid, w);
        OBI_TRY(measure_svid(svid, w, result));
        if (options->rank1_iterations > 0) OBI_TRY(measure_rank1(svid, w, options, result));
    } else {
        memset(svid->a, 0, w->rows * sizeof *svid->a);
        memset(svid->b, 0, w->columns * sizeof *svid->b);
    }
    if (options->rank1_iterations == 0) result->error_rank1 = (double)NAN;
    result->a = svid->a;
    result->b = svid->b;
    return options->words ? pack(svid, w, options) : OBI_OK;
}
