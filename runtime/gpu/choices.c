#include "gpu/choices.h"

#include <stdio.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "core/alloc.h"
#include "core/file.h"
#include "core/log.h"

#define HEADING "onebit choices 1\ndevice %016llx\n"
#define ENDING "checksum %016llx\n"
#define ENDING_BYTES 26u /* of the line */
#define LINE_BYTES (OBI_CHOICE_NAME_BYTES + OBI_CHOICE_TEXT_BYTES + 2)
#define FILE_BYTES_MAX (64u + OBI_CHOICES_MAX * LINE_BYTES)

static obi_choice *find(const obi_choices *choices, const char *name)
{
    for (uint32_t i = 0; i < choices->count; i++)
        if (strcmp(choices->all[i].name, name) == 0) return &choices->all[i];
    return NULL;
}

/* Puts it in; full is full. */
static void put(obi_choices *choices, const char *name, const char *text)
{
    obi_choice *choice = find(choices, name);
    if (!choice && choices->count == OBI_CHOICES_MAX) return;
    if (!choice) choice = &choices->all[choices->count++];
    (void)snprintf(choice->name, sizeof choice->name, "%s", name);
    (void)snprintf(choice->text, sizeof choice->text, "%s", text);
}

/* Takes the lines between heading and checksum; false at the first that is none. */
static bool take_lines(obi_choices *choices, const char *at, const char *end)
{
    while (at < end) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        if (!line_end || (size_t)(line_end - at) >= LINE_BYTES) return false;
        char line[LINE_BYTES] = { 0 };
        memcpy(line, at, (size_t)(line_end - at));
        char *colon = strstr(line, ": ");
        if (!colon || strlen(line) != (size_t)(line_end - at)) return false;
        *colon = 0;
        if (strlen(line) >= OBI_CHOICE_NAME_BYTES || strlen(colon + 2) >= OBI_CHOICE_TEXT_BYTES || find(choices, line)) return false;
        if (choices->count == OBI_CHOICES_MAX) return false;
        put(choices, line, colon + 2);
        at = line_end + 1;
    }
    return true;
}

static bool take(obi_choices *choices, const char *data, uint64_t size)
{
    char heading[64], ending[64];
    size_t heading_bytes = (size_t)snprintf(heading, sizeof heading, HEADING, (unsigned long long)choices->key);
    if (size < heading_bytes + ENDING_BYTES || size > FILE_BYTES_MAX || memcmp(data, heading, heading_bytes) != 0) return false;
    const char *end = data + size - ENDING_BYTES;
    (void)snprintf(ending, sizeof ending, ENDING, (unsigned long long)XXH64(data, (size_t)(end - data), 0));
    return memcmp(end, ending, ENDING_BYTES) == 0 && take_lines(choices, data + heading_bytes, end);
}

static void read_file(obi_choices *choices)
{
    obi_mapping mapping;
    if (obi_mapping_open(&mapping, choices->path) != OBI_OK) return;
    if (!take(choices, (const char *)mapping.data, mapping.size)) {
        choices->count = 0;
        obi_log(OBI_LOG_INFO, "%s is damaged or foreign and is made anew", choices->path);
    }
    obi_mapping_close(&mapping);
}

static obi_status write_file(const obi_choices *choices)
{
    size_t used = 0;
    char *text = obi_calloc(FILE_BYTES_MAX + 1, 1);
    if (!text) return OBI_ERROR_MEMORY;
    used += (size_t)snprintf(text, FILE_BYTES_MAX, HEADING, (unsigned long long)choices->key);
    for (uint32_t i = 0; i < choices->count; i++)
        used += (size_t)snprintf(text + used, FILE_BYTES_MAX - used, "%s: %s\n", choices->all[i].name, choices->all[i].text);
    used += (size_t)snprintf(text + used, FILE_BYTES_MAX + 1 - used, ENDING, (unsigned long long)XXH64(text, used, 0));
    obi_writer writer = { .descriptor = -1 };
    obi_status status;
    char *slash = strrchr(choices->path, '/');
    *slash = 0;
    status = obi_make_directories(choices->path);
    *slash = '/';
    if (status == OBI_OK) status = obi_writer_open(&writer, choices->path);
    if (status == OBI_OK) status = obi_write(&writer, text, used);
    if (status == OBI_OK) status = obi_writer_commit(&writer);
    obi_writer_abandon(&writer);
    obi_free(text);
    return status;
}

obi_status obi_choices_init(obi_choices *choices, const char *cache_dir, uint64_t key)
{
    choices->key = key;
    choices->all = obi_calloc(OBI_CHOICES_MAX, sizeof *choices->all);
    if (!choices->all) return OBI_ERROR_MEMORY;
    if (!cache_dir[0]) return OBI_OK;
    size_t room = strlen(cache_dir) + 64;
    choices->path = obi_calloc(room, 1);
    if (!choices->path) return OBI_ERROR_MEMORY;
    (void)snprintf(choices->path, room, "%s/choices-%016llx.txt", cache_dir, (unsigned long long)key);
    read_file(choices);
    return OBI_OK;
}

void obi_choices_finish(obi_choices *choices)
{
    obi_free(choices->all);
    obi_free(choices->path);
    pthread_mutex_destroy(&choices->lock);
}

bool obi_choices_get(obi_choices *choices, const char *name, char text[OBI_CHOICE_TEXT_BYTES])
{
    pthread_mutex_lock(&choices->lock);
    const obi_choice *choice = find(choices, name);
    if (choice) memcpy(text, choice->text, OBI_CHOICE_TEXT_BYTES);
    pthread_mutex_unlock(&choices->lock);
    return choice != NULL;
}

bool obi_choices_at(obi_choices *choices, uint32_t i, obi_choice *choice)
{
    pthread_mutex_lock(&choices->lock);
    bool there = i < choices->count;
    if (there) *choice = choices->all[i];
    pthread_mutex_unlock(&choices->lock);
    return there;
}

void obi_choices_set(obi_choices *choices, const char *name, const char *text)
{
    pthread_mutex_lock(&choices->lock);
    put(choices, name, text);
    if (choices->path && write_file(choices) != OBI_OK)
        obi_log(OBI_LOG_WARNING, "the choice of kernels is not kept: %s", obi_last_error());
    pthread_mutex_unlock(&choices->lock);
}
