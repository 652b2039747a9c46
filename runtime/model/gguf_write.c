#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/alloc.h"
#include "core/checked.h"
#include "core/half.h"
#include "model/gguf.h"
#include "model/name_order.h"

enum { VERSION = 3, ALIGNMENT = 32, HEADER_BYTES = 24 /* before the keys */, KEY_MOST_BYTES = 65535, NAME_MOST_BYTES = 63 };

typedef struct bytes { uint8_t *data; size_t count, room; } bytes;

/* Where a key's name lies in writer->keys. */
typedef struct key_place { size_t start, length; } key_place;

typedef struct tensor_entry {
    char name[NAME_MOST_BYTES + 1];
    obi_dtype type;
    uint32_t dimensions;
    uint64_t shape[4];
    uint64_t bytes, padded;
} tensor_entry;

struct obi_gguf_writer {
    obi_writer file;
    bytes keys;             /* encoded as they go into the file */
    key_place *places;
    size_t place_count, place_room;
    tensor_entry *tensors;
    size_t tensor_count, tensor_room;
    bool begun;
    size_t current;         /* the tensor being written */
    uint64_t current_bytes; /* what it has so far */
    obi_status status;      /* the first failure, and its sentence */
    char sentence[512];
};

/* ---- bytes in memory ---------------------------------------------------------------------------------------- */

/* Keeps the sentence that obi_fail has just set. */
static void keep_failure(obi_gguf_writer *writer, obi_status status)
{
    if (writer->status != OBI_OK) return;
    writer->status = status;
    snprintf(writer->sentence, sizeof writer->sentence, "%s", obi_last_error());
}

static void refuse(obi_gguf_writer *writer, const char *format, ...) __attribute__((format(__printf__, 2, 3)));

static void refuse(obi_gguf_writer *writer, const char *format, ...)
{
    char reason[320];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    keep_failure(writer, obi_fail(OBI_ERROR_ARGUMENT, "cannot write %.160s: %s", writer->file.path, reason));
}

/* Grows an array of `size`-byte items to hold one item more than `count`; NULL when memory is out. */
static void *grown(obi_gguf_writer *writer, void *items, size_t count, size_t *room, size_t size)
{
    if (count < *room) return items;
    size_t larger = *room > 0 ? *room * 2 : 32;
    void *moved = obi_realloc(items, larger, size);
    if (!moved) keep_failure(writer, OBI_ERROR_MEMORY);
    else *room = larger;
    return moved;
}

/* Room for `count` more bytes, or NULL after a failure. */
static uint8_t *extend(obi_gguf_writer *writer, bytes *buffer, uint64_t count)
{
    uint64_t needed, larger = buffer->room > 0 ? buffer->room : 4096;
    if (writer->status != OBI_OK) return NULL;
    if (!obi_checked_add(buffer->count, count, &needed) || needed > SIZE_MAX / 2) {
        refuse(writer, "its keys are larger than memory");
        return NULL;
    }
    while (larger < needed) larger *= 2;
    if (larger > buffer->room) {
        uint8_t *moved = obi_realloc(buffer->data, (size_t)larger, 1);
        if (!moved) {
            keep_failure(writer, OBI_ERROR_MEMORY);
            return NULL;
        }
        buffer->data = moved;
        buffer->room = (size_t)larger;
    }
    uint8_t *place = buffer->data + buffer->count;
    buffer->count = (size_t)needed;
    return place;
}

static void append(obi_gguf_writer *writer, bytes *buffer, const void *data, uint64_t count)
{
    uint8_t *place = extend(writer, buffer, count);
    if (place && count > 0) memcpy(place, data, (size_t)count);
}

static void append_integer(obi_gguf_writer *writer, bytes *buffer, uint64_t value, unsigned size)
{
    uint8_t little[8];
    for (unsigned i = 0; i < size; i++) little[i] = (uint8_t)(value >> (8 * i));
    append(writer, buffer, little, size);
}

static void append_string(obi_gguf_writer *writer, bytes *buffer, const char *text, uint64_t length)
{
    append_integer(writer, buffer, length, 8);
    append(writer, buffer, text, length);
}

/* ---- keys --------------------------------------------------------------------------------------------------- */

static bool is_printable(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (text[i] < 0x20 || text[i] > 0x7e) return false;
    return true;
}

