#include "compare_key.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "item_log.h"

#define VERSION "compare 3" /* of what methods and measurements give: results of another one are made anew */
#define KNOWN_MAX 64
#define ENTRIES_MAX 4096

static uint64_t add(uint64_t key, const char *text) { return XXH64(text ? text : "", text ? strlen(text) + 1 : 0, key); }
static uint64_t add_number(uint64_t key, uint64_t number) { return XXH64(&number, sizeof number, key); }

/* ---- contents ------------------------------------------------------------------------------------------------------- */

static uint64_t file_content(const char *path)
{
    const char *digits = item_log_hash(path);
    return digits ? strtoull(digits, NULL, 16) : 0;
}

static int by_name(const void *left, const void *right) { return strcmp(*(char *const *)left, *(char *const *)right); }

/* The files in it: what a model consists of. With `deep`, those of the directories in it, too, where tasks may lie (task.h); not those
 * of directories in these, so that a link back ends. */
static uint64_t directory_content(const char *path, bool deep)
{
    DIR *directory = opendir(path);
    char **names = calloc(ENTRIES_MAX, sizeof *names), file[2048];
    size_t count = 0;
    for (const struct dirent *entry; directory && names && count < ENTRIES_MAX && (entry = readdir(directory));)
        if (entry->d_name[0] != '.' && (names[count] = strdup(entry->d_name))) count++;
    if (directory) closedir(directory);
    uint64_t key = add(0, "directory");
    if (count > 0) qsort(names, count, sizeof *names, by_name);
    for (size_t i = 0; i < count; i++) {
        struct stat info;
        bool fits = snprintf(file, sizeof file, "%s/%s", path, names[i]) < (int)sizeof file;
        if (fits && stat(file, &info) == 0) {
            if (S_ISREG(info.st_mode)) key = add_number(add(key, names[i]), file_content(file));
            else if (deep && S_ISDIR(info.st_mode)) key = add_number(add(key, names[i]), directory_content(file, false));
        }
        free(names[i]);
    }
    free(names);
    return key;
}

static uint64_t content_of(const char *path, bool deep)
{
    static struct {
        char path[1024];
        bool deep;
        uint64_t key;
    } known[KNOWN_MAX];
    static size_t count;
    struct stat info;
    if (!path || stat(path, &info) != 0) return 0;
    for (size_t i = 0; i < count; i++)
        if (strcmp(known[i].path, path) == 0 && known[i].deep == deep) return known[i].key;
    uint64_t key = S_ISDIR(info.st_mode) ? directory_content(path, deep) : S_ISREG(info.st_mode) ? file_content(path) : 0;
    if (count < KNOWN_MAX && strlen(path) < sizeof known[0].path) {
        memcpy(known[count].path, path, strlen(path) + 1);
        known[count].deep = deep;
        known[count++].key = key;
    }
    return key;
}

uint64_t compare_key_of_path(const char *path) { return content_of(path, false); }
uint64_t compare_key_of_tasks(const char *folder) { return content_of(folder, true); }

/* ---- settings -------------------------------------------------------------------------------------------------------- */

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), tail = strlen(end);
    return length >= tail && strcmp(text + length - tail, end) == 0;
}

/* One key with its value, or the content where it is that of a path (dataset, teacher_model_name_or_path, ...). Such keys are added up, so
 * that their order means nothing. */
static uint64_t key_of_pair(const char *name, const char *value)
{
    uint64_t content = ends_with(name, "path") || ends_with(name, "dataset") ? compare_key_of_path(value) : 0;
    uint64_t key = add(1, name);
    return content ? add_number(key, content) : add(key, value);
}

/* What says how a training is kept, not what it gives. The preset is here as its values are there. The steps between two checkpoints are
 * not: a training that diverges goes back to one; nor those between two lines of the log, of which curve and last loss are made. */
static bool changes_nothing(const char *name)
{
    static const char *const names[] = { "preset", "output_dir", "save_total_limit", "resume_from_checkpoint", "overwrite_output_dir" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0) return true;
    return false;
}

static void add_setting(const char *name, const char *value, void *user)
{
    if (!changes_nothing(name)) *(uint64_t *)user += key_of_pair(name, value);
}

/* Of all keys of training with the values that they come to, so that it is another one when a preset or a default is. Settings that cannot
 * be have the key of what is given. */
static uint64_t key_of_training(const compare_config *config, const compare_row *row, uint64_t seed)
{
    compare_words words;
    uint64_t sum = 0;
    compare_train_words(config, row, seed, config->model, ".", &words);
    if (ob_train_resolve(&(ob_train_desc){ .overrides = words.words, .override_count = words.count }, add_setting, &sum) == OB_OK)
        return sum;
    for (size_t i = 0; i < words.count; i++) sum += key_of_pair(words.words[2 * i], words.words[2 * i + 1]);
    return sum;
}

static uint64_t key_of_settings(const compare_config *config, const compare_row *row, uint64_t seed)
{
    uint64_t sum = 0;
    if (row->kind == COMPARE_TRAIN) return key_of_training(config, row, seed);
    for (size_t i = 0; i < row->keys.count; i++) sum += key_of_pair(row->keys.pairs[i].key, row->keys.pairs[i].value);
    return sum;
}

uint64_t compare_key_of_model(const compare_config *config, const compare_row *row, uint64_t seed, const ob_device_info *device)
{
    uint64_t key = add(0, VERSION);
    key = add(add(key, ob_version()), compare_kind_names[row->kind]);
    key = add_number(add(add(key, device->name), device->driver), (uint64_t)device->tier);
    key = add_number(add_number(key, seed), key_of_settings(config, row, seed));
    key = add_number(add_number(key, compare_key_of_path(config->model)), compare_key_of_path(config->tokenizer));
    if (compare_is_calibrated(row)) key = add_number(add_number(key, compare_key_of_path(config->calibration)), config->calibration_bytes);
    return key;
}

uint64_t compare_key_of_result(const compare_config *config, const compare_row *row, uint64_t model)
{
    uint64_t key = add_number(add(model, "measured"), compare_key_of_path(config->text));
    if (row->shown) {
        key = add_number(add_number(key, compare_key_of_path(config->wikitext2)), compare_key_of_path(config->c4));
        key = add_number(key, compare_key_of_tasks(config->zeroshot));
    }
    return add_number(add_number(add_number(key, config->bytes), config->window), config->zeroshot_items);
}
