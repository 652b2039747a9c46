/* The OneBit authors' checkpoints: a Hugging Face directory in which each linear of the layers has
 *   weight        packed: int8 (m, n/8), bit k of byte c is column 8c + k, 1 = -1; unpacked (training): floats (m, n)
 *   weight_scale  (m) h,   input_factor (n) g
 * Four packed bytes read as a little-endian word already are our bit order, so nothing is converted. */
#include "quant/import/import_hf.h"

#include <string.h>

static obi_status locate_signs(const obi_import_hf_model *model, const char *name, obi_source_tensor *tensor)
{
    const obi_mapping *mapping;
    const obi_safetensors_tensor *found = obi_shards_find(&model->shards, name, &mapping);
    bool packed = found && (found->type == OBI_DTYPE_I8 || strcmp(found->dtype_name, "U8") == 0);
    /* Latent weights of a training checkpoint: their signs are taken as rows are read. */
    if (!packed) return obi_import_hf_floats(model, name, false, tensor);
    if (tensor->columns % 8 != 0)
        return obi_fail(OBI_ERROR_DATA, "%s: tensor %s has packed rows of %llu signs, which is no multiple of 8", mapping->path, name,
                        (unsigned long long)tensor->columns);
    OBI_TRY(obi_import_hf_find(model, name, tensor->rows, tensor->columns / 8, &found, &tensor->mapping));
    tensor->type = OBI_DTYPE_I32;
    tensor->data = found->data;
    tensor->row_bytes = tensor->columns / 8;
    return OBI_OK;
}

obi_status obi_import_onebit_ref_linear(const obi_import_hf_model *model, const obi_import_want *want, obi_source_tensor *tensor)
{
    char name[OBI_IMPORT_HF_NAME];
    if (want->part == OBI_PART_LINEAR) {
        obi_import_hf_name(model, want, "weight", name);
        return locate_signs(model, name, tensor);
    }
    obi_import_hf_name(model, want, want->part == OBI_PART_INPUT_FACTOR ? "input_factor" : "weight_scale", name);
    return obi_import_hf_floats(model, name, true, tensor);
}