/* The key and its type; the value's bytes follow. */
static void start_key(obi_gguf_writer *writer, const char *key, size_t length, obi_gguf_type type)
{
    if (writer->begun) refuse(writer, "the key %.100s came after the header was written", key);
    if (length < 1 || length > KEY_MOST_BYTES || !is_printable(key, length))
        refuse(writer, "a key must be 1 to %d printable characters long", KEY_MOST_BYTES);
    if (writer->status != OBI_OK) return;
    key_place *places = grown(writer, writer->places, writer->place_count, &writer->place_room, sizeof *places);
    if (!places) return;
    writer->places = places;
    places[writer->place_count].start = writer->keys.count + 8;
    places[writer->place_count++].length = length;
    append_string(writer, &writer->keys, key, length);
    append_integer(writer, &writer->keys, type, 4);
}

static void put_integer(obi_gguf_writer *writer, const char *key, obi_gguf_type type, uint64_t value)
{
    if (strcmp(key, "general.alignment") == 0) refuse(writer, "general.alignment cannot be set, it is always %d", ALIGNMENT);
    start_key(writer, key, strlen(key), type);
    append_integer(writer, &writer->keys, value, obi_gguf_number_bytes(type));
}

static void start_array(obi_gguf_writer *writer, const char *key, obi_gguf_type element, uint64_t count)
{
    start_key(writer, key, strlen(key), OBI_GGUF_ARRAY);
    append_integer(writer, &writer->keys, element, 4);
    append_integer(writer, &writer->keys, count, 8);
}

void obi_gguf_writer_fail(obi_gguf_writer *writer, obi_status status) { keep_failure(writer, status); }

void obi_gguf_put_u32(obi_gguf_writer *writer, const char *key, uint32_t value) { put_integer(writer, key, OBI_GGUF_U32, value); }

void obi_gguf_put_u64(obi_gguf_writer *writer, const char *key, uint64_t value) { put_integer(writer, key, OBI_GGUF_U64, value); }

void obi_gguf_put_f32(obi_gguf_writer *writer, const char *key, float value)
{
    put_integer(writer, key, OBI_GGUF_F32, obi_float_bits(value));
}

void obi_gguf_put_bool(obi_gguf_writer *writer, const char *key, bool value) { put_integer(writer, key, OBI_GGUF_BOOL, value); }

void obi_gguf_put_string(obi_gguf_writer *writer, const char *key, const char *text)
{
    start_key(writer, key, strlen(key), OBI_GGUF_STRING);
    append_string(writer, &writer->keys, text, strlen(text));
}

void obi_gguf_put_strings(obi_gguf_writer *writer, const char *key, const obi_gguf_string *strings, uint64_t count)
{
    start_array(writer, key, OBI_GGUF_STRING, count);
    for (uint64_t i = 0; i < count; i++) append_string(writer, &writer->keys, strings[i].text, strings[i].length);
}

void obi_gguf_put_f32s(obi_gguf_writer *writer, const char *key, const float *values, uint64_t count)
{
    start_array(writer, key, OBI_GGUF_F32, count);
    for (uint64_t i = 0; i < count; i++) append_integer(writer, &writer->keys, obi_float_bits(values[i]), 4);
}

void obi_gguf_put_i32s(obi_gguf_writer *writer, const char *key, const int32_t *values, uint64_t count)
{
    start_array(writer, key, OBI_GGUF_I32, count);
    for (uint64_t i = 0; i < count; i++) append_integer(writer, &writer->keys, (uint32_t)values[i], 4);
}

void obi_gguf_put_value(obi_gguf_writer *writer, const obi_gguf_value *value)
{
    static const char alignment[] = "general.alignment";
    if (value->key.length == sizeof alignment - 1 && memcmp(value->key.text, alignment, sizeof alignment - 1) == 0) return;
    start_key(writer, value->key.text, (size_t)value->key.length, value->type);
    if (value->type == OBI_GGUF_ARRAY) {
        append_integer(writer, &writer->keys, value->element, 4);
        append_integer(writer, &writer->keys, value->count, 8);
    }
    if (value->strings)
        for (uint64_t i = 0; i < value->count; i++)
            append_string(writer, &writer->keys, value->strings[i].text, value->strings[i].length);
    else append(writer, &writer->keys, value->data, value->count * obi_gguf_number_bytes(value->element));
}

/* ---- tensors ------------------------------------------------------------------------------------------------ */

