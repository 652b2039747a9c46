/* devices: the list of Vulkan devices, and opening the one the user asked for. */
#ifndef ONEBIT_APPS_DEVICES_H
#define ONEBIT_APPS_DEVICES_H

#include <stdint.h>
#include <stdio.h>

#include "onebit/onebit.h"

/* All devices, best first. *infos is to be freed with free(); NULL after a failure. */
ob_status app_find_devices(ob_device_info **infos, uint32_t *count);

/* One line or two: index, name, type, memory, tier or why it cannot be used, driver, UUID. */
void app_print_device(FILE *file, uint32_t index, const ob_device_info *info);

/* --list-devices: prints them on stdout and returns the exit code. */
int app_list_devices(void);

#endif
