/* weights: a model's tensors on the device, by role. Immutable after loading; any number of sessions may share them. */
#ifndef OBI_ENGINE_WEIGHTS_H
#define OBI_ENGINE_WEIGHTS_H

#include "model/config.h"
#include "model/gguf.h"
#include "ops/op_bitlinear.h"
#include "ops/tensor.h"

/* One projection: y = W x, or the OneBit form y = LayerNorm(h ⊙ (S (g ⊙ x))), or of P sign matrices ("planes")
 * y_i = sum_p h_pi (S_p (g ⊙ x))_i + c_i sum_j g_j x_j; or of bytes (op_int8.h). */
typedef struct obi_linear {
    obi_weight weight; /* (m,n); of signs all planes one below the other, row p m + i being plane p of output i; with an offset one row
                        * more, whose signs are all +, and whose h is 1 */
    obi_view scales;   /* g and h of a sign weight (op_bitlinear.h has the layout), h as long as it has rows; no buffer: of a dense one */
    obi_view offset;   /* c (m), f32; no buffer: none */
    obi_view bias;     /* (m), f32, added after the post-norm; no buffer: none */
    uint32_t planes;   /* P; 0: of a dense weight */
} obi_linear;

/* m. */
static inline uint32_t obi_linear_rows(const obi_linear *linear)
{
    return linear->planes ? (linear->weight.rows - (linear->offset.buffer != NULL)) / linear->planes : linear->weight.rows;
}

typedef struct obi_layer_weights {
    obi_buffer *attn_norm, *ffn_norm; /* (D) */
    obi_buffer *attn_norm_bias, *ffn_norm_bias; /* (D), of OPT; else NULL, as biases */
    obi_buffer *biases;                  /* of all linears, one behind the other */
    obi_linear linear[OBI_LINEAR_COUNT]; /* signs of q, k, v and of gate, up as groups: obi_weight_create_group */
    obi_buffer *scales;                  /* of all of them, one behind the other */
} obi_layer_weights;

typedef struct obi_weights {
    obi_device *device;
    obi_config config;
    obi_weight embedding;      /* (V,E), F32 or F16; E = D but for an OPT with projections */
    obi_weight head;           /* (V,E); not set when config.tied: then the embedding serves */
    obi_buffer *output_norm;   /* (D); NULL where config.norm_last */
    obi_buffer *output_norm_bias;        /* (D), of OPT; likewise */
    obi_weight positions;                /* (context + 2, D), of OPT */
    obi_weight project_in, project_out;  /* (D,E) and (E,D), of an OPT whose embedding has another width; else not set */
    obi_layer_weights *layers; /* L */
    obi_mapping mapping;       /* of the file, where weights are its pages (obi_weight_import); else zeroed */
    float *rope_factors;       /* rope_dimensions/2 divisors, or NULL */
    uint64_t parameters;       /* of the model; the value vectors of 1-bit layers are part of its encoding and not counted */
    uint64_t device_bytes;
    uint64_t fingerprint;      /* of what the file says about itself, and of its norms: tells models apart */
} obi_weights;

typedef bool (*obi_weights_progress)(double fraction, const char *what, void *user); /* false: cancel */

/* Checks every tensor's shape and type against the config and uploads it. Dense matrices that lie in the file as kernels read them are
 * not copied where the device can read the file's pages: then the file must not be cut short while the weights live (replacing it
 * by another under its name is fine); `gguf` may be closed all the same. F32 and BF16 become F32, F16 stays, Q8_0 and
 * Q4_0 become F16 (their own steps are far coarser). OBI_ERROR_DATA names the first tensor that is wrong. */
obi_status obi_weights_load(obi_device *device, const obi_gguf *gguf, obi_weights_progress progress, void *user, obi_weights **out);
void obi_weights_free(obi_weights *weights); /* NULL is allowed */

/* For who makes weights: the sign matrices of a layer, empty, and its buffer of scales; every linear's view of it is set.
 * `scale_floats`: the buffer's size. What was made is the layer's also after a failure. */
obi_status obi_layer_signs_create(obi_device *device, const obi_config *config, obi_layer_weights *layer, uint64_t *scale_floats);

/* The head's matrix. */
const obi_weight *obi_weights_head(const obi_weights *weights);

#endif
