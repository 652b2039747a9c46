#include "quant/train/history.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/file.h"

#define LINE_MAX_BYTES 2048 /* the trainer's own lines are a few hundred */

/* One line at a time, as text; those that are not whole lines of this log are left out. */
typedef struct line_reader {
    const char *at, *end;
    const char *line;          /* as it stands in the file, */
    size_t length;             /* its newline included */
    char text[LINE_MAX_BYTES]; /* the same, without it */
    uint64_t step;
} line_reader;

static const char opening[] = "{\"step\": ";

static bool next_line(line_reader *reader)
{
    while (reader->at < reader->end) {
        const char *stop = memchr(reader->at, '\n', (size_t)(reader->end - reader->at));
        reader->line = reader->at;
        reader->length = (size_t)((stop ? stop + 1 : reader->end) - reader->at);
        reader->at += reader->length;
        size_t inside = reader->length - 1;
        if (!stop || inside < sizeof opening || inside >= sizeof reader->text || reader->line[inside - 1] != '}') continue;
        memcpy(reader->text, reader->line, inside);
        reader->text[inside] = 0;
        if (strncmp(reader->text, opening, sizeof opening - 1) != 0) continue;
        char *behind;
        reader->step = strtoull(reader->text + sizeof opening - 1, &behind, 10);
        if (*behind == ',' && !memchr(reader->text + 1, '{', inside - 1)) return true; /* not a torn line and another behind it */
    }
    return false;
}

/* NaN when the key is not there, or null. */
static double number_of(const char *text, const char *key)
{
    for (const char *at = text; (at = strstr(at, key)); at++) {
        const char *behind = at + strlen(key);
        if (at[-1] != '"' || strncmp(behind, "\": ", 3) != 0) continue;
        char *end;
        double value = strtod(behind + 3, &end);
        return end == behind + 3 ? NAN : value;
    }
    return NAN;
}

static obi_status append(obi_history_point **points, size_t *count, size_t *room, obi_history_point point)
{
    if (*count == *room) {
        size_t more = *room ? 2 * *room : 256;
        obi_history_point *grown = obi_realloc(*points, more, sizeof *grown);
        if (!grown) return OBI_ERROR_MEMORY;
        *points = grown;
        *room = more;
    }
    (*points)[(*count)++] = point;
    return OBI_OK;
}

static obi_status open_log(obi_mapping *file, line_reader *reader, const char *path, bool *missing)
{
    *missing = access(path, F_OK) != 0;
    if (*missing) return OBI_OK;
    OBI_TRY(obi_mapping_open(file, path));
    reader->at = (const char *)file->data;
    reader->end = reader->at + file->size;
    return OBI_OK;
}

obi_status obi_history_read(obi_history *history, const char *path)
{
    obi_mapping file;
    line_reader reader;
    bool missing;
    obi_status status = OBI_OK;
    memset(history, 0, sizeof *history);
    OBI_TRY(open_log(&file, &reader, path, &missing));
    if (missing) return OBI_OK;
    while (status == OBI_OK && next_line(&reader)) {
        if (strstr(reader.text, "\"eval_loss\""))
            status = append(&history->evaluations, &history->evaluation_count, &history->evaluation_room,
                            (obi_history_point){ reader.step, number_of(reader.text, "eval_loss"), number_of(reader.text, "eval_kl") });
        else if (strstr(reader.text, "\"loss\""))
            status = append(&history->steps, &history->step_count, &history->step_room,
                            (obi_history_point){ reader.step, number_of(reader.text, "loss"), number_of(reader.text, "kl") });
    }
    obi_mapping_close(&file);
    if (status != OBI_OK) obi_history_clear(history);
    return status;
}

void obi_history_clear(obi_history *history)
{
    obi_free(history->steps);
    obi_free(history->evaluations);
    memset(history, 0, sizeof *history);
}

obi_status obi_history_cut(const char *path, uint64_t step)
{
    obi_mapping file;
    line_reader reader;
    obi_writer writer;
    bool missing;
    OBI_TRY(open_log(&file, &reader, path, &missing));
    if (missing) return OBI_OK;
    obi_status status = obi_writer_open(&writer, path);
    if (status == OBI_OK) {
        while (status == OBI_OK && next_line(&reader))
            if (reader.step <= step) status = obi_write(&writer, reader.line, reader.length);
    }
    obi_mapping_close(&file); /* first: Windows replaces no file that is mapped */
    if (status == OBI_OK) return obi_writer_commit(&writer);
    obi_writer_abandon(&writer); /* of a writer that did not open: nothing */
    return status;
}
