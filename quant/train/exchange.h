/* exchange: arrays on each rank's device, added up over all ranks or made rank 0's, through host memory in chunks. One thread. */
#ifndef OBI_QUANT_TRAIN_EXCHANGE_H
#define OBI_QUANT_TRAIN_EXCHANGE_H

#include "gpu/cmd.h"
#include "quant/train/ranks.h"

#define OBI_EXCHANGE_BYTES (16ull << 20) /* on the device, where there are other ranks */

typedef struct obi_exchange obi_exchange;

/* NULL with OBI_OK for one process alone. */
obi_status obi_exchange_create(obi_device *device, const obi_ranks *ranks, obi_exchange **out);
void obi_exchange_destroy(obi_exchange *exchange); /* NULL is allowed, as below, where there is then nothing to do */

/* Collective. The views are f32 arrays, the same ones in the same order on every rank, 4 * words bytes. */
obi_status obi_exchange_sum(obi_exchange *exchange, const obi_view *views, size_t count);   /* each element, over the ranks */
obi_status obi_exchange_share(obi_exchange *exchange, const obi_view *views, size_t count); /* rank 0's values for all */

#endif
