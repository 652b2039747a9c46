/* decoder: a model going on with many sequences at once, a token of each at a time: the matrices are read once for all of
 * them. Each row has keys, values and a position of its own. One thread. */
#ifndef OBI_QUANT_TRAIN_DECODER_H
#define OBI_QUANT_TRAIN_DECODER_H

#include "quant/train/parameters.h"

typedef struct obi_decoder {
    obi_device *device;
    const obi_train_model *model; /* borrowed */
    obi_cmd *cmd;
    uint32_t rows, context;             /* B, and positions that a row may have; a multiple of 64 */
    uint32_t q_stride;                  /* H*C rounded up to 64: rows of q and of the attended values can be bound one by one */
    float *positions;                   /* LLaMA: (context, R) cos and sin, on the host */
    obi_buffer *ids;                    /* (B) u32, host-visible */
    obi_buffer *rope_table;             /* LLaMA: (B, R/2, 2), host-visible: row b's position */
    obi_buffer *position_rows;          /* OPT: (B) u32, host-visible: the row of it in the table of positions */
    obi_buffer *x, *normed, *projected; /* (B,D), projected (B, the wider of D and E) */
    obi_buffer *q, *attended;           /* (B,H*C) */
    obi_buffer *q_rows, *attended_rows; /* (B,q_stride), NULL when H*C is a multiple of 64 */
    obi_buffer *k, *v;                  /* (B,K*C) */
    obi_buffer *gate, *up;              /* (B,F); OPT has no up: what is behind its ReLU is in gate */
    obi_buffer *logits, *logits_host;   /* (B,V) */
    obi_buffer **k_cache, **v_cache;    /* L of (B, context, K*C) */
    uint64_t bytes;                     /* of these buffers */
} obi_decoder;

obi_status obi_decoder_create(const obi_train_model *model, uint32_t rows, uint32_t context, obi_decoder **out);
void obi_decoder_destroy(obi_decoder *decoder); /* NULL is allowed */

/* Feeds ids[b] to row b at positions[b], whose earlier positions have been fed. A row starts anew at position 0. *logits
 * (B,V) are the host's until the next step. What a row gives depends on that row alone, so rows that have nothing to do can
 * be fed anything. */
obi_status obi_decoder_step(obi_decoder *decoder, const uint32_t *ids, const uint32_t *positions, const float **logits);

/* For decoder_opt. Record: y (B,m) = the projection of x (B,n) as the engine makes it, without a bias; keys and values into each row's
 * cache, and `attended` of q, each row looking at its own. */
void obi_decoder_linear(obi_decoder *decoder, obi_view y, obi_view x, const obi_train_linear *linear);
void obi_decoder_attend(obi_decoder *decoder, uint32_t layer, const uint32_t *positions);

#endif
