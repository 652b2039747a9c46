#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/alloc.h"
#include "core/checked.h"
#include "core/half.h"
#include "model/gguf.h"
#include "model/name_order.h"

enum {
    HEADER_BYTES = 24,      /* magic, version, two counts */
    VALUE_LEAST_BYTES = 14, /* key length, a key of one byte, type, a value of one byte */
    TENSOR_LEAST_BYTES = 33,/* name length, a name of one byte, dimensions, one of them, type, offset */
    KEY_MOST_BYTES = 65535,
    HEADER_FIRST_BYTES = 1 << 20, /* of a source, to begin with */
    DEFAULT_ALIGNMENT = 32,
    LEAST_ALIGNMENT = 8,
    MOST_ALIGNMENT = 65536
};

uint32_t obi_gguf_number_bytes(obi_gguf_type type)
{
    static const uint8_t bytes[] = {
        [OBI_GGUF_U8] = 1, [OBI_GGUF_I8] = 1, [OBI_GGUF_U16] = 2, [OBI_GGUF_I16] = 2, [OBI_GGUF_U32] = 4, [OBI_GGUF_I32] = 4,
        [OBI_GGUF_F32] = 4, [OBI_GGUF_BOOL] = 1, [OBI_GGUF_U64] = 8, [OBI_GGUF_I64] = 8, [OBI_GGUF_F64] = 8,
    };
    return (size_t)type < sizeof bytes ? bytes[type] : 0;
}

static const char *type_name(obi_gguf_type type)
{
    static const char *const names[] = { "U8", "I8", "U16", "I16", "U32", "I32", "F32", "BOOL", "STRING", "ARRAY", "U64", "I64", "F64" };
    return (size_t)type < sizeof names / sizeof *names ? names[type] : "?";
}

/* Types that others write and we do not read, so that the message can say which it met. */
static const char *foreign_type_name(uint32_t id)
{
    static const char *const names[] = {
        [3] = "Q4_1", [6] = "Q5_0", [7] = "Q5_1", [9] = "Q8_1", [10] = "Q2_K", [11] = "Q3_K", [12] = "Q4_K", [13] = "Q5_K",
        [14] = "Q6_K", [15] = "Q8_K", [16] = "IQ2_XXS", [17] = "IQ2_XS", [18] = "IQ3_XXS", [19] = "IQ1_S", [20] = "IQ4_NL",
        [21] = "IQ3_S", [22] = "IQ2_S", [23] = "IQ4_XS", [29] = "IQ1_M", [34] = "TQ1_0", [35] = "TQ2_0", [39] = "MXFP4",
        [40] = "NVFP4", [41] = "Q1_0", [42] = "Q2_0",
    };
    const char *name = id < sizeof names / sizeof *names ? names[id] : NULL;
    return name ? name : "unknown";
}

/* ---- parsing ------------------------------------------------------------------------------------------------ */

static obi_status damaged(const obi_gguf *gguf, const char *format, ...) __attribute__((format(__printf__, 2, 3)));

static obi_status damaged(const obi_gguf *gguf, const char *format, ...)
{
    char reason[320];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    return obi_fail(OBI_ERROR_DATA, "%.160s: %s", gguf->mapping.path, reason);
}

static obi_status truncated(const obi_gguf *gguf, const char *what, uint64_t number)
{
    return damaged(gguf, "the file ends inside %s %llu: it is incomplete or damaged, fetch it again", what, (unsigned long long)number);
}

/* Keys and names are printable ASCII, so that they are safe in a message and hold no NUL. */
static bool is_printable(obi_gguf_string string)
{
    for (uint64_t i = 0; i < string.length; i++)
        if (string.text[i] < 0x20 || string.text[i] > 0x7e) return false;
    return true;
}

/* How much of a key goes into a message. */
static int shown(obi_gguf_string key) { return key.length < 100 ? (int)key.length : 100; }

/* In the whole file, of which less may be at hand. */
static uint64_t bytes_left(const obi_gguf *gguf, const obi_reader *reader) { return gguf->mapping.size - reader->position; }

