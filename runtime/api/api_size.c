#include <string.h>

#include "api/api_internal.h"
#include "model/size.h"

ob_status ob_model_size_get(const char *path, ob_model_size *size)
{
    memset(size, 0, sizeof *size);
    obi_gguf gguf = { 0 };
    obi_size counted;
    obi_status status;
    OBI_TRY_GOTO(obi_gguf_open(&gguf, path));
    OBI_TRY_GOTO(obi_size_of(&gguf, &counted));
    double bits = counted.method_bits > 0 ? counted.method_bits * (double)counted.linear_weights : counted.stored_bits;
    *size = (ob_model_size){ .planes = counted.planes,
                             .linear_weights = counted.linear_weights,
                             .linear_values = counted.linear_values,
                             .stored_bits = counted.stored_bits,
                             .linear_bits = bits / (double)counted.linear_weights,
                             .paper_bits = bits / (double)(counted.linear_weights + counted.linear_values),
                             .parameters = counted.parameters,
                             .table_bytes = counted.table_bytes,
                             .tensor_bytes = counted.tensor_bytes,
                             .file_bytes = gguf.mapping.size,
                             .fp16_bytes = 2 * counted.parameters };
    obi_copy_string(&gguf, "general.architecture", size->architecture, sizeof size->architecture);
    obi_copy_string(&gguf, "onebit.method", size->method, sizeof size->method);
done:
    obi_gguf_close(&gguf);
    return obi_public(status);
}
