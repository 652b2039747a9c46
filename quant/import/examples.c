#include "quant/import/examples.h"

#include <stdio.h>
#include <string.h>

#include "core/file.h"
#include "quant/import/json.h"

typedef struct example_reader {
    obi_status (*take)(void *user, const obi_example *example);
    void *user;
} example_reader;

/* `name` says where the object is. */
static obi_status give(const example_reader *reader, const json_t *object, const char *name)
{
    obi_example example = { 0 };
    if (obi_json_find(object, "instruction")) {
        example.input = "";
        OBI_TRY(obi_json_get_text(object, name, "instruction", true, &example.instruction));
        OBI_TRY(obi_json_get_text(object, name, "input", false, &example.input));
        OBI_TRY(obi_json_get_text(object, name, "output", true, &example.answer));
    } else if (obi_json_find(object, "prompt")) {
        OBI_TRY(obi_json_get_text(object, name, "prompt", true, &example.prompt));
        OBI_TRY(obi_json_get_text(object, name, "completion", true, &example.answer));
    } else if (obi_json_find(object, "text")) {
        OBI_TRY(obi_json_get_text(object, name, "text", true, &example.answer));
    } else {
        return obi_fail(OBI_ERROR_DATA, "%s: an example has \"instruction\" and \"output\", or \"prompt\" and \"completion\", or \"text\"",
                        name);
    }
    return reader->take(reader->user, &example);
}

static obi_status read_lines(const example_reader *reader, const char *at, const char *end, const char *path)
{
    char name[1100];
    for (uint64_t line = 1; at < end; line++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t length = (size_t)((stop ? stop : end) - at);
        size_t blank = 0;
        while (blank < length && (at[blank] == ' ' || at[blank] == '\t' || at[blank] == '\r')) blank++;
        if (blank < length) {
            json_t *object;
            snprintf(name, sizeof name, "%s:%llu", path, (unsigned long long)line);
            OBI_TRY(obi_json_parse(&object, at, length, name));
            obi_status status = give(reader, object, name);
            json_decref(object);
            OBI_TRY(status);
        }
        at = stop ? stop + 1 : end;
    }
    return OBI_OK;
}

static obi_status read_array(const example_reader *reader, const char *text, size_t size, const char *path)
{
    json_t *array;
    OBI_TRY(obi_json_parse_array(&array, text, size, path));
    obi_status status = OBI_OK;
    char name[1100];
    for (size_t i = 0; i < json_array_size(array) && status == OBI_OK; i++) {
        const json_t *object = json_array_get(array, i);
        snprintf(name, sizeof name, "%s: example %zu", path, i + 1);
        status = json_is_object(object) ? give(reader, object, name) : obi_fail(OBI_ERROR_DATA, "%s is not an object", name);
    }
    json_decref(array);
    return status;
}

obi_status obi_examples_read(const char *path, obi_status (*take)(void *user, const obi_example *example), void *user)
{
    obi_mapping file;
    example_reader reader = { take, user };
    OBI_TRY(obi_mapping_open(&file, path));
    const char *at = (const char *)file.data, *end = at + file.size;
    if (end - at >= 3 && memcmp(at, "\xef\xbb\xbf", 3) == 0) at += 3; /* a mark that some editors put in front */
    const char *first = at;
    while (first < end && strchr(" \t\r\n", *first) && *first) first++;
    obi_status status =
        first < end && *first == '[' ? read_array(&reader, at, (size_t)(end - at), path) : read_lines(&reader, at, end, path);
    obi_mapping_close(&file);
    return status;
}