static obi_status read_counts(obi_gguf *gguf, obi_reader *reader)
{
    const uint8_t *magic = obi_read_bytes(reader, 4);
    if (!magic || memcmp(magic, "GGUF", 4) != 0) return damaged(gguf, "this is not a GGUF file (it does not begin with \"GGUF\")");
    gguf->version = obi_read_u32(reader);
    gguf->tensor_count = obi_read_u64(reader);
    gguf->value_count = obi_read_u64(reader);
    if (reader->failed) {
        gguf->tensor_count = gguf->value_count = 0;
        return damaged(gguf, "the file ends inside its header: it is incomplete or damaged, fetch it again");
    }
    uint64_t tensors = gguf->tensor_count, values = gguf->value_count;
    gguf->tensor_count = gguf->value_count = 0; /* until there are arrays behind them */
    if (gguf->version != 0 && (gguf->version & 0xffff) == 0)
        return damaged(gguf, "this is a big-endian GGUF file; convert it to little-endian first");
    if (gguf->version != 2 && gguf->version != 3)
        return damaged(gguf, "GGUF version %u is not supported, only 2 and 3 are", gguf->version);
    uint64_t left = bytes_left(gguf, reader);
    if (values > left / VALUE_LEAST_BYTES)
        return damaged(gguf, "the header counts %llu keys, more than its %llu bytes can hold: the file is damaged",
                       (unsigned long long)values, (unsigned long long)gguf->mapping.size);
    if (tensors > (left - values * VALUE_LEAST_BYTES) / TENSOR_LEAST_BYTES)
        return damaged(gguf, "the header counts %llu tensors, more than its %llu bytes can hold: the file is damaged",
                       (unsigned long long)tensors, (unsigned long long)gguf->mapping.size);
    gguf->values = obi_calloc((size_t)values, sizeof *gguf->values);
    gguf->tensors = obi_calloc((size_t)tensors, sizeof *gguf->tensors);
    if (!gguf->values || !gguf->tensors) return OBI_ERROR_MEMORY;
    gguf->value_count = values;
    gguf->tensor_count = tensors;
    return OBI_OK;
}

static obi_gguf_string read_string(obi_reader *reader)
{
    uint64_t length = obi_read_u64(reader);
    const uint8_t *text = obi_read_bytes(reader, length);
    obi_gguf_string string = { (const char *)text, text ? length : 0 };
    return string;
}

/* value->count strings, as pointers into the mapping. */
static obi_status read_strings(obi_gguf *gguf, obi_reader *reader, obi_gguf_value *value)
{
    if (value->count > bytes_left(gguf, reader) / 8)
        return damaged(gguf, "the key %.*s counts %llu strings, more than the file can hold: it is damaged", shown(value->key),
                       value->key.text, (unsigned long long)value->count);
    value->strings = obi_calloc((size_t)value->count, sizeof *value->strings);
    if (!value->strings) return OBI_ERROR_MEMORY;
    for (uint64_t i = 0; i < value->count && !reader->failed; i++) value->strings[i] = read_string(reader);
    return OBI_OK;
}

static obi_status read_numbers(obi_gguf *gguf, obi_reader *reader, obi_gguf_value *value, obi_gguf_type type)
{
    uint64_t bytes;
    if (!obi_checked_mul(value->count, obi_gguf_number_bytes(type), &bytes) || bytes > bytes_left(gguf, reader))
        return damaged(gguf, "the key %.*s counts %llu values of type %s, more than the file can hold: it is damaged",
                       shown(value->key), value->key.text, (unsigned long long)value->count, type_name(type));
    const uint8_t *data = obi_read_bytes(reader, bytes);
    for (uint64_t i = 0; data && type == OBI_GGUF_BOOL && i < bytes; i++)
        if (data[i] > 1)
            return damaged(gguf, "the key %.*s holds %u where only true (1) or false (0) can be: the file is damaged",
                           shown(value->key), value->key.text, data[i]);
    return OBI_OK;
}

