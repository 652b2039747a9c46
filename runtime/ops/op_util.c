#include "ops/op_util.h"

#include "core/checked.h"
#include "ops/check.h"
#include "shaders/common/push_util.h"

/* Elements of a workgroup: on a software driver a dispatch costs more than a long run. */
#define TOPK_RUN 4096u
#define TOPK_RUN_CPU 16384u
#define ARGMAX_RUN 2048u
#define ARGMAX_RUN_CPU 32768u

static uint32_t run_of(const obi_device *device, uint32_t k)
{
    if (device->caps.software) return k > 1 ? TOPK_RUN_CPU : ARGMAX_RUN_CPU;
    return k > 1 ? TOPK_RUN : ARGMAX_RUN;
}

/* Bytes of one half of the scratch: the output of the first pass. The two halves are written in turn. */
static uint64_t half_bytes(uint32_t V, uint32_t k)
{
    return obi_align_up(obi_div_ceil(V, k > 1 ? TOPK_RUN : ARGMAX_RUN) * k * sizeof(obi_topk_pair), OBI_BUFFER_ALIGNMENT);
}

uint64_t obi_op_topk_scratch_bytes(uint32_t V, uint32_t k) { return 2 * half_bytes(V ? V : 1, k ? k : 1); }

void obi_op_topk_fwd(obi_cmd *cmd, obi_view out, obi_view logits, obi_view scratch, uint32_t V, uint32_t k)
{
    obi_device *device = obi_cmd_device(cmd);
    if (!obi_check(cmd, k >= 1 && k <= OBI_TOPK_MAX && k <= V, "top-k", "k must be at least 1, at most 128 and at most the vocabulary") ||
        !obi_check(cmd, V <= INT32_MAX, "top-k", "there are more elements than a kernel can count") ||
        !obi_check_words(cmd, "top-k", "out", out, k, 2) || !obi_check_words(cmd, "top-k", "logits", logits, V, 1) ||
        !obi_check_words(cmd, "top-k", "scratch", scratch, obi_op_topk_scratch_bytes(V, k) / 4, 1))
        return;
    obi_view half = { scratch.buffer, scratch.offset, half_bytes(V, k) };
    obi_view other = { scratch.buffer, scratch.offset + half.size, half.size };
    obi_view from = logits;
    uint32_t count = V, run = run_of(device, k);
    for (bool first = true;; first = false) {
        uint32_t groups = (uint32_t)obi_div_ceil(count, run);
        struct obi_push_util_topk sort = { count, k, run, groups };
        struct obi_push_util_argmax search = { count, run, groups };
        obi_dispatch dispatch = { .kernel = k > 1 ? OBI_KERNEL_UTIL_TOPK_FWD : OBI_KERNEL_UTIL_ARGMAX_FWD,
                                  .spec = { obi_workgroup_size(device), first },
                                  .spec_count = 2,
                                  .push = k > 1 ? (const void *)&sort : &search,
                                  .push_bytes = k > 1 ? sizeof sort : sizeof search,
                                  .bindings = { obi_writes(groups == 1 ? out : half), obi_reads(from) },
                                  .binding_count = 2,
                                  .bytes = (uint64_t)count * (first ? 4 : 8) };
        obi_fold_groups(device, groups, dispatch.groups);
        obi_cmd_dispatch(cmd, &dispatch);
        if (groups == 1) return;
        from = half;
        half = other;
        other = from;
        count = groups * k; /* shrinks: k is at most a 32nd of a run */
    }
}
