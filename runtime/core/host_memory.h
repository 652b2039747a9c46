/* host_memory: how much memory the machine could still give. */
#ifndef OBI_CORE_HOST_MEMORY_H
#define OBI_CORE_HOST_MEMORY_H

#include <stdint.h>

/* Bytes that can be had without swapping (Linux: MemAvailable); 0 where the system does not say. */
uint64_t obi_host_memory_available(void);

#endif