static obi_status read_value(obi_gguf *gguf, obi_reader *reader, uint64_t index)
{
    obi_gguf_value *value = &gguf->values[index];
    value->key = read_string(reader);
    uint32_t type = obi_read_u32(reader);
    if (reader->failed) return truncated(gguf, "key", index);
    if (value->key.length < 1 || value->key.length > KEY_MOST_BYTES || !is_printable(value->key))
        return damaged(gguf, "the name of key %llu is empty, too long or not printable: the file is damaged", (unsigned long long)index);
    uint32_t element = type;
    value->count = 1;
    if (type == OBI_GGUF_ARRAY) {
        element = obi_read_u32(reader);
        value->count = obi_read_u64(reader);
        if (reader->failed) return truncated(gguf, "key", index);
        if (element == OBI_GGUF_ARRAY)
            return damaged(gguf, "the key %.*s is an array of arrays, which is not supported", shown(value->key), value->key.text);
    }
    if (element != OBI_GGUF_STRING && obi_gguf_number_bytes((obi_gguf_type)element) == 0)
        return damaged(gguf, "the key %.*s has the unknown type %u: the file is damaged or too new", shown(value->key),
                       value->key.text, element);
    value->type = (obi_gguf_type)type;
    value->element = (obi_gguf_type)element;
    value->data = reader->data + reader->position;
    if (element == OBI_GGUF_STRING) OBI_TRY(read_strings(gguf, reader, value));
    else OBI_TRY(read_numbers(gguf, reader, value, (obi_gguf_type)element));
    return reader->failed ? truncated(gguf, "key", index) : OBI_OK;
}

static obi_gguf_string key_at(const void *items, uint64_t i) { return ((const obi_gguf_value *)items)[i].key; }

static obi_gguf_string name_at(const void *items, uint64_t i)
{
    const char *name = ((const obi_gguf_tensor *)items)[i].name;
    obi_gguf_string string = { name, strlen(name) };
    return string;
}

static obi_status read_values(obi_gguf *gguf, obi_reader *reader)
{
    uint64_t duplicate;
    for (uint64_t i = 0; i < gguf->value_count; i++) OBI_TRY(read_value(gguf, reader, i));
    OBI_TRY(obi_name_order_create(&gguf->value_order, gguf->values, gguf->value_count, key_at, &duplicate));
    if (duplicate < gguf->value_count)
        return damaged(gguf, "the key %.*s occurs twice: the file is damaged", shown(gguf->values[duplicate].key),
                       gguf->values[duplicate].key.text);
    gguf->alignment = DEFAULT_ALIGNMENT;
    const obi_gguf_value *alignment = obi_gguf_find(gguf, "general.alignment");
    if (!alignment) return OBI_OK;
    if (alignment->type != OBI_GGUF_U32)
        return damaged(gguf, "the key general.alignment has type %s and not U32: the file is damaged", type_name(alignment->type));
    OBI_TRY(obi_gguf_get_u32(gguf, "general.alignment", true, &gguf->alignment));
    if (gguf->alignment < LEAST_ALIGNMENT || gguf->alignment > MOST_ALIGNMENT || (gguf->alignment & (gguf->alignment - 1)) != 0)
        return damaged(gguf, "general.alignment is %u and not a power of two from %d to %d: the file is damaged", gguf->alignment,
                       LEAST_ALIGNMENT, MOST_ALIGNMENT);
    return OBI_OK;
}

/* `end` is the padded size of the tensors so far, and so the one offset that this tensor can have. */
static obi_status read_tensor(obi_gguf *gguf, obi_reader *reader, uint64_t index, uint64_t *end)
{
    obi_gguf_tensor *tensor = &gguf->tensors[index];
    obi_gguf_string name = read_string(reader);
    tensor->dimensions = obi_read_u32(reader);
    if (reader->failed) return truncated(gguf, "the description of tensor", index);
    if (name.length == 0 || name.length >= sizeof tensor->name || !is_printable(name))
        return damaged(gguf, "tensor %llu has a name of %llu bytes; a name is 1 to 63 printable characters: the file is damaged",
                       (unsigned long long)index, (unsigned long long)name.length);
    memcpy(tensor->name, name.text, (size_t)name.length);
    if (tensor->dimensions < 1 || tensor->dimensions > 4)
        return damaged(gguf, "the tensor %s has %u dimensions and not 1 to 4: the file is damaged", tensor->name, tensor->dimensions);
    uint64_t elements = 1, padded;
    for (uint32_t i = 0; i < 4; i++) {
        tensor->shape[i] = i < tensor->dimensions ? obi_read_u64(reader) : 1;
        if (reader->failed) return truncated(gguf, "the description of tensor", index);
        if (tensor->shape[i] == 0) return damaged(gguf, "the tensor %s has no elements: the file is damaged", tensor->name);
        if (!obi_checked_mul(elements, tensor->shape[i], &elements) || elements > INT64_MAX)
            return damaged(gguf, "the tensor %s has more elements than can be counted: the file is damaged", tensor->name);
    }
    uint32_t type = obi_read_u32(reader);
    uint64_t offset = obi_read_u64(reader);
    if (reader->failed) return truncated(gguf, "the description of tensor", index);
    if (!obi_dtype_known(type))
        return damaged(gguf, "the tensor %s has type %u (%s), which is not supported; use a file with F32, F16, BF16, Q8_0 or Q4_0",
                       tensor->name, type, foreign_type_name(type));
    tensor->type = (obi_dtype)type;
    if (tensor->shape[0] % obi_dtype_block(tensor->type) != 0)
        return damaged(gguf, "the rows of tensor %s have %llu values, which do not fill whole blocks of %u (%s): the file is damaged",
                       tensor->name, (unsigned long long)tensor->shape[0], obi_dtype_block(tensor->type), obi_dtype_name(tensor->type));
    if (!obi_dtype_bytes(tensor->type, elements, &tensor->bytes) || !obi_checked_align(tensor->bytes, gguf->alignment, &padded) ||
        tensor->bytes > gguf->mapping.size)
        return damaged(gguf, "the tensor %s is larger than the file: it is incomplete or damaged, fetch it again", tensor->name);
    if (offset != *end)
        return damaged(gguf, "the tensor %s lies at offset %llu where %llu was expected: the file is damaged", tensor->name,
                       (unsigned long long)offset, (unsigned long long)*end);
    tensor->offset = offset; /* made absolute once the table's end is known */
    if (!obi_checked_add(*end, padded, end))
        return damaged(gguf, "the tensor %s ends past what can be addressed: the file is damaged", tensor->name);
    return OBI_OK;
}

