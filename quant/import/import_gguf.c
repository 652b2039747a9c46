/* GGUF files of the architectures llama and opt (floats or Q8_0, Q4_0), onebitllama and onebitopt (I32 sign words with value vectors). */
#include "quant/import/import.h"

#include <math.h>
#include <string.h>

#include "core/alloc.h"
#include "core/checked.h"

typedef struct gguf_model {
    obi_source *source;
    const obi_gguf *gguf;
} gguf_model;

static obi_status wrong_shape(const obi_gguf *gguf, const obi_gguf_tensor *found, uint64_t columns, uint64_t rows)
{
    const unsigned long long shape[4] = { found->shape[0], found->shape[1], found->shape[2], found->shape[3] };
    return obi_fail(OBI_ERROR_DATA, "%s: tensor %s has shape (%llu, %llu, %llu, %llu) where the keys ask for (%llu, %llu)",
                    gguf->mapping.path, found->name, shape[0], shape[1], shape[2], shape[3], (unsigned long long)columns,
                    (unsigned long long)rows);
}

static obi_status locate(void *user, const obi_import_want *want, obi_source_tensor *tensor)
{
    const gguf_model *model = user;
    const obi_gguf *gguf = model->gguf;
    (void)want;
    const obi_gguf_tensor *found = obi_gguf_find_tensor(gguf, tensor->name);
    if (!found) return obi_fail(OBI_ERROR_DATA, "%s: tensor %s is missing; the keys ask for it", gguf->mapping.path, tensor->name);
    uint64_t columns = tensor->signs ? obi_div_ceil(tensor->columns, 32) : tensor->columns;
    if (found->shape[0] != columns || found->shape[1] != tensor->rows || found->shape[2] != 1 || found->shape[3] != 1)
        return wrong_shape(gguf, found, columns, tensor->rows);
    if (tensor->signs && found->type != OBI_DTYPE_I32)
        return obi_fail(OBI_ERROR_DATA, "%s: tensor %s has type %s where sign words (I32) belong", gguf->mapping.path, tensor->name,
                        obi_dtype_name(found->type));
    if (!tensor->signs && !obi_import_type_readable(found->type))
        return obi_fail(OBI_ERROR_DATA, "%s: tensor %s has type %s; F32, F16, BF16, Q8_0 and Q4_0 can be read", gguf->mapping.path,
                        tensor->name, obi_dtype_name(found->type));
    if (!obi_dtype_bytes(found->type, columns, &tensor->row_bytes))
        return obi_fail(OBI_ERROR_DATA, "%s: tensor %s has rows of %llu values, which do not fill whole blocks of %s", gguf->mapping.path,
                        tensor->name, (unsigned long long)columns, obi_dtype_name(found->type));
    tensor->type = found->type;
    tensor->data = found->data;
    tensor->mapping = &gguf->mapping;
    return OBI_OK;
}

/* LLaMA 3's frequency divisors, one for each rotation of a head. */
static obi_status read_rope_factors(obi_source *source, const obi_gguf *gguf)
{
    const obi_gguf_tensor *found = obi_gguf_find_tensor(gguf, "rope_freqs.weight");
    if (!found) return OBI_OK;
    uint64_t half = source->config.rope_dimensions / 2;
    if (found->shape[0] != half || found->shape[1] != 1 || found->shape[2] != 1 || found->shape[3] != 1)
        return wrong_shape(gguf, found, half, 1);
    float *factors = obi_calloc(source->config.head_size / 2, sizeof *factors);
    if (!factors) return OBI_ERROR_MEMORY;
    source->rope_factors = factors;
    obi_status status = obi_dtype_to_float(found->type, found->data, half, factors);
    if (status != OBI_OK) return obi_fail_prefix(status, "%s: tensor %s", gguf->mapping.path, found->name);
    for (uint64_t i = 0; i < half; i++)
        if (!isfinite(factors[i]) || factors[i] <= 0)
            return obi_fail(OBI_ERROR_DATA, "%s: tensor %s holds %g, which cannot divide a frequency", gguf->mapping.path, found->name,
                            (double)factors[i]);
    return OBI_OK;
}

/* A bias, an expert or a further norm would be left out silently otherwise, and the model would give other numbers. */
static obi_status refuse_strangers(const obi_source *source, const obi_gguf *gguf)
{
    for (uint64_t i = 0; i < gguf->tensor_count; i++) {
        const char *name = gguf->tensors[i].name;
        if (strcmp(name, "rope_freqs.weight") == 0 || strstr(name, "rot_embd")) continue;
        if (!obi_source_find(source, name))
            return obi_fail(OBI_ERROR_DATA, "%s: tensor %s has no place in %s model of %u layers, so leaving it out would change the "
                            "result", gguf->mapping.path, name, source->config.family == OBI_FAMILY_OPT ? "an OPT" : "a LLaMA",
                            source->config.layers);
    }
    return OBI_OK;
}

obi_status obi_import_gguf(obi_source *source, const char *path)
{
    source->format = "gguf";
    obi_gguf *gguf = obi_calloc(1, sizeof *gguf);
    if (!gguf) return OBI_ERROR_MEMORY;
    source->detail = gguf;
    OBI_TRY(obi_gguf_open(gguf, path));
    OBI_TRY(obi_config_from_gguf(&source->config, gguf));
    if (source->config.onebit && !obi_config_is_svid(&source->config))
        return obi_fail(OBI_ERROR_DATA, "%.160s: its linear layers are quantised (%s); take the model that it was made of", path,
                        source->config.int8_rows ? "rows of bytes" : "sums of signs");
    source->config.tied = obi_gguf_find_tensor(gguf, "output.weight") == NULL;
    OBI_TRY(read_rope_factors(source, gguf));
    gguf_model model = { source, gguf };
    OBI_TRY(obi_import_tensors(source, locate, &model));
    OBI_TRY(refuse_strangers(source, gguf));
    if (!obi_gguf_find(gguf, "tokenizer.ggml.model")) return OBI_OK;
    return obi_vocab_from_gguf(&source->vocab, gguf);
}

void obi_import_gguf_close(obi_source *source)
{
    if (source->detail) obi_gguf_close(source->detail);
    obi_free(source->detail);
    source->detail = NULL;
}
