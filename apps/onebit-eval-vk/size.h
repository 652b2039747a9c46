/* size: bits of a linear weight, bits of a parameter, bytes; of a file, or of a published shape by the formula. */
#ifndef ONEBIT_EVAL_SIZE_H
#define ONEBIT_EVAL_SIZE_H

#include "onebit/onebit.h"
#include "shape.h"

/* How the formula stores a linear layer of n inputs and m outputs. */
typedef struct eval_form {
    int64_t bits;  /* 0: OneBit, m n + 16 (m + n). Else uniform: bits m n, and for each group of a row a scale of 16 and a zero point of
                    * `bits` bits */
    int64_t group; /* weights of a group; 0: the row */
} eval_form;

/* By the formula: everything but the linear layers takes 16 bits, nothing is padded, and there is no tokenizer. file_bytes is 0. */
void eval_size_of_shape(const eval_shape *shape, const eval_form *form, ob_model_size *size);

/* 1 - bytes / FP16 bytes, in percent; bytes are those of the tensors. */
double eval_size_saved(const ob_model_size *size);

int eval_size_main(int argc, char **argv);

#endif
