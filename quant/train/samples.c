#include "quant/train/samples.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/alloc.h"

#define PATH_MAX_BYTES 2048
#define TEXT_NAME "generated.txt"
#define GROWING_NAME "generated.txt.partial"
#define RECORD_NAME "samples.jsonl"
#define SETTINGS_NAME "generate.json"

static obi_status path_in(const obi_samples *samples, const char *name, char path[PATH_MAX_BYTES])
{
    int length = snprintf(path, PATH_MAX_BYTES, "%s/%s", samples->directory, name);
    return length > 0 && length < PATH_MAX_BYTES ? OBI_OK : obi_fail(OBI_ERROR_ARGUMENT, "output_dir: the path is too long");
}

static obi_status wrong(const char *verb, const char *path)
{
    return obi_fail(OBI_ERROR_RUNTIME, "cannot %s %s: %s", verb, path, strerror(errno));
}

/* ---- opening --------------------------------------------------------------------------------------------------- */

static obi_status remove_all(const obi_samples *samples)
{
    static const char *const names[] = { TEXT_NAME, GROWING_NAME, RECORD_NAME, SETTINGS_NAME };
    char path[PATH_MAX_BYTES];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        OBI_TRY(path_in(samples, names[i], path));
        if (unlink(path) != 0 && errno != ENOENT) return wrong("remove", path);
    }
    return OBI_OK;
}

/* Samples of other settings are not mixed with these. */
static obi_status check_settings(const obi_samples *samples, const char *settings)
{
    char path[PATH_MAX_BYTES];
    OBI_TRY(path_in(samples, SETTINGS_NAME, path));
    if (access(path, F_OK) == 0) {
        obi_mapping file;
        OBI_TRY(obi_mapping_open(&file, path));
        bool same = file.size == strlen(settings) && memcmp(file.data, settings, (size_t)file.size) == 0;
        obi_mapping_close(&file);
        if (same) return OBI_OK;
        return obi_fail(OBI_ERROR_ARGUMENT,
                        "%s says that the samples there were made with other settings; go on with those, name another output_dir, or give "
                        "the samples up (overwrite_output_dir: true)",
                        path);
    }
    obi_writer writer;
    OBI_TRY(obi_writer_open(&writer, path));
    obi_status status = obi_write(&writer, settings, strlen(settings));
    if (status == OBI_OK) return obi_writer_commit(&writer);
    obi_writer_abandon(&writer);
    return status;
}

static obi_status open_file(const obi_samples *samples, const char *name, int *descriptor, uint64_t *size)
{
    char path[PATH_MAX_BYTES];
    OBI_TRY(path_in(samples, name, path));
    *descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    off_t end = *descriptor < 0 ? -1 : lseek(*descriptor, 0, SEEK_END);
    if (end < 0) return wrong("open", path);
    *size = (uint64_t)end;
    return OBI_OK;
}

static obi_status cut(int descriptor, uint64_t size)
{
    if (ftruncate(descriptor, (off_t)size) == 0 && lseek(descriptor, (off_t)size, SEEK_SET) >= 0) return OBI_OK;
    return obi_fail(OBI_ERROR_RUNTIME, "cannot cut off what an interrupted run has left: %s", strerror(errno));
}

/* The whole lines that come one after the other and whose texts are there. */
static obi_status take_up(obi_samples *samples, uint64_t text_size)
{
    char path[PATH_MAX_BYTES];
    obi_mapping file;
    uint64_t kept = 0;
    OBI_TRY(path_in(samples, RECORD_NAME, path));
    OBI_TRY(obi_mapping_open(&file, path));
    const char *at = (const char *)file.data, *end = at + file.size;
    for (const char *stop; at < end && (stop = memchr(at, '\n', (size_t)(end - at))) != NULL; at = stop + 1) {
        char line[256];
        uint64_t number, tokens, text_end;
        if (stop - at >= (ptrdiff_t)sizeof line) break;
        memcpy(line, at, (size_t)(stop - at));
        line[stop - at] = 0;
        const char *tail = strstr(line, "\"tokens\"");
        const char *last = strstr(line, "\"end\"");
        if (sscanf(line, "{\"sample\": %" SCNu64, &number) != 1 || number != samples->count || !tail || !last ||
            sscanf(tail, "\"tokens\": %" SCNu64, &tokens) != 1 || sscanf(last, "\"end\": %" SCNu64 "}", &text_end) != 1 ||
            text_end > text_size || text_end < samples->end)
            break;
        samples->count++;
        samples->tokens += tokens;
        samples->end = text_end;
        kept = (uint64_t)(stop + 1 - (const char *)file.data);
    }
    obi_mapping_close(&file);
    OBI_TRY(cut(samples->record, kept));
    return cut(samples->text, samples->end);
}