void obi_gguf_add_tensor(obi_gguf_writer *writer, const char *name, obi_dtype type, uint32_t dimensions, const uint64_t *shape)
{
    size_t length = strlen(name);
    if (writer->begun) refuse(writer, "the tensor %.100s came after the header was written", name);
    if (length < 1 || length > NAME_MOST_BYTES || !is_printable(name, length))
        refuse(writer, "the name of tensor \"%.100s\" is not 1 to %d printable characters", name, NAME_MOST_BYTES);
    if (dimensions < 1 || dimensions > 4) refuse(writer, "the tensor %.100s has %u dimensions and not 1 to 4", name, dimensions);
    if (writer->status != OBI_OK) return;
    tensor_entry *tensors = grown(writer, writer->tensors, writer->tensor_count, &writer->tensor_room, sizeof *tensors);
    if (!tensors) return;
    writer->tensors = tensors;
    tensor_entry *tensor = &tensors[writer->tensor_count];
    memset(tensor, 0, sizeof *tensor);
    memcpy(tensor->name, name, length);
    tensor->type = type;
    tensor->dimensions = dimensions;
    uint64_t elements = 1;
    for (uint32_t i = 0; i < dimensions; i++) {
        tensor->shape[i] = shape[i];
        if (shape[i] == 0 || !obi_checked_mul(elements, shape[i], &elements) || elements > INT64_MAX) {
            refuse(writer, "the tensor %s has no elements, or more than can be counted", name);
            return;
        }
    }
    if (!obi_dtype_known((uint32_t)type) || shape[0] % obi_dtype_block(type) != 0 ||
        !obi_dtype_bytes(type, elements, &tensor->bytes) || !obi_checked_align(tensor->bytes, ALIGNMENT, &tensor->padded)) {
        refuse(writer, "the tensor %s cannot have the type %s (%u)", name, obi_dtype_name(type), (unsigned)type);
        return;
    }
    writer->tensor_count++;
}

static obi_gguf_string key_at(const void *items, uint64_t i)
{
    const obi_gguf_writer *writer = items;
    obi_gguf_string key = { (const char *)writer->keys.data + writer->places[i].start, writer->places[i].length };
    return key;
}

static obi_gguf_string name_at(const void *items, uint64_t i)
{
    const char *name = ((const tensor_entry *)items)[i].name;
    obi_gguf_string string = { name, strlen(name) };
    return string;
}

/* A file with a name twice would be refused by every reader. */
static void check_duplicates(obi_gguf_writer *writer)
{
    uint64_t *order, duplicate;
    if (writer->status != OBI_OK) return;
    obi_status status = obi_name_order_create(&order, writer, writer->place_count, key_at, &duplicate);
    obi_free(order);
    if (status != OBI_OK) keep_failure(writer, status);
    else if (duplicate < writer->place_count)
        refuse(writer, "the key %.*s was put twice", (int)writer->places[duplicate].length, key_at(writer, duplicate).text);
    status = obi_name_order_create(&order, writer->tensors, writer->tensor_count, name_at, &duplicate);
    obi_free(order);
    if (status != OBI_OK) keep_failure(writer, status);
    else if (duplicate < writer->tensor_count) refuse(writer, "the tensor %s was added twice", writer->tensors[duplicate].name);
}

static obi_status failure(const obi_gguf_writer *writer) { return obi_fail(writer->status, "%s", writer->sentence); }

obi_status obi_gguf_writer_create(obi_gguf_writer **out, const char *path)
{
    *out = NULL;
    obi_gguf_writer *writer = obi_calloc(1, sizeof *writer);
    if (!writer) return OBI_ERROR_MEMORY;
    obi_status status = obi_writer_open(&writer->file, path);
    if (status != OBI_OK) obi_free(writer);
    else *out = writer;
    return status;
}

