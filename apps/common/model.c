#include "model.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "args.h"
#include "term.h"

const char *app_model_kind(const ob_model_info *model)
{
    bool opt = strcmp(model->architecture, "opt") == 0 || strcmp(model->architecture, "onebitopt") == 0;
    return opt ? model->onebit ? "1-bit OPT" : "OPT" : model->onebit ? "1-bit LLaMA" : "LLaMA";
}

int app_check_model_path(const char *path)
{
    struct stat info;
    if (stat(path, &info) != 0) return app_refuse(5, "cannot open the model %s: %s; give the path of a GGUF file", path, strerror(errno));
    if (S_ISDIR(info.st_mode))
        return app_refuse(5, "%s is a directory, not a GGUF file; convert the model first: onebit-quant-vk %s -o MODEL.gguf", path, path);
    if (!S_ISREG(info.st_mode)) return app_refuse(5, "%s is a device or a pipe, not a GGUF file", path);
    FILE *file = fopen(path, "rb");
    if (!file) return app_refuse(5, "cannot open the model %s: %s", path, strerror(errno));
    char magic[4];
    size_t got = fread(magic, 1, sizeof magic, file);
    fclose(file);
    if (got == sizeof magic && memcmp(magic, "GGUF", 4) == 0) return APP_GO_ON;
    return app_refuse(5, "%s is not a GGUF file; convert a model of another format first: onebit-quant-vk %s -o MODEL.gguf", path, path);
}

ob_status app_load_model(ob_model **out, ob_context *context, const char *path, bool map)
{
    app_progress progress;
    app_progress_start(&progress);
    ob_model_desc desc = { .path = path, .progress = app_progress_step, .user = &progress, .map = map };
    ob_status status = ob_model_load(out, context, &desc);
    app_progress_end(&progress);
    return status;
}
