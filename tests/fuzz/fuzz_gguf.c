/* Fuzzes the GGUF reader and the model configuration: opens the input as a file and uses all that came out.
 *
 * Plain byte flips die at the first count, so half of the mutations are aware of the format: they overwrite one aligned
 * looking number with a value that parsers stumble over. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "gguf_use.h"
#include "model/gguf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t room, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t room);

static volatile uint64_t used;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    obi_gguf gguf;
    if (obi_gguf_open_memory(&gguf, data, size, "fuzz") == OBI_OK) {
        used = used + gguf_use(&gguf);
        obi_gguf_close(&gguf);
    }
    return 0;
}

/* The start of a file with one key and one tensor, for a run that begins without a corpus. */
static const uint8_t seed_file[] = {
    'G', 'G', 'U', 'F', 3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0,
    1, 0, 0, 0, 0, 0, 0, 0, 'k', 9, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 's',
    1, 0, 0, 0, 0, 0, 0, 0, 't', 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8,
};

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t room, unsigned seed)
{
    static const uint64_t special[] = { 0, 1, 2, 8, 9, 31, 32, 63, 64, 255, 65535, 65536, INT32_MAX, UINT32_MAX, INT64_MAX,
                                        UINT64_C(1) << 61, UINT64_C(1) << 63, UINT64_MAX };
    if (size < 24 && room >= sizeof seed_file) {
        memcpy(data, seed_file, sizeof seed_file);
        size = sizeof seed_file;
    }
    if (seed % 2 == 0 || size < 8) return LLVMFuzzerMutate(data, size, room);
    uint64_t value = special[seed / 4 % (sizeof special / sizeof *special)];
    size_t width = seed / 2 % 2 ? 8 : 4, at = (size_t)(seed / 128) % (size - width + 1);
    for (size_t i = 0; i < width; i++) data[at + i] = (uint8_t)(value >> (8 * i));
    return size;
}