obi_status obi_gguf_writer_begin(obi_gguf_writer *writer)
{
    bytes header = { NULL, 0, 0 }, table = { NULL, 0, 0 };
    if (writer->begun) refuse(writer, "its header was written twice");
    check_duplicates(writer);
    append(writer, &header, "GGUF", 4);
    append_integer(writer, &header, VERSION, 4);
    append_integer(writer, &header, writer->tensor_count, 8);
    append_integer(writer, &header, writer->place_count, 8);
    uint64_t offset = 0;
    for (size_t i = 0; i < writer->tensor_count; i++) {
        const tensor_entry *tensor = &writer->tensors[i];
        append_string(writer, &table, tensor->name, strlen(tensor->name));
        append_integer(writer, &table, tensor->dimensions, 4);
        for (uint32_t axis = 0; axis < tensor->dimensions; axis++) append_integer(writer, &table, tensor->shape[axis], 8);
        append_integer(writer, &table, (uint32_t)tensor->type, 4);
        append_integer(writer, &table, offset, 8);
        if (!obi_checked_add(offset, tensor->padded, &offset) || offset > INT64_MAX) refuse(writer, "its tensors are too large for a file");
    }
    obi_status status = writer->status != OBI_OK ? failure(writer) : OBI_OK;
    if (status == OBI_OK) status = obi_write(&writer->file, header.data, header.count);
    if (status == OBI_OK) status = obi_write(&writer->file, writer->keys.data, writer->keys.count);
    if (status == OBI_OK) status = obi_write(&writer->file, table.data, table.count);
    uint64_t end = writer->file.written;
    if (status == OBI_OK && writer->tensor_count > 0) status = obi_write_zeros(&writer->file, obi_align_up(end, ALIGNMENT) - end);
    if (status != OBI_OK) keep_failure(writer, status);
    writer->begun = true;
    obi_free(header.data);
    obi_free(table.data);
    return status;
}

obi_status obi_gguf_write(obi_gguf_writer *writer, const void *data, uint64_t count)
{
    if (!writer->begun) refuse(writer, "data came before the header was written");
    if (count == 0 && writer->status == OBI_OK) return OBI_OK;
    if (writer->status == OBI_OK && writer->current == writer->tensor_count) refuse(writer, "data came after the last tensor was complete");
    if (writer->status != OBI_OK) return failure(writer);
    const tensor_entry *tensor = &writer->tensors[writer->current];
    if (count > tensor->bytes - writer->current_bytes) {
        refuse(writer, "the tensor %s was given more than its %llu bytes", tensor->name, (unsigned long long)tensor->bytes);
        return failure(writer);
    }
    obi_status status = obi_write(&writer->file, data, count);
    if (status == OBI_OK) {
        writer->current_bytes += count;
        if (writer->current_bytes < tensor->bytes) return OBI_OK;
        writer->current++;
        writer->current_bytes = 0;
        status = obi_write_zeros(&writer->file, tensor->padded - tensor->bytes);
    }
    if (status != OBI_OK) keep_failure(writer, status);
    return status;
}

obi_status obi_gguf_rewrite_f32(obi_gguf_writer *writer, const char *key, float value)
{
    const uint8_t *keys = writer->keys.data;
    size_t length = strlen(key);
    uint32_t bits;
    if (!writer->begun) refuse(writer, "the key %.100s was to be written anew before the header was written", key);
    if (writer->status != OBI_OK) return failure(writer);
    for (size_t i = 0; i < writer->place_count; i++) {
        const key_place *place = &writer->places[i];
        size_t type = place->start + place->length; /* four bytes, then the value */
        if (place->length != length || memcmp(keys + place->start, key, length) != 0 || keys[type] != OBI_GGUF_F32) continue;
        memcpy(&bits, &value, 4);
        const uint8_t little[4] = { (uint8_t)bits, (uint8_t)(bits >> 8), (uint8_t)(bits >> 16), (uint8_t)(bits >> 24) };
        obi_status status = obi_write_at(&writer->file, HEADER_BYTES + type + 4, little, sizeof little);
        if (status != OBI_OK) keep_failure(writer, status);
        return status;
    }
    refuse(writer, "there is no number under the key %.100s to be written anew", key);
    return failure(writer);
}

static void release(obi_gguf_writer *writer)
{
    obi_free(writer->keys.data);
    obi_free(writer->places);
    obi_free(writer->tensors);
    obi_free(writer);
}

obi_status obi_gguf_writer_commit(obi_gguf_writer *writer, uint64_t *file_bytes)
{
    if (!writer->begun) refuse(writer, "its header was never written");
    else if (writer->current < writer->tensor_count)
        refuse(writer, "the tensor %s is incomplete", writer->tensors[writer->current].name);
    obi_status status = OBI_OK;
    uint64_t written = writer->file.written;
    if (writer->status != OBI_OK) {
        status = failure(writer);
        obi_writer_abandon(&writer->file);
    } else {
        status = obi_writer_commit(&writer->file);
    }
    if (status == OBI_OK && file_bytes) *file_bytes = written;
    release(writer);
    return status;
}

void obi_gguf_writer_abandon(obi_gguf_writer *writer)
{
    if (!writer) return;
    obi_writer_abandon(&writer->file);
    release(writer);
}