static obi_status read_tensors(obi_gguf *gguf, obi_reader *reader)
{
    uint64_t duplicate, end = 0, start;
    for (uint64_t i = 0; i < gguf->tensor_count; i++) OBI_TRY(read_tensor(gguf, reader, i, &end));
    OBI_TRY(obi_name_order_create(&gguf->tensor_order, gguf->tensors, gguf->tensor_count, name_at, &duplicate));
    if (duplicate < gguf->tensor_count)
        return damaged(gguf, "the tensor %s occurs twice: the file is damaged", gguf->tensors[duplicate].name);
    if (!obi_checked_align(reader->position, gguf->alignment, &start)) return damaged(gguf, "the file is damaged");
    uint64_t last = reader->position;
    gguf->header_bytes = last;
    for (uint64_t i = 0; i < gguf->tensor_count; i++) {
        obi_gguf_tensor *tensor = &gguf->tensors[i];
        if (!obi_checked_add(tensor->offset, start, &tensor->offset) || !obi_checked_add(tensor->offset, tensor->bytes, &last) ||
            last > gguf->mapping.size)
            return damaged(gguf, "the file ends before the data of tensor %s do: it is incomplete or damaged, fetch it again",
                           tensor->name);
        tensor->data = gguf->mapping.source.read ? NULL : gguf->mapping.data + tensor->offset;
    }
    /* Some writers pad the last tensor and some do not; anything else behind it is not ours to ignore. */
    uint64_t padded;
    if (gguf->mapping.size != last && (!obi_checked_align(last, gguf->alignment, &padded) || gguf->mapping.size != padded))
        return damaged(gguf, "the file has %llu bytes behind its last tensor: it is damaged",
                       (unsigned long long)(gguf->mapping.size - last));
    return OBI_OK;
}

static obi_status parse_held(obi_gguf *gguf, obi_reader *reader)
{
    *reader = obi_reader_over(gguf->mapping.data, gguf->mapping.held);
    OBI_TRY(read_counts(gguf, reader));
    OBI_TRY(read_values(gguf, reader));
    return read_tensors(gguf, reader);
}

static void forget(obi_gguf *gguf)
{
    for (uint64_t i = 0; i < gguf->value_count; i++) obi_free(gguf->values[i].strings);
    obi_free(gguf->values);
    obi_free(gguf->tensors);
    obi_free(gguf->value_order);
    obi_free(gguf->tensor_order);
    *gguf = (obi_gguf){ .mapping = gguf->mapping };
}

static obi_status parse(obi_gguf *gguf)
{
    obi_reader reader;
    obi_status status = parse_held(gguf, &reader);
    /* How long the header is nobody knows before it was read: some more of a source, until it is whole. */
    while (status != OBI_OK && reader.failed && gguf->mapping.held < gguf->mapping.size) {
        forget(gguf);
        status = obi_mapping_hold(&gguf->mapping, gguf->mapping.held * 4);
        if (status == OBI_OK) status = parse_held(gguf, &reader);
        else break;
    }
    if (status != OBI_OK) obi_gguf_close(gguf);
    return status;
}