obi_status obi_samples_open(obi_samples *samples, const char *directory, const char *separator, const char *settings, bool anew)
{
    char whole[PATH_MAX_BYTES], growing[PATH_MAX_BYTES];
    uint64_t text_size, record_size;
    memset(samples, 0, sizeof *samples);
    samples->text = samples->record = -1;
    samples->directory = obi_strdup(directory);
    samples->separator = obi_strdup(separator);
    if (!samples->directory || !samples->separator) return OBI_ERROR_MEMORY;
    if (anew) OBI_TRY(remove_all(samples));
    OBI_TRY(check_settings(samples, settings));
    OBI_TRY(path_in(samples, TEXT_NAME, whole));
    OBI_TRY(path_in(samples, GROWING_NAME, growing));
    if (access(whole, F_OK) == 0 && rename(whole, growing) != 0) return wrong("rename", whole); /* more samples are wanted now */
    OBI_TRY(open_file(samples, GROWING_NAME, &samples->text, &text_size));
    OBI_TRY(open_file(samples, RECORD_NAME, &samples->record, &record_size));
    return take_up(samples, text_size);
}

void obi_samples_close(obi_samples *samples)
{
    if (samples->text >= 0) close(samples->text);
    if (samples->record >= 0) close(samples->record);
    samples->text = samples->record = -1;
    obi_free(samples->directory);
    obi_free(samples->separator);
    obi_free(samples->texts);
    obi_free(samples->lines);
    samples->directory = samples->separator = samples->texts = samples->lines = NULL;
}

/* ---- growing --------------------------------------------------------------------------------------------------- */

static obi_status append(char **text, size_t *length, size_t *room, const char *more, size_t count)
{
    if (count == 0) return OBI_OK;
    if (count > *room - *length) {
        size_t larger = (*length + count) * 2;
        char *grown = obi_realloc(*text, larger, 1);
        if (!grown) return OBI_ERROR_MEMORY;
        *text = grown;
        *room = larger;
    }
    memcpy(*text + *length, more, count);
    *length += count;
    return OBI_OK;
}

static obi_status append_text(obi_samples *samples, const char *text, size_t length)
{
    samples->end += length;
    return append(&samples->texts, &samples->texts_length, &samples->texts_room, text, length);
}

obi_status obi_samples_add(obi_samples *samples, const obi_sample *sample)
{
    char line[256];
    OBI_TRY(append_text(samples, sample->text, sample->length));
    OBI_TRY(append_text(samples, "\n", 1));
    OBI_TRY(append_text(samples, samples->separator, strlen(samples->separator)));
    OBI_TRY(append_text(samples, "\n", 1));
    int length = snprintf(line, sizeof line,
                          "{\"sample\": %" PRIu64 ", \"first_token\": %u, \"greedy_tokens\": %u, \"tokens\": %u, \"stopped_by\": \"%s\", "
                          "\"bytes\": %zu, \"end\": %" PRIu64 "}\n",
                          samples->count, sample->first_token, sample->greedy_tokens, sample->tokens, sample->ended ? "eos" : "cutoff_len",
                          sample->length, samples->end);
    samples->count++;
    samples->tokens += sample->tokens;
    return append(&samples->lines, &samples->lines_length, &samples->lines_room, line, (size_t)length);
}

static obi_status write_out(int descriptor, const char *text, size_t length, bool sync)
{
    while (length > 0) {
        ssize_t done = write(descriptor, text, length);
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0) return obi_fail(OBI_ERROR_RUNTIME, "cannot write the samples: %s", strerror(errno));
        text += done;
        length -= (size_t)done;
    }
    if (sync && fdatasync(descriptor) != 0) return obi_fail(OBI_ERROR_RUNTIME, "cannot write the samples: %s", strerror(errno));
    return OBI_OK;
}

obi_status obi_samples_flush(obi_samples *samples)
{
    if (samples->lines_length == 0) return OBI_OK;
    OBI_TRY(write_out(samples->text, samples->texts, samples->texts_length, true)); /* first: the lines say that it is there */
    samples->texts_length = 0;
    OBI_TRY(write_out(samples->record, samples->lines, samples->lines_length, false));
    samples->lines_length = 0;
    return OBI_OK;
}

obi_status obi_samples_finish(obi_samples *samples)
{
    char whole[PATH_MAX_BYTES], growing[PATH_MAX_BYTES];
    OBI_TRY(obi_samples_flush(samples));
    if (fdatasync(samples->record) != 0) return obi_fail(OBI_ERROR_RUNTIME, "cannot write the samples: %s", strerror(errno));
    OBI_TRY(path_in(samples, TEXT_NAME, whole));
    OBI_TRY(path_in(samples, GROWING_NAME, growing));
    if (rename(growing, whole) != 0) return wrong("rename", growing);
    int directory = open(samples->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory >= 0) { /* so that the name outlives a power failure, where directories can be synced */
        fsync(directory);
        close(directory);
    }
    return OBI_OK;
}
