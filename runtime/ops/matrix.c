#include "ops/matrix.h"

#include "core/checked.h"
#include "ops/check.h"

uint32_t obi_matrix_group_rows(const obi_device *device, uint32_t m)
{
    uint32_t enough = device->caps.type == VK_PHYSICAL_DEVICE_TYPE_CPU ? 8 : 256; /* workgroups that keep it busy */
    for (uint32_t rows = 16; rows > 4; rows /= 2)
        if (m / rows >= enough) return rows;
    return 4;
}

void obi_matrix_gemv(obi_cmd *cmd, obi_dispatch *dispatch, const obi_weight *weight, uint32_t row_count, uint32_t T)
{
    const obi_device *device = obi_cmd_device(cmd);
    uint32_t rows = obi_matrix_group_rows(device, weight->rows);
    dispatch->spec[0] = obi_workgroup_size(device);
    dispatch->spec[1] = rows;
    dispatch->spec_count = 2;
    obi_fold_groups(device, obi_div_ceil(row_count, rows), dispatch->groups);
    dispatch->groups[2] = T;
    obi_cmd_dispatch(cmd, dispatch);
}

bool obi_matrix_check_view(obi_cmd *cmd, const char *name, const char *what, obi_view *view, uint64_t rows, uint64_t columns)
{
    if (!obi_check_words(cmd, name, what, *view, rows, columns)) return false;
    view->size = rows * columns * 4;
    return true;
}

bool obi_matrix_check(obi_cmd *cmd, const char *name, obi_view *y, obi_view *x, const obi_weight *weight, obi_weight_type type,
                      uint32_t T)
{
    return obi_check(cmd, weight->type == type, name, "its weight has another type than this op takes") &&
           obi_check(cmd, weight->columns <= OBI_MATRIX_COLUMNS_MAX, name,
                     "rows of more than 65536 columns are too long for its kernels") &&
           obi_matrix_check_view(cmd, name, "y", y, T, weight->rows) && obi_matrix_check_view(cmd, name, "x", x, T, weight->columns);
}
