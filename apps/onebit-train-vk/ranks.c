#include "ranks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/devices.h"

bool app_ranks_started(void)
{
    static const char *const names[] = { "OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK", "PMI_SIZE" }; /* mpirun, srun --mpi=... */
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (getenv(names[i])) return true;
    return false;
}

/* Part number `index` of a list with commas, counted round. */
static const char *take(const char *list, uint32_t index, char *room, size_t bytes)
{
    uint32_t parts = 1;
    for (const char *at = list; *at; at++) parts += *at == ',';
    for (index %= parts; index > 0; index--) list = strchr(list, ',') + 1;
    snprintf(room, bytes, "%.*s", (int)strcspn(list, ","), list);
    return room;
}

const char *app_ranks_device(const app_ranks *ranks, const char *devices, char *room, size_t bytes)
{
    if (ranks->ranks.size == 1) return devices;
    if (devices) return take(devices, ranks->local, room, bytes);
    ob_device_info *infos;
    uint32_t count, alike = 0;
    if (app_find_devices(&infos, &count) != OB_OK) return NULL; /* opening one says why */
    for (uint32_t i = 0; i < count; i++) alike += infos[i].usable && strcmp(infos[i].type, infos[0].type) == 0;
    uint32_t left = alike ? ranks->local % alike : 0;
    const char *device = NULL;
    for (uint32_t i = 0; alike && i < count && !device; i++) {
        if (!infos[i].usable || strcmp(infos[i].type, infos[0].type) != 0 || left-- > 0) continue;
        snprintf(room, bytes, "%u", i);
        device = room;
    }
    free(infos);
    return device;
}
