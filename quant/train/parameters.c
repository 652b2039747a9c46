#include "quant/train/parameters.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/alloc.h"
#include "ops/op_svid.h"
#include "quant/svid.h"
#include "quant/train/quantiser.h"
#include "quant/train/scales.h"

/* What filling a model needs at hand. */
typedef struct filler {
    obi_train_model *model;
    obi_upload *upload;
    const obi_source *source;         /* NULL: random */
    const obi_train_options *options; /* NULL: the source as it is */
    obi_svid *svid;
    obi_rng rng;
    bool trained; /* of what is being added */
} filler;

#define CHUNK_FLOATS (1u << 20)

/* The source is a 1-bit model, which has signs, g and h. */
static bool packed_source(const filler *fill) { return fill->source && fill->source->config.onebit; }

static obi_status add_param(filler *fill, const char *name, obi_group group, uint32_t rows, uint32_t columns, uint32_t *index)
{
    obi_train_model *model = fill->model;
    obi_param *param = &model->params[model->param_count];
    snprintf(param->name, sizeof param->name, "%s", name);
    param->group = group;
    param->trained = fill->trained;
    *index = model->param_count++;
    OBI_TRY(obi_weight_create(model->device, OBI_WEIGHT_F32, rows, columns, 0, &param->w));
    if (!param->trained) return OBI_OK;
    OBI_TRY(obi_weight_create(model->device, OBI_WEIGHT_F32, rows, columns, 0, &param->gradient));
    OBI_TRY(obi_weight_create(model->device, OBI_WEIGHT_F32, rows, columns, 0, &param->m));
    return obi_weight_create(model->device, OBI_WEIGHT_F32, rows, columns, 0, &param->v);
}

/* How the rows of one tensor come about: kind of randomness, or the source's, with the latent form applied. */
typedef struct row_maker {
    double sd;
    bool ones; /* sd 0 without it: zeros */
    bool latent;
    double center; /* taken off each weight before it takes its latent form */
} row_maker;

static void make_latent(const obi_train_options *options, float *row, uint32_t columns)
{
    double mean = 0, scale = options->latent_scale;
    if (options->latent_init == OBI_LATENT_RAW) return;
    for (uint32_t j = 0; j < columns; j++) mean += fabs((double)row[j]);
    mean /= columns;
    for (uint32_t j = 0; j < columns; j++) {
        if (options->latent_init == OBI_LATENT_CONSTANT || mean == 0) row[j] = (float)(row[j] < 0 ? -scale : scale);
        else row[j] = (float)(row[j] / mean * scale);
    }
}

/* A packed file has signs only: each latent weight starts at its sign times `scale`. `words` holds the rows' signs. */
static obi_status read_latent(const obi_source_tensor *tensor, uint32_t first, uint32_t count, float scale, uint32_t *words, float *values)
{
    uint64_t columns = tensor->columns, row_words = (columns + 31) / 32;
    OBI_TRY(obi_source_read_signs(tensor, first, count, words));
    for (uint32_t i = 0; i < count; i++)
        for (uint64_t j = 0; j < columns; j++) values[i * columns + j] = words[i * row_words + j / 32] >> j % 32 & 1 ? -scale : scale;
    return OBI_OK;
}

typedef obi_status (*use_rows)(const filler *fill, void *user, uint32_t first, uint32_t count, float *values);

/* Hands `use` the rows of a tensor in order, as many at once as are CHUNK_FLOATS. */
static obi_status each_rows(filler *fill, const char *name, uint32_t rows, uint32_t columns, row_maker maker, use_rows use, void *user)
{
    uint32_t at_once = CHUNK_FLOATS / columns ? CHUNK_FLOATS / columns : 1;
    if (at_once > rows) at_once = rows;
    const obi_source_tensor *tensor = NULL;
    if (fill->source) {
        tensor = obi_source_find(fill->source, name);
        if (!tensor) return obi_fail(OBI_ERROR_DATA, "the tensor %s is missing", name);
    }
    bool packed = tensor && tensor->signs;
    float *values = obi_calloc((size_t)at_once * columns, sizeof *values);
    uint32_t *words = packed ? obi_calloc((size_t)at_once * obi_weight_row_words(OBI_WEIGHT_SIGN, columns), sizeof *words) : NULL;
    obi_status status = values && (words || !packed) ? OBI_OK : OBI_ERROR_MEMORY;
    for (uint32_t first = 0; first < rows && status == OBI_OK; first += at_once) {
        uint32_t count = rows - first < at_once ? rows - first : at_once;
        uint64_t elements = (uint64_t)count * columns;
        if (packed) OBI_TRY_GOTO(read_latent(tensor, first, count, fill->options ? (float)fill->options->latent_scale : 1, words, values));
        else if (tensor) OBI_TRY_GOTO(obi_source_read(tensor, first, count, values));
        else
            for (uint64_t i = 0; i < elements; i++) values[i] = maker.ones ? 1 : (float)(maker.sd * obi_rng_normal(&fill->rng));
        OBI_TRY_GOTO(use(fill, user, first, count, values));
    }
done:
    obi_free(values);
    obi_free(words);
    if (tensor) obi_source_release(tensor);
    return status;
}

