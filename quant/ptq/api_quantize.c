#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "api/api_internal.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "onebit/onebit_train.h"
#include "quant/ptq/maker.h"

_Static_assert((int)OB_FORM_ONEBIT == (int)OBI_FORM_ONEBIT && (int)OB_FORM_F16 == (int)OBI_FORM_F16 &&
                   (int)OB_FORM_F32 == (int)OBI_FORM_F32,
               "ob_form and obi_form must agree");

_Static_assert((int)OB_METHOD_SVID == (int)OBI_PTQ_SVID && (int)OB_METHOD_XNOR == (int)OBI_PTQ_XNOR &&
                   (int)OB_METHOD_BITNET_B1 == (int)OBI_PTQ_BITNET_B1 && (int)OB_METHOD_RTN == (int)OBI_PTQ_RTN &&
                   (int)OB_METHOD_GPTQ == (int)OBI_PTQ_GPTQ && (int)OB_METHOD_OMNIQUANT == (int)OBI_PTQ_OMNIQUANT &&
                   (int)OB_METHOD_INT8 == (int)OBI_PTQ_INT8,
               "ob_method and obi_ptq_method must agree");

/* Replacing a file that is being read would lose it if anything failed halfway. */
static obi_status check_paths(const char *input, const char *output)
{
    struct stat in, out;
    if (!input || !output) return obi_fail(OBI_ERROR_ARGUMENT, "an input and an output are needed");
    if (stat(input, &in) == 0 && stat(output, &out) == 0 && in.st_dev == out.st_dev && in.st_ino == out.st_ino)
        return obi_fail(OBI_ERROR_ARGUMENT, "%s cannot be both input and output", input);
    return OBI_OK;
}

/* Room for the report of any conversion of `source`; before the work, for nothing may fail once the output is there. */
static obi_status reserve_report(const obi_source *source, ob_quantize_report **out)
{
    *out = obi_calloc(1, sizeof **out);
    if (!*out) return OBI_ERROR_MEMORY;
    (*out)->layers = obi_calloc((size_t)source->config.layers * OBI_LINEAR_COUNT, sizeof *(*out)->layers);
    return (*out)->layers ? OBI_OK : OBI_ERROR_MEMORY;
}

static void fill_report(ob_quantize_report *report, const obi_source *source, const obi_convert_report *made, double seconds)
{
    double norm2 = 0;
    report->layer_count = made->layer_count;
    for (uint32_t i = 0; i < made->layer_count; i++) {
        const obi_convert_row *row = &made->layers[i];
        ob_quantize_row *copy = &report->layers[i];
        memcpy(copy->name, row->name, sizeof copy->name);
        copy->rows = row->rows;
        copy->columns = row->columns;
        copy->error = row->error;
        copy->output_error = row->output_error;
        copy->error_svid = row->error_svid;
        copy->error_rank1 = row->error_rank1;
        copy->error_xnor = row->error_xnor;
        copy->norm2 = row->norm2;
        copy->bits = row->bits;
        norm2 += row->norm2;
        report->error += row->error * row->norm2;
        report->error_svid += row->error_svid * row->norm2;
        report->error_rank1 += row->error_rank1 * row->norm2;
        report->error_xnor += row->error_xnor * row->norm2;
    }
    if (norm2 > 0) {
        report->error /= norm2;
        report->error_svid /= norm2;
        report->error_rank1 /= norm2;
        report->error_xnor /= norm2;
    }
    snprintf(report->format, sizeof report->format, "%s", source->format);
    report->linear_bits = made->linear_weights > 0 ? made->linear_bits / made->linear_weights : 0;
    report->parameters = source->parameters;
    report->model_bits = source->parameters ? 8.0 * (double)made->tensor_bytes / (double)source->parameters : 0;
    report->source_bytes = source->stored_bytes;
    report->fp16_bytes = source->parameters * 2;
    report->tensor_bytes = made->tensor_bytes;
    report->file_bytes = made->file_bytes;
    report->seconds = seconds;
}

/* What makes the linears. */
typedef struct quantiser {
    obi_ptq_options options;
    obi_source *text_source; /* the model once more, for its vocabulary: a tokenizer takes that over */
    obi_tokenizer *tokenizer;
    obi_ptq_maker *maker;
} quantiser;

