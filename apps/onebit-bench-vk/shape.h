/* shape: the sizes of a model of random weights, as --random takes them. */
#ifndef ONEBIT_BENCH_VK_SHAPE_H
#define ONEBIT_BENCH_VK_SHAPE_H

#include <stdint.h>

#define SHAPE_HELP "7B, 1.1B, 0.26M, or sizes of its own:\nwidth=2048,ffn=5632,layers=22,heads=32,kv_heads=4,vocab=32000;\nplanes=2 behind either: each linear is a sum of so many sign matrices, up to 4"

typedef struct model_shape {
    int64_t width, ffn, layers, heads, kv_heads, vocabulary, planes;
    char name[64]; /* "random 7B" */
} model_shape;

/* Returns APP_GO_ON, or 2 after a sentence about what is wrong with `word`. */
int shape_read(const char *word, model_shape *out);

/* About as many bytes as a file of it would have. */
uint64_t shape_bytes(const model_shape *shape);

#endif