/* Rows on their way to the device. */
typedef struct destination {
    const obi_weight *weight;
    row_maker maker;
} destination;

static obi_status upload_rows(const filler *fill, void *user, uint32_t first, uint32_t count, float *values)
{
    const destination *to = user;
    uint32_t columns = to->weight->columns;
    for (uint32_t i = 0; to->maker.latent && i < count; i++) {
        float *row = values + (uint64_t)i * columns;
        for (uint32_t j = 0; j < columns; j++) row[j] = (float)((double)row[j] - to->maker.center);
        make_latent(fill->options, row, columns);
    }
    return obi_weight_upload(fill->upload, to->weight, first, count, (const uint32_t *)(const void *)values);
}

static obi_status fill_weight(filler *fill, const char *name, const obi_weight *weight, row_maker maker)
{
    destination to = { weight, maker };
    OBI_TRY(each_rows(fill, name, weight->rows, weight->columns, maker, upload_rows, &to));
    return obi_upload_finish(fill->upload);
}

/* What is asked of each row, and the answers. */
typedef struct measurement {
    uint32_t columns;
    double center;
    bool absolute;
    double *means;
} measurement;

static obi_status measure_rows(const filler *fill, void *user, uint32_t first, uint32_t count, float *values)
{
    (void)fill;
    const measurement *of = user;
    for (uint32_t i = 0; i < count; i++)
        of->means[first + i] = obi_scales_row_mean(values + (uint64_t)i * of->columns, of->columns, of->center, of->absolute);
    return OBI_OK;
}

/* The mean of each row of W - maker.center, or of its absolute value. To be freed. Without a source the random weight is drawn,
 * and the generator is left as it was. */
static obi_status row_means(filler *fill, const char *name, uint32_t rows, uint32_t columns, row_maker maker, bool absolute, double **out)
{
    obi_rng before = fill->rng;
    measurement of = { columns, maker.center, absolute, obi_calloc(rows, sizeof *of.means) };
    if (!of.means) return OBI_ERROR_MEMORY;
    obi_status status = each_rows(fill, name, rows, columns, maker, measure_rows, &of);
    fill->rng = before;
    if (status == OBI_OK) *out = of.means;
    else obi_free(of.means);
    return status;
}

static obi_status find_center(filler *fill, const char *name, uint32_t rows, uint32_t columns, row_maker *maker)
{
    double *means;
    OBI_TRY(row_means(fill, name, rows, columns, *maker, false, &means));
    maker->center = obi_scales_mean(means, rows);
    obi_free(means);
    return OBI_OK;
}

static obi_status fill_param(filler *fill, uint32_t index, row_maker maker)
{
    const obi_param *param = &fill->model->params[index];
    return fill_weight(fill, param->name, &param->w, maker);
}

/* g and h from sizes of the weight's rows, or by SVID of the source's weight, which passes through the device once as it is.
 * Without a source the same random weight is drawn again. */
