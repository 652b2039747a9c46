#include "devices.h"

#include <stdlib.h>

#include "term.h"

ob_status app_find_devices(ob_device_info **infos, uint32_t *count)
{
    *infos = NULL;
    *count = 0;
    uint32_t room = 0;
    ob_status status = ob_device_list(NULL, 0, &room);
    if (status != OB_OK) return status;
    *infos = calloc(room ? room : 1, sizeof **infos);
    if (!*infos) return OB_ERROR_MEMORY;
    status = ob_device_list(*infos, room, count);
    if (status != OB_OK) {
        free(*infos);
        *infos = NULL;
        *count = 0;
    }
    if (*count > room) *count = room; /* one more was plugged in meanwhile */
    return status;
}

void app_print_device(FILE *file, uint32_t index, const ob_device_info *info)
{
    fprintf(file, "%u: %s (%s, %s)", index, info->name, info->type, app_bytes(info->memory_bytes).text);
    if (info->usable) fprintf(file, ", tier %c\n", info->tier);
    else fprintf(file, ", cannot be used: %s\n", info->reason);
    fprintf(file, "   driver %s, Vulkan %s, UUID %s\n", info->driver, app_api_version(info->api_version).text, app_uuid(info->uuid).text);
}

int app_list_devices(void)
{
    ob_device_info *infos;
    uint32_t count;
    ob_status status = app_find_devices(&infos, &count);
    if (status != OB_OK) return app_fail(status);
    for (uint32_t i = 0; i < count; i++) app_print_device(stdout, i, &infos[i]);
    free(infos);
    return app_end_stdout(0);
}
