/* block: one decoder layer of a dense model on the device, which the calibrated methods run window by window with weights of their own.
 *
 * The layer is a model of one layer for the trainer's passes (quant/train/pass.h), so what is calibrated is what is trained and, to
 * rounding, what the engine runs. Only one layer at a time is on the device. One thread. */
#ifndef OBI_QUANT_PTQ_BLOCK_H
#define OBI_QUANT_PTQ_BLOCK_H

#include "quant/train/pass.h"

typedef struct obi_block {
    obi_device *device;
    const obi_source *source;
    obi_upload *upload;
    obi_cmd *cmd;
    obi_train_model *model; /* of one layer */
    obi_pass *pass;         /* of one window */
    uint32_t T;
    obi_weight project_in;            /* OPT with an embedding of another width: from it, F32 (D,E) */
    obi_buffer *embedded;             /* likewise: (T,E) */
    float *weights[OBI_LINEAR_COUNT]; /* (m,n) of the loaded layer as the source has them; NULL of those that the family lacks */
} obi_block;

/* For windows of T tokens. `trained`: the linears have gradients, and the pass keeps what a backward needs. */
obi_status obi_block_create(obi_device *device, const obi_source *source, uint32_t T, bool trained, obi_block **out);
void obi_block_destroy(obi_block *block); /* NULL is allowed */

/* Takes up layer `layer`: norms and linears as the source has them, on the device and the linears in `weights` too. */
obi_status obi_block_load(obi_block *block, uint32_t layer);

/* Whether the family has the linear; the next functions are for those that it has. */
static inline bool obi_block_has(const obi_block *block, int kind) { return obi_config_has_linear(&block->model->config, kind); }

/* The linear's weight on the device, an F32 (m,n), and its gradient. */
const obi_weight *obi_block_weight(const obi_block *block, int kind);
const obi_weight *obi_block_gradient(const obi_block *block, int kind);

/* Gives a linear other numbers (m,n). */
obi_status obi_block_set(obi_block *block, int kind, const float *w);

/* The inputs of a linear in the last forward, (T, columns). */
obi_view obi_block_inputs(const obi_block *block, int kind);

/* What goes into the first layer: x (T,D) for T ids. */
obi_status obi_block_embed(obi_block *block, const uint32_t *ids, float *x);

/* y (T,D) = the layer of x (T,D), both on the host; y may be x, or NULL when only the inputs of linears are wanted. `observe`, which may
 * be NULL, records what it makes of obi_block_inputs. */
obi_status obi_block_forward(obi_block *block, const float *x, float *y, void (*observe)(void *user, obi_cmd *cmd), void *user);

#endif
