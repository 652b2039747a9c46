#include "quant/train/plan.h"

#include <string.h>

#include "core/alloc.h"
#include "core/checked.h"
#include "quant/svid.h"
#include "quant/train/quantiser.h"

/* The parameters of a model as shapes, and what goes with them. */
typedef struct shapes {
    obi_train_model model; /* config, device and params only */
    uint64_t sign_bytes, level_bytes;
    uint64_t svid_bytes; /* the largest weight and its SVID */
} shapes;

static uint64_t bytes_of(const obi_weight *weight)
{
    uint64_t block = obi_align_up((uint64_t)weight->block_rows * weight->row_words * 4, OBI_BUFFER_ALIGNMENT);
    return block * (weight->block_count - 1) +
           obi_align_up((uint64_t)(weight->rows - (weight->block_count - 1) * weight->block_rows) * weight->row_words * 4,
                        OBI_BUFFER_ALIGNMENT);
}

static obi_status add(shapes *to, uint64_t rows, uint64_t columns, bool trained)
{
    if (rows > UINT32_MAX || columns > UINT32_MAX) return obi_fail(OBI_ERROR_DATA, "a tensor of the model is too large");
    obi_param *param = &to->model.params[to->model.param_count++];
    param->trained = trained;
    return obi_weight_shape(to->model.device, OBI_WEIGHT_F32, (uint32_t)rows, (uint32_t)columns, 0, &param->w);
}

static obi_status add_linear(shapes *to, int kind, bool trained)
{
    const obi_config *config = &to->model.config;
    uint32_t rows, columns;
    obi_weight signs;
    obi_config_linear_shape(config, kind, &rows, &columns);
    OBI_TRY(add(to, rows, columns, trained));
    const obi_weight *latent = &to->model.params[to->model.param_count - 1].w;
    if (config->family == OBI_FAMILY_OPT) OBI_TRY(add(to, 1, rows, trained));
    if (to->model.quantiser.bits > 0) {
        obi_weight steps;
        OBI_TRY(obi_weight_shape(to->model.device, OBI_WEIGHT_F32, 1, rows, 0, &steps));
        to->level_bytes += bytes_of(latent) + bytes_of(&steps);
    }
    if (!config->onebit) return OBI_OK;
    uint64_t block_bytes = (uint64_t)latent->block_rows * obi_weight_row_words(OBI_WEIGHT_SIGN, columns) * 4;
    OBI_TRY(obi_weight_shape(to->model.device, OBI_WEIGHT_SIGN, rows, columns, block_bytes, &signs));
    to->sign_bytes += bytes_of(&signs);
    uint64_t svid = bytes_of(latent) + obi_svid_bytes(latent);
    if (svid > to->svid_bytes) to->svid_bytes = svid;
    return add(to, 1, obi_scales_floats(rows, columns), trained);
}

static obi_status add_norm(shapes *to, bool trained)
{
    OBI_TRY(add(to, 1, to->model.config.width, trained));
    return to->model.config.family == OBI_FAMILY_OPT ? add(to, 1, to->model.config.width, trained) : OBI_OK;
}

/* The same tensors as obi_train_model_* make; a teacher is made as one that is not trained. */
static obi_status add_all(shapes *to, bool linears, bool others)
{
    const obi_config *config = &to->model.config;
    uint32_t E = obi_config_embedding_width(config), D = config->width;
    OBI_TRY(add(to, config->vocabulary, E, others));
    if (config->family == OBI_FAMILY_OPT) OBI_TRY(add(to, obi_config_position_rows(config), D, others));
    for (int i = 0; config->embedding_width && i < 2; i++) OBI_TRY(add(to, i ? E : D, i ? D : E, others));
    if (!config->norm_last) OBI_TRY(add_norm(to, others));
    if (!config->tied) OBI_TRY(add(to, config->vocabulary, E, others));
    for (uint32_t i = 0; i < config->layers; i++) {
        OBI_TRY(add_norm(to, others));
        OBI_TRY(add_norm(to, others));
        for (int kind = 0; kind < OBI_LINEAR_COUNT; kind++)
            if (obi_config_has_linear(config, kind)) OBI_TRY(add_linear(to, kind, linears));
    }
    return OBI_OK;
}

static obi_status make_shapes(shapes *to, obi_device *device, const obi_config *config, obi_quantiser quantiser, bool linears,
                              bool others)
{
    memset(to, 0, sizeof *to);
    to->model.device = device;
    to->model.config = *config;
    to->model.quantiser = quantiser;
    to->model.params = obi_calloc(OBI_TRAIN_PARAMS_MAX(config->layers), sizeof *to->model.params);
    return to->model.params ? add_all(to, linears, others) : OBI_ERROR_MEMORY;
}

static uint64_t sum(const shapes *of, bool trained_only)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < of->model.param_count; i++)
        if (of->model.params[i].trained || !trained_only) bytes += bytes_of(&of->model.params[i].w);
    return bytes;
}

static uint64_t largest(uint64_t a, uint64_t b) { return a > b ? a : b; }

/* Arenas are made to the measure of what stays (obi_memory_expect), so the staging buffers of an upload come on top whenever it
 * is; while the last weights are filled in, SVID's are where the activations will be. */
static uint64_t peak_of(const obi_memory_plan *plan, const shapes *model)
{
    uint64_t models = plan->weights + plan->gradients + plan->optimiser + plan->teacher;
    uint64_t everything = models + plan->activations + plan->teacher_activations + plan->logits + plan->other;
    return largest(everything, models + model->svid_bytes) + 2ull * OBI_UPLOAD_HALF_BYTES;
}

obi_status obi_plan_memory(obi_device *device, const obi_train_options *options, const obi_config *model, const obi_config *teacher,
                           obi_memory_plan *out)
{
    memset(out, 0, sizeof *out);
    shapes student = { .sign_bytes = 0 }, guide = { .sign_bytes = 0 };
    obi_work_bytes work;
    obi_quantiser quantiser = teacher ? obi_quantiser_of(options) : (obi_quantiser){ 0 };
    bool others = !((model->onebit || quantiser.bits > 0) && options->trainable == OBI_TRAIN_LINEARS);
    obi_status status;
    if ((uint64_t)options->per_device_train_batch_size * options->cutoff_len > UINT32_MAX / 4)
        return obi_fail(OBI_ERROR_ARGUMENT, "a batch of %u sequences of %u tokens is too large", options->per_device_train_batch_size,
                        options->cutoff_len);
    OBI_TRY_GOTO(make_shapes(&student, device, model, quantiser, true, others));
    if (teacher) OBI_TRY_GOTO(make_shapes(&guide, device, teacher, (obi_quantiser){ 0 }, false, false));
    OBI_TRY_GOTO(obi_trainer_measure(options, &student.model, teacher ? &guide.model : NULL, &work));
    out->weights = sum(&student, false) + 3 * student.sign_bytes + student.level_bytes;
    out->gradients = sum(&student, true);
    out->optimiser = 2 * out->gradients;
    out->activations = work.activations;
    out->logits = work.logits;
    out->teacher = teacher ? sum(&guide, false) + guide.sign_bytes : 0;
    out->teacher_activations = work.teacher_activations;
    out->other = work.other;
    out->total = peak_of(out, &student);
    out->transfers = out->total - out->weights - out->gradients - out->optimiser - out->activations - out->logits - out->teacher -
                     out->teacher_activations - out->other;
done:
    obi_free(student.model.params);
    obi_free(guide.model.params);
    return status;
}
