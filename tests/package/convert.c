/* convert: both libraries in one program, around one context. Takes a model and the file to write, brings the model to 1 bit, and prints
 * what the converter said of a file that is not there: a failure of the one library is read through the other. */
#include <onebit/onebit.h>
#include <onebit/onebit_train.h>

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    if (argc != 3) return 2;
    ob_context *context;
    ob_status status = ob_context_create(&context, &(ob_context_desc){ 0 });
    if (status == OB_OK)
        status = ob_quantize(context, &(ob_quantize_desc){ .input = argv[1], .output = argv[2], .form = OB_FORM_ONEBIT }, NULL);
    if (status != OB_OK) {
        fprintf(stderr, "%s\n", ob_last_error());
        return ob_exit_code(status);
    }
    if (ob_quantize(context, &(ob_quantize_desc){ .input = "not_there.gguf", .output = argv[2], .form = OB_FORM_ONEBIT }, NULL) !=
            OB_ERROR_DATA ||
        !strstr(ob_last_error(), "not_there.gguf")) {
        fprintf(stderr, "the failure of ob_quantize was lost: '%s'\n", ob_last_error());
        return 1;
    }
    puts(ob_last_error());
    ob_context_destroy(context);
    return 0;
}
