#include "quant/train/trainer_ranks.h"

#include "core/alloc.h"

obi_status obi_trainer_join(obi_trainer *trainer, const obi_ranks *ranks)
{
    if (obi_ranks_size(ranks) == 1) return OBI_OK;
    OBI_TRY(obi_exchange_create(trainer->device, ranks, &trainer->exchange));
    trainer->ranks = ranks;
    return OBI_OK;
}

/* The blocks of every trained parameter's gradient, or of its w, m and v, and those that are not trained too. To be freed. */
static obi_status collect(const obi_trainer *trainer, bool gradients, obi_view **views, size_t *count)
{
    const obi_train_model *model = trainer->model;
    size_t room = 0;
    for (uint32_t i = 0; i < model->param_count; i++) room += (gradients ? 1 : 3) * (size_t)model->params[i].w.block_count;
    *count = 0;
    *views = obi_calloc(room, sizeof **views);
    if (!*views) return OBI_ERROR_MEMORY;
    for (uint32_t i = 0; i < model->param_count; i++) {
        const obi_param *param = &model->params[i];
        const obi_weight *states[3] = { gradients ? &param->gradient : &param->w, &param->m, &param->v };
        for (int state = 0; state < (gradients || !param->trained ? 1 : 3); state++)
            for (uint32_t block = 0; (param->trained || !gradients) && block < param->w.block_count; block++)
                (*views)[(*count)++] = obi_view_of(states[state]->blocks[block]);
    }
    return OBI_OK;
}

obi_status obi_trainer_agree_batch(obi_trainer *trainer)
{
    bool smaller = obi_ranks_size(trainer->ranks) > 1;
    while (smaller) {
        uint32_t least = trainer->sequences;
        OBI_TRY(obi_ranks_least(trainer->ranks, &least));
        OBI_TRY(obi_trainer_set_batch(trainer, least));
        smaller = trainer->sequences < least; /* it did not fit here */
        OBI_TRY(obi_ranks_any(trainer->ranks, &smaller));
    }
    return OBI_OK;
}

obi_status obi_trainer_share(obi_trainer *trainer)
{
    struct {
        uint64_t step;
        double best;
        uint32_t without_better, unused;
    } progress = { trainer->step, trainer->best, trainer->without_better, 0 };
    obi_view *views;
    size_t count;
    if (!trainer->exchange) return OBI_OK;
    OBI_TRY(obi_trainer_agree_batch(trainer));
    OBI_TRY(obi_ranks_broadcast(trainer->ranks, &progress, sizeof progress));
    trainer->step = progress.step;
    trainer->best = progress.best;
    trainer->without_better = progress.without_better;
    OBI_TRY(collect(trainer, false, &views, &count));
    obi_status status = obi_exchange_share(trainer->exchange, views, count);
    obi_free(views);
    OBI_TRY(status);
    if (!obi_train_model_packed(trainer->model)) return OBI_OK;
    obi_cmd_begin(trainer->cmd);
    obi_train_model_pack(trainer->cmd, trainer->model);
    return obi_cmd_run(trainer->cmd);
}

obi_status obi_trainer_sum_gradient(obi_trainer *trainer, obi_step_report *report)
{
    double sums[] = { report->nll, report->kl, report->hidden, (double)report->tokens };
    obi_view *views;
    size_t count;
    if (!trainer->exchange) return OBI_OK;
    OBI_TRY(collect(trainer, true, &views, &count));
    obi_status status = obi_exchange_sum(trainer->exchange, views, count);
    obi_free(views);
    OBI_TRY(status);
    OBI_TRY(obi_ranks_sum_doubles(trainer->ranks, sums, sizeof sums / sizeof *sums));
    report->nll = sums[0];
    report->kl = sums[1];
    report->hidden = sums[2];
    report->tokens = (uint64_t)sums[3];
    return OBI_OK;
}
