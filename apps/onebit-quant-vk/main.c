/* onebit-quant-vk: converts a model to a GGUF file, by default to 1 bit, and reports what that cost. */
#include <stdlib.h>
#include <sys/stat.h>

#include "common/args.h"
#include "common/stop.h"
#include "common/term.h"
#include "common/text_file.h"
#include "onebit/onebit_train.h"
#include "report.h"

typedef struct quant_options {
    app_common common;
    const char *input, *output, *tokenizer;
    int form;   /* index into form_names, an ob_form */
    int method; /* an ob_method */
    int64_t bits, group;
    const char *calibration;
    int64_t windows, window, seed;
    double damping, learning_rate, threshold;
    bool natural_order;
    int64_t epochs;
    int augmented, transform; /* 0 auto, 1 on, 2 off */
    double scale_rate;
    bool json;
} quant_options;

static const char *const form_names[] = { "onebit", "f16", "f32" };
_Static_assert(OB_FORM_ONEBIT == 0 && OB_FORM_F16 == 1 && OB_FORM_F32 == 2, "form_names follows ob_form");

_Static_assert(OB_METHOD_SVID == 0 && OB_METHOD_XNOR == 1 && OB_METHOD_BITNET_B1 == 2 && OB_METHOD_RTN == 3 && OB_METHOD_GPTQ == 4 &&
                   OB_METHOD_OMNIQUANT == 5 && OB_METHOD_INT8 == 6,
               "the words of --method follow ob_method");

static const char examples[] =
    "  onebit-quant-vk TinyStories-656K -o story.gguf\n"
    "      a Hugging Face directory (config.json, *.safetensors, tokenizer) to 1 bit\n"
    "  onebit-quant-vk stories260K.bin --tokenizer tok512.bin --form f16 -o story-f16.gguf\n"
    "      a llama2.c checkpoint to half precision, to compare with\n"
    "  onebit-quant-vk model.gguf -o model-1bit.gguf --json > report.json\n"
    "      a GGUF file; the report as JSON\n"
    "  onebit-quant-vk model.gguf -o model-w2.gguf --method gptq --bits 2 --calib train.txt\n"
    "      2 bits a weight, each weight's error taken up by those behind it, for inputs like those\n"
    "      that the text gives; take text like what the model is for, some 100 KiB or more\n"
    "  onebit-quant-vk model.gguf -o model-w2g64.gguf --method rtn --bits 2 --group 64\n"
    "      plain rounding, with a grid for every 64 columns\n";

/* Options of another method would be taken for ones that did something. */
static int check_owners(const quant_options *o)
{
    bool gptq = o->method == OB_METHOD_GPTQ, omniquant = o->method == OB_METHOD_OMNIQUANT;
    if (!gptq && (o->damping >= 0 || o->natural_order)) return app_usage_error("--damping and --natural-order are for gptq");
    if (!omniquant && (o->epochs || o->learning_rate > 0 || o->augmented || o->transform || o->scale_rate > 0))
        return app_usage_error("--epochs, --learning-rate, --augmented-loss, --let and --let-rate are for omniquant");
    if (o->method != OB_METHOD_INT8 && o->threshold >= 0) return app_usage_error("--int8-threshold is for int8");
    if (!gptq && !omniquant && (o->windows || o->window || o->seed >= 0))
        return app_usage_error("--calib-windows, --calib-window and --seed are for gptq and omniquant");
    return APP_GO_ON;
}

