/* config: a LLaMA-family model's hyper-parameters, checked. */
#ifndef OBI_MODEL_CONFIG_H
#define OBI_MODEL_CONFIG_H

#include "core/rope_layout.h"
#include "model/gguf.h"

typedef struct obi_config {
    bool onebit;            /* linears are signs with value vectors */
    bool post_norm;         /* OneBit: LayerNorm without affine after each linear */
    float post_norm_eps;    /* 1e-5 */
    uint32_t width;         /* D */
    uint32_t layers;        /* L */
    uint32_t heads;         /* H */
    uint32_t kv_heads;      /* K, divides H */
    uint32_t head_size;     /* C, even */
    uint32_t ffn;           /* F */
    uint32_t vocabulary;    /* V */
    uint32_t context;       /* positions the model was trained for */
    float norm_eps;         /* of RMSNorm */
    float rope_theta;
    uint32_t rope_dimensions; /* of each head, even, <= C */
    float rope_scale;       /* positions are divided by this: 1, or the factor of linear scaling */
    obi_rope_layout rope_layout;
    bool tied;              /* the head is the embedding: there is no output.weight */
} obi_config;

/* Refuses what cannot be: zero or absurd sizes (width and ffn up to 2^20, layers up to 1024, vocabulary up to 2^22,
 * context up to 2^24, head_size even and up to 256), kv_heads that do not divide heads, non-finite or non-positive
 * eps and theta. OBI_ERROR_DATA with the name and the value. */
obi_status obi_config_check(const obi_config *config);

/* From a GGUF file's keys (architectures "llama" and "onebitllama"); calls obi_config_check. Another architecture
 * is OBI_ERROR_DATA naming it and those we run. The vocabulary comes from the key or from token_embd.weight. */
obi_status obi_config_from_gguf(obi_config *config, const obi_gguf *gguf);

/* Writes the keys of the config (general.architecture, <arch>.*, onebit.*). */
void obi_config_to_gguf(const obi_config *config, obi_gguf_writer *writer);

/* cos and sin for positions 0 .. count-1: out[(p * half + i) * 2] = cos, [.. + 1] = sin, half = rope_dimensions/2,
 * angle = (p / rope_scale) * theta^(-2i/rope_dimensions) / factor[i]; computed in double. `factors` (half of them) may
 * be NULL (all 1). Made on the host because drivers' sin is off by 1.5e-3 at large arguments. */
void obi_config_rope_table(const obi_config *config, const float *factors, uint32_t first, uint32_t count, float *out);

/* The names of one layer's tensors are "blk.%u.<role>"; roles of the seven linears, in file order. */
enum { OBI_LINEAR_Q, OBI_LINEAR_K, OBI_LINEAR_V, OBI_LINEAR_O, OBI_LINEAR_GATE, OBI_LINEAR_UP, OBI_LINEAR_DOWN, OBI_LINEAR_COUNT };
extern const char *const obi_linear_roles[OBI_LINEAR_COUNT]; /* "attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", ... */
/* out (rows) and in (columns) of a linear. */
void obi_config_linear_shape(const obi_config *config, int role, uint32_t *rows, uint32_t *columns);

#endif
