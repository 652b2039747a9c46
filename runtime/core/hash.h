/* hash: 64 bits that tell bytes apart; not for cryptography. The same on every machine. */
#ifndef OBI_CORE_HASH_H
#define OBI_CORE_HASH_H

#include <stddef.h>
#include <stdint.h>

/* XXH64. The hash of what came before as `seed` makes one of several parts. */
uint64_t obi_hash(const void *bytes, size_t count, uint64_t seed);

#endif