static int parse(quant_options *o, int argc, char **argv)
{
    *o = (quant_options){ .seed = -1, .damping = -1, .threshold = -1 };
    const app_option options[] = {
        APP_ROW_HEADING("Conversion"),
        APP_ROW_TEXT('o', "output", "FILE", "the GGUF file to write (required); an old one is replaced when\nthe new one is complete",
                     &o->output),
        APP_ROW_CHOICE(0, "form", "onebit|f16|f32",
                       "onebit: one sign per weight and a value per row and column of\neach linear layer, the rest F16 (default)\n"
                       "f16, f32: every matrix in that precision", &o->form),
        APP_ROW_CHOICE(0, "method", "svid|xnor|bitnet_b1|rtn|gptq|omniquant|int8",
                       "how the form onebit is made, without training:\n"
                       "svid: signs with a value for each row and column (default)\n"
                       "xnor: signs with the mean |w| of each row\n"
                       "bitnet_b1: signs of W - mean W with one value\n"
                       "rtn: 1 to 4 bits, round to the nearest of evenly spaced levels\n"
                       "gptq: the same levels, and each weight's error is taken up by\n"
                       "others of its row; needs --calib\n"
                       "omniquant: levels whose ends are learnt, layer by layer; needs\n"
                       "--calib, and takes the longest\n"
                       "int8: a byte a weight and a scale a row, as LLM.int8()", &o->method),
        APP_ROW_TEXT(0, "tokenizer", "FILE", "tokenizer.bin, tokenizer.model, tokenizer.json or a GGUF file\n"
                     "(default: what lies beside the model)", &o->tokenizer),
        APP_ROW_FLAG(0, "json", "print the report as JSON", &o->json),
        APP_ROW_HEADING("Methods (what is left out has its published value)"),
        APP_ROW_INTEGER(0, "bits", "N", "bits a weight of rtn, gptq and omniquant, 1 to 4 (default 2)", &o->bits, 1, 4),
        APP_ROW_INTEGER(0, "group", "N", "so many columns share their levels; 0: all of a row do (default).\n"
                        "Groups are written as F16 numbers, in an ordinary file", &o->group, 0, 1 << 20),
        APP_ROW_TEXT(0, "calib", "TEXT", "the text that gptq and omniquant look at; - is stdin", &o->calibration),
        APP_ROW_INTEGER(0, "calib-windows", "N", "windows of it, or as many as it has (default 128)", &o->windows, 1, 1 << 20),
        APP_ROW_INTEGER(0, "calib-window", "N", "tokens of a window (default 2048, or the model's context)", &o->window, 2, 1 << 20),
        APP_ROW_INTEGER('s', "seed", "N", "of where the windows lie (default 0)", &o->seed, 0, 1ll << 52),
        APP_ROW_REAL(0, "damping", "X", "gptq: share of the mean diagonal added to the Hessian\n(default 0.01; 0: none)",
                     &o->damping, 0, 1e6),
        APP_ROW_FLAG(0, "natural-order", "gptq: columns as they come, not those of the largest inputs first", &o->natural_order),
        APP_ROW_INTEGER(0, "epochs", "N", "omniquant: times that all windows are learnt from\n(default 40 for 1 and 2 bits, else 20)",
                        &o->epochs, 1, 100000),
        APP_ROW_REAL(0, "learning-rate", "X", "omniquant: of the levels' ends (default 0.01)", &o->learning_rate, 1e-9, 1e3),
        APP_ROW_CHOICE(0, "augmented-loss", "auto|on|off", "omniquant: compare with what the layer makes of quantised inputs too\n"
                       "(default auto: on for 1 and 2 bits)", &o->augmented),
        APP_ROW_CHOICE(0, "let", "auto|on|off", "omniquant: learn scales of the linears' inputs, too\n(default auto: of OPT)",
                       &o->transform),
        APP_ROW_REAL(0, "let-rate", "X", "omniquant: their learning rate (default 0.005)", &o->scale_rate, 1e-9, 1e3),
        APP_ROW_REAL(0, "int8-threshold", "X", "int8: an input as large is multiplied unrounded (default 6)", &o->threshold, 0, 1e9),
        APP_DEVICE_ROWS(o->common),
        APP_OTHER_ROWS(o->common),
    };
    const app_program program = {
        .name = "onebit-quant-vk",
        .purpose = "converts a LLaMA or OPT model to a GGUF file of 1-bit weights, or of a few bits each.",
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
    bool calibrated = o->method == OB_METHOD_GPTQ || o->method == OB_METHOD_OMNIQUANT;
    if (o->method != OB_METHOD_SVID && o->form != OB_FORM_ONEBIT)
        return app_usage_error("--method makes the form onebit; --form %s keeps every weight", form_names[o->form]);
    if (calibrated && !o->calibration) return app_usage_error("this method learns from a text; --calib names it");
    if (!calibrated && o->calibration) return app_usage_error("--calib is for gptq and omniquant; the other methods look at weights only");
    if ((o->bits || o->group) && !calibrated && o->method != OB_METHOD_RTN)
        return app_usage_error("--bits and --group are for rtn, gptq and omniquant");
    outcome = check_owners(o);
    if (outcome != APP_GO_ON) return outcome;
    struct stat input, output;
    if (stat(o->input, &input) == 0 && stat(o->output, &output) == 0 && input.st_dev == output.st_dev && input.st_ino == output.st_ino)
        return app_usage_error("-o names the model itself, %s; choose another file", o->output);
    return APP_GO_ON;
}

/* Zeros of the public interface are defaults; what was given as 0 is said in its own way there. */
static ob_quantize_desc describe(const quant_options *o)
{
    return (ob_quantize_desc){
        .input = o->input,
        .output = o->output,
        .tokenizer = o->tokenizer,
        .form = (ob_form)o->form,
        .method = (ob_method)o->method,
        .bits = (uint32_t)o->bits,
        .group = (uint32_t)o->group,
        .calibration_windows = (uint32_t)o->windows,
        .calibration_window = (uint32_t)o->window,
        .seed = o->seed < 0 ? 0 : (uint64_t)o->seed,
        .damping = o->damping < 0 ? 0 : o->damping == 0 ? -1 : o->damping,
        .natural_order = o->natural_order,
        .epochs = (uint32_t)o->epochs,
        .learning_rate = o->learning_rate,
        .augmented_loss = o->augmented == 2 ? -1 : o->augmented,
        .transform = o->transform == 2 ? -1 : o->transform,
        .scale_rate = o->scale_rate,
        .int8_threshold = o->threshold < 0 ? 0 : o->threshold == 0 ? 1e-30 : o->threshold,
    };
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
    char *text = NULL;
    ob_quantize_desc desc = describe(&o);
    if (o.calibration) {
        code = app_read_text(o.calibration, UINT32_MAX, &text, &desc.calibration_bytes);
        if (code != APP_GO_ON) return code;
        desc.calibration = text;
    }
    /* Only these compute anything that is worth a device. */
    bool computes = o.method == OB_METHOD_SVID || o.method == OB_METHOD_GPTQ || o.method == OB_METHOD_OMNIQUANT;
    if (o.form == OB_FORM_ONEBIT && computes) status = ob_context_create(&context, &(ob_context_desc){ .device = o.common.device });
    if (status == OB_OK) {
        app_progress progress;
        app_progress_start(&progress);
        desc.progress = app_progress_step;
        desc.user = &progress;
        status = ob_quantize(context, &desc, &report);
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
    free(text);
    ob_quantize_report_free(report);
    code = app_end_context(context, code);
    return app_end_stdout(code);
}
