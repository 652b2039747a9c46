#include "quant/train/ranks.h"

#include "core/alloc.h"

static obi_status transported(bool done)
{
    return done ? OBI_OK : obi_fail(OBI_ERROR_RUNTIME, "the processes of this run cannot reach one another any more");
}

obi_status obi_ranks_sum_floats(const obi_ranks *ranks, float *values, size_t count)
{
    return obi_ranks_size(ranks) > 1 ? transported(ranks->sum_floats(values, count, ranks->user)) : OBI_OK;
}

obi_status obi_ranks_sum_doubles(const obi_ranks *ranks, double *values, size_t count)
{
    return obi_ranks_size(ranks) > 1 ? transported(ranks->sum_doubles(values, count, ranks->user)) : OBI_OK;
}

obi_status obi_ranks_broadcast(const obi_ranks *ranks, void *bytes, size_t count)
{
    return obi_ranks_size(ranks) > 1 ? transported(ranks->broadcast(bytes, count, ranks->user)) : OBI_OK;
}

obi_status obi_ranks_any(const obi_ranks *ranks, bool *flag)
{
    double count = *flag ? 1 : 0;
    OBI_TRY(obi_ranks_sum_doubles(ranks, &count, 1));
    *flag = count > 0;
    return OBI_OK;
}

obi_status obi_ranks_least(const obi_ranks *ranks, uint32_t *value)
{
    if (obi_ranks_size(ranks) == 1) return OBI_OK;
    double *all = obi_calloc(ranks->size, sizeof *all);
    if (!all) return OBI_ERROR_MEMORY;
    all[ranks->rank] = *value;
    obi_status status = obi_ranks_sum_doubles(ranks, all, ranks->size);
    for (uint32_t i = 0; i < ranks->size && status == OBI_OK; i++)
        if (all[i] < *value) *value = (uint32_t)all[i];
    obi_free(all);
    return status;
}
