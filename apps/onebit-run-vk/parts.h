/* parts: context, model and session of one run, made from its options, and made anew when the device is lost. */
#ifndef ONEBIT_RUN_PARTS_H
#define ONEBIT_RUN_PARTS_H

#include "onebit/onebit.h"
#include "options.h"

#define PARTS_LOSSES_MAX 3 /* that a run gets over */

/* Zeroed but for `options`. Destroyed by parts_close. */
typedef struct run_parts {
    const run_options *options;
    ob_context *context;
    ob_model *model;
    ob_session *session;
    ob_session_desc desc; /* of the session, when there was one */
    int losses;
} run_parts;

/* Context and model; then, when the prompt is known, the session. What has no memory for the sizes that nobody asked for is tried once
 * with half of them. A lost device is opened again, and this is said on stderr. */
ob_status parts_load(run_parts *parts);
ob_status parts_start(run_parts *parts, ob_sampling sampling);

/* After OB_ERROR_DEVICE_LOST of the session: everything anew, and the session where it was; or why not. */
ob_status parts_recover(run_parts *parts);

/* Returns the exit code, given the one so far. */
int parts_close(run_parts *parts, int code);

#endif