obi_status obi_gguf_open(obi_gguf *gguf, const char *path)
{
    memset(gguf, 0, sizeof *gguf);
    OBI_TRY(obi_mapping_open(&gguf->mapping, path));
    return parse(gguf);
}

obi_status obi_gguf_open_memory(obi_gguf *gguf, const void *data, uint64_t size, const char *name)
{
    memset(gguf, 0, sizeof *gguf);
    OBI_TRY(obi_mapping_from_memory(&gguf->mapping, data, size, name));
    return parse(gguf);
}

obi_status obi_gguf_open_source(obi_gguf *gguf, const obi_byte_source *source, const char *name)
{
    memset(gguf, 0, sizeof *gguf);
    OBI_TRY(obi_mapping_from_source(&gguf->mapping, source, name));
    obi_status status = obi_mapping_hold(&gguf->mapping, HEADER_FIRST_BYTES);
    if (status == OBI_OK) return parse(gguf);
    obi_gguf_close(gguf);
    return status;
}

void obi_gguf_close(obi_gguf *gguf)
{
    forget(gguf);
    obi_mapping_close(&gguf->mapping);
    memset(gguf, 0, sizeof *gguf);
}

/* ---- look-up ------------------------------------------------------------------------------------------------ */

const obi_gguf_value *obi_gguf_find(const obi_gguf *gguf, const char *key)
{
    obi_gguf_string wanted = { key, strlen(key) };
    uint64_t i = obi_name_order_find(gguf->value_order, gguf->values, gguf->value_count, key_at, wanted);
    return i < gguf->value_count ? &gguf->values[i] : NULL;
}

const obi_gguf_tensor *obi_gguf_find_tensor(const obi_gguf *gguf, const char *name)
{
    obi_gguf_string wanted = { name, strlen(name) };
    uint64_t i = obi_name_order_find(gguf->tensor_order, gguf->tensors, gguf->tensor_count, name_at, wanted);
    return i < gguf->tensor_count ? &gguf->tensors[i] : NULL;
}

/* NULL in *value when the key is absent and may be. */
static obi_status find(const obi_gguf *gguf, const char *key, bool required, const obi_gguf_value **value)
{
    *value = obi_gguf_find(gguf, key);
    if (!*value && required) return damaged(gguf, "the key %s is missing: the file was not made for this program or is damaged", key);
    return OBI_OK;
}

static obi_status wrong_type(const obi_gguf *gguf, const char *key, const obi_gguf_value *value, const char *wanted)
{
    if (value->type == OBI_GGUF_ARRAY)
        return damaged(gguf, "the key %s is an array of %s where %s is expected", key, type_name(value->element), wanted);
    return damaged(gguf, "the key %s has type %s where %s is expected", key, type_name(value->type), wanted);
}

/* An integer as sign and magnitude in one comparison-friendly pair: false when the type is no integer. */
static bool load_integer(const uint8_t *data, obi_gguf_type type, bool *negative, uint64_t *bits)
{
    obi_reader reader = obi_reader_over(data, obi_gguf_number_bytes(type));
    int64_t value;
    switch (type) {
    case OBI_GGUF_U8: *bits = obi_read_u8(&reader); *negative = false; return true;
    case OBI_GGUF_U16: *bits = obi_read_u16(&reader); *negative = false; return true;
    case OBI_GGUF_U32: *bits = obi_read_u32(&reader); *negative = false; return true;
    case OBI_GGUF_U64: *bits = obi_read_u64(&reader); *negative = false; return true;
    case OBI_GGUF_I8: value = (int8_t)obi_read_u8(&reader); break;
    case OBI_GGUF_I16: value = (int16_t)obi_read_u16(&reader); break;
    case OBI_GGUF_I32: value = (int32_t)obi_read_u32(&reader); break;
    case OBI_GGUF_I64: value = (int64_t)obi_read_u64(&reader); break;
    default: return false;
    }
    *negative = value < 0;
    *bits = (uint64_t)value; /* two's complement when negative */
    return true;
}

static bool load_float(const uint8_t *data, obi_gguf_type type, double *value)
{
    obi_reader reader = obi_reader_over(data, obi_gguf_number_bytes(type));
    if (type == OBI_GGUF_F32) *value = (double)obi_read_f32(&reader);
    else if (type == OBI_GGUF_F64) *value = obi_read_f64(&reader);
    else return false;
    return true;
}