static obi_status find_scales(filler *fill, const char *name, uint32_t rows, uint32_t columns, row_maker maker, float *g, float *h)
{
    obi_weight whole = { 0 };
    obi_svid_options options = { 0 };
    obi_svid_result result;
    obi_status status;
    if (!obi_scales_by_svid(fill->options)) {
        double *sizes;
        OBI_TRY(row_means(fill, name, rows, columns, maker, true, &sizes));
        obi_scales_start(fill->options, name, sizes, rows, columns, g, h);
        obi_free(sizes);
        return OBI_OK;
    }
    OBI_TRY_GOTO(obi_weight_create(fill->model->device, OBI_WEIGHT_F32, rows, columns, 0, &whole));
    OBI_TRY_GOTO(fill_weight(fill, name, &whole, maker));
    status = obi_svid_run(fill->svid, &whole, &options, &result);
    if (status != OBI_OK) {
        obi_fail_prefix(status, "the tensor %s", name);
        goto done;
    }
    memcpy(g, result.b, columns * sizeof *g);
    memcpy(h, result.a, rows * sizeof *h);
done:
    obi_weight_destroy(fill->model->device, &whole);
    return status;
}

static obi_status read_vector(const filler *fill, const char *prefix, const char *suffix, uint32_t length, float *out)
{
    char name[96];
    snprintf(name, sizeof name, "%s.%s", prefix, suffix);
    const obi_source_tensor *tensor = obi_source_find(fill->source, name);
    if (!tensor || tensor->rows != 1 || tensor->columns != length)
        return obi_fail(OBI_ERROR_DATA, "the tensor %s is missing or not %u long", name, length);
    return obi_source_read(tensor, 0, 1, out);
}

/* g and h of the linear whose tensors are PREFIX.*: a 1-bit source has them. */
static obi_status fill_scales(filler *fill, const char *prefix, uint32_t index, uint32_t rows, uint32_t columns, row_maker maker)
{
    const obi_param *param = &fill->model->params[index];
    char name[64];
    obi_status status;
    float *scales = obi_calloc(param->w.columns, sizeof *scales);
    if (!scales) return OBI_ERROR_MEMORY;
    float *h = scales + obi_scales_h_offset(columns);
    if (packed_source(fill)) {
        OBI_TRY_GOTO(read_vector(fill, prefix, "input_factor", columns, scales));
        OBI_TRY_GOTO(read_vector(fill, prefix, "weight_scale", rows, h));
    } else {
        snprintf(name, sizeof name, "%s.weight", prefix);
        OBI_TRY_GOTO(find_scales(fill, name, rows, columns, maker, scales, h));
    }
    OBI_TRY_GOTO(obi_weight_upload(fill->upload, &param->w, 0, 1, (const uint32_t *)(const void *)scales));
    status = obi_upload_finish(fill->upload);
done:
    obi_free(scales);
    return status;
}

/* "STEM.bias", zeros in a random model. */
static obi_status add_bias(filler *fill, const char *stem, obi_group group, uint32_t length, uint32_t *index)
{
    char name[64];
    snprintf(name, sizeof name, "%s.bias", stem);
    OBI_TRY(add_param(fill, name, group, 1, length, index));
    return fill_param(fill, *index, (row_maker){ 0 });
}

/* "STEM.weight", ones in a random model, and of OPT its bias. */
static obi_status add_norm(filler *fill, const char *stem, uint32_t *index, uint32_t *bias)
{
    const obi_config *config = &fill->model->config;
    char name[64];
    snprintf(name, sizeof name, "%s.weight", stem);
    OBI_TRY(add_param(fill, name, OBI_GROUP_NORM, 1, config->width, index));
    OBI_TRY(fill_param(fill, *index, (row_maker){ .ones = true }));
    return config->family == OBI_FAMILY_OPT ? add_bias(fill, stem, OBI_GROUP_NORM, config->width, bias) : OBI_OK;
}

