#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "api/api_internal.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "onebit/onebit_train.h"
#include "quant/convert.h"

_Static_assert((int)OB_FORM_ONEBIT == (int)OBI_FORM_ONEBIT && (int)OB_FORM_F16 == (int)OBI_FORM_F16 &&
                   (int)OB_FORM_F32 == (int)OBI_FORM_F32,
               "ob_form and obi_form must agree");

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
        copy->error_svid = row->error_svid;
        copy->error_rank1 = row->error_rank1;
        copy->error_xnor = row->error_xnor;
        copy->norm2 = row->norm2;
        copy->bits = row->bits;
        norm2 += row->norm2;
        report->error_svid += row->error_svid * row->norm2;
        report->error_rank1 += row->error_rank1 * row->norm2;
        report->error_xnor += row->error_xnor * row->norm2;
    }
    if (norm2 > 0) {
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

ob_status ob_quantize(ob_context *context, const ob_quantize_desc *desc, ob_quantize_report **report)
{
    if (report) *report = NULL;
    double start = obi_clock_seconds();
    obi_source *source = NULL;
    ob_quantize_report *reserved = NULL;
    obi_convert_report made = { 0 };
    obi_convert_desc convert = { .output = desc->output, .form = (obi_form)desc->form, .progress = desc->progress, .user = desc->user };
    obi_status status;
    if (desc->form < OB_FORM_ONEBIT || desc->form > OB_FORM_F32)
        return obi_public(obi_fail(OBI_ERROR_ARGUMENT, "there is no form %d", (int)desc->form));
    OBI_TRY_GOTO(check_paths(desc->input, desc->output));
    OBI_TRY_GOTO(obi_source_open(&source, desc->input, desc->tokenizer));
    for (size_t i = 0; i < source->mapping_count; i++)
        OBI_TRY_GOTO(check_paths(source->mappings[i].path, desc->output)); /* of a directory */
    if (report) OBI_TRY_GOTO(reserve_report(source, &reserved));
    OBI_TRY_GOTO(obi_convert(context ? context->device : NULL, source, &convert, &made));
    if (report) {
        fill_report(reserved, source, &made, obi_clock_seconds() - start);
        *report = reserved;
        reserved = NULL;
    }
done:
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
