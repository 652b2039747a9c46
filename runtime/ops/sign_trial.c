#include "ops/sign_trial.h"

#include <stdio.h>
#include <string.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/rng.h"
#include "ops/op_bitlinear.h"

#define MATRIX_BYTES_MAX (64ull << 20) /* of a larger matrix the first rows stand for all */
#define PIECE_BYTES (1u << 20)
#define ROUND_SECONDS 2e-3
#define PRODUCTS_MAX 256u
#define ROUNDS 4

typedef struct operands {
    obi_weight signs;
    obi_buffer *x, *y, *scales;
} operands;

static obi_status fill(obi_upload *upload, obi_view view, obi_rng *rng, float *values)
{
    uint64_t at_once = view.size < PIECE_BYTES ? view.size : PIECE_BYTES;
    for (uint64_t i = 0; i < at_once / 4; i++) values[i] = (float)(obi_rng_uniform(rng) - 0.5);
    for (uint64_t offset = 0; offset < view.size; offset += at_once) { /* the same numbers again and again */
        obi_view part = { view.buffer, offset, view.size - offset < at_once ? view.size - offset : at_once };
        OBI_TRY(obi_upload_bytes(upload, part, values, part.size));
    }
    return OBI_OK;
}

static obi_status make_operands(obi_device *device, uint32_t rows, uint32_t columns, operands *o)
{
    obi_upload *upload = NULL;
    obi_rng rng = obi_rng_seed(1);
    uint64_t row_bytes = (uint64_t)obi_weight_row_words(OBI_WEIGHT_SIGN, columns) * 4;
    if (rows * row_bytes > MATRIX_BYTES_MAX) rows = (uint32_t)(MATRIX_BYTES_MAX / row_bytes);
    uint32_t *words = obi_calloc(1, PIECE_BYTES > row_bytes ? PIECE_BYTES : row_bytes);
    if (!words) return OBI_ERROR_MEMORY;
    obi_status status;
    OBI_TRY_GOTO(obi_weight_create(device, OBI_WEIGHT_SIGN, rows, columns, 0, &o->signs));
    OBI_TRY_GOTO(obi_buffer_create(device, (uint64_t)columns * 4, OBI_MEMORY_DEVICE, &o->x));
    OBI_TRY_GOTO(obi_buffer_create(device, (uint64_t)rows * 4, OBI_MEMORY_DEVICE, &o->y));
    OBI_TRY_GOTO(obi_buffer_create(device, obi_scales_floats(rows, columns) * 4, OBI_MEMORY_DEVICE, &o->scales));
    OBI_TRY_GOTO(obi_upload_create(device, &upload));
    OBI_TRY_GOTO(fill(upload, obi_view_of(o->x), &rng, (float *)(void *)words));
    OBI_TRY_GOTO(fill(upload, obi_view_of(o->scales), &rng, (float *)(void *)words));
    uint32_t at_once = obi_weight_upload_rows(&o->signs, PIECE_BYTES);
    for (uint64_t i = 0; i < at_once * row_bytes / 4; i++) words[i] = (uint32_t)obi_rng_next(&rng);
    for (uint32_t first = 0; first < rows; first += at_once)
        OBI_TRY_GOTO(obi_weight_upload(upload, &o->signs, first, rows - first < at_once ? rows - first : at_once, words));
    OBI_TRY_GOTO(obi_upload_finish(upload));
done:
    obi_upload_destroy(upload);
    obi_free(words);
    return status;
}

static obi_status round_of(obi_cmd *cmd, const operands *o, uint32_t products, double *seconds)
{
    obi_cmd_begin(cmd);
    for (uint32_t i = 0; i < products; i++) /* each writes y, so that they run one after the other, as in a token */
        obi_op_bitlinear_fwd(cmd, obi_view_of(o->y), obi_view_of(o->x), &o->signs, obi_view_of(o->scales), 1);
    double start = obi_clock_seconds();
    OBI_TRY(obi_cmd_run(cmd));
    *seconds = (obi_clock_seconds() - start) / products;
    return OBI_OK;
}

