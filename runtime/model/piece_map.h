/* piece_map: from the text of a token to its id. Open addressing over texts that somebody else owns; it is filled
 * once and then only read, by any number of threads. */
#ifndef OBI_MODEL_PIECE_MAP_H
#define OBI_MODEL_PIECE_MAP_H

#include "model/gguf.h"

typedef struct obi_piece_slot { uint32_t hash, id; } obi_piece_slot; /* id OBI_PIECE_NONE: empty */

typedef struct obi_piece_map {
    const obi_gguf_string *texts; /* by id; not owned */
    obi_piece_slot *slots;
    uint64_t mask;
    uint64_t longest;             /* bytes of the longest text added */
} obi_piece_map;

#define OBI_PIECE_NONE UINT32_MAX

/* Room for `count` texts. Release with obi_piece_map_free, which is also fine on a zeroed struct. */
obi_status obi_piece_map_create(obi_piece_map *map, const obi_gguf_string *texts, uint32_t count);
void obi_piece_map_free(obi_piece_map *map);

/* Adds the text of `id`. Where the same text is already there, the earlier id stays. Empty texts are not added. */
void obi_piece_map_add(obi_piece_map *map, uint32_t id);

/* OBI_PIECE_NONE when absent. */
uint32_t obi_piece_map_find(const obi_piece_map *map, const char *text, uint64_t length);

#endif
