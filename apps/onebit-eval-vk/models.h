/* models: the device and the models of a command, and what every command that runs a model is told. */
#ifndef ONEBIT_EVAL_MODELS_H
#define ONEBIT_EVAL_MODELS_H

#include <jansson.h>

#include "common/args.h"
#include "common/threads.h"
#include "onebit/onebit.h"

/* What every command is told; the rows are parts of its table. */
typedef struct eval_options {
    app_common common;
    const char *model;
    int64_t batch;  /* 0: default */
    int cache_type; /* 0: f32, as EVAL_CACHE_ROW counts */
    bool json;
} eval_options;

#define EVAL_MODEL_ROW(o) APP_ROW_TEXT('m', "model", "FILE", "the model, a GGUF file (required)", &(o).model)
#define EVAL_BATCH_ROW(o)                                                                                                \
    APP_ROW_INTEGER('b', "batch-size", "N", "tokens of a window processed at once (default 128); with fewer\n"           \
                    "than 8 by the kernels that generate text", &(o).batch, 1, 65536)
#define EVAL_CACHE_ROW(o)                                                                                                \
    APP_ROW_CHOICE(0, "cache-type", "f32|f16|int8", "how keys and values are kept (default: f32; with --exact\n"         \
                   "scores are the model's own, without rounding to bytes or halves)", &(o).cache_type)
#define EVAL_JSON_ROW(o) APP_ROW_FLAG(0, "json", "print the result as JSON", &(o).json)
#define EVAL_DEVICE_ROWS(o)                                                                                              \
    APP_DEVICE_ROWS((o).common), APP_MMAP_ROW((o).common), APP_EXACT_ROW((o).common), APP_THREADS_ROW((o).common),       \
        APP_OTHER_ROWS((o).common)

/* How a measurement makes its sessions, and what it is measured with; 0: defaults. */
typedef struct eval_session {
    uint32_t batch;
    ob_cache_type cache_type; /* OB_CACHE_AUTO counts as f32: a score shall not depend on the device's choice */
    /* For logs: the device, which must stay there and which eval_session_of leaves out, and whether the context is exact. */
    const ob_device_info *device;
    bool exact;
} eval_session;
eval_session eval_session_of(const eval_options *options);

/* What a log is held against: what is measured and how. `paths` are those of `count` models, `kind` names the measurement. NULL when there
 * is no memory; json_decref it. */
json_t *eval_settings(const char *kind, const char *const *paths, uint32_t count, const eval_session *session);

/* A session with `context` positions. */
ob_status eval_session_open(ob_session **out, ob_model *model, const eval_session *desc, size_t context);

#define EVAL_MODELS_MAX 8

typedef struct eval_models {
    ob_context *context;
    ob_device_info device;
    ob_model *model[EVAL_MODELS_MAX];
    ob_model_info info[EVAL_MODELS_MAX];
    uint32_t count;
} eval_models;

/* Opens the device and loads `count` models, which `paths` name. Call app_check_model_path on each first, so that no device is opened for
 * a mistyped name. Returns APP_GO_ON or the exit code, and has said why; eval_models_close must follow in either case. */
int eval_models_open(eval_models *models, const eval_options *options, const char *const *paths, uint32_t count);

/* Returns `code`, or what the validation layer makes of it. */
int eval_models_close(eval_models *models, int code);

#endif
