#ifndef OB_PUSH_ATTN_H
#define OB_PUSH_ATTN_H
#include "push.h"

struct obi_push_attn_rope {
    OB_U32 pairs; /* T * heads * R/2 */
    OB_U32 heads, head_size, rotated, first_position;
};
struct obi_push_attn_rope_straight {
    OB_U32 x_low, x_high, table_low, table_high; /* addresses, halves of 64 bits */
    OB_U32 x_first;                              /* in the bound view, in floats */
    OB_U32 token_stride, head_size, rotated;     /* floats of a token; the others as above */
    OB_U32 digit[16];                            /* 0, 1, 2, ...: straight.glsl says why */
};
struct obi_push_attn_kv_store {
    OB_U32 count, first; /* words of a cache: of T * width elements, and of first_position * width */
};
struct obi_push_attn_kv_store_int8 {
    OB_U32 tokens, vectors, head_size, first_position;
};
struct obi_push_attn_attend {
    OB_U32 tokens, heads, kv_heads, head_size, first_position;
    OB_U32 first_token, count; /* the dispatch's, of `tokens` */
    OB_F32 scale;
};
struct obi_push_attn_combine {
    OB_U32 rows, first; /* token * heads + head: how many, and the first of them in the result */
    OB_U32 head_size, splits;
};
struct obi_push_attn_bwd {
    OB_U32 tokens, heads, kv_heads, head_size; /* tokens of one sequence */
    OB_U32 k_start, v_start;                   /* where keys and values begin in q|k|v, in floats */
    OB_F32 scale;
};

/* A chunk of columns of some rows of attention's matrices on software drivers, each (heads, tokens, tokens): attn/rows_straight. */
struct obi_push_attn_rows {
    OB_U32 weights_low, weights_high, slopes_low, slopes_high, stats_low, stats_high; /* addresses, halves of 64 bits */
    OB_U32 tokens, first_row, first_column;
    OB_U32 fresh; /* 1: stats begin here */
    OB_F32 scale;
    OB_U32 digit[16]; /* 0, 1, 2, ...: straight.glsl says why */
};

/* Chunks of positions of some rows of a prompt's scores on software drivers: attn/prompt_rows_straight. */
struct obi_push_attn_prompt_rows {
    OB_U32 scores_low, scores_high, stats_low, stats_high; /* addresses, halves of 64 bits */
    OB_U32 rows, stride;   /* of a head; and words of a row */
    OB_U32 first_position; /* of row 0 */
    OB_U32 chunks;
    OB_F32 scale;
    OB_U32 digit[16];      /* 0, 1, 2, ...: straight.glsl says why */
};

#endif
