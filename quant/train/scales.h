/* scales: the forms of a 1-bit layer that are trained, and where g and h of a layer made from an ordinary weight begin. All
 * forms are signs, g and h, for the same kernels and the same file:
 *     onebit      W ~ sign(W) * (h gT)                                  OneBit, arXiv 2402.11295
 *     xnor        W ~ sign(W) * (h 1T), h one number a row              XNOR-Net, arXiv 1603.05279
 *     bitnet_b1   W ~ sign(W - c) * h, c the mean of W, h one number    BitNet, arXiv 2310.11453 */
#ifndef OBI_QUANT_TRAIN_SCALES_H
#define OBI_QUANT_TRAIN_SCALES_H

#include "quant/train/parameters.h"

/* Of a layer's scales: which of them are trained, and whether as one number. */
void obi_scales_tell(obi_param *scales, const obi_train_options *options, uint32_t rows, uint32_t columns);

/* g and h come from a decomposition on the device. If not: from sizes of the weight alone. */
bool obi_scales_by_svid(const obi_train_options *options);

/* Signs are taken of W minus its mean over the matrix. */
bool obi_scales_centred(const obi_train_options *options);

/* Mean over a row of W - center, or of its absolute value. */
double obi_scales_row_mean(const float *row, uint32_t columns, double center, bool absolute);

/* The same over all rows. */
double obi_scales_mean(const double *row_means, uint32_t rows);

/* g and h where obi_scales_by_svid says no; sizes: the mean |W - center| of each row. The random ones depend on the options'
 * seed and on the tensor's name only. */
void obi_scales_start(const obi_train_options *options, const char *name, const double *sizes, uint32_t rows, uint32_t columns, float *g,
                      float *h);

/* Refuses a method, or a start of the scales, that the model to start from rules out. NULL: there is none. */
obi_status obi_scales_check(const obi_train_options *options, const obi_source *start);

/* The method as the key has it, and bits a weight over all linears of the config: a sign, and 16 bits for each number of g and h
 * that the form has (a file always has them all). Of the first three methods. */
const char *obi_method_name(obi_method method);
double obi_scales_bits(obi_method method, const obi_config *config);

/* What is trained of a block of `state` (w, gradient, m or v), and how many elements that is. */
obi_view obi_param_trained(const obi_param *param, const obi_weight *state, uint32_t block, uint64_t *count);

#endif
