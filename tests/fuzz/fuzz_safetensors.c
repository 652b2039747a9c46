/* Fuzzes the safetensors reader: opens the input as a file and touches every byte of every tensor it hands out.
 *
 * Half of the mutations repair the header's length afterwards, so that the JSON behind it is reached. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "quant/import/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t room, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t room);

static volatile uint64_t used;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    obi_mapping mapping;
    obi_safetensors file;
    if (obi_mapping_from_memory(&mapping, data, size, "fuzz") != OBI_OK) return 0;
    if (obi_safetensors_open(&file, &mapping) == OBI_OK) {
        for (size_t i = 0; i < file.count; i++) {
            const obi_safetensors_tensor *tensor = obi_safetensors_find(&file, file.tensors[i].name);
            if (tensor != &file.tensors[i]) abort();
            for (uint64_t k = 0; k < tensor->bytes; k++) used = used + tensor->data[k];
        }
        obi_safetensors_close(&file);
    }
    obi_mapping_close(&mapping);
    return 0;
}

static const char seed_header[] = "{\"__metadata__\":{\"format\":\"pt\"},\"a\":{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[0,8]},"
                                  "\"b\":{\"dtype\":\"BF16\",\"shape\":[3],\"data_offsets\":[8,14]}}";

static void put_length(uint8_t *data, uint64_t length)
{
    for (int i = 0; i < 8; i++) data[i] = (uint8_t)(length >> (8 * i));
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t room, unsigned seed)
{
    size_t header = sizeof seed_header - 1;
    if (size < 10 && room >= 8 + header + 14) {
        put_length(data, header);
        memcpy(data + 8, seed_header, header);
        memset(data + 8 + header, 7, 14);
        return 8 + header + 14;
    }
    size = LLVMFuzzerMutate(data, size, room);
    if (seed % 2 == 0 || size < 10) return size;
    size_t end = size;
    while (end > 8 && data[end - 1] != '}') end--;
    if (end > 8) put_length(data, end - 8);
    return size;
}
