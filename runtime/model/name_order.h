/* name_order: the indices of some names in the order of their bytes. One sort finds duplicates and serves every
 * later look-up by bisection, and costs n log n whatever the names are: a hash table could be made quadratic by a
 * file whose names were chosen to collide. */
#ifndef OBI_MODEL_NAME_ORDER_H
#define OBI_MODEL_NAME_ORDER_H

#include <stdint.h>

#include "core/status.h"
#include "model/gguf.h"

/* The name of item i. */
typedef obi_gguf_string (*obi_name_at)(const void *items, uint64_t i);

/* Sets *order to `count` sorted indices, to be released with obi_free. *duplicate is the index of a name that
 * occurs twice, or `count` when all differ. OBI_ERROR_MEMORY when memory is out. */
obi_status obi_name_order_create(uint64_t **order, const void *items, uint64_t count, obi_name_at name_at, uint64_t *duplicate);

/* The index of `name`, or `count` when it is not there. */
uint64_t obi_name_order_find(const uint64_t *order, const void *items, uint64_t count, obi_name_at name_at, obi_gguf_string name);

#endif
