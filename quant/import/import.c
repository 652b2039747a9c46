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
    obi_import_want want = { .part = OBI_PART_LINEAR, .layer = layer, .role = role };
    OBI_TRY(add(walk, &want, name, rows, columns, config->onebit));
    if (config->family == OBI_FAMILY_OPT) {
        want.bias = true;
        snprintf(name, sizeof name, "blk.%u.%s.bias", layer, obi_linear_roles[role]);
        OBI_TRY(add_vector(walk, want, name, rows));
    }
    if (!config->onebit) return OBI_OK;
    snprintf(name, sizeof name, "blk.%u.%s.input_factor", layer, obi_linear_roles[role]);
    OBI_TRY(add_vector(walk, (obi_import_want){ .part = OBI_PART_INPUT_FACTOR, .layer = layer, .role = role }, name, columns));
    snprintf(name, sizeof name, "blk.%u.%s.weight_scale", layer, obi_linear_roles[role]);
    return add_vector(walk, (obi_import_want){ .part = OBI_PART_WEIGHT_SCALE, .layer = layer, .role = role }, name, rows);
}

/* "STEM.weight" of a norm, and with it OPT's "STEM.bias". */
static obi_status add_norm(tensor_walk *walk, obi_import_part part, uint32_t layer, const char *stem)
{
    const obi_config *config = &walk->source->config;
    char name[64];
    snprintf(name, sizeof name, "%s.weight", stem);
    OBI_TRY(add_vector(walk, (obi_import_want){ .part = part, .layer = layer }, name, config->width));
    if (config->family == OBI_FAMILY_LLAMA) return OBI_OK;
    snprintf(name, sizeof name, "%s.bias", stem);
    return add_vector(walk, (obi_import_want){ .part = part, .layer = layer, .bias = true }, name, config->width);
}

/* A layer's norms and linears, in file order. */
static obi_status add_layer(tensor_walk *walk, uint32_t layer)
{
    const obi_config *config = &walk->source->config;
    char stem[32];
    snprintf(stem, sizeof stem, "blk.%u.attn_norm", layer);
    OBI_TRY(add_norm(walk, OBI_PART_ATTENTION_NORM, layer, stem));
    for (int role = OBI_LINEAR_Q; role <= OBI_LINEAR_O; role++) OBI_TRY(add_linear(walk, layer, role));
    snprintf(stem, sizeof stem, "blk.%u.ffn_norm", layer);
    OBI_TRY(add_norm(walk, OBI_PART_FFN_NORM, layer, stem));
    for (int role = OBI_LINEAR_GATE; role <= OBI_LINEAR_DOWN; role++)
        if (obi_config_has_linear(config, role)) OBI_TRY(add_linear(walk, layer, role));
    return OBI_OK;
}

/* What OPT has beside layers, embedding and head. */
static obi_status add_opt(tensor_walk *walk)
{
    const obi_config *config = &walk->source->config;
    uint32_t E = config->embedding_width, D = config->width;
    uint64_t rows = obi_config_position_rows(config);
    OBI_TRY(add(walk, &(obi_import_want){ .part = OBI_PART_POSITIONS }, "position_embd.weight", rows, D, false));
    if (E == 0) return OBI_OK;
    OBI_TRY(add(walk, &(obi_import_want){ .part = OBI_PART_PROJECT_IN }, "project_in.weight", D, E, false));
    return add(walk, &(obi_import_want){ .part = OBI_PART_PROJECT_OUT }, "project_out.weight", E, D, false);
}

obi_status obi_import_tensors(obi_source *source, obi_import_locate locate, void *user)
{
    const obi_config *config = &source->config;
    bool opt = config->family == OBI_FAMILY_OPT;
    size_t per_norm = opt ? 2 : 1, per_linear = (config->onebit ? 3u : 1u) + opt, per_layer = 2 * per_norm + OBI_LINEAR_COUNT * per_linear;
    source->tensors = obi_calloc(7 + per_layer * config->layers, sizeof *source->tensors);
    if (!source->tensors) return OBI_ERROR_MEMORY;
    tensor_walk walk = { source, locate, user };
    uint32_t E = obi_config_embedding_width(config);

    OBI_TRY(add(&walk, &(obi_import_want){ .part = OBI_PART_EMBEDDING }, "token_embd.weight", config->vocabulary, E, false));
    source->layers_begin = source->tensor_count;
    for (uint32_t layer = 0; layer < config->layers; layer++) OBI_TRY(add_layer(&walk, layer));
    source->layers_end = source->tensor_count;
    if (!config->norm_last) OBI_TRY(add_norm(&walk, OBI_PART_OUTPUT_NORM, 0, "output_norm"));
    if (opt) OBI_TRY(add_opt(&walk));
    if (config->tied) return OBI_OK;
    return add(&walk, &(obi_import_want){ .part = OBI_PART_OUTPUT }, "output.weight", config->vocabulary, E, false);
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