obi_status obi_gguf_get_u32(const obi_gguf *gguf, const char *key, bool required, uint32_t *out)
{
    const obi_gguf_value *value;
    bool negative;
    uint64_t bits;
    OBI_TRY(find(gguf, key, required, &value));
    if (!value) return OBI_OK;
    if (!load_integer(value->data, value->type, &negative, &bits)) return wrong_type(gguf, key, value, "an integer");
    if (negative) return damaged(gguf, "the key %s is %lld where a count from 0 to 4294967295 is expected", key, (long long)bits);
    if (bits > UINT32_MAX)
        return damaged(gguf, "the key %s is %llu where a count from 0 to 4294967295 is expected", key, (unsigned long long)bits);
    *out = (uint32_t)bits;
    return OBI_OK;
}

obi_status obi_gguf_get_f32(const obi_gguf *gguf, const char *key, bool required, float *out)
{
    const obi_gguf_value *value;
    double number;
    OBI_TRY(find(gguf, key, required, &value));
    if (!value) return OBI_OK;
    if (!load_float(value->data, value->type, &number)) return wrong_type(gguf, key, value, "a floating-point number");
    if (isfinite(number) && fabs(number) > (double)3.40282347e38f)
        return damaged(gguf, "the key %s is %g, which is too large for a 32-bit float", key, number);
    *out = (float)number;
    return OBI_OK;
}

obi_status obi_gguf_get_bool(const obi_gguf *gguf, const char *key, bool required, bool *out)
{
    const obi_gguf_value *value;
    OBI_TRY(find(gguf, key, required, &value));
    if (!value) return OBI_OK;
    if (value->type != OBI_GGUF_BOOL) return wrong_type(gguf, key, value, "true or false");
    *out = value->data[0] == 1;
    return OBI_OK;
}

obi_status obi_gguf_get_string(const obi_gguf *gguf, const char *key, bool required, obi_gguf_string *out)
{
    const obi_gguf_value *value;
    OBI_TRY(find(gguf, key, required, &value));
    if (!value) return OBI_OK;
    if (value->type != OBI_GGUF_STRING) return wrong_type(gguf, key, value, "a string");
    *out = value->strings[0];
    return OBI_OK;
}

obi_status obi_gguf_get_array(const obi_gguf *gguf, const char *key, obi_gguf_type element, bool required, const obi_gguf_value **out)
{
    const obi_gguf_value *value;
    *out = NULL;
    OBI_TRY(find(gguf, key, required, &value));
    if (!value) return OBI_OK;
    if (value->type != OBI_GGUF_ARRAY || value->element != element) {
        char wanted[32];
        snprintf(wanted, sizeof wanted, "an array of %s", type_name(element));
        return wrong_type(gguf, key, value, wanted);
    }
    *out = value;
    return OBI_OK;
}

float obi_gguf_array_f32(const obi_gguf_value *array, uint64_t i)
{
    bool negative;
    uint64_t bits;
    double number;
    if (i >= array->count) return 0;
    const uint8_t *data = array->data + i * obi_gguf_number_bytes(array->element);
    if (load_float(data, array->element, &number)) return (float)number;
    if (load_integer(data, array->element, &negative, &bits)) return negative ? (float)(int64_t)bits : (float)bits;
    return array->element == OBI_GGUF_BOOL ? (float)data[0] : 0;
}

int32_t obi_gguf_array_i32(const obi_gguf_value *array, uint64_t i)
{
    bool negative;
    uint64_t bits;
    double number;
    if (i >= array->count) return 0;
    const uint8_t *data = array->data + i * obi_gguf_number_bytes(array->element);
    if (load_integer(data, array->element, &negative, &bits)) {
        if (negative) return (int64_t)bits < INT32_MIN ? INT32_MIN : (int32_t)(int64_t)bits;
        return bits > INT32_MAX ? INT32_MAX : (int32_t)bits;
    }
    if (load_float(data, array->element, &number)) {
        if (!(number > (double)INT32_MIN)) return isnan(number) ? 0 : INT32_MIN;
        return number >= (double)INT32_MAX ? INT32_MAX : (int32_t)number;
    }
    return array->element == OBI_GGUF_BOOL ? data[0] : 0;
}
