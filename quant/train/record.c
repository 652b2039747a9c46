#include "quant/train/record.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/log.h"
#include "quant/train/events.h"
#include "quant/train/plot.h"

#define PATH_ROOM 2304

struct obi_record {
    FILE *log;
    obi_events *events;
    char log_path[PATH_ROOM], plot_path[PATH_ROOM];
    char title[256];
    bool warned;
};

static obi_status join(char path[PATH_ROOM], const char *directory, const char *name)
{
    int length = snprintf(path, PATH_ROOM, "%s/%s", directory, name);
    return length > 0 && length < PATH_ROOM ? OBI_OK : obi_fail(OBI_ERROR_ARGUMENT, "output_dir: the path is too long");
}

/* The last part of the directory's path. */
static void set_title(obi_record *record, const char *directory)
{
    size_t length = strlen(directory), start;
    while (length > 1 && directory[length - 1] == '/') length--;
    for (start = length; start > 0 && directory[start - 1] != '/';) start--;
    snprintf(record->title, sizeof record->title, "%.*s", (int)(length - start), directory + start);
}

obi_status obi_record_open(const char *directory, uint64_t step, obi_record **out)
{
    *out = NULL;
    obi_record *record = obi_calloc(1, sizeof *record);
    if (!record) return OBI_ERROR_MEMORY;
    obi_status status;
    set_title(record, directory);
    OBI_TRY_GOTO(join(record->log_path, directory, "log.jsonl"));
    OBI_TRY_GOTO(join(record->plot_path, directory, "loss.svg"));
    if (step == 0) OBI_TRY_GOTO(obi_record_remove(directory)); /* of a run that left no checkpoint, or was given up */
    OBI_TRY_GOTO(obi_history_cut(record->log_path, step));
    record->log = fopen(record->log_path, "ae");
    if (!record->log) {
        status = obi_fail(OBI_ERROR_RUNTIME, "cannot write %s: %s", record->log_path, strerror(errno));
        goto done;
    }
    status = obi_events_open(directory, step, &record->events);
done:
    if (status != OBI_OK) obi_record_close(record);
    else *out = record;
    return status;
}

void obi_record_close(obi_record *record)
{
    if (!record) return;
    if (record->log) fclose(record->log);
    obi_events_close(record->events);
    obi_free(record);
}

static void check(obi_record *record, obi_status status)
{
    if (status == OBI_OK || record->warned) return;
    record->warned = true;
    obi_log(OBI_LOG_WARNING, "the run is not recorded in full: %s", obi_last_error());
}

/* Hands the line on at once: a killed run loses none. */
static void end_line(obi_record *record)
{
    fputs("}\n", record->log);
    if (fflush(record->log) != 0) check(record, obi_fail(OBI_ERROR_RUNTIME, "cannot write %s: %s", record->log_path, strerror(errno)));
    clearerr(record->log);
}

/* A number as JSON; what is not finite is null. */
static void put_number(FILE *log, const char *key, double value)
{
    if (isfinite(value)) fprintf(log, ", \"%s\": %.9g", key, value);
    else fprintf(log, ", \"%s\": null", key);
}

void obi_record_step(obi_record *record, uint64_t step, const obi_step_report *report, double learning_rate, double seconds,
                     uint64_t device_bytes)
{
    if (!record) return;
    obi_scalar scalars[9];
    size_t count = 0;
    double speed = (double)report->tokens / seconds, signs = (double)report->signs;
    FILE *log = record->log;
    fprintf(log, "{\"step\": %" PRIu64, step);
    put_number(log, "loss", report->loss);
    scalars[count++] = (obi_scalar){ "train/loss", report->loss };
    if (report->distilled) {
        put_number(log, "kl", report->kl);
        put_number(log, "hidden", report->hidden);
        scalars[count++] = (obi_scalar){ "train/kl", report->kl };
        scalars[count++] = (obi_scalar){ "train/hidden", report->hidden };
    }
    put_number(log, "learning_rate", learning_rate);
    put_number(log, "grad_norm", report->gradient_norm);
    scalars[count++] = (obi_scalar){ "train/learning_rate", learning_rate };
    scalars[count++] = (obi_scalar){ "train/grad_norm", report->gradient_norm };
    if (report->signs > 0) {
        fprintf(log, ", \"sign_flips\": %" PRIu64, report->flipped);
        put_number(log, "sign_flip_share", (double)report->flipped / signs);
        put_number(log, "sign_moved_share", (double)report->moved / signs);
        scalars[count++] = (obi_scalar){ "train/sign_flip_share", (double)report->flipped / signs };
        scalars[count++] = (obi_scalar){ "train/sign_moved_share", (double)report->moved / signs };
    }
    put_number(log, "tokens_per_second", speed);
    fprintf(log, ", \"device_bytes\": %" PRIu64 ", \"skipped\": %s", device_bytes, report->skipped ? "true" : "false");
    scalars[count++] = (obi_scalar){ "train/tokens_per_second", speed };
    scalars[count++] = (obi_scalar){ "train/device_mib", (double)device_bytes / 1048576 };
    end_line(record);
    check(record, obi_events_write(record->events, step, scalars, count));
}

void obi_record_evaluation(obi_record *record, uint64_t step, double loss, double kl, bool best)
{
    if (!record) return;
    const obi_scalar scalars[] = { { "eval/loss", loss }, { "eval/kl", kl } };
    fprintf(record->log, "{\"step\": %" PRIu64, step);
    put_number(record->log, "eval_loss", loss);
    if (isfinite(kl)) put_number(record->log, "eval_kl", kl);
    fprintf(record->log, ", \"best\": %s", best ? "true" : "false");
    end_line(record);
    check(record, obi_events_write(record->events, step, scalars, 2));
}

void obi_record_divergence(obi_record *record, uint64_t step, uint64_t back)
{
    if (!record) return;
    fprintf(record->log, "{\"step\": %" PRIu64, step);
    if (back == UINT64_MAX) fputs(", \"diverged\": true", record->log);
    else fprintf(record->log, ", \"back_to_step\": %" PRIu64, back);
    end_line(record);
}

void obi_record_draw(obi_record *record)
{
    obi_history history;
    if (!record) return;
    obi_status status = obi_history_read(&history, record->log_path);
    if (status == OBI_OK) status = obi_plot_write(&history, record->title, record->plot_path);
    check(record, status);
    obi_history_clear(&history);
}

obi_status obi_record_remove(const char *directory)
{
    static const char *const names[] = { "log.jsonl", "loss.svg" };
    char path[PATH_ROOM];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        OBI_TRY(join(path, directory, names[i]));
        unlink(path);
    }
    return obi_events_remove_all(directory);
}
