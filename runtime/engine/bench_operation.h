/* bench_operation: what engine/bench.c knows of a single operation: what it works on, what that costs, how it is recorded. */
#ifndef OBI_ENGINE_BENCH_OPERATION_H
#define OBI_ENGINE_BENCH_OPERATION_H

#include "engine/bench.h"
#include "ops/op_bitlinear.h"

#define OBI_BENCH_BUFFERS 6

typedef enum obi_bench_contents {
    OBI_BENCH_FLOATS = 0,  /* from -0.5 to 0.5 */
    OBI_BENCH_POSITIVE = 1, /* from 0.5 to 1 */
    OBI_BENCH_IDS = 2,     /* u32 below m */
    OBI_BENCH_SCATTER = 3  /* the plan of obi_embed_plan for T ids below m */
} obi_bench_contents;

typedef struct obi_bench_buffer {
    uint64_t words;              /* of 32 bits; 0: there is no such buffer */
    obi_bench_contents contents;
    bool restored;               /* the operation changes it in place: before each round it is made what it was, untimed */
} obi_bench_buffer;

typedef enum obi_bench_matrix {
    OBI_BENCH_NO_MATRIX = 0,
    OBI_BENCH_F32 = 1,
    OBI_BENCH_F16 = 2,
    OBI_BENCH_SIGN_ROWS = 3, /* signs as training has them */
    OBI_BENCH_SIGNS = 4      /* signs as the engine has them: a group, in the layout of the family that was chosen */
} obi_bench_matrix;

/* What one operation of one shape needs and costs. Operations: what its formula says, a multiply and an add are two; an exponential, a
 * root, a division or a comparison is one. Bytes: every input once, every output once, twice what is added to. */
typedef struct obi_bench_plan {
    obi_bench_buffer buffers[OBI_BENCH_BUFFERS];
    obi_bench_matrix matrix; /* (m,n) */
    uint32_t matrices;       /* of a group: up to OBI_GROUP_MAX; 0 is 1 */
    double operations;
    uint64_t bytes, signs;   /* as in obi_bench_times */
    uint64_t distinct_bytes; /* more for each distinct id of OBI_BENCH_SCATTER */
} obi_bench_plan;

typedef struct obi_bench_operands {
    obi_device *device;
    obi_bench_shape shape;
    obi_buffer *buffers[OBI_BENCH_BUFFERS], *kept[OBI_BENCH_BUFFERS]; /* kept: what a restored one was */
    obi_weight weights[OBI_GROUP_MAX];
    uint32_t distinct; /* ids of a scatter's plan */
} obi_bench_operands;

typedef struct obi_bench_operation {
    const char *name, *formula;
    void (*plan)(const obi_device *device, obi_bench_shape shape, obi_bench_plan *plan); /* `plan` is zeroed before */
    void (*record)(obi_cmd *cmd, const obi_bench_operands *o);
    obi_bench_shape shapes[OBI_BENCH_SHAPES]; /* to be measured where none is asked for; behind the last one with T = 0 */
} obi_bench_operation;

/* The tables, each ended by an entry without a name. */
extern const obi_bench_operation obi_bench_products[], obi_bench_forward[], obi_bench_training[];

static inline obi_view obi_bench_view(const obi_bench_operands *o, int i) { return obi_view_of(o->buffers[i]); }

/* Heads of a width n for operations on heads: of 128 elements if n allows it, else of 64, else as long as n and 256 do; an odd n has
 * one element more. H * C is the width. */
typedef struct obi_bench_heads { uint32_t H, C; } obi_bench_heads;
obi_bench_heads obi_bench_heads_of(uint32_t n);

#endif
