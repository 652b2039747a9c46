/* size: how many bits a file's linear layers take, and the rest, from its table of tensors. */
#ifndef OBI_MODEL_SIZE_H
#define OBI_MODEL_SIZE_H

#include "model/gguf.h"

typedef struct obi_size {
    uint32_t planes;         /* of signs; 0: none */
    uint64_t linear_weights; /* m n, summed */
    uint64_t linear_values;  /* scales, input factors, offsets */
    double stored_bits;      /* of both, without pad bits */
    double method_bits;      /* of a weight, which the file says itself; 0: it does not */
    uint64_t parameters, table_bytes, tensor_bytes;
} obi_size;

/* Counts. Linear layers are the tensors blk.N.ROLE.weight of two dimensions with the roles attn_q, attn_k, attn_v, attn_output, ffn_gate,
 * ffn_up and ffn_down; of signs (I32, docs/format.md) the inputs follow from the model's width and from the layer before. OBI_ERROR_DATA,
 * naming the tensor, when they do not fit together. */
obi_status obi_size_of(const obi_gguf *gguf, obi_size *size);

#endif
