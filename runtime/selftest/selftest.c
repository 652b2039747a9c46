#include "selftest/selftest.h"

#include <stdio.h>
#include <string.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "core/log.h"
#include "selftest/cases.h"

#define OBI_CASE_ADDRESS(name) &obi_case_##name,
static const obi_case *const all_cases[] = { OBI_CASES(OBI_CASE_ADDRESS) NULL };

const obi_case *const *obi_cases(uint32_t *count)
{
    *count = (uint32_t)(sizeof all_cases / sizeof all_cases[0]) - 1;
    return all_cases;
}

bool obi_case_is_straight(const obi_case *test)
{
    static const char suffix[] = "_straight";
    const char *name = obi_kernels[test->kernel].name;
    size_t length = strlen(name);
    return length >= sizeof suffix && strcmp(name + length - (sizeof suffix - 1), suffix) == 0;
}

bool obi_case_is_optional(const obi_case *test)
{
    static const int optional[] = {
        OBI_KERNEL_BITLINEAR_GEMV_TABLE,          OBI_KERNEL_BITLINEAR_GEMV_HALF,
        OBI_KERNEL_BITLINEAR_QUANTISE,            OBI_KERNEL_BITLINEAR_GEMV_INT8,
        OBI_KERNEL_BITLINEAR_GEMV_INT8_DOT,       OBI_KERNEL_BITLINEAR_SUMS_INT8_STRAIGHT,
        OBI_KERNEL_BITLINEAR_GEMM_INT8_STRAIGHT,  OBI_KERNEL_BITLINEAR_GEMV_RESIDUAL,
        OBI_KERNEL_BITLINEAR_GEMV_SWIGLU,         OBI_KERNEL_BITLINEAR_GEMV_QKV,
        OBI_KERNEL_BITLINEAR_GEMV_QKV_F16,        OBI_KERNEL_BITLINEAR_GEMV_HALF_RESIDUAL,
        OBI_KERNEL_BITLINEAR_GEMV_HALF_SWIGLU,    OBI_KERNEL_BITLINEAR_GEMV_HALF_QKV,
        OBI_KERNEL_BITLINEAR_GEMV_HALF_QKV_F16,   OBI_KERNEL_ATTN_KV_STORE_INT8,
        OBI_KERNEL_ATTN_DECODE_INT8,              OBI_KERNEL_ATTN_PREFILL_INT8,
        OBI_KERNEL_POST_NORM_QKV_INT8,            OBI_KERNEL_INT8_FLAGS_FWD,
        OBI_KERNEL_INT8_LIST_FWD,                 OBI_KERNEL_INT8_QUANTISE_FWD,
        OBI_KERNEL_INT8_PRODUCTS_FWD,
    };
    for (size_t i = 0; i < sizeof optional / sizeof optional[0]; i++)
        if (test->kernel == optional[i]) return true;
    return false;
}

static bool is_lowest_tier(int kernel, int tier)
{
    while (tier > 0 && !obi_kernels[kernel].tier[tier - 1].words) tier--;
    return tier == 0;
}

/* Runs one case at the tier that device->kernel_tier[] is set to. */
static void run_case(obi_case_env *env, const obi_case *test, obi_tier tier, obi_selftest_row *row)
{
    obi_case_result result = { 0 };
    double start = obi_clock_seconds();
    obi_case_env_clear(env);
    row->status = test->run(env, test->sizes, &result);
    row->seconds = obi_clock_seconds() - start;
    row->name = test->name;
    row->tier = tier;
    row->worst = result.worst;
    row->passed = row->status == OBI_OK && result.worst <= 1.0; /* false for NaN */
    (void)snprintf(row->where, sizeof row->where, "%s", row->status == OBI_OK ? result.where : obi_last_error());
}

/* Whether a failure to run says something about the machine, not about this variant: then going on is no use. */
static bool ends_everything(const obi_selftest_row *row)
{
    if (row->status == OBI_ERROR_DEVICE_LOST || row->status == OBI_ERROR_CANCELLED) return true;
    return row->status == OBI_ERROR_MEMORY && row->tier == OBI_TIER_A; /* above A, another variant may need less */
}

