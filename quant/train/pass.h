/* pass: the forward and backward pass over a micro-batch, as lists of op calls over one set of buffers.
 *
 * A micro-batch is `sequences` sequences of T tokens, N = sequences * T rows. T is a multiple of 64, so that any
 * tile of tokens of a buffer starts where it can be bound. Letters as in ops/tensor.h. One thread. */
#ifndef OBI_QUANT_TRAIN_PASS_H
#define OBI_QUANT_TRAIN_PASS_H

#include "quant/train/parameters.h"

/* What one layer keeps for its backward. */
typedef struct obi_layer_acts {
    obi_buffer *normed;                    /* (N,D) after attn_norm */
    obi_buffer *qkv;                       /* q (N,H*C), k and v (N,K*C), rotated: op_attn_bwd.h has the layout */
    obi_buffer *attended;                  /* (N,H*C) */
    obi_buffer *middle;                    /* (N,D) the residual stream behind attention */
    obi_buffer *normed_ffn;                /* (N,D) after ffn_norm */
    obi_buffer *gate, *up, *act;           /* (N,F); of OPT act alone (forward_opt.h says what it keeps) */
    obi_buffer *sums[OBI_LINEAR_COUNT];    /* (N,m) V = U S^T of each 1-bit linear */
} obi_layer_acts;

/* What a pass is made for. Gradients of the two that go backward have the same bits. */
typedef enum obi_pass_keeping {
    OBI_PASS_FORWARD = 0,  /* forward only: all layers share one set of acts */
    OBI_PASS_KEEP = 1,     /* each layer's acts stay for its backward */
    OBI_PASS_RECOMPUTE = 2 /* x[l] stays; one set of acts, made again from it before the layer's backward */
} obi_pass_keeping;

typedef struct obi_pass {
    obi_device *device;
    const obi_train_model *model;
    uint32_t sequences, T, N;
    obi_pass_keeping keeping;
    obi_buffer *ids;             /* (N) u32, host-visible */
    obi_buffer *rope_table;      /* LLaMA: (N, R/2, 2): positions 0..T-1 for each sequence */
    obi_buffer **x;              /* L+1 of (N,D): x[0] embedding, x[l+1] output of layer l; all there whatever is kept */
    obi_buffer *final;           /* (N,E) what the head reads: after output_norm and OPT's projection; E is D without one */
    obi_buffer *position_rows;   /* OPT: (N) u32, the positions' rows in their table, host-visible */
    obi_buffer *position_plan;   /* OPT, backward: their obi_embed_plan, host-visible */
    obi_buffer *embedded, *normed_last; /* OPT with projections: (N,E) what project_in reads, (N,D) what project_out does */
    obi_buffer *ones;            /* OPT, backward: (N, widest) */
    obi_layer_acts *layers;      /* L with OBI_PASS_KEEP, else 1: obi_pass_layer_acts */
    /* scratch */
    obi_buffer *wide[4];         /* (N, widest of any linear's inputs and outputs) */
    obi_buffer *dx, *dnormed;    /* (N,D), not with OBI_PASS_FORWARD */
    obi_buffer *dqkv, *stats;    /* gradient of a layer's qkv, and softmax statistics, likewise */
    obi_buffer *folds;           /* partial sums of column reductions, likewise */
    uint64_t bytes;              /* of all of the above */
    bool measuring;              /* count them only */
} obi_pass;

obi_status obi_pass_create(const obi_train_model *model, uint32_t sequences, uint32_t T, obi_pass_keeping keeping, obi_pass **out);
void obi_pass_destroy(obi_pass *pass); /* NULL is allowed */

/* What such a pass takes, without making it; OBI_ERROR_MEMORY when one of its buffers could not be bound. */
obi_status obi_pass_measure(const obi_train_model *model, uint32_t sequences, uint32_t T, obi_pass_keeping keeping, uint64_t *bytes);

/* What its recording takes of the cmd's scratch, the head for `tile` tokens at a time. */
uint64_t obi_pass_scratch_bytes(const obi_train_model *model, uint32_t sequences, uint32_t T, uint32_t tile);

/* Puts N ids where the embedding reads them; the device must be done with the last ones. */
obi_status obi_pass_set_ids(obi_pass *pass, uint32_t sequence, const uint32_t *ids);

/* Records embedding and layers: x[0..L] and `final`. */
void obi_pass_forward(obi_pass *pass, obi_cmd *cmd);

/* Records one layer of it: x[layer + 1] from x[layer]. */
void obi_pass_layer_forward(obi_pass *pass, obi_cmd *cmd, uint32_t layer);

/* Records what the layer's backward needs and the forward of another layer has overwritten; OBI_PASS_RECOMPUTE. */
void obi_pass_recompute(obi_pass *pass, obi_cmd *cmd, uint32_t layer);

/* Records logits (rows, V) of rows [first, first + rows) of `final`; first is a multiple of 64. */
void obi_pass_logits(obi_pass *pass, obi_cmd *cmd, obi_view logits, uint32_t first, uint32_t rows);

/* Records what dlogits (rows, V) of those rows give: the head's gradient (if trained), and rows of wide[3] = d final. */
void obi_pass_logits_backward(obi_pass *pass, obi_cmd *cmd, obi_view dlogits, uint32_t first, uint32_t rows);

/* Right after obi_pass_forward and the logits: records the layers upside down from wide[3]; gradients are added to. Calls
 * hidden(l) when dx holds the gradient of x[l+1] for l = L-1 .. 0, so that a loss on hidden states can add its own. */
void obi_pass_backward(obi_pass *pass, obi_cmd *cmd, void (*hidden)(void *user, obi_cmd *cmd, uint32_t layer), void *user);

/* Behind it: records the gradients of what lies between the embedding's rows and x[0], and returns that of the rows (N,E). */
obi_view obi_pass_embedding_backward(obi_pass *pass, obi_cmd *cmd);

/* Records one layer of it: dx holds the gradient of x[layer + 1], then that of x[layer]. The layer's acts are as its forward left
 * them; of OPT, biases and norms are not trained (their gradients need what obi_pass_backward makes first). */
void obi_pass_layer_backward(obi_pass *pass, obi_cmd *cmd, uint32_t layer);

#endif
