/* model_file: a test model converted to GGUF into the scratch directory, and opened on the test's device. */
#ifndef OB_TESTS_MODEL_FILE_H
#define OB_TESTS_MODEL_FILE_H

#include "data.h"
#include "device.h"

#include "core/alloc.h"
#include "engine/session.h"
#include "model/tokenizer.h"
#include "quant/convert.h"
#include "scratch.h"

/* Converts models/RELATIVE of the test data into scratch file `name`; returns its path (static). */
static inline const char *model_convert(const char *relative, obi_form form, const char *name)
{
    static char paths[8][640];
    static unsigned next;
    char *path = paths[next++ % 8], model[256];
    snprintf(path, sizeof paths[0], "%s/%s", scratch_directory, name);
    snprintf(model, sizeof model, "models/%s", relative);
    obi_source *source;
    obi_convert_report report;
    obi_convert_desc desc = { .output = path, .form = form };
    TEST_OK(obi_source_open(&source, test_data_path(model), NULL));
    TEST_OK(obi_convert(test_device(), source, &desc, &report));
    obi_convert_report_clear(&report);
    obi_source_close(source);
    return path;
}

/* Weights and tokenizer of a GGUF file. */
typedef struct model_file {
    char path[640];
    obi_weights *weights;
    obi_tokenizer *tokenizer;
} model_file;

static inline void model_open(model_file *model, const char *path)
{
    obi_gguf gguf;
    obi_vocab vocab = { 0 };
    snprintf(model->path, sizeof model->path, "%s", path);
    TEST_OK(obi_gguf_open(&gguf, path));
    TEST_OK(obi_weights_load(test_device(), &gguf, NULL, NULL, &model->weights));
    TEST_OK(obi_vocab_from_gguf(&vocab, &gguf));
    TEST_OK(obi_tokenizer_create(&model->tokenizer, &vocab));
    obi_gguf_close(&gguf);
}

/* Frees it and removes the file. */
static inline void model_close(model_file *model)
{
    obi_tokenizer_free(model->tokenizer);
    obi_weights_free(model->weights);
    unlink(model->path);
}

static inline obi_session *model_session(const model_file *model, const obi_session_desc *desc)
{
    obi_session *session;
    TEST_OK(obi_session_create(model->weights, desc, &session));
    return session;
}

/* All kernels of the device at `tier` or, where they have no such variant, below. */
static inline void model_use_tier(obi_tier tier)
{
    for (int i = 0; i < OBI_KERNEL_COUNT; i++) test_device()->kernel_tier[i] = tier;
}

#endif
