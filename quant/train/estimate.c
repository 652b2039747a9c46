#include "quant/train/estimate.h"

#include <string.h>

#include "core/clock.h"

/* How often something happens in `steps` steps: every `period` and at the end, or with period 0 at the end only. */
static uint64_t times(uint64_t steps, uint64_t period) { return period > 0 ? steps / period + (steps % period != 0) : 1; }

static uint64_t checkpoint_bytes(const obi_train_model *model)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < model->param_count; i++)
        bytes += (uint64_t)model->params[i].w.rows * model->params[i].w.row_words * 4 * (model->params[i].trained ? 3 : 1);
    return bytes;
}

/* The first batch makes pipelines that no step needs; the second is timed. */
static obi_status time_evaluation(obi_trainer *trainer, const obi_dataset *held_out, uint64_t eval_blocks, double *seconds)
{
    double nll, kl, start = 0;
    uint64_t blocks = held_out->blocks < eval_blocks ? held_out->blocks : eval_blocks;
    for (int i = 0; i < 2; i++) {
        start = obi_clock_seconds();
        OBI_TRY(obi_trainer_evaluate(trainer, held_out, trainer->sequences, &nll, &kl));
    }
    *seconds = (obi_clock_seconds() - start) * (double)(blocks / trainer->sequences);
    return OBI_OK;
}

obi_status obi_estimate_run(obi_trainer *trainer, const obi_dataset *held_out, uint64_t eval_blocks, obi_estimate *out)
{
    const obi_train_options *options = trainer->options;
    obi_step_report report;
    memset(out, 0, sizeof *out);
    double start = obi_clock_seconds();
    OBI_TRY(obi_trainer_step(trainer, &report));
    out->step_seconds = obi_clock_seconds() - start;
    out->steps = trainer->steps;
    if (held_out->blocks > 0) {
        out->evaluations = times(trainer->steps, options->eval_steps);
        OBI_TRY(time_evaluation(trainer, held_out, eval_blocks, &out->evaluation_seconds));
    }
    out->checkpoints = times(trainer->steps, options->save_steps);
    out->checkpoint_bytes = checkpoint_bytes(trainer->model);
    out->checkpoint_seconds = (double)out->checkpoint_bytes / OBI_ESTIMATE_BYTES_PER_SECOND;
    out->seconds = (double)out->steps * out->step_seconds + (double)out->evaluations * out->evaluation_seconds +
                   (double)out->checkpoints * out->checkpoint_seconds;
    return OBI_OK;
}