static obi_status read_options(const ob_quantize_desc *desc, obi_ptq_options *options)
{
    *options = (obi_ptq_options){
        .method = (obi_ptq_method)desc->method,
        .bits = desc->bits,
        .group = desc->group,
        .calibration = desc->calibration,
        .calibration_bytes = desc->calibration_bytes,
        .windows = desc->calibration_windows,
        .window = desc->calibration_window,
        .seed = desc->seed,
        .damping = desc->damping,
        .natural_order = desc->natural_order,
        .epochs = desc->epochs,
        .learning_rate = desc->learning_rate,
        .augmented = desc->augmented_loss,
        .transform = desc->transform,
        .scale_rate = desc->scale_rate,
        .threshold = desc->int8_threshold,
    };
    if (desc->method != OB_METHOD_SVID && desc->form != OB_FORM_ONEBIT)
        return obi_fail(OBI_ERROR_ARGUMENT, "a method makes the form onebit; the others keep every weight");
    OBI_TRY(obi_ptq_options_complete(options));
    if (!obi_ptq_calibrated(options->method)) return OBI_OK;
    if (!desc->calibration)
        return obi_fail(OBI_ERROR_ARGUMENT, "the method %s needs a text to calibrate with", obi_ptq_names[options->method]);
    return OBI_OK;
}

static obi_status prepare_method(quantiser *by, ob_context *context, const ob_quantize_desc *desc, const obi_source *source)
{
    obi_device *device = context ? context->device : NULL;
    if (by->options.method == OBI_PTQ_SVID) return OBI_OK;
    if (obi_ptq_calibrated(by->options.method)) {
        if (!device) return obi_fail(OBI_ERROR_NO_DEVICE, "the method %s needs a Vulkan device", obi_ptq_names[by->options.method]);
        if (source->vocab.count == 0)
            return obi_fail(OBI_ERROR_DATA, "there is no tokenizer beside the model, which the calibration text needs; name one");
        OBI_TRY(obi_source_open(&by->text_source, desc->input, desc->tokenizer));
        OBI_TRY(obi_tokenizer_create(&by->tokenizer, &by->text_source->vocab));
    }
    return obi_ptq_maker_create(device, source, by->tokenizer, &by->options, &by->maker);
}

static void end_method(quantiser *by)
{
    obi_ptq_maker_destroy(by->maker);
    obi_tokenizer_free(by->tokenizer);
    obi_source_close(by->text_source);
}

ob_status ob_quantize(ob_context *context, const ob_quantize_desc *desc, ob_quantize_report **report)
{
    if (report) *report = NULL;
    double start = obi_clock_seconds();
    obi_source *source = NULL;
    ob_quantize_report *reserved = NULL;
    obi_convert_report made = { 0 };
    quantiser by = { 0 };
    obi_convert_desc convert = { .output = desc->output, .form = (obi_form)desc->form, .progress = desc->progress, .user = desc->user };
    obi_status status;
    if (desc->form < OB_FORM_ONEBIT || desc->form > OB_FORM_F32)
        return obi_public(obi_fail(OBI_ERROR_ARGUMENT, "there is no form %d", (int)desc->form));
    OBI_TRY_GOTO(read_options(desc, &by.options));
    OBI_TRY_GOTO(check_paths(desc->input, desc->output));
    OBI_TRY_GOTO(obi_source_open(&source, desc->input, desc->tokenizer));
    for (size_t i = 0; i < source->mapping_count; i++)
        OBI_TRY_GOTO(check_paths(source->mappings[i].path, desc->output)); /* of a directory */
    if (report) OBI_TRY_GOTO(reserve_report(source, &reserved));
    OBI_TRY_GOTO(prepare_method(&by, context, desc, source));
    if (by.maker) convert.maker = obi_ptq_maker_linears(by.maker);
    OBI_TRY_GOTO(obi_convert(context ? context->device : NULL, source, &convert, &made));
    if (report) {
        fill_report(reserved, source, &made, obi_clock_seconds() - start);
        if (made.layer_count > 0) snprintf(reserved->method, sizeof reserved->method, "%s", obi_ptq_names[by.options.method]);
        reserved->bits = made.layer_count > 0 ? by.options.bits : 0;
        reserved->group = by.options.group;
        *report = reserved;
        reserved = NULL;
    }
done:
    end_method(&by);
    ob_quantize_report_free(reserved);
    obi_convert_report_clear(&made);
    obi_source_close(source);
    return obi_public(status);
}

void ob_quantize_report_free(ob_quantize_report *report)
{
    if (!report) return;
    obi_free(report->layers);
    obi_free(report);
}