static obi_status run_with(obi_case_env *env, const obi_case *const *cases, uint32_t count, obi_selftest_row *rows,
                           uint32_t *row_count)
{
    obi_device *device = env->device;
    obi_tier allowed[OBI_KERNEL_COUNT + 1];
    for (int k = 0; k < OBI_KERNEL_COUNT; k++) allowed[k] = device->kernel_tier[k];
    const obi_selftest_row *wrong = NULL; /* the first that fails where there is nothing to step down to */
    obi_status status = OBI_OK;
    for (uint32_t i = 0; i < count && status == OBI_OK; i++) {
        int kernel = cases[i]->kernel;
        for (int tier = OBI_TIER_A; tier <= (int)device->tier; tier++) {
            if (!obi_kernels[kernel].tier[tier].words) continue;
            obi_selftest_row *row = &rows[(*row_count)++];
            device->kernel_tier[kernel] = (obi_tier)tier;
            run_case(env, cases[i], (obi_tier)tier, row);
            if (ends_everything(row)) {
                status = row->status;
                break;
            }
            if (row->passed) continue;
            if (obi_case_is_optional(cases[i]) && is_lowest_tier(kernel, tier)) {
                device->kernel_off[kernel] = true;
                obi_log(OBI_LOG_WARNING, "%s: %s does not work (%s); other kernels are used instead", device->caps.name, row->name,
                        row->where);
                break;
            } else if (obi_case_is_straight(cases[i])) {
                device->caps.straight = false;
                obi_log(OBI_LOG_WARNING, "%s: %s does not work (%s); the kernels for any device are used instead", device->caps.name,
                        row->name, row->where);
            } else if (tier == OBI_TIER_A) {
                if (!wrong) wrong = row;
            } else if ((int)allowed[kernel] >= tier) {
                allowed[kernel] = (obi_tier)(tier - 1);
                obi_log(OBI_LOG_WARNING, "%s: tier %s of %s does not work (%s); tier %s is used instead", device->caps.name,
                        obi_tier_name((obi_tier)tier), row->name, row->where, obi_tier_name(allowed[kernel]));
            }
        }
        device->kernel_tier[kernel] = allowed[kernel]; /* later cases may run it too */
    }
    if (status == OBI_OK && wrong)
        return obi_fail(OBI_ERROR_NO_DEVICE, "%s %s (%s: %s); choose another device or update its driver", device->caps.name,
                        wrong->status == OBI_OK ? "computes wrong numbers" : "cannot run the kernels", wrong->name, wrong->where);
    return status;
}

obi_status obi_selftest_run_cases(obi_device *device, const obi_case *const *cases, uint32_t count, obi_selftest_row **rows,
                                  uint32_t *row_count)
{
    if (rows) *rows = NULL;
    if (row_count) *row_count = 0;
    uint32_t filled = 0;
    obi_selftest_row *all = obi_calloc((size_t)count * OBI_TIER_COUNT + 1, sizeof *all);
    if (!all) return OBI_ERROR_MEMORY;
    bool exact = device->exact;
    device->exact = false; /* what is found out here holds for those that are not, too */
    obi_case_env *env = NULL;
    obi_status status = obi_case_env_create(device, &env);
    if (status == OBI_OK) status = run_with(env, cases, count, all, &filled);
    atomic_fetch_add(&device->kernels_changed, 1);
    device->exact = exact;
    obi_case_env_destroy(env);
    if (row_count) *row_count = filled;
    if (rows) {
        *rows = all;
    } else {
        obi_free(all);
    }
    return status;
}

obi_status obi_selftest_run(obi_device *device, obi_selftest_row **rows, uint32_t *row_count)
{
    uint32_t count;
    const obi_case *const *cases = obi_cases(&count);
    return obi_selftest_run_cases(device, cases, count, rows, row_count);
}
