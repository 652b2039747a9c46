#include "ops/op_planes.h"

#include "ops/check.h"
#include "ops/matrix.h"
#include "shaders/common/push_bitlinear.h"

void obi_op_planes_fwd(obi_cmd *cmd, obi_view y, obi_view stack, obi_view c, uint32_t m, uint32_t planes, uint32_t T)
{
    bool offset = c.buffer != NULL;
    uint64_t rows = obi_planes_rows(m, planes, offset), count = (uint64_t)m * T;
    uint32_t workgroup = obi_workgroup_size(obi_cmd_device(cmd)), groups[3];
    if (!obi_check(cmd, planes > 0 && planes <= OBI_LOOP_MAX && rows * T <= INT32_MAX, "planes", "their products are too many for one op") ||
        !obi_matrix_check_view(cmd, "planes", "y", &y, T, m) || !obi_matrix_check_view(cmd, "planes", "the stack", &stack, T, rows) ||
        (offset && !obi_matrix_check_view(cmd, "planes", "the offset", &c, 1, m)) ||
        !obi_check_lanes(cmd, "planes", count, workgroup, groups))
        return;
    struct obi_push_bitlinear_planes push = { .m = m, .rows = (uint32_t)rows, .planes = planes, .count = (uint32_t)count };
    obi_dispatch dispatch = { .kernel = OBI_KERNEL_BITLINEAR_PLANES_FWD,
                              .spec = { workgroup, offset },
                              .spec_count = 2,
                              .groups = { groups[0], groups[1], groups[2] },
                              .push = &push,
                              .push_bytes = sizeof push,
                              .bindings = { obi_writes(y), obi_reads(stack), obi_reads(offset ? c : stack) },
                              .binding_count = 3,
                              .bytes = y.size + stack.size + (offset ? c.size : 0) };
    obi_cmd_dispatch(cmd, &dispatch);
}
