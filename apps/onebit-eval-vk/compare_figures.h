/* compare_figures: the pictures of a comparison. */
#ifndef ONEBIT_EVAL_COMPARE_FIGURES_H
#define ONEBIT_EVAL_COMPARE_FIGURES_H

#include <stdio.h>

#include "compare_table.h"

/* Figure i: perplexity over bits (the paper's Figure 1), size and bits (3c), then those of the config (5, 6: losses, rates); false behind
 * the last. *file is its name without a suffix, *caption one line; both live as long as the config. With `to` it is drawn there, as <svg>;
 * failures show at the file. *drawn is false, and nothing is written, where no row that it needs has succeeded. */
bool compare_figure_draw(const compare_outcome *outcome, size_t i, FILE *to, const char **file, const char **caption, bool *drawn);

#endif