static obi_status add_linear(filler *fill, uint32_t layer, int kind, obi_train_linear *linear)
{
    obi_train_model *model = fill->model;
    const obi_config *config = &model->config;
    uint32_t rows, columns;
    char prefix[32], name[64];
    obi_config_linear_shape(config, kind, &rows, &columns);
    snprintf(prefix, sizeof prefix, "blk.%u.%s", layer, obi_linear_roles[kind]);
    snprintf(name, sizeof name, "%s.weight", prefix);
    bool last = kind == OBI_LINEAR_O || kind == OBI_LINEAR_DOWN; /* these write into the residual stream, L times each */
    row_maker maker = { .sd = fill->options ? fill->options->initializer_range / (last ? sqrt(2.0 * config->layers) : 1) : 0,
                        .latent = config->onebit && !packed_source(fill) };
    OBI_TRY(add_param(fill, name, OBI_GROUP_WEIGHT, rows, columns, &linear->weight));
    obi_rng before = fill->rng;
    if (maker.latent && obi_scales_centred(fill->options)) OBI_TRY(find_center(fill, name, rows, columns, &maker));
    OBI_TRY(fill_param(fill, linear->weight, maker));
    if (config->family == OBI_FAMILY_OPT) OBI_TRY(add_bias(fill, prefix, OBI_GROUP_BIAS, rows, &linear->bias));
    if (model->quantiser.bits > 0) return obi_quantiser_create(model->device, &model->params[linear->weight].w, linear);
    if (!config->onebit) return OBI_OK;
    /* The same rows in each block as the latent weights have, so that a block of one packs into a block of the other. */
    const obi_weight *latent = &model->params[linear->weight].w;
    uint64_t block_bytes = (uint64_t)latent->block_rows * obi_weight_row_words(OBI_WEIGHT_SIGN, columns) * 4;
    OBI_TRY(obi_weight_create(model->device, OBI_WEIGHT_SIGN, rows, columns, block_bytes, &linear->signs));
    char scales_name[64];
    snprintf(scales_name, sizeof scales_name, "%s.scales", prefix);
    uint64_t floats = obi_scales_floats(rows, columns);
    if (floats > UINT32_MAX) return obi_fail(OBI_ERROR_DATA, "the tensor %s is too large", name);
    OBI_TRY(add_param(fill, scales_name, OBI_GROUP_SCALES, 1, (uint32_t)floats, &linear->scales));
    obi_scales_tell(&model->params[linear->scales], fill->options, rows, columns);
    obi_rng after = fill->rng;
    fill->rng = before;
    maker.latent = false;
    OBI_TRY(fill_scales(fill, prefix, linear->scales, rows, columns, maker));
    fill->rng = after;
    return OBI_OK;
}

static obi_status add_table(filler *fill, const char *name, uint32_t rows, uint32_t columns, uint32_t *index)
{
    OBI_TRY(add_param(fill, name, OBI_GROUP_TABLE, rows, columns, index));
    return fill_param(fill, *index, (row_maker){ .sd = fill->options ? fill->options->initializer_range : 0 });
}

static obi_status add_layer(filler *fill, uint32_t i, bool trained, bool linears_only)
{
    const obi_config *config = &fill->model->config;
    obi_train_layer *layer = &fill->model->layers[i];
    char stem[48];
    fill->trained = trained && !linears_only;
    snprintf(stem, sizeof stem, "blk.%u.attn_norm", i);
    OBI_TRY(add_norm(fill, stem, &layer->attn_norm, &layer->attn_norm_bias));
    snprintf(stem, sizeof stem, "blk.%u.ffn_norm", i);
    OBI_TRY(add_norm(fill, stem, &layer->ffn_norm, &layer->ffn_norm_bias));
    fill->trained = trained;
    for (int kind = 0; kind < OBI_LINEAR_COUNT; kind++)
        if (obi_config_has_linear(config, kind)) OBI_TRY(add_linear(fill, i, kind, &layer->linear[kind]));
    return OBI_OK;
}

static obi_status add_all(filler *fill, bool linears_only)
{
    obi_train_model *model = fill->model;
    const obi_config *config = &model->config;
    bool trained = fill->trained;
    uint32_t E = obi_config_embedding_width(config), D = config->width;
    fill->trained = trained && !linears_only;
    OBI_TRY(add_table(fill, "token_embd.weight", config->vocabulary, E, &model->embedding));
    if (config->family == OBI_FAMILY_OPT)
        OBI_TRY(add_table(fill, "position_embd.weight", obi_config_position_rows(config), D, &model->positions));
    if (config->embedding_width) OBI_TRY(add_table(fill, "project_in.weight", D, E, &model->project_in));
    if (config->embedding_width) OBI_TRY(add_table(fill, "project_out.weight", E, D, &model->project_out));
    if (!config->norm_last) OBI_TRY(add_norm(fill, "output_norm", &model->output_norm, &model->output_norm_bias));
    model->head = model->embedding;
    if (!config->tied) OBI_TRY(add_table(fill, "output.weight", config->vocabulary, E, &model->head));
    for (uint32_t i = 0; i < config->layers; i++) OBI_TRY(add_layer(fill, i, trained, linears_only));
    return OBI_OK;
}

