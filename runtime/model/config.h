/* config: a model's hyper-parameters, checked. Of two families: LLaMA, and OPT (Zhang et al. 2022, as in transformers' OPTForCausalLM):
 *
 *             LLaMA                                OPT
 *   norms     RMSNorm                              LayerNorm with weights and biases
 *   positions rotary                               a table of rows that are added to the embedding
 *   linears   q k v o, gate up down, no bias       q k v o, up (fc1) down (fc2), each with a bias
 *   ffn       down(silu(gate x) * up x)            down(relu(up x))
 *   sizes     key heads may be shared              the embedding may be narrower or wider, with projections from and to D */
#ifndef OBI_MODEL_CONFIG_H
#define OBI_MODEL_CONFIG_H

#include "core/rope_layout.h"
#include "model/gguf.h"

typedef enum obi_family { OBI_FAMILY_LLAMA = 0, OBI_FAMILY_OPT = 1 } obi_family;

/* OPT: position p has row p + 2 of the position table, as its first model was trained with two rows more. */
#define OBI_POSITION_OFFSET 2u

typedef struct obi_config {
    obi_family family;
    bool onebit;            /* linears are signs with value vectors, or (int8_rows) bytes: architecture onebitllama */
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
    float norm_eps;         /* of RMSNorm, or of OPT's LayerNorm */
    /* LLaMA only */
    float rope_theta;
    uint32_t rope_dimensions; /* of each head, even, <= C */
    float rope_scale;       /* positions are divided by this: 1, or the factor of linear scaling */
    obi_rope_layout rope_layout;
    /* OPT only */
    uint32_t embedding_width; /* E: columns of the embedding and of the head where projections lead to D and back; 0: they have D */
    bool norm_last;           /* each norm follows a layer's sum instead of leading its half of the layer; none is before the head */
    bool tied;              /* the head is the embedding: there is no output.weight */
    /* onebit only */
    uint32_t planes;        /* P: each linear is a sum of so many sign matrices, 1 to OBI_PLANES_MAX; 0 says 1, too */
    bool no_input_factor;   /* there is no g: it is 1 */
    bool offset;            /* linears have a vector o besides, of the sum of their inputs (docs/format.md) */
    bool int8_rows;         /* linears are bytes with a scale for each row and no signs: nothing of the above */
    float int8_threshold;   /* of int8_rows: inputs with an element at least as large are multiplied unrounded; 6 */
} obi_config;

#define OBI_PLANES_MAX 4u
#define OBI_INT8_THRESHOLD 6.0f /* of LLM.int8(), arXiv 2208.07339 */

/* P, at least 1. */
static inline uint32_t obi_config_planes(const obi_config *config) { return config->planes > 1 ? config->planes : 1; }

/* Whether each linear is one sign matrix with g and h, the form that OneBit trains and that this program takes as a source. */
static inline bool obi_config_is_svid(const obi_config *config)
{
    return config->onebit && obi_config_planes(config) == 1 && !config->no_input_factor && !config->offset && !config->int8_rows;
}

/* Refuses what cannot be: zero or absurd sizes (width and ffn up to 2^20, layers up to 1024, vocabulary up to 2^22,
 * context up to 2^24, head_size even and up to 256), kv_heads that do not divide heads, non-finite or non-positive
 * eps and theta. OBI_ERROR_DATA with the name and the value. */
obi_status obi_config_check(const obi_config *config);

/* From a GGUF file's keys (architectures "llama", "onebitllama", "opt" and "onebitopt"); calls obi_config_check. Another
 * architecture is OBI_ERROR_DATA naming it and those we run. The vocabulary comes from the key or from token_embd.weight. */
obi_status obi_config_from_gguf(obi_config *config, const obi_gguf *gguf);

/* Writes the keys of the config (general.architecture, <arch>.*, onebit.*). */
void obi_config_to_gguf(const obi_config *config, obi_gguf_writer *writer);

/* cos and sin for positions 0 .. count-1: out[(p * half + i) * 2] = cos, [.. + 1] = sin, half = rope_dimensions/2,
 * angle = (p / rope_scale) * theta^(-2i/rope_dimensions) / factor[i]; computed in double. `factors` (half of them) may
 * be NULL (all 1). Made on the host because drivers' sin is off by 1.5e-3 at large arguments. */
void obi_config_rope_table(const obi_config *config, const float *factors, uint32_t first, uint32_t count, float *out);

/* Columns of the embedding and of the head: E, or D. */
uint32_t obi_config_embedding_width(const obi_config *config);
/* Rows of OPT's position table. */
uint32_t obi_config_position_rows(const obi_config *config);

/* The names of one layer's tensors are "blk.%u.<role>"; roles of the seven linears, in file order. OPT has no gate. */
enum { OBI_LINEAR_Q, OBI_LINEAR_K, OBI_LINEAR_V, OBI_LINEAR_O, OBI_LINEAR_GATE, OBI_LINEAR_UP, OBI_LINEAR_DOWN, OBI_LINEAR_COUNT };
extern const char *const obi_linear_roles[OBI_LINEAR_COUNT]; /* "attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", ... */
bool obi_config_has_linear(const obi_config *config, int role);
/* out (rows) and in (columns) of a linear; 0 of one that the family does not have. */
void obi_config_linear_shape(const obi_config *config, int role, uint32_t *rows, uint32_t *columns);

#endif
