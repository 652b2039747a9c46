#include "quant/import/shards.h"

#include <string.h>
#include <sys/stat.h>

#include "core/alloc.h"
#include "quant/import/import.h"
#include "quant/import/json.h"

enum { MAX_SHARDS = 4096 };

static obi_status exists(const char *directory, const char *name, bool *found)
{
    char *path = obi_import_join(directory, name);
    if (!path) return OBI_ERROR_MEMORY;
    struct stat info;
    *found = stat(path, &info) == 0;
    obi_free(path);
    return OBI_OK;
}

static bool plain_file_name(const char *name)
{
    return name[0] && name[0] != '.' && strlen(name) <= 255 && !strchr(name, '/') && !strchr(name, '\\');
}

static obi_status open_file(obi_shards *shards, obi_source *source, const char *directory, const char *name)
{
    char *path = obi_import_join(directory, name);
    if (!path) return OBI_ERROR_MEMORY;
    obi_mapping *mapping = &source->mappings[shards->count];
    obi_status status = obi_mapping_open(mapping, path);
    if (status == OBI_OK) status = obi_safetensors_open(&shards->files[shards->count], mapping);
    if (status == OBI_OK) shards->count++;
    obi_free(path);
    return status;
}

/* The distinct file names of the index, each as a key of *names whose value is its position. */
static obi_status collect_names(const json_t *map, const char *path, json_t *names)
{
    for (void *i = json_object_iter((json_t *)map); i; i = json_object_iter_next((json_t *)map, i)) {
        const json_t *value = json_object_iter_value(i);
        const char *name = json_string_value(value);
        if (!name || strlen(name) != json_string_length(value))
            return obi_fail(OBI_ERROR_DATA, "%s: the file of tensor %.64s is not a text", path, json_object_iter_key(i));
        if (!plain_file_name(name))
            return obi_fail(OBI_ERROR_DATA, "%s: \"%.64s\" is not the plain name of a file in the same directory", path, name);
        if (json_object_get(names, name)) continue;
        if (json_object_size(names) == MAX_SHARDS) return obi_fail(OBI_ERROR_DATA, "%s: more than %d files", path, MAX_SHARDS);
        if (json_object_set_new(names, name, json_integer((json_int_t)json_object_size(names))) != 0)
            return obi_fail(OBI_ERROR_MEMORY, "%s: out of memory", path);
    }
    if (json_object_size(names) == 0) return obi_fail(OBI_ERROR_DATA, "%s: \"weight_map\" is empty", path);
    return OBI_OK;
}

static obi_status open_index(obi_shards *shards, obi_source *source, const char *directory)
{
    obi_status status;
    json_t *root = NULL, *names = json_object();
    const json_t *map = NULL;
    char *path = obi_import_join(directory, "model.safetensors.index.json");
    if (!path || !names) {
        status = path ? obi_fail(OBI_ERROR_MEMORY, "out of memory") : OBI_ERROR_MEMORY;
        goto done;
    }
    OBI_TRY_GOTO(obi_json_read(&root, path));
    OBI_TRY_GOTO(obi_json_get_object(root, path, "weight_map", true, &map));
    OBI_TRY_GOTO(collect_names(map, path, names));
    size_t count = json_object_size(names);
    OBI_TRY_GOTO(obi_import_reserve_mappings(source, count));
    shards->files = obi_calloc(count, sizeof *shards->files);
    if (!shards->files) {
        status = OBI_ERROR_MEMORY;
        goto done;
    }
    /* jansson iterates in the order of insertion, so file k is the one whose value is k. */
    for (void *i = json_object_iter(names); i; i = json_object_iter_next(names, i))
        OBI_TRY_GOTO(open_file(shards, source, directory, json_object_iter_key(i)));
    for (void *i = json_object_iter((json_t *)map); i; i = json_object_iter_next((json_t *)map, i)) {
        const char *name = json_string_value(json_object_iter_value(i));
        size_t file = (size_t)json_integer_value(json_object_get(names, name));
        if (!obi_safetensors_find(&shards->files[file], json_object_iter_key(i))) {
            status = obi_fail(OBI_ERROR_DATA, "%s: tensor %.64s is not in %.64s as the index says", path, json_object_iter_key(i), name);
            goto done;
        }
    }
done:
    json_decref(names);
    json_decref(root);
    obi_free(path);
    return status;
}

obi_status obi_shards_open(obi_shards *shards, obi_source *source, const char *directory)
{
    memset(shards, 0, sizeof *shards);
    bool single = false, index = false, pickle = false, pickle_index = false;
    OBI_TRY(exists(directory, "model.safetensors", &single));
    OBI_TRY(exists(directory, "model.safetensors.index.json", &index));
    OBI_TRY(exists(directory, "pytorch_model.bin", &pickle));
    OBI_TRY(exists(directory, "pytorch_model.bin.index.json", &pickle_index));
    if (single) {
        OBI_TRY(obi_import_reserve_mappings(source, 1));
        shards->files = obi_calloc(1, sizeof *shards->files);
        if (!shards->files) return OBI_ERROR_MEMORY;
        return open_file(shards, source, directory, "model.safetensors");
    }
    if (index) return open_index(shards, source, directory);
    if (pickle || pickle_index)
        return obi_fail(OBI_ERROR_DATA, "%s has its weights only in pytorch_model.bin, which can run code and is not read here: load it "
                        "with transformers and save it again with save_pretrained(..., safe_serialization=True)", directory);
    return obi_fail(OBI_ERROR_DATA, "%s has neither model.safetensors nor model.safetensors.index.json", directory);
}

void obi_shards_close(obi_shards *shards)
{
    /* open_file counts a file only once it is open, and a failed obi_safetensors_open leaves nothing behind. */
    for (size_t i = 0; i < shards->count; i++) obi_safetensors_close(&shards->files[i]);
    obi_free(shards->files);
    memset(shards, 0, sizeof *shards);
}

const obi_safetensors_tensor *obi_shards_find(const obi_shards *shards, const char *name, const obi_mapping **mapping)
{
    for (size_t i = 0; i < shards->count; i++) {
        const obi_safetensors_tensor *tensor = obi_safetensors_find(&shards->files[i], name);
        if (!tensor) continue;
        if (mapping) *mapping = shards->files[i].mapping;
        return tensor;
    }
    return NULL;
}
