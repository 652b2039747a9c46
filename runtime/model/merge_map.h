/* merge_map: from a pair of token ids to the rank of their merge and the id that comes of it. Filled once, then only
 * read, by any number of threads. */
#ifndef OBI_MODEL_MERGE_MAP_H
#define OBI_MODEL_MERGE_MAP_H

#include "model/gguf.h"

typedef struct obi_merge { uint64_t pair; uint32_t rank, id; } obi_merge; /* pair: left id above, right id below */

typedef struct obi_merge_map {
    obi_merge *slots;
    uint64_t mask;
} obi_merge_map;

/* Room for `count` merges. Release with obi_merge_map_free, which is also fine on a zeroed struct. */
obi_status obi_merge_map_create(obi_merge_map *map, uint32_t count);
void obi_merge_map_free(obi_merge_map *map);

/* Where the pair is already there, the earlier (lower) rank stays. */
void obi_merge_map_add(obi_merge_map *map, uint32_t left, uint32_t right, uint32_t rank, uint32_t id);

/* Where a merge "left right" is split: the place of the first space that leaves something on both sides, or 0. */
uint64_t obi_merge_split(const obi_gguf_string *merge);

/* The text that the merge makes, length - 1 bytes, where it is split at `at`. */
void obi_merge_join(const obi_gguf_string *merge, uint64_t at, char *out);

/* NULL when the pair has no merge. */
const obi_merge *obi_merge_map_find(const obi_merge_map *map, uint32_t left, uint32_t right);

#endif
