/* json: JSON files read strictly, and typed getters over jansson that name the file and the key when they refuse.
 *
 * Strict means: UTF-8, no duplicate keys (two readers could each believe another one), nesting bounded by jansson's
 * parser (2048 levels), at most 100 MB. A key whose value is null counts as absent, as in Python's configs.
 * jansson allocates by itself and not through core/alloc.h: its hooks are global and belong to the host program. */
#ifndef OBI_QUANT_JSON_H
#define OBI_QUANT_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/status.h"

#define OBI_JSON_MAX_BYTES 100000000u

/* Parses an object. `name` goes into messages. The caller releases *out with json_decref. OBI_ERROR_DATA says where
 * the text is wrong. */
obi_status obi_json_parse(json_t **out, const void *text, uint64_t size, const char *name);
/* The same for an array. */
obi_status obi_json_parse_array(json_t **out, const void *text, uint64_t size, const char *name);
/* An object from a file. */
obi_status obi_json_read(json_t **out, const char *path);
/* The same, but an absent file is OBI_OK with *out = NULL. */
obi_status obi_json_read_optional(json_t **out, const char *path);

/* The value under `key`, or NULL when it is absent or null; `object` may be NULL. */
const json_t *obi_json_find(const json_t *object, const char *key);

/* Getters. An absent key that is not required leaves *out alone. A value of another type, or one that does not fit,
 * is OBI_ERROR_DATA: "NAME: KEY is ...". */
obi_status obi_json_get_u32(const json_t *object, const char *name, const char *key, bool required, uint32_t *out);
obi_status obi_json_get_f32(const json_t *object, const char *name, const char *key, bool required, float *out);
obi_status obi_json_get_bool(const json_t *object, const char *name, const char *key, bool *out);
/* *out points into the object and ends with NUL; a text with a NUL inside is refused. */
obi_status obi_json_get_text(const json_t *object, const char *name, const char *key, bool required, const char **out);
obi_status obi_json_get_object(const json_t *object, const char *name, const char *key, bool required, const json_t **out);
obi_status obi_json_get_array(const json_t *object, const char *name, const char *key, bool required, const json_t **out);

/* True when the value is an integer in 0 .. 2^53 (as a whole number with a point, too), which goes to *out. Beyond 2^53
 * nothing that is described in JSON here can lie. */
bool obi_json_is_count(const json_t *value, uint64_t *out);

/* The same with a sentence; `key` is only for the message. */
obi_status obi_json_u64(const json_t *value, const char *name, const char *key, uint64_t *out);

/* True when object[key] is absent, null, or the text `expected`. */
bool obi_json_absent_or(const json_t *object, const char *key, const char *expected);

#endif
