/* compare_page: what a comparison leaves for readers: figures, one HTML page with all in it, and a part of a Markdown document. */
#ifndef ONEBIT_EVAL_COMPARE_PAGE_H
#define ONEBIT_EVAL_COMPARE_PAGE_H

#include "compare_table.h"

/* Writes table.md, report.html (self-contained) and NAME.svg of every figure that can be drawn into output_dir; where the config names a
 * document, also its part of that (compare_document_write). Each file appears whole. Returns 0, or 1 and has said why. */
int compare_page_write(const compare_outcome *outcome);

#define COMPARE_BEGIN "<!-- comparison: begin -->"
#define COMPARE_END "<!-- comparison: end -->"

/* Puts table, figures and settings between the lines COMPARE_BEGIN and COMPARE_END of a Markdown file, whose rest stays as it is; the
 * figures lie beside it as STEM-NAME.svg. A file that is not there is made; one without the two lines is refused. */
int compare_document_write(const compare_outcome *outcome, const char *path);

#endif
