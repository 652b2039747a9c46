#include "quant/train/gradient.h"

#include <math.h>
#include <string.h>

#include "ops/op_optim.h"
#include "quant/train/scales.h"

void obi_gradient_clear(obi_trainer *trainer)
{
    for (uint32_t i = 0; i < trainer->model->param_count; i++) {
        const obi_param *param = &trainer->model->params[i];
        for (uint32_t block = 0; param->trained && block < param->gradient.block_count; block++)
            obi_cmd_fill(trainer->cmd, obi_view_of(param->gradient.blocks[block]), 0);
    }
}

obi_status obi_gradient_measure(obi_trainer *trainer, double *norm, bool *finite)
{
    const obi_train_options *options = trainer->options;
    obi_cmd *cmd = trainer->cmd;
    bool first = true;
    obi_cmd_begin(cmd);
    for (uint32_t i = 0; i < trainer->model->param_count; i++) {
        const obi_param *param = &trainer->model->params[i];
        bool latent = obi_train_model_packed(trainer->model) && param->group == OBI_GROUP_WEIGHT;
        for (uint32_t block = 0; param->trained && block < param->w.block_count; block++) {
            uint64_t count;
            obi_view gradient = obi_param_trained(param, &param->gradient, block, &count);
            if (latent)
                obi_op_estimator(cmd, gradient, obi_view_of(param->w.blocks[block]), count, (obi_estimator_kind)options->estimator,
                                 (float)options->estimator_alpha);
            if (param->tied) obi_op_tie(cmd, gradient, count);
            obi_op_sumsq(cmd, obi_view_of(trainer->sums), obi_view_of(trainer->scratch), gradient, param->tied ? 1 : count, !first);
            first = false;
        }
    }
    obi_cmd_copy(cmd, obi_view_of(trainer->sums_host), obi_view_of(trainer->sums));
    OBI_TRY(obi_cmd_run(cmd));
    OBI_TRY(obi_buffer_invalidate(trainer->device, trainer->sums_host, 0, 8));
    float sum;
    uint32_t broken;
    memcpy(&sum, trainer->sums_host->mapped, 4);
    memcpy(&broken, (const char *)trainer->sums_host->mapped + 4, 4);
    double measured[2] = { sqrt((double)sum), broken == 0 && isfinite(sum) };
    OBI_TRY(obi_ranks_broadcast(trainer->ranks, measured, sizeof measured)); /* devices may round differently: rank 0 decides */
    *norm = measured[0];
    *finite = measured[1] != 0;
    return OBI_OK;
}