static obi_status build(filler *fill, obi_device *device, const obi_config *config, obi_quantiser quantiser, bool linears_only,
                        obi_train_model **out)
{
    *out = NULL;
    obi_train_model *model = obi_calloc(1, sizeof *model);
    if (!model) return OBI_ERROR_MEMORY;
    obi_cmd *cmd = NULL;
    fill->model = model;
    model->device = device;
    model->config = *config;
    model->quantiser = quantiser;
    model->method = fill->options ? fill->options->method : OBI_METHOD_ONEBIT;
    obi_status status;
    size_t most = OBI_TRAIN_PARAMS_MAX(config->layers);
    model->params = obi_calloc(most, sizeof *model->params);
    model->layers = obi_calloc(config->layers, sizeof *model->layers);
    if (!model->params || !model->layers) {
        status = OBI_ERROR_MEMORY;
        goto done;
    }
    if (fill->source && fill->source->rope_factors) {
        size_t bytes = config->rope_dimensions / 2 * sizeof(float);
        model->rope_factors = obi_calloc(1, bytes);
        if (!model->rope_factors) {
            status = OBI_ERROR_MEMORY;
            goto done;
        }
        memcpy(model->rope_factors, fill->source->rope_factors, bytes);
    }
    OBI_TRY_GOTO(obi_upload_create(device, &fill->upload));
    if (config->onebit && !packed_source(fill) && obi_scales_by_svid(fill->options))
        OBI_TRY_GOTO(obi_svid_create(device, fill->upload, &fill->svid));
    OBI_TRY_GOTO(add_all(fill, linears_only));
    if (!obi_train_model_packed(model)) goto done;
    OBI_TRY_GOTO(obi_cmd_create(device, &cmd));
    obi_cmd_begin(cmd);
    obi_train_model_pack(cmd, model);
    status = obi_cmd_run(cmd);
done:
    obi_cmd_destroy(cmd);
    obi_svid_destroy(fill->svid);
    obi_upload_destroy(fill->upload);
    if (status != OBI_OK) obi_train_model_free(model);
    else *out = model;
    return status;
}

obi_status obi_train_model_from_source(obi_device *device, const obi_source *source, const obi_train_options *options,
                                       obi_train_model **out)
{
    *out = NULL;
    filler fill = { .source = source, .options = options, .trained = options != NULL };
    bool linears_only = source->config.onebit && options && options->trainable == OBI_TRAIN_LINEARS;
    return build(&fill, device, &source->config, (obi_quantiser){ 0 }, linears_only, out);
}

obi_config obi_train_random_config(const obi_train_options *options, uint32_t vocabulary)
{
    uint32_t head_size = options->hidden_size / options->num_attention_heads;
    obi_config config = { .width = options->hidden_size,
                          .layers = options->num_hidden_layers,
                          .heads = options->num_attention_heads,
                          .kv_heads = options->num_key_value_heads,
                          .head_size = head_size,
                          .ffn = options->intermediate_size,
                          .vocabulary = vocabulary,
                          .context = options->max_position_embeddings,
                          .norm_eps = (float)options->rms_norm_eps,
                          .rope_theta = (float)options->rope_theta,
                          .rope_dimensions = head_size,
                          .rope_scale = 1,
                          .rope_layout = OBI_ROPE_PAIRS,
                          .tied = true };
    if (options->model_type == OBI_MODEL_OPT) {
        config.family = OBI_FAMILY_OPT;
        config.kv_heads = config.heads;
        config.rope_dimensions = 0;
        config.rope_theta = config.rope_scale = 0;
        config.rope_layout = (obi_rope_layout)0;
    }
    return config;
}

static obi_status build_random(obi_device *device, const obi_train_options *options, const obi_config *config, obi_quantiser quantiser,
                               bool trained, obi_train_model **out)
{
    *out = NULL;
    OBI_TRY(obi_config_check(config));
    filler fill = { .options = options, .trained = trained, .rng = obi_rng_seed(options->seed) };
    bool student = config->onebit || quantiser.bits > 0;
    return build(&fill, device, config, quantiser, student && options->trainable == OBI_TRAIN_LINEARS, out);
}

