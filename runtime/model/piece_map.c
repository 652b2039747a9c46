#include "model/piece_map.h"

#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "core/alloc.h"

obi_status obi_piece_map_create(obi_piece_map *map, const obi_gguf_string *texts, uint32_t count)
{
    memset(map, 0, sizeof *map);
    uint64_t room = 16;
    while (room < 2 * (uint64_t)count) room *= 2; /* at most half full, so that a miss ends soon */
    map->slots = obi_calloc(room, sizeof *map->slots);
    if (!map->slots) return OBI_ERROR_MEMORY;
    for (uint64_t i = 0; i < room; i++) map->slots[i].id = OBI_PIECE_NONE;
    map->texts = texts;
    map->mask = room - 1;
    return OBI_OK;
}

void obi_piece_map_free(obi_piece_map *map)
{
    obi_free(map->slots);
    memset(map, 0, sizeof *map);
}

/* The slot that holds the text, or the empty one where it belongs. */
static obi_piece_slot *locate(const obi_piece_map *map, const char *text, uint64_t length, uint32_t *hash)
{
    uint64_t wide = XXH3_64bits(text, (size_t)length);
    *hash = (uint32_t)(wide >> 32);
    for (uint64_t i = wide & map->mask;; i = (i + 1) & map->mask) {
        obi_piece_slot *slot = &map->slots[i];
        if (slot->id == OBI_PIECE_NONE) return slot;
        if (slot->hash != *hash) continue;
        const obi_gguf_string *there = &map->texts[slot->id];
        if (there->length == length && memcmp(there->text, text, (size_t)length) == 0) return slot;
    }
}

void obi_piece_map_add(obi_piece_map *map, uint32_t id)
{
    const obi_gguf_string *text = &map->texts[id];
    if (text->length == 0) return;
    uint32_t hash;
    obi_piece_slot *slot = locate(map, text->text, text->length, &hash);
    if (slot->id != OBI_PIECE_NONE) return;
    slot->hash = hash;
    slot->id = id;
    if (text->length > map->longest) map->longest = text->length;
}

uint32_t obi_piece_map_find(const obi_piece_map *map, const char *text, uint64_t length)
{
    if (length == 0 || length > map->longest) return OBI_PIECE_NONE;
    uint32_t hash;
    return locate(map, text, length, &hash)->id;
}
