/* shape: the sizes of published models, without their files. */
#ifndef ONEBIT_EVAL_SHAPE_H
#define ONEBIT_EVAL_SHAPE_H

#include <stdint.h>

typedef struct eval_matrix { uint64_t rows, columns, count; } eval_matrix; /* m, n, of each layer */
#define EVAL_MATRICES 4

typedef struct eval_shape {
    char name[64];
    uint64_t layers;
    eval_matrix matrix[EVAL_MATRICES]; /* linear layers; count 0: none */
    uint64_t tables;                   /* parameters of embedding, positions and head */
    uint64_t others;                   /* norms, biases, projections of the embedding */
} eval_shape;

/* "llama-7b", ..., or "4096x4096": one matrix by itself. Returns 0 if there is no such shape. */
int eval_shape_find(const char *name, uint64_t length, eval_shape *shape);
/* The i-th published shape's name; NULL behind the last. */
const char *eval_shape_name(int i);

#endif