obi_status obi_train_model_random(obi_device *device, const obi_train_options *options, uint32_t vocabulary, obi_train_model **out)
{
    obi_config config = obi_train_random_config(options, vocabulary);
    return build_random(device, options, &config, (obi_quantiser){ 0 }, true, out);
}

obi_status obi_train_model_random_teacher(obi_device *device, const obi_train_options *options, uint32_t vocabulary, obi_train_model **out)
{
    obi_config config = obi_train_random_config(options, vocabulary);
    return build_random(device, options, &config, (obi_quantiser){ 0 }, false, out);
}

obi_quantiser obi_train_student_form(const obi_train_options *options, obi_config *config)
{
    obi_quantiser quantiser = obi_quantiser_of(options);
    if (quantiser.bits > 0) return quantiser;
    config->onebit = true;
    config->post_norm = options->post_norm;
    config->post_norm_eps = 1e-5f;
    return quantiser;
}

obi_status obi_train_model_random_student(obi_device *device, const obi_train_options *options, uint32_t vocabulary, obi_train_model **out)
{
    obi_config config = obi_train_random_config(options, vocabulary);
    obi_quantiser quantiser = obi_train_student_form(options, &config);
    return build_random(device, options, &config, quantiser, true, out);
}

obi_status obi_train_model_student(obi_device *device, const obi_source *source, const obi_train_options *options, obi_train_model **out)
{
    *out = NULL;
    if (source->config.onebit)
        return obi_fail(OBI_ERROR_ARGUMENT,
                        "%s is a 1-bit model already; a student is made from an ordinary one (model_name_or_path goes on "
                        "with a student)",
                        source->name);
    obi_config config = source->config;
    obi_quantiser quantiser = obi_train_student_form(options, &config);
    filler fill = { .source = source, .options = options, .trained = true };
    return build(&fill, device, &config, quantiser, options->trainable == OBI_TRAIN_LINEARS, out);
}

void obi_train_model_free(obi_train_model *model)
{
    if (!model) return;
    for (uint32_t i = 0; model->params && i < model->param_count; i++) {
        obi_param *param = &model->params[i];
        obi_weight_destroy(model->device, &param->w);
        obi_weight_destroy(model->device, &param->gradient);
        obi_weight_destroy(model->device, &param->m);
        obi_weight_destroy(model->device, &param->v);
    }
    for (uint32_t i = 0; model->layers && i < model->config.layers; i++)
        for (int kind = 0; kind < OBI_LINEAR_COUNT; kind++) {
            obi_train_linear *linear = &model->layers[i].linear[kind];
            obi_weight_destroy(model->device, &linear->signs);
            obi_weight_destroy(model->device, &linear->levels);
            obi_weight_destroy(model->device, &linear->steps);
        }
    obi_free(model->params);
    obi_free(model->layers);
    obi_free(model->rope_factors);
    obi_free(model);
}

void obi_train_model_pack(obi_cmd *cmd, const obi_train_model *model)
{
    if (model->quantiser.bits > 0) obi_quantiser_record(cmd, model);
    if (!model->config.onebit) return;
    for (uint32_t i = 0; i < model->config.layers; i++)
        for (int kind = 0; kind < OBI_LINEAR_COUNT; kind++) {
            if (!obi_config_has_linear(&model->config, kind)) continue;
            const obi_train_linear *linear = &model->layers[i].linear[kind];
            const obi_weight *latent = &model->params[linear->weight].w;
            for (uint32_t block = 0; block < latent->block_count; block++)
                obi_op_sign_pack(cmd, obi_view_of(linear->signs.blocks[block]), latent, block);
        }
}

static uint64_t bytes_of(const obi_weight *weight) { return (uint64_t)weight->rows * weight->row_words * 4; }

uint64_t obi_train_model_bytes(const obi_train_model *model)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < model->param_count; i++) {
        const obi_param *param = &model->params[i];
        bytes += bytes_of(&param->w) + bytes_of(&param->gradient) + bytes_of(&param->m) + bytes_of(&param->v);
    }
    for (uint32_t i = 0; i < model->config.layers; i++)
        for (int kind = 0; kind < OBI_LINEAR_COUNT; kind++) {
            const obi_train_linear *linear = &model->layers[i].linear[kind];
            bytes += bytes_of(&linear->signs) + bytes_of(&linear->levels) + bytes_of(&linear->steps);
        }
    return bytes;
}
