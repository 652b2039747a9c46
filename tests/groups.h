/* groups: what is promised about products of one vector with the matrices of a group (obi_op_bitlinear_group_fwd). */
#ifndef OB_TESTS_GROUPS_H
#define OB_TESTS_GROUPS_H

#include "ops/matrix.h"
#include "ops/sign_family.h"

/* Whether products of few tokens are one dispatch, of parts of one family that lie in order: the families table and int8 have no kernel
 * for that. At tier A family xor adds up in an order that depends on the rows of a workgroup, which follow from the rows of all; where
 * those of each part alone give another number, as on a CPU with 40 + 20 + 20 rows (8 together, 4 alone), each is multiplied by itself. */
static inline bool group_in_one_dispatch(const obi_device *device, obi_sign_family family, const uint32_t *rows, uint32_t count)
{
    if (family == OBI_SIGN_TABLE || family == OBI_SIGN_INT8) return false;
    if (family != OBI_SIGN_XOR || device->kernel_tier[OBI_KERNEL_BITLINEAR_GEMV] > OBI_TIER_A) return true;
    uint32_t all = 0;
    for (uint32_t i = 0; i < count; i++) all += rows[i];
    for (uint32_t i = 0; i < count; i++)
        if (obi_matrix_group_rows(device, rows[i]) != obi_matrix_group_rows(device, all)) return false;
    return true;
}

#endif
