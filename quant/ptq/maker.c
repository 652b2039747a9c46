#include "quant/ptq/maker.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/alloc.h"
#include "quant/ptq/calibrated.h"
#include "quant/ptq/direct.h"

struct obi_ptq_maker {
    const obi_source *source;
    const obi_ptq_options *options;
    obi_linear_maker linears;
    obi_calibrated *calibrated; /* or NULL */
    obi_codes codes;            /* the last linear of the others */
    obi_direct_bytes bytes;
};

static void forget(obi_ptq_maker *maker)
{
    obi_codes_free(&maker->codes);
    obi_free(maker->bytes.bytes);
    obi_free(maker->bytes.scales);
    maker->bytes = (obi_direct_bytes){ 0 };
}

static obi_status make_direct(void *user, uint32_t layer, int kind, obi_status (*part)(void *convert, double part, const char *what),
                              void *convert, obi_made_linear *out)
{
    obi_ptq_maker *maker = user;
    char name[64];
    obi_direct_errors errors;
    obi_status status;
    snprintf(name, sizeof name, "blk.%u.%s.weight", layer, obi_linear_roles[kind]);
    forget(maker);
    OBI_TRY(part(convert, 0, name));
    const obi_source_tensor *tensor = obi_source_find(maker->source, name);
    if (!tensor) return obi_fail(OBI_ERROR_DATA, "the tensor %s is missing", name);
    if (maker->options->method == OBI_PTQ_INT8) status = obi_direct_int8(tensor, &maker->bytes, &errors);
    else status = obi_direct_codes(tensor, maker->options, &maker->codes, &errors);
    if (status != OBI_OK) return obi_fail_prefix(status, "the tensor %s", name);
    out->codes = &maker->codes;
    out->bytes = maker->bytes.bytes;
    out->scales = maker->bytes.scales;
    out->norm2 = errors.norm2;
    out->error = errors.norm2 > 0 ? errors.error / errors.norm2 : 0;
    out->output_error = (double)NAN;
    return OBI_OK;
}

/* A layer is made when the first of its linears is asked for. */
static obi_status make_calibrated(void *user, uint32_t layer, int kind, obi_status (*part)(void *convert, double part, const char *what),
                                  void *convert, obi_made_linear *out)
{
    obi_calibrated *calibrated = ((obi_ptq_maker *)user)->calibrated;
    if (layer == calibrated->layers_done) OBI_TRY(obi_calibrated_layer(calibrated, (obi_part){ part, convert }));
    *out = calibrated->made[kind];
    return OBI_OK;
}

static obi_grids grids_of(const obi_ptq_options *options)
{
    if (options->method == OBI_PTQ_BITNET_B1) return OBI_GRIDS_ONE_SCALE;
    if (options->method == OBI_PTQ_XNOR) return OBI_GRIDS_CENTRED;
    return options->method == OBI_PTQ_GPTQ && options->group > 0 && !options->natural_order ? OBI_GRIDS_ORDERED : OBI_GRIDS_FREE;
}

static double bits_of(void *user, uint32_t rows, uint32_t columns)
{
    const obi_ptq_options *options = ((const obi_ptq_maker *)user)->options;
    if (options->method == OBI_PTQ_INT8) return 8.0 * rows * columns + 16.0 * rows;
    return obi_codes_bits(rows, columns, options->bits, options->group, grids_of(options));
}

obi_status obi_ptq_maker_create(obi_device *device, const obi_source *source, const obi_tokenizer *tokenizer,
                                const obi_ptq_options *options, obi_ptq_maker **out)
{
    *out = NULL;
    obi_ptq_maker *maker = obi_calloc(1, sizeof *maker);
    if (!maker) return OBI_ERROR_MEMORY;
    maker->source = source;
    maker->options = options;
    bool bytes = options->method == OBI_PTQ_INT8;
    maker->linears = (obi_linear_maker){
        .method = obi_ptq_names[options->method],
        .storage = bytes                ? OBI_STORAGE_BYTES
                   : options->group > 0 ? OBI_STORAGE_HALVES
                                        : OBI_STORAGE_PLANES,
        .planes = bytes ? 0 : options->bits,
        .offset = !bytes && options->method != OBI_PTQ_XNOR && options->method != OBI_PTQ_BITNET_B1,
        .input_factor = options->group == 0 && obi_ptq_transforms(options, &source->config),
        .int8_threshold = (float)options->threshold,
        .bits = bits_of,
        .make = obi_ptq_calibrated(options->method) ? make_calibrated : make_direct,
        .user = maker,
    };
    obi_status status = OBI_OK;
    if (obi_ptq_calibrated(options->method)) {
        obi_calibration calibration;
        status = obi_calibration_make(&source->config, tokenizer, options, &calibration);
        if (status == OBI_OK) status = obi_calibrated_create(device, source, &calibration, options, &maker->calibrated);
    }
    if (status != OBI_OK) obi_ptq_maker_destroy(maker);
    else *out = maker;
    return status;
}

void obi_ptq_maker_destroy(obi_ptq_maker *maker)
{
    if (!maker) return;
    forget(maker);
    obi_calibrated_destroy(maker->calibrated);
    obi_free(maker);
}

const obi_linear_maker *obi_ptq_maker_linears(const obi_ptq_maker *maker) { return &maker->linears; }
