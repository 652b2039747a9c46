/* model: a model that the user named by its path. */
#ifndef ONEBIT_APPS_MODEL_H
#define ONEBIT_APPS_MODEL_H

#include "onebit/onebit.h"

/* Refuses with one sentence what cannot be a GGUF file, and tells how to convert what is another kind of model; so that
 * no device is opened for a mistyped name. Returns APP_GO_ON or 5. The library checks everything again, and more. */
int app_check_model_path(const char *path);

/* What to call it: "LLaMA", "1-bit LLaMA", "OPT" or "1-bit OPT"; constant. */
const char *app_model_kind(const ob_model_info *model);

/* ob_model_load with a progress bar; a signal cancels it. */
ob_status app_load_model(ob_model **out, ob_context *context, const char *path, bool map);

#endif
