/* Instead of runtime/core/host_memory.c. */
#include "core/host_memory.h"

#define WIN32_LEAN_AND_MEAN
#include <windows.h>

uint64_t obi_host_memory_available(void)
{
    MEMORYSTATUSEX status = { .dwLength = sizeof status };
    return GlobalMemoryStatusEx(&status) ? status.ullAvailPhys : 0;
}