/* The first round makes the pipelines, and the second tells how many products fill ROUND_SECONDS. */
static obi_status time_family(obi_cmd *cmd, const operands *o, double *best)
{
    double seconds;
    OBI_TRY(round_of(cmd, o, 1, &seconds));
    OBI_TRY(round_of(cmd, o, 1, best));
    uint32_t products = *best * PRODUCTS_MAX < ROUND_SECONDS ? PRODUCTS_MAX : *best < ROUND_SECONDS ? (uint32_t)(ROUND_SECONDS / *best) : 0;
    for (int i = 0; i < ROUNDS && products > 0; i++) {
        OBI_TRY(round_of(cmd, o, products, &seconds));
        if (i == 0 || seconds < *best) *best = seconds; /* a single product carries the submit's time */
    }
    return OBI_OK;
}

static void take_off(obi_device *device, obi_sign_family family)
{
    int kernel = family == OBI_SIGN_TABLE ? OBI_KERNEL_BITLINEAR_GEMV_TABLE
                 : family == OBI_SIGN_HALF ? OBI_KERNEL_BITLINEAR_GEMV_HALF
                                           : OBI_KERNEL_BITLINEAR_QUANTISE;
    device->kernel_off[kernel] = true;
    atomic_fetch_add(&device->kernels_changed, 1);
    obi_log(OBI_LOG_WARNING, "%s: the kernels of family %s do not work (%s); others are used instead", device->caps.name,
            obi_sign_family_name(family), obi_last_error());
}

obi_status obi_sign_trial_run(obi_device *device, uint32_t rows, uint32_t columns, obi_sign_trial *trial)
{
    operands o = { 0 };
    obi_cmd *cmd = NULL;
    memset(trial, 0, sizeof *trial);
    obi_status status = make_operands(device, rows, columns, &o);
    if (status == OBI_OK) status = obi_cmd_create(device, &cmd);
    for (int i = 0; i < OBI_SIGN_FAMILY_COUNT && status == OBI_OK; i++) {
        obi_sign_family family = (obi_sign_family)i;
        if (!obi_sign_family_offered(device, family, NULL) || obi_sign_family_type(family) != OBI_WEIGHT_SIGN) continue;
        double seconds = 0;
        o.signs.family = (uint32_t)family;
        status = time_family(cmd, &o, &seconds);
        if (status == OBI_OK) {
            trial->seconds[family] = seconds;
            if (family == OBI_SIGN_XOR || seconds < trial->seconds[trial->best]) trial->best = family;
        } else if (status != OBI_ERROR_DEVICE_LOST && status != OBI_ERROR_MEMORY && family != OBI_SIGN_XOR) {
            take_off(device, family);
            status = OBI_OK;
        }
    }
    obi_cmd_destroy(cmd);
    obi_weight_destroy(device, &o.signs);
    obi_buffer_destroy(device, o.x);
    obi_buffer_destroy(device, o.y);
    obi_buffer_destroy(device, o.scales);
    if (status != OBI_ERROR_MEMORY) return status;
    memset(trial, 0, sizeof *trial); /* not to be kept: who would have won is not known */
    return OBI_OK;                   /* the model itself may still fit: loading it will tell */
}

void obi_sign_trial_text(const obi_sign_trial *trial, char *text, size_t room)
{
    size_t used = (size_t)snprintf(text, room, "%s", obi_sign_family_name(trial->best));
    const char *between = " (";
    for (int i = 0; i < OBI_SIGN_FAMILY_COUNT; i++) {
        if (!(trial->seconds[i] > 0) || used >= room) continue;
        used += (size_t)snprintf(text + used, room - used, "%s%s %.1f", between, obi_sign_family_name((obi_sign_family)i),
                                 1e6 * trial->seconds[i]);
        between = ", ";
    }
    if (between[0] == ',' && used < room) (void)snprintf(text + used, room - used, " us)");
}
