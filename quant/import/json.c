#include "quant/import/json.h"

#include <math.h>
#include <string.h>
#include <sys/stat.h>

#include "core/file.h"

static obi_status parse(json_t **out, const void *text, uint64_t size, const char *name)
{
    *out = NULL;
    if (size > OBI_JSON_MAX_BYTES) return obi_fail(OBI_ERROR_DATA, "%s: a JSON text of more than 100 MB", name);
    json_error_t error;
    json_t *root = json_loadb(text, (size_t)size, JSON_REJECT_DUPLICATES, &error);
    /* Hugging Face writes 10^30 for "no limit". Numbers that large are wanted nowhere, but their neighbours are. */
    if (!root && json_error_code(&error) == json_error_numeric_overflow)
        root = json_loadb(text, (size_t)size, JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, &error);
    if (!root) {
        if (json_error_code(&error) == json_error_out_of_memory)
            return obi_fail(OBI_ERROR_MEMORY, "%s: out of memory while reading JSON", name);
        return obi_fail(OBI_ERROR_DATA, "%s: not valid JSON (line %d, column %d: %s)", name, error.line, error.column, error.text);
    }
    *out = root;
    return OBI_OK;
}

/* Lets go of a root that is not `wanted`. */
static obi_status check_root(json_t **root, bool wanted, const char *name, const char *what)
{
    if (wanted) return OBI_OK;
    json_decref(*root);
    *root = NULL;
    return obi_fail(OBI_ERROR_DATA, "%s: the JSON text is not %s", name, what);
}

obi_status obi_json_parse(json_t **out, const void *text, uint64_t size, const char *name)
{
    OBI_TRY(parse(out, text, size, name));
    return check_root(out, json_is_object(*out), name, "an object");
}

obi_status obi_json_parse_array(json_t **out, const void *text, uint64_t size, const char *name)
{
    OBI_TRY(parse(out, text, size, name));
    return check_root(out, json_is_array(*out), name, "an array");
}

obi_status obi_json_read(json_t **out, const char *path)
{
    *out = NULL;
    obi_mapping mapping;
    OBI_TRY(obi_mapping_open(&mapping, path));
    obi_status status = obi_json_parse(out, mapping.data, mapping.size, path);
    obi_mapping_close(&mapping);
    return status;
}

obi_status obi_json_read_optional(json_t **out, const char *path)
{
    *out = NULL;
    struct stat info;
    if (stat(path, &info) != 0) return OBI_OK;
    return obi_json_read(out, path);
}

const json_t *obi_json_find(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return value && !json_is_null(value) ? value : NULL;
}

/* What every getter begins with: *value is NULL when there is nothing to do. */
static obi_status look_up(const json_t *object, const char *name, const char *key, bool required, const json_t **value)
{
    *value = obi_json_find(object, key);
    if (!*value && required) return obi_fail(OBI_ERROR_DATA, "%s: \"%s\" is missing", name, key);
    return OBI_OK;
}

static obi_status wrong_type(const char *name, const char *key, const char *wanted)
{
    return obi_fail(OBI_ERROR_DATA, "%s: \"%s\" is not %s", name, key, wanted);
}

bool obi_json_is_count(const json_t *value, uint64_t *out)
{
    const double most = 9007199254740992.0; /* 2^53 */
    if (json_is_integer(value)) {
        if (json_integer_value(value) < 0 || json_integer_value(value) > (json_int_t)most) return false;
        *out = (uint64_t)json_integer_value(value);
        return true;
    }
    if (!json_is_real(value)) return false;
    double number = json_real_value(value);
    if (!(number >= 0 && number <= most) || number != floor(number)) return false;
    *out = (uint64_t)number;
    return true;
}

obi_status obi_json_u64(const json_t *value, const char *name, const char *key, uint64_t *out)
{
    return obi_json_is_count(value, out) ? OBI_OK : wrong_type(name, key, "a non-negative integer");
}

obi_status obi_json_get_u32(const json_t *object, const char *name, const char *key, bool required, uint32_t *out)
{
    const json_t *value;
    OBI_TRY(look_up(object, name, key, required, &value));
    if (!value) return OBI_OK;
    uint64_t number;
    OBI_TRY(obi_json_u64(value, name, key, &number));
    if (number > UINT32_MAX) return wrong_type(name, key, "below 2^32");
    *out = (uint32_t)number;
    return OBI_OK;
}

obi_status obi_json_get_f32(const json_t *object, const char *name, const char *key, bool required, float *out)
{
    const json_t *value;
    OBI_TRY(look_up(object, name, key, required, &value));
    if (!value) return OBI_OK;
    if (!json_is_number(value)) return wrong_type(name, key, "a number");
    double number = json_number_value(value);
    if (!(number >= -3e38 && number <= 3e38)) return wrong_type(name, key, "a number that a float can hold");
    *out = (float)number;
    return OBI_OK;
}

obi_status obi_json_get_bool(const json_t *object, const char *name, const char *key, bool *out)
{
    const json_t *value = obi_json_find(object, key);
    if (!value) return OBI_OK;
    if (!json_is_boolean(value)) return wrong_type(name, key, "true or false");
    *out = json_is_true(value);
    return OBI_OK;
}

obi_status obi_json_get_text(const json_t *object, const char *name, const char *key, bool required, const char **out)
{
    const json_t *value;
    OBI_TRY(look_up(object, name, key, required, &value));
    if (!value) return OBI_OK;
    if (!json_is_string(value) || strlen(json_string_value(value)) != json_string_length(value)) return wrong_type(name, key, "a text");
    *out = json_string_value(value);
    return OBI_OK;
}

obi_status obi_json_get_object(const json_t *object, const char *name, const char *key, bool required, const json_t **out)
{
    const json_t *value;
    OBI_TRY(look_up(object, name, key, required, &value));
    if (!value) return OBI_OK;
    if (!json_is_object(value)) return wrong_type(name, key, "an object");
    *out = value;
    return OBI_OK;
}

obi_status obi_json_get_array(const json_t *object, const char *name, const char *key, bool required, const json_t **out)
{
    const json_t *value;
    OBI_TRY(look_up(object, name, key, required, &value));
    if (!value) return OBI_OK;
    if (!json_is_array(value)) return wrong_type(name, key, "an array");
    *out = value;
    return OBI_OK;
}

bool obi_json_absent_or(const json_t *object, const char *key, const char *expected)
{
    const json_t *value = obi_json_find(object, key);
    return !value || (json_is_string(value) && strcmp(json_string_value(value), expected) == 0);
}
