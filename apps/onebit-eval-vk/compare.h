/* compare: many methods on one model, by a YAML file: a table, figures, a page. */
#ifndef ONEBIT_EVAL_COMPARE_H
#define ONEBIT_EVAL_COMPARE_H

int eval_compare_main(int argc, char **argv);

#endif
