/* rows_straight: element-wise ops and norms on software drivers (caps.straight), a chunk of columns of each row a dispatch. Called
 * by the ops of the same names, which have checked the views. */
#ifndef OBI_OPS_ROWS_STRAIGHT_H
#define OBI_OPS_ROWS_STRAIGHT_H

#include "ops/tensor.h"

/* Whether the device takes this way for arrays of (rows, columns): rows a multiple of 16, columns of 8. */
bool obi_rows_straight_takes(const obi_device *device, uint64_t rows, uint64_t columns);

uint64_t obi_rows_straight_bytes(uint32_t rows); /* of scratch that a norm takes */

void obi_rows_straight_rmsnorm(obi_cmd *cmd, obi_view y, obi_view x, obi_view w, uint32_t rows, uint32_t columns, float eps);
void obi_rows_straight_rmsnorm_bwd(obi_cmd *cmd, obi_view dx, obi_view dy, obi_view x, obi_view w, uint32_t rows, uint32_t columns,
                                   float eps, bool accumulate);
void obi_rows_straight_layernorm(obi_cmd *cmd, obi_view y, obi_view x, uint32_t rows, uint32_t columns, float eps);
void obi_rows_straight_layernorm_bwd(obi_cmd *cmd, obi_view dx, obi_view dz, obi_view x, uint32_t rows, uint32_t columns, float eps);
void obi_rows_straight_scale(obi_cmd *cmd, obi_view y, obi_view x, obi_view s, uint32_t rows, uint32_t columns, bool accumulate);

/* y = x * (h[row] * g[column]). */
void obi_rows_straight_scale_both(obi_cmd *cmd, obi_view y, obi_view x, obi_view h, obi_view g, uint32_t rows, uint32_t columns);

/* `direction`: kind OBI_HIDDEN_COS; else loss[rows] holds the sum of all teacher elements squared. */
void obi_rows_straight_hidden(obi_cmd *cmd, obi_view loss, obi_view dh, obi_view student, obi_view teacher, uint32_t rows, uint32_t columns,
                              float scale, bool direction);

void obi_rows_straight_kd(obi_cmd *cmd, obi_view loss, obi_view student, obi_view teacher, obi_view mask, uint32_t rows, uint32_t columns,
                          float scale);

/* Of `count` elements, which are taken as rows of OBI_FLAT_COLUMNS. */
#define OBI_FLAT_COLUMNS 128u
void obi_rows_straight_add(obi_cmd *cmd, obi_view y, obi_view a, obi_view b, uint64_t count);
void obi_rows_straight_swiglu(obi_cmd *cmd, obi_view y, obi_view gate, obi_view up, uint64_t count);
void obi_rows_straight_swiglu_bwd(obi_cmd *cmd, obi_view gate, obi_view up, obi_view dy, uint64_t count);

#endif
