#include "ops/check.h"

#include "core/checked.h"
#include "ops/tensor.h"

bool obi_check(obi_cmd *cmd, bool good, const char *op, const char *sentence)
{
    if (!good && obi_cmd_status(cmd) == OBI_OK) obi_cmd_fail(cmd, obi_fail(OBI_ERROR_ARGUMENT, "%s: %s", op, sentence));
    return good;
}

bool obi_check_words(obi_cmd *cmd, const char *op, const char *argument, obi_view view, uint64_t a, uint64_t b)
{
    if (obi_cmd_status(cmd) != OBI_OK) return false;
    uint64_t words, bytes;
    if (a > 0 && b > 0 && view.buffer && obi_checked_mul(a, b, &words) && obi_checked_mul(words, 4, &bytes) && view.size >= bytes)
        return true;
    obi_cmd_fail(cmd, obi_fail(OBI_ERROR_ARGUMENT, "%s: %s must have %llu x %llu elements; it has %llu bytes", op, argument,
                               (unsigned long long)a, (unsigned long long)b, (unsigned long long)(view.buffer ? view.size : 0)));
    return false;
}

bool obi_check_lanes(obi_cmd *cmd, const char *op, uint64_t elements, uint32_t workgroup, uint32_t groups[3])
{
    if (!obi_check(cmd, elements > 0 && elements <= INT32_MAX, op, "it takes from 1 to 2147483647 elements")) return false;
    obi_fold_groups(obi_cmd_device(cmd), obi_div_ceil(elements, workgroup), groups);
    return true;
}
