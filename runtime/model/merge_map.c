#include "model/merge_map.h"

#include <string.h>

#include "core/alloc.h"

#define EMPTY UINT64_MAX /* no token has the id UINT32_MAX */

obi_status obi_merge_map_create(obi_merge_map *map, uint32_t count)
{
    memset(map, 0, sizeof *map);
    uint64_t room = 16;
    while (room < 2 * (uint64_t)count) room *= 2;
    map->slots = obi_calloc(room, sizeof *map->slots);
    if (!map->slots) return OBI_ERROR_MEMORY;
    for (uint64_t i = 0; i < room; i++) map->slots[i].pair = EMPTY;
    map->mask = room - 1;
    return OBI_OK;
}

void obi_merge_map_free(obi_merge_map *map)
{
    obi_free(map->slots);
    memset(map, 0, sizeof *map);
}

/* The slot of the pair, or the empty one where it belongs. */
static obi_merge *locate(const obi_merge_map *map, uint64_t pair)
{
    uint64_t mixed = pair * 0x9e3779b97f4a7c15u;
    mixed ^= mixed >> 32;
    uint64_t i = mixed & map->mask;
    while (map->slots[i].pair != EMPTY && map->slots[i].pair != pair) i = (i + 1) & map->mask;
    return &map->slots[i];
}

void obi_merge_map_add(obi_merge_map *map, uint32_t left, uint32_t right, uint32_t rank, uint32_t id)
{
    uint64_t pair = (uint64_t)left << 32 | right;
    obi_merge *slot = locate(map, pair);
    if (slot->pair == EMPTY) *slot = (obi_merge){ pair, rank, id };
}

const obi_merge *obi_merge_map_find(const obi_merge_map *map, uint32_t left, uint32_t right)
{
    const obi_merge *slot = locate(map, (uint64_t)left << 32 | right);
    return slot->pair == EMPTY ? NULL : slot;
}

uint64_t obi_merge_split(const obi_gguf_string *merge)
{
    for (uint64_t i = 1; i + 1 < merge->length; i++)
        if (merge->text[i] == ' ') return i;
    return 0;
}

void obi_merge_join(const obi_gguf_string *merge, uint64_t at, char *out)
{
    memcpy(out, merge->text, (size_t)at);
    memcpy(out + at, merge->text + at + 1, (size_t)(merge->length - at - 1));
}
