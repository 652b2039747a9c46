/* gguf_use: touches every byte and calls every getter that an opened GGUF file offers, so that a sanitizer sees whatever
 * the reader let through. Shared by the unit tests and the fuzz target. */
#ifndef OB_TESTS_GGUF_USE_H
#define OB_TESTS_GGUF_USE_H

#include <string.h>

#include "model/config.h"
#include "model/size.h"

static inline uint64_t gguf_use_value(const obi_gguf *gguf, const obi_gguf_value *value)
{
    uint64_t sum = 0;
    char key[128];
    if (value->key.length < sizeof key) {
        uint32_t u32 = 0;
        float f32 = 0;
        bool truth = false;
        obi_gguf_string string = { NULL, 0 };
        const obi_gguf_value *array = NULL;
        memcpy(key, value->key.text, value->key.length);
        key[value->key.length] = 0;
        if (obi_gguf_find(gguf, key) != value) return 0;
        if (obi_gguf_get_u32(gguf, key, true, &u32) == OBI_OK) sum += u32;
        if (obi_gguf_get_f32(gguf, key, true, &f32) == OBI_OK) sum += f32 > 0;
        if (obi_gguf_get_bool(gguf, key, true, &truth) == OBI_OK) sum += truth;
        if (obi_gguf_get_string(gguf, key, true, &string) == OBI_OK) sum += string.length;
        if (obi_gguf_get_array(gguf, key, value->element, true, &array) == OBI_OK) sum += array->count;
    }
    for (uint64_t i = 0; i < value->count; i++) {
        if (value->strings) {
            for (uint64_t k = 0; k < value->strings[i].length; k++) sum += (uint8_t)value->strings[i].text[k];
        } else {
            sum += (uint32_t)obi_gguf_array_i32(value, i);
            sum += obi_gguf_array_f32(value, i) > 0;
        }
    }
    return sum;
}

/* A sum over everything, so that no read can be optimised away. */
static inline uint64_t gguf_use(const obi_gguf *gguf)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < gguf->value_count; i++) sum += gguf_use_value(gguf, &gguf->values[i]);
    for (uint64_t i = 0; i < gguf->tensor_count; i++) {
        const obi_gguf_tensor *tensor = &gguf->tensors[i];
        sum += obi_gguf_find_tensor(gguf, tensor->name) == tensor;
        for (uint64_t k = 0; k < tensor->bytes; k++) sum += tensor->data[k];
    }
    obi_size size;
    if (obi_size_of(gguf, &size) == OBI_OK) sum += size.linear_weights;
    obi_config config;
    if (obi_config_from_gguf(&config, gguf) == OBI_OK) {
        float pair[256];
        if (config.rope_dimensions <= 256) obi_config_rope_table(&config, NULL, config.context - 1, 1, pair);
        for (int role = 0; role < OBI_LINEAR_COUNT; role++) {
            uint32_t rows, columns;
            obi_config_linear_shape(&config, role, &rows, &columns);
            sum += (uint64_t)rows * columns;
        }
    }
    return sum;
}

#endif
