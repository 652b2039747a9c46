#include "model/size.h"

#include <stdio.h>
#include <string.h>

/* What a linear's inputs are: the residual stream, or the outputs of another linear of the same layer. */
static const struct {
    const char *role, *input;
} linears[] = {
    { "attn_q", NULL },   { "attn_k", NULL }, { "attn_v", NULL },       { "attn_output", "attn_q" },
    { "ffn_gate", NULL }, { "ffn_up", NULL }, { "ffn_down", "ffn_up" },
};
enum { LINEARS = sizeof linears / sizeof *linears };
static const char *const values[] = { "weight_scale", "input_factor", "weight_offset" };

/* "blk.12.attn_q.weight": 12 and what stands behind its point; NULL: it is no layer's. */
static const char *part_of(const char *name, unsigned *layer)
{
    int read = 0;
    if (sscanf(name, "blk.%u.%n", layer, &read) != 1 || read == 0) return NULL;
    return name + read;
}

/* The index of the role whose `leaf` this is ("weight"), or -1. */
static int role_of(const char *part, const char *leaf)
{
    for (int i = 0; i < LINEARS; i++) {
        size_t length = strlen(linears[i].role);
        if (strncmp(part, linears[i].role, length) == 0 && part[length] == '.' && strcmp(part + length + 1, leaf) == 0) return i;
    }
    return -1;
}

static bool is_value(const char *part)
{
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        if (role_of(part, values[i]) >= 0) return true;
    return false;
}

static obi_status refuse(const obi_gguf *gguf, const char *name)
{
    return obi_fail(OBI_ERROR_DATA, "%.160s: the shape of %s does not fit to the layers before it: the file is damaged", gguf->mapping.path,
                    name);
}

/* Outputs and inputs of a linear layer, whatever its type; a tensor passes the reader only when its elements fit into 64 bits. */
static obi_status shape_of(const obi_gguf *gguf, const obi_gguf_tensor *tensor, unsigned layer, int role, uint32_t planes, uint32_t width,
                           uint64_t *rows, uint64_t *columns)
{
    *columns = tensor->shape[0];
    *rows = tensor->shape[1];
    if (tensor->type != OBI_DTYPE_I32) return OBI_OK;
    if (planes == 0 || *rows % planes != 0) return refuse(gguf, tensor->name);
    *rows /= planes;
    char name[64];
    if (linears[role].input) {
        snprintf(name, sizeof name, "blk.%u.%s.weight", layer, linears[role].input);
        const obi_gguf_tensor *input = obi_gguf_find_tensor(gguf, name);
        if (!input) return refuse(gguf, tensor->name);
        *columns = input->type == OBI_DTYPE_I32 ? input->shape[1] / planes : input->shape[1];
    } else {
        *columns = width;
    }
    return tensor->shape[0] == (*columns + 31) / 32 ? OBI_OK : refuse(gguf, tensor->name);
}

static obi_status count_linear(const obi_gguf *gguf, const obi_gguf_tensor *tensor, unsigned layer, int role, uint32_t planes,
                               uint32_t width, obi_size *size)
{
    uint64_t rows, columns;
    OBI_TRY(shape_of(gguf, tensor, layer, role, planes, width, &rows, &columns));
    uint64_t count = rows * columns;
    size->linear_weights += count;
    size->parameters += count;
    if (tensor->type == OBI_DTYPE_I32) {
        size->planes = planes;
        size->stored_bits += (double)count * planes;
    } else {
        size->stored_bits += 8.0 * (double)tensor->bytes;
    }
    return OBI_OK;
}

static uint64_t elements_of(const obi_gguf_tensor *tensor)
{
    return tensor->shape[0] * tensor->shape[1] * tensor->shape[2] * tensor->shape[3];
}

/* What the file says of a weight's bits; 0 where it says nothing. */
static obi_status read_bits(const obi_gguf *gguf, double *bits)
{
    float said = 0;
    OBI_TRY(obi_gguf_get_f32(gguf, "onebit.linear_bits", false, &said));
    *bits = (double)said;
    if (!obi_gguf_find(gguf, "onebit.linear_bits") || (said > 0 && said <= 32)) return OBI_OK;
    return obi_fail(OBI_ERROR_DATA, "%.160s: the key onebit.linear_bits is %g, which no weight has: the file is damaged",
                    gguf->mapping.path, (double)said);
}

obi_status obi_size_of(const obi_gguf *gguf, obi_size *size)
{
    memset(size, 0, sizeof *size);
    obi_gguf_string architecture;
    uint32_t planes = 1, width = 0;
    char key[128];
    OBI_TRY(obi_gguf_get_string(gguf, "general.architecture", true, &architecture));
    snprintf(key, sizeof key, "%.*s.embedding_length", architecture.length < 64 ? (int)architecture.length : 64, architecture.text);
    OBI_TRY(obi_gguf_get_u32(gguf, key, true, &width));
    OBI_TRY(obi_gguf_get_u32(gguf, "onebit.planes", false, &planes));
    OBI_TRY(read_bits(gguf, &size->method_bits));
    for (uint64_t i = 0; i < gguf->tensor_count; i++) {
        const obi_gguf_tensor *tensor = &gguf->tensors[i];
        unsigned layer = 0;
        const char *part = part_of(tensor->name, &layer);
        int role = part ? role_of(part, "weight") : -1;
        size->tensor_bytes += tensor->bytes;
        if (role >= 0 && tensor->dimensions == 2) {
            OBI_TRY(count_linear(gguf, tensor, layer, role, planes, width, size));
        } else if (part && is_value(part)) {
            size->linear_values += elements_of(tensor);
            size->stored_bits += 8.0 * (double)tensor->bytes;
        } else if (strcmp(tensor->name, "rope_freqs.weight") != 0) { /* constants of the architecture */
            size->parameters += elements_of(tensor);
            if (!part && tensor->dimensions == 2) size->table_bytes += tensor->bytes;
        }
    }
    return size->linear_weights > 0
               ? OBI_OK
               : obi_fail(OBI_ERROR_DATA, "%.160s: the file has no linear layers; it holds no model", gguf->mapping.path);
}
