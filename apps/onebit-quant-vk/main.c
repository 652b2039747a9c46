/* onebit-quant-vk: converts a model to a GGUF file, by default to 1 bit, and reports what that cost. */
#include <sys/stat.h>

#include "common/args.h"
#include "common/stop.h"
#include "common/term.h"
#include "onebit/onebit_train.h"
#include "report.h"

typedef struct quant_options {
    app_common common;
    const char *input, *output, *tokenizer;
    int form; /* index into form_names, an ob_form */
    bool json;
} quant_options;

static const char *const form_names[] = { "onebit", "f16", "f32" };
_Static_assert(OB_FORM_ONEBIT == 0 && OB_FORM_F16 == 1 && OB_FORM_F32 == 2, "form_names follows ob_form");

static const char examples[] =
    "  onebit-quant-vk TinyStories-656K -o story.gguf\n"
    "      a Hugging Face directory (config.json, *.safetensors, tokenizer) to 1 bit\n"
    "  onebit-quant-vk stories260K.bin --tokenizer tok512.bin --form f16 -o story-f16.gguf\n"
    "      a llama2.c checkpoint to half precision, to compare with\n"
    "  onebit-quant-vk model.gguf -o model-1bit.gguf --json > report.json\n"
    "      a GGUF file; the report as JSON\n";

static int parse(quant_options *o, int argc, char **argv)
{
    *o = (quant_options){ 0 };
    const app_option options[] = {
        APP_ROW_HEADING("Conversion"),
        APP_ROW_TEXT('o', "output", "FILE", "the GGUF file to write (required); an old one is replaced when\nthe new one is complete",
                     &o->output),
        APP_ROW_CHOICE(0, "form", "onebit|f16|f32",
                       "onebit: one sign per weight and a value per row and column of\neach linear layer, the rest F16 (default)\n"
                       "f16, f32: every matrix in that precision", &o->form),
        APP_ROW_TEXT(0, "tokenizer", "FILE", "tokenizer.bin, tokenizer.model, tokenizer.json or a GGUF file\n"
                     "(default: what lies beside the model)", &o->tokenizer),
        APP_ROW_FLAG(0, "json", "print the report as JSON", &o->json),
        APP_DEVICE_ROWS(o->common),
        APP_OTHER_ROWS(o->common),
    };
    const app_program program = {
        .name = "onebit-quant-vk",
        .purpose = "converts a LLaMA or OPT model to a GGUF file of 1-bit weights.",
        .usage = "MODEL -o OUT.gguf [options]\n\n"
                 "MODEL is a Hugging Face directory, a llama2.c .bin file, a GGUF file or a OneBit checkpoint directory.",
        .options = options,
        .common = &o->common,
        .examples = examples,
        .operands = 1,
    };
    int outcome = app_parse(&program, argc, argv, &o->input);
    if (outcome != APP_GO_ON) return outcome;
    if (!o->input) return app_usage_error("no model was given; name a model file or directory to convert");
    if (!o->output) return app_usage_error("no output was given; -o names the GGUF file to write");
    struct stat input, output;
    if (stat(o->input, &input) == 0 && stat(o->output, &output) == 0 && input.st_dev == output.st_dev && input.st_ino == output.st_ino)
        return app_usage_error("-o names the model itself, %s; choose another file", o->output);
    return APP_GO_ON;
}

int main(int argc, char **argv)
{
    quant_options o;
    int code = parse(&o, argc, argv);
    if (code != APP_GO_ON) return code;
    app_catch_signals();

    ob_context *context = NULL;
    ob_quantize_report *report = NULL;
    ob_status status = OB_OK;
    /* Only the 1-bit form computes anything, so only it needs a device. */
    if (o.form == OB_FORM_ONEBIT) status = ob_context_create(&context, &(ob_context_desc){ .device = o.common.device });
    if (status == OB_OK) {
        app_progress progress;
        app_progress_start(&progress);
        status = ob_quantize(context, &(ob_quantize_desc){ .input = o.input, .output = o.output, .tokenizer = o.tokenizer,
                                                           .form = (ob_form)o.form, .progress = app_progress_step, .user = &progress },
                             &report);
        app_progress_end(&progress);
    }
    if (status == OB_OK) {
        const report_names names = { o.input, o.output, form_names[o.form] };
        if (o.json) report_print_json(report, &names);
        else report_print(report, &names);
        code = 0;
    } else {
        code = app_fail(status);
    }
    ob_quantize_report_free(report);
    code = app_end_context(context, code);
    return app_end_stdout(code);
}
