#include "quant/import/import.h"

#include <stdio.h>
#include <string.h>

#include "core/alloc.h"
#include "core/checked.h"

typedef struct tensor_walk {
    obi_source *source;
    obi_import_locate locate;
    void *user;
} tensor_walk;

static obi_status add(tensor_walk *walk, const obi_import_want *want, const char *name, uint64_t rows, uint64_t columns, bool signs)
{
    obi_source *source = walk->source;
    obi_source_tensor *tensor = &source->tensors[source->tensor_count];
    memset(tensor, 0, sizeof *tensor);
    snprintf(tensor->name, sizeof tensor->name, "%s", name);
    tensor->rows = rows;
    tensor->columns = columns;
    tensor->signs = signs;
    OBI_TRY(walk->locate(walk->user, want, tensor));
    /* The importer has found this many bytes in a file, so these products fit; the sums are checked. */
    if (!obi_checked_add(source->parameters, rows * columns, &source->parameters) ||
        !obi_checked_add(source->stored_bytes, obi_import_tensor_bytes(tensor), &source->stored_bytes))
        return obi_fail(OBI_ERROR_DATA, "the model's size overflows 64 bits");
    source->tensor_count++;
    return OBI_OK;
}

static obi_status add_vector(tensor_walk *walk, obi_import_want want, const char *name, uint64_t columns)
{
    return add(walk, &want, name, 1, columns, false);
}

static obi_status add_linear(tensor_walk *walk, uint32_t layer, int role)
{
    const obi_config *config = &walk->source->config;
    uint32_t rows, columns;
    obi_config_linear_shape(config, role, &rows, &columns);
    char name[64];
    snprintf(name, sizeof name, "blk.%u.%s.weight", layer, obi_linear_roles[role]);
    obi_import_want want = { OBI_PART_LINEAR, layer, role };
    OBI_TRY(add(walk, &want, name, rows, columns, config->onebit));
    if (!config->onebit) return OBI_OK;
    snprintf(name, sizeof name, "blk.%u.%s.input_factor", layer, obi_linear_roles[role]);
    OBI_TRY(add_vector(walk, (obi_import_want){ OBI_PART_INPUT_FACTOR, layer, role }, name, columns));
    snprintf(name, sizeof name, "blk.%u.%s.weight_scale", layer, obi_linear_roles[role]);
    return add_vector(walk, (obi_import_want){ OBI_PART_WEIGHT_SCALE, layer, role }, name, rows);
}

obi_status obi_import_tensors(obi_source *source, obi_import_locate locate, void *user)
{
    const obi_config *config = &source->config;
    size_t per_layer = 2 + OBI_LINEAR_COUNT * (config->onebit ? 3u : 1u);
    source->tensors = obi_calloc(3 + per_layer * config->layers, sizeof *source->tensors);
    if (!source->tensors) return OBI_ERROR_MEMORY;
    tensor_walk walk = { source, locate, user };

    OBI_TRY(add(&walk, &(obi_import_want){ .part = OBI_PART_EMBEDDING }, "token_embd.weight", config->vocabulary, config->width, false));
    for (uint32_t layer = 0; layer < config->layers; layer++) {
        char name[64];
        snprintf(name, sizeof name, "blk.%u.attn_norm.weight", layer);
        OBI_TRY(add_vector(&walk, (obi_import_want){ OBI_PART_ATTENTION_NORM, layer, 0 }, name, config->width));
        for (int role = OBI_LINEAR_Q; role <= OBI_LINEAR_O; role++) OBI_TRY(add_linear(&walk, layer, role));
        snprintf(name, sizeof name, "blk.%u.ffn_norm.weight", layer);
        OBI_TRY(add_vector(&walk, (obi_import_want){ OBI_PART_FFN_NORM, layer, 0 }, name, config->width));
        for (int role = OBI_LINEAR_GATE; role <= OBI_LINEAR_DOWN; role++) OBI_TRY(add_linear(&walk, layer, role));
    }
    OBI_TRY(add_vector(&walk, (obi_import_want){ .part = OBI_PART_OUTPUT_NORM }, "output_norm.weight", config->width));
    if (config->tied) return OBI_OK;
    return add(&walk, &(obi_import_want){ .part = OBI_PART_OUTPUT }, "output.weight", config->vocabulary, config->width, false);
}

uint64_t obi_import_tensor_bytes(const obi_source_tensor *tensor)
{
    uint64_t bytes = tensor->rows * tensor->row_bytes;
    if (tensor->group_scales) bytes += tensor->rows * tensor->columns / tensor->group_size * 4;
    return bytes;
}

bool obi_import_type_readable(obi_dtype type)
{
    switch (type) {
    case OBI_DTYPE_F32:
    case OBI_DTYPE_F16:
    case OBI_DTYPE_BF16:
    case OBI_DTYPE_F64:
    case OBI_DTYPE_Q8_0:
    case OBI_DTYPE_Q4_0: return true;
    default: return false;
    }
}

obi_status obi_import_reserve_mappings(obi_source *source, size_t count)
{
    source->mappings = obi_calloc(count, sizeof *source->mappings);
    if (!source->mappings) return OBI_ERROR_MEMORY;
    source->mapping_count = count;
    return OBI_OK;
}

char *obi_import_join(const char *directory, const char *name)
{
    size_t length = strlen(directory), room = length + strlen(name) + 2;
    char *path = obi_calloc(room, 1);
    if (path) snprintf(path, room, "%s%s%s", directory, length > 0 && directory[length - 1] == '/' ? "" : "/", name);
    return path;
}
