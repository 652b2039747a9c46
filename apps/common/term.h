/* term: what a person sees on stderr (notes, errors, the library's log, a progress bar) and how numbers are written.
 * Results go to stdout and never through here. */
#ifndef ONEBIT_APPS_TERM_H
#define ONEBIT_APPS_TERM_H

#include <stdbool.h>
#include <stdint.h>

#include "onebit/onebit.h"

/* ---- messages -------------------------------------------------------------------------------------------------- */

/* Stands in front of every message; `name` must live on. */
void app_set_name(const char *name);
const char *app_name(void);

/* Sends the library's log to stderr: errors and warnings; with verbosity 1 also information, with 2 everything. */
void app_start_log(int verbosity);

/* "onebit-run-vk: ..." on stderr. From any thread; a progress bar steps aside. */
void app_note(const char *format, ...) __attribute__((format(__printf__, 1, 2)));

/* The same with "error: "; returns `code`, which the caller exits with. */
int app_refuse(int code, const char *format, ...) __attribute__((format(__printf__, 2, 3)));

/* The last sentence that app_refuse and app_fail said, without what stands before it; "" if none. Valid until the next one. */
const char *app_last_refusal(void);

/* Says why the library's last call failed and returns the exit code for it: 128 + the signal if a signal asked to stop. */
int app_fail(ob_status status);

/* Flushes stdout. Returns `code`, or 1 when code was 0 and stdout could not take everything: quietly if its reader went
 * away, with a sentence otherwise. The last thing a program does. */
int app_end_stdout(int code);

/* Destroys the context. Returns `code`, or 1 when code was 0 and the validation layer had something to say. */
int app_end_context(ob_context *context, int code);

/* ---- progress -------------------------------------------------------------------------------------------------- */

typedef struct app_progress {
    bool terminal; /* a bar on one line; otherwise a plain line every few seconds */
    bool shown;    /* there is a bar on the line now */
    double started, drawn;
} app_progress;

void app_progress_start(app_progress *progress);
/* An ob_progress_function; `user` is the app_progress. Returns false once a signal has asked to stop. */
bool app_progress_step(double fraction, const char *what, void *user);
/* A line of one's own instead of the bar: rewritten in a terminal, cut to its width; printed as it is elsewhere. It is always
 * drawn: app_progress_due tells whether it is time, given the seconds that should pass outside a terminal. */
void app_progress_line(app_progress *progress, const char *line);
bool app_progress_due(const app_progress *progress, double seconds);
void app_progress_end(app_progress *progress); /* takes the bar off the screen; may be called twice */

/* ---- numbers and time ------------------------------------------------------------------------------------------ */

typedef struct app_text { char text[48]; } app_text;

app_text app_bytes(uint64_t bytes);     /* "1.01 MiB" */
app_text app_count(uint64_t count);     /* "264 K", "1.10 B" */
app_text app_duration(double seconds);  /* "0.52 s", "1 min 05 s", "2 h 10 min" */
app_text app_api_version(uint32_t api); /* "1.3.239" */
app_text app_uuid(const uint8_t uuid[16]);
double app_seconds(void);               /* of a clock that only goes forward */

#endif
