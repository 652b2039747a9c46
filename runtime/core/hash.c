#include "core/hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t obi_hash(const void *bytes, size_t count, uint64_t seed) { return XXH64(bytes, count, seed); }
