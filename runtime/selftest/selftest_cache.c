/* The self-test's memory: a small text file that says which tier each kernel may use on one device, or - for none. It is taken only
 * when it is, byte for byte, a file that this build would write for this device; anything else is run again. */
#include <stdio.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "core/alloc.h"
#include "core/file.h"
#include "core/log.h"
#include "selftest/selftest.h"

#define LINE_MAX_BYTES 160
#define LETTERS "ABC-" /* of the tiers, then of a kernel that is off */
#define OFF OBI_TIER_COUNT

/* The file's text for these tiers. If `positions` is given, positions[k] is where kernel k's tier letter stands. */
static char *compose(uint64_t key, const int *tiers, size_t *length, size_t *positions)
{
    size_t room = (size_t)(OBI_KERNEL_COUNT + 4) * LINE_MAX_BYTES, used = 0;
    char *text = obi_calloc(room, 1);
    if (!text) return NULL;
    used += (size_t)snprintf(text + used, room - used, "onebit self-test 1\ndevice %016llx\n", (unsigned long long)key);
    for (int k = 0; k < OBI_KERNEL_COUNT; k++) {
        used += (size_t)snprintf(text + used, room - used, "%.100s %c\n", obi_kernels[k].name, LETTERS[tiers[k]]);
        if (positions) positions[k] = used - 2;
    }
    unsigned long long sum = XXH64(text, used, 0);
    used += (size_t)snprintf(text + used, room - used, "checksum %016llx\n", sum);
    *length = used;
    return text;
}

/* Takes the tiers from the file's bytes; false when they are not what compose would have made. */
static bool take(obi_device *device, uint64_t key, const uint8_t *data, uint64_t size)
{
    int tiers[OBI_KERNEL_COUNT + 1] = { OBI_TIER_A };
    size_t positions[OBI_KERNEL_COUNT + 1], length;
    char *text = compose(key, tiers, &length, positions);
    bool good = text && size == length; /* every letter is one byte, so every good file has this size */
    for (int k = 0; good && k < OBI_KERNEL_COUNT; k++) {
        const char *letter = data[positions[k]] ? strchr(LETTERS, data[positions[k]]) : NULL;
        good = letter != NULL;
        if (good) tiers[k] = (int)(letter - LETTERS);
    }
    obi_free(text);
    if (!good) return false;
    text = compose(key, tiers, &length, NULL);
    good = text && memcmp(text, data, length) == 0;
    obi_free(text);
    for (int k = 0; good && k < OBI_KERNEL_COUNT; k++) {
        if (tiers[k] == OFF) device->kernel_off[k] = true;
        else if (tiers[k] < (int)device->kernel_tier[k]) device->kernel_tier[k] = (obi_tier)tiers[k];
    }
    return good;
}

static bool take_file(obi_device *device, uint64_t key, const char *path)
{
    obi_mapping mapping;
    if (obi_mapping_open(&mapping, path) != OBI_OK) return false;
    bool good = take(device, key, mapping.data, mapping.size);
    if (!good) obi_log(OBI_LOG_INFO, "%s is damaged or of another build; the kernels are tested again", path);
    obi_mapping_close(&mapping);
    return good;
}

static obi_status save(const obi_device *device, uint64_t key, const char *directory, const char *path)
{
    size_t length;
    int tiers[OBI_KERNEL_COUNT + 1];
    for (int k = 0; k < OBI_KERNEL_COUNT; k++) tiers[k] = device->kernel_off[k] ? OFF : (int)device->kernel_tier[k];
    char *text = compose(key, tiers, &length, NULL);
    if (!text) return OBI_ERROR_MEMORY;
    obi_writer writer = { .descriptor = -1 };
    obi_status status;
    OBI_TRY_GOTO(obi_make_directories(directory));
    OBI_TRY_GOTO(obi_writer_open(&writer, path));
    OBI_TRY_GOTO(obi_write(&writer, text, length));
    status = obi_writer_commit(&writer);
done:
    obi_writer_abandon(&writer);
    obi_free(text);
    return status;
}

static obi_status run_plain(obi_device *device)
{
    uint32_t count, plain = 0;
    const obi_case *const *cases = obi_cases(&count);
    const obi_case **chosen = obi_calloc(count, sizeof *chosen);
    if (!chosen) return OBI_ERROR_MEMORY;
    for (uint32_t i = 0; i < count; i++)
        if (!obi_case_is_straight(cases[i])) chosen[plain++] = cases[i];
    obi_status status = obi_selftest_run_cases(device, chosen, plain, NULL, NULL);
    obi_free(chosen);
    return status;
}

obi_status obi_selftest_cached(obi_device *device, const char *cache_dir, bool *ran)
{
    char path[4096];
    uint64_t key = obi_device_key(device);
    int length = snprintf(path, sizeof path, "%s/selftest-%016llx.txt", cache_dir, (unsigned long long)key);
    bool keep = cache_dir[0] && length > 0 && (size_t)length < sizeof path;
    *ran = false;
    if (keep && take_file(device, key, path)) return OBI_OK;
    *ran = true;
    OBI_TRY(run_plain(device));
    if (keep && save(device, key, cache_dir, path) != OBI_OK)
        obi_log(OBI_LOG_WARNING, "the self-test's result is not kept: %s", obi_last_error());
    return OBI_OK;
}
